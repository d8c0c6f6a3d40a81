"""Made results, as a finished experiment leaves them, of numbers that runs of ours found."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure

from patchmosaic.analysis.agreement import paired_differences
from patchmosaic.figures.consistency import consistency_along_trajectories
from patchmosaic.figures.headline import headline_chart
from patchmosaic.figures.learning import learning_curves
from patchmosaic.figures.novelty import novelty
from patchmosaic.figures.pairs import pairs
from patchmosaic.figures.scales import scales
from patchmosaic.figures.scatter import scatter_is_vs_machine
from patchmosaic.figures.style import save_figure
from patchmosaic.figures.trajectories import agreement_along_trajectories
from patchmosaic.publish.manifest import (
    NAME,
    describe_files,
    library_versions,
    source_digests,
    write_manifest,
)
from patchmosaic.tables.equivalence import equivalence
from patchmosaic.tables.headline import headline
from patchmosaic.tables.orderings import orderings
from patchmosaic.tables.paper import load_paper
from patchmosaic.tables.paper_tables import beside_paper
from patchmosaic.tables.protocol import load_protocol
from patchmosaic.tables.tails import tails
from workflow.config_files import completed

ROOT = Path(__file__).parent.parent
NUMBERS = ROOT / "numbers"
WHOLE_PAPER = load_paper(NUMBERS / "paper.yaml")
PROTOCOL = load_protocol(NUMBERS / "protocol.yaml")
PAPER = WHOLE_PAPER.rows
NETWORKS = ("mnist-resnet-zeros", "fashion_mnist-unet-zeros")
LONG = "a_network_of_ones_own_whose_name_leaves_little_room-resnet-zeros"
DRAWN = ("headline", "scatter", "scales", "trajectories", "novelty", "consistency", "learning")


FULL = {"evaluate": [*NETWORKS], "seeds": {"evaluation": {"count": 20}}}  # over config.yaml
WHOLE = yaml.safe_load((ROOT / "config/paper.yaml").read_text(encoding="utf-8"))


def agreement(networks, steps, seeds):
    """Rows that a run of ours kept."""
    files = [ROOT / f"numbers/agreement/{name}-{n}.csv" for name in networks for n in steps]
    table = pd.concat(map(pd.read_csv, files), ignore_index=True)
    return table[table["seed"] < seeds]


def write_tables(folder, rows):
    """What the rules of the stage of agreement make of a table of agreement."""
    medians = headline(rows, PAPER)
    pairs = [("els", "is"), ("els", "ls"), ("ls", "is")]
    found = {
        "agreement": rows,
        "headline": medians,
        "paired": paired_differences(rows, pairs),
        "orderings": orderings(rows, PAPER, {name: name for name in rows["network"].unique()}),
        "equivalence": equivalence(
            rows,
            WHOLE_PAPER,
            pd.read_csv(NUMBERS / "tables/training_seeds.csv"),
            PROTOCOL,
        ),
        "tails": tails(rows, PROTOCOL.low),
        "paper": beside_paper(medians, PAPER),
        "scales": pd.DataFrame(
            {"network": name, "t": t, "patch_size": p, "trajectories": 3}
            for name in rows["network"].unique()
            for t, p in ((0.05, 3), (1.0, 17))
        ),
    }
    (folder / "tables").mkdir(parents=True)
    for name, table in found.items():
        table.to_csv(folder / f"tables/{name}.csv", index=False)


def draw(folder, names):
    """Drawings as the report has them, with words that tell them apart."""
    (folder / "figures").mkdir()
    for name in names:
        figure = Figure(figsize=(6.75, 2.5))
        figure.subplots().set_title(f"a drawing of {name}")
        for suffix in ("png", "pdf"):
            save_figure(figure, folder / f"figures/{name}.{suffix}")
    return [{"path": f"figures/{name}.png", "title": f"About {name}"} for name in names]


def draw_in_place(folder, networks):
    """The drawings of so many networks as they are: of the tables, and of made numbers."""
    rng = np.random.default_rng(0)
    made = {"source": ["network", "els", "ls", "is"], "seed": range(4), "t": np.linspace(0, 1, 20)}
    paths = pd.MultiIndex.from_product([networks, *made.values()], names=["network", *made])
    paths = paths.to_frame(index=False)
    paths = paths.assign(mean_r=rng.random(len(paths)), inconsistent=rng.random(len(paths)))
    sources = ["held-out images", "network, 20 steps", "network, 150 steps", "els", "ls", "is"]
    distances = pd.DataFrame(
        {"network": n, "source": s, "distance": rng.random(), "copy": False}
        for n in networks
        for s in sources
        for _ in range(20)
    )
    moments = pd.DataFrame(
        {"network": networks[0], "network_steps": 20, "machine": m, "images_seen": images}
        | {"seed": seed, "pearson_r": rng.random()}
        for m in ("els", "ls", "is")
        for images in (0, 15_000, 60_000, 240_000)
        for seed in range(4)
    )
    table = {name: pd.read_csv(folder / f"tables/{name}.csv") for name in ("agreement", "headline")}
    scales_of = pd.read_csv(folder / "tables/scales.csv").assign(smallest=1, largest=17)
    figures = {
        "headline": headline_chart(table["headline"]),
        "scatter": scatter_is_vs_machine(table["agreement"]),
        "scales": scales(scales_of),
        "trajectories": agreement_along_trajectories(
            paths.query("source != 'network'").rename(columns={"source": "machine"})
        ),
        "novelty": novelty(distances),
        "consistency": consistency_along_trajectories(paths),
        "learning": learning_curves(moments),
    }
    rows = {name: rng.uniform(-1, 1, (10, 1, 32, 32)) for name in ("network", "ELS", "LS", "IS")}
    r = {name: rng.random(10) for name in rows if name != "network"}
    for name in NETWORKS:
        figures[f"pairs-{name}-150"] = pairs(rows, range(10), name, correlations=r)
    for name, figure in figures.items():
        save_figure(figure, folder / f"figures/{name}.pdf")


def finish(folder, config):
    """The manifest of whatever lies in the folder."""
    (folder / NAME).unlink(missing_ok=True)
    names = [p.relative_to(folder).as_posix() for p in sorted(folder.rglob("*")) if p.is_file()]
    rules = {name: f"rule_of_{Path(name).stem.split('-')[0]}" for name in names}
    content = {
        "experiment": config["experiment"],
        "config": config,
        "config_files": ["config.yaml"],
        "versions": library_versions(),
        "hardware": {"cpu": "a processor", "cores": 2},
        "sources": source_digests(ROOT),
        "files": describe_files(
            folder, {n: rule for n, rule in rules.items() if not n.startswith("benchmarks/")}
        ),
    }
    write_manifest(folder / NAME, content)


def full(folder, more=None, override=FULL):
    """Results with all that an article may show, and other files: their texts by name.

    Of the networks and seeds with which an experiment overrides config.yaml.
    """
    rows = agreement(override["evaluate"], (20, 150), override["seeds"]["evaluation"]["count"])
    write_tables(folder, rows)
    variants = pd.DataFrame(
        {"network": NETWORKS[0], "network_steps": 20, "variant": name, "kind": kind, "seeds": 20}
        | {"pearson_r": r, "low": r - 0.01, "high": r + 0.01, "difference": d}
        | {"difference_low": d, "difference_high": d}
        for name, kind, r, d in (
            ("unchanged", None, 0.95, None),
            ("shuffled_seeds", "control", 0.26, -0.69),
            ("raw_weights", "ablation", 0.93, -0.02),
        )
    )
    predictors = pd.DataFrame(
        {"network": "all networks", "network_steps": 150, "rank": rank, "label": name}
        | {"sees": sees, "pearson_r": r, "pearson_r_low": r, "pearson_r_high": r, "seconds": 2.5}
        | {"r2_determination": r**2, "better_than_is": None, "p_is_holm": None}
        for rank, name, sees, r in (
            (None, "sibling network", "weights", 0.97),
            (1, "PCA-locality", "none", 0.955),
            (2, "IS", "none", 0.4),
        )
    )
    siblings = pd.DataFrame([{"a": "x", "b": "y", "network_steps": 20, "pearson_r": 0.88}])
    trainings = pd.DataFrame(
        [{"network": "x", "network_steps": 20, "machine": "els", "sd_training": 0.011}]
    ).assign(least_median=0.929, greatest_median=0.959)
    for name, table in {
        "tables/leaderboard": predictors,
        "tables/claims": pd.read_csv(NUMBERS / "tables/claims.csv"),
        "tables/variants": variants,
        "tables/siblings": siblings,
        "tables/training_seeds": trainings,
        "learning/mnist-resnet-zeros": pd.DataFrame(
            {"seed": 0, "pearson_r": r, "images_seen": n, "machine": "els", "network": "x"}
            for r, n in ((0.1, 0), (0.9, 1000))
        ),
        "novelty/mnist-resnet-zeros": pd.DataFrame(
            {"copy": copy, "source": source, "network": "x"}
            for source, copy in (("is", True), ("els", False), ("network_20", False))
            for _ in range(3)
        ).pipe(lambda t: pd.concat([t, t.head(1).assign(source="held-out images", copy=False)])),
        "nearest_patches/mnist-resnet-zeros": pd.DataFrame({"distance": [1]}),
        "consistency/mnist-resnet-zeros": pd.DataFrame({"t": [1]}),
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        table.to_csv(folder / f"{name}.csv", index=False)
    (folder / "benchmarks").mkdir()
    for job in ("sample-a-els-000", "sample-a-els-001", *(f"job{i}" for i in range(12))):
        (folder / f"benchmarks/{job}.tsv").write_text("s\tmax_rss\tcpu_time\n60\t512\t100\n")
    for name, kind in ((NETWORKS[0], "networks"), (NETWORKS[1], "networks")):
        (folder / kind).mkdir(exist_ok=True)
        shutil.copy(ROOT / f"checkpoints/{name}.json", folder / f"networks/{name}.json")
    figures = draw(folder, [*DRAWN, *(f"pairs-{name}-150" for name in NETWORKS)])
    config, _ = completed(ROOT, override)
    for name, text in (more or {}).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    finish(folder, config)
    return figures


def bare(folder):
    """Results about which the paper says nothing, of networks with long names, without IS."""
    rows = agreement(NETWORKS[:1], (20,), 3).query("machine != 'is'")
    names = [LONG, LONG.replace("resnet", "external")]
    rows = pd.concat(rows.assign(network=n, dataset="ones_own_images") for n in names)
    write_tables(folder, rows)
    novelty = pd.DataFrame({"copy": [False], "source": ["network_20"], "network": names[0]})
    (folder / "novelty").mkdir()
    novelty.to_csv(folder / "novelty/a.csv", index=False)  # nothing is held out
    figures = draw(folder, DRAWN[:5])
    network = {"dataset": "ones_own_images", "padding": "zeros", "conditional": False}
    override = {
        "experiment": "bare",
        "evaluate": names,
        "machines": ["els", "ls", "a_machine_of_ones_own"],
        "datasets": {"ones_own_images": {"source": "image_folder", "size": 32}},
        "networks": {
            names[0]: network | {"architecture": "resnet", "channels": 4, "recipe": "paper"},
            names[1]: network | {"checkpoint": "external"},
        },
        "sampling": {"network_steps": [20]},
        "seeds": {"evaluation": {"count": 3}},
    }
    config, _ = completed(ROOT, override)
    finish(folder, config | {"machines": override["machines"]})
    return figures
