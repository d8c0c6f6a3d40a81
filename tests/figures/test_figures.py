"""Figures: what is drawn is what the tables hold, and files are the same every time."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from legibility import assert_legible, texts
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from patchmosaic.figures.claims import LOOKS, claims_chart
from patchmosaic.figures.headline import headline_chart
from patchmosaic.figures.leaderboard import leaderboard_chart
from patchmosaic.figures.pairs import pairs
from patchmosaic.figures.scales import scales
from patchmosaic.figures.scatter import scatter_is_vs_machine
from patchmosaic.figures.siblings import siblings
from patchmosaic.figures.style import BLUE, save_figure
from patchmosaic.figures.training_seeds import training_seeds
from patchmosaic.machines.registry import MACHINES, label
from patchmosaic.tables.claims import ABOVE, AGAINST, CLAIMS, DEPENDS, FOR, LEVEL, OPEN
from patchmosaic.tables.leaderboard import ALL, SIBLING

N = 12


def images(channels=1):
    return np.random.default_rng(channels).uniform(-2, 2, (N, channels, 4, 5))


def agreement(network="a", steps=150):
    rng = np.random.default_rng(0)
    is_r = rng.uniform(0.2, 0.6, N)
    rows = {"network": network, "network_steps": steps, "is_pearson_r": is_r}
    return pd.concat(
        pd.DataFrame(rows | {"machine": machine, "pearson_r": is_r + gain})
        for machine, gain in (("els", 0.3), ("ls", -0.1), ("is", 0))
    )


def medians(**changes):
    rows = [
        {
            "network": network,
            "network_steps": steps,
            "machine": machine,
            "seeds": 32,
            "pearson_r": r,
            "pearson_r_low": r - 0.05,
            "pearson_r_high": r + 0.02,
            "paper": r - 0.1 if network == "a" else np.nan,
        }
        for network in ("a", "b")
        for steps in (20, 150)
        for machine, r in (("els", 0.9), ("is", 0.5))
    ]
    return pd.DataFrame(rows).assign(**changes)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_pairs_shows_every_image_clipped_in_its_place(channels):
    network, els = images(channels), -images(channels)
    figure = pairs({"network": network, "ELS": els}, range(N), columns=5)
    shown = figure.axes[0].images
    assert len(shown) == 2 * N
    for i, image in enumerate(shown):
        source = (network, els)[i % 2][i // 2]
        if channels in (2, 5):  # in gray
            source = source.mean(axis=0, keepdims=True)
        expected = (np.clip(source, -1, 1) + 1) / 2
        drawn = np.moveaxis(np.asarray(image.get_array()), -1, 0)
        np.testing.assert_allclose(drawn, np.broadcast_to(expected, drawn.shape))
    # 12 seeds in at most 5 columns are 3 bands of 4; no two images overlap.
    boxes = [image.get_extent() for image in shown]
    assert len({box[0] for box in boxes}) == 4
    assert len({box[3] for box in boxes}) == 3 * 2
    for i, (left, right, bottom, top) in enumerate(boxes):
        assert right - left == pytest.approx(bottom - top)
        for other_left, other_right, other_bottom, other_top in boxes[:i]:
            apart = left >= other_right or other_left >= right
            assert apart or top >= other_bottom or other_top >= bottom
    width, height = figure.get_size_inches()
    assert max(box[1] for box in boxes) <= width
    assert max(box[2] for box in boxes) <= height


def test_pairs_writes_the_given_correlations_and_labels():
    r = np.linspace(0.1, 0.98, N)
    r[3] = np.nan
    figure = pairs(
        {"network": images(), "ELS": images()},
        range(100, 100 + N),
        "A title",
        correlations={"ELS": r},
        labels=["Bag"] * N,
    )
    drawn = texts(figure)
    assert [w for w in drawn if w.startswith("r ")] == [
        "r undefined" if np.isnan(value) else f"r = {value:.2f}" for value in r
    ]
    assert {"A title", "network", "ELS", "seed 100\nBag"} <= set(drawn)


@pytest.mark.parametrize(
    ("rows", "correlations", "message"),
    [
        ({}, {}, "no images"),
        ({"ELS": images()[:3]}, {}, "images of ELS have shape"),
        ({"ELS": images()[:, 0]}, {}, r"expected \(12, C, H, W\)"),
        ({"ELS": images()}, {"els": np.zeros(N)}, "name of a row"),
        ({"ELS": images()}, {"ELS": np.zeros(3)}, "one value a seed"),
    ],
)
def test_pairs_refuses(rows, correlations, message):
    with pytest.raises(ValueError, match=message):
        pairs(rows, range(N), correlations=correlations)


def test_scatter_draws_every_seed_and_the_median():
    table = pd.concat([agreement("a"), agreement("b", 20)])
    figure = scatter_is_vs_machine(table)
    panels = [axes for axes in figure.axes if axes.collections]
    assert [axes.get_title() for axes in panels] == ["a\n150 network steps", "b\n20 network steps"]
    els = agreement().query("machine == 'els'")
    points, median = panels[0].collections[0], panels[0].containers[0].lines[0]
    np.testing.assert_allclose(points.get_offsets(), els[["is_pearson_r", "pearson_r"]])
    np.testing.assert_allclose(
        median.get_xydata(), [[els["is_pearson_r"].median(), els["pearson_r"].median()]]
    )
    assert to_hex(points.get_facecolor()[0]).upper() == BLUE
    assert f"ELS above IS: {N} of {N}\nLS above IS: 0 of {N}" in texts(figure)
    low, high = panels[0].get_xlim()
    assert low <= 0
    assert high == 1


def test_scatter_reports_undefined_seeds():
    table = agreement()
    table.iloc[0, table.columns.get_loc("pearson_r")] = np.nan
    assert any("1 undefined, not drawn" in word for word in texts(scatter_is_vs_machine(table)))
    with pytest.raises(ValueError, match="no machine other than IS"):
        scatter_is_vs_machine(table[table["machine"] == "is"])


def test_scatter_of_every_machine_is_legible():
    """Without its list, which would cross the points; also of r below 0."""
    table = agreement().query("machine == 'els'")
    tables = [table.assign(machine=m, pearson_r=table["pearson_r"] - 0.7) for m in MACHINES]
    tables = [part.assign(network=network) for network in "ab" for part in tables]
    figure = scatter_is_vs_machine(pd.concat(tables))
    assert not any("above IS" in word for word in texts(figure))
    assert_legible(figure)


def ranked(networks, steps=(20, 150)):
    """Rows of the leaderboard, all of the registry and a sibling network, the first the best."""
    names = [SIBLING, *MACHINES]
    r = np.linspace(0.97, -0.1, len(names))
    rows = pd.DataFrame({"machine": names, "pearson_r": r, "pearson_r_low": r - 0.05})
    rows["label"] = [SIBLING, *map(label, MACHINES)]
    rows["sees"] = ["weights", *(row.sees for row in MACHINES.values())]
    rows["pearson_r_high"] = rows["pearson_r"] + 0.02
    each = [rows.assign(network=n, network_steps=s, seeds=20) for n in networks for s in steps]
    return pd.concat(each, ignore_index=True)


@pytest.mark.parametrize("steps", [(20,), (20, 150)])
@pytest.mark.parametrize("networks", [["a"], [ALL, "cifar10_jpeg-unet_attention-circular", "c"]])
def test_leaderboard_shows_every_predictor_in_order(networks, steps):
    table = ranked(networks, steps)
    last = table["network_steps"] == max(steps)
    swapped = table["machine"].map({"els": "ls", "ls": "els"}).fillna(table["machine"])
    table.loc[last, "machine"] = swapped[last]  # the most steps say what the order is
    figure = leaderboard_chart(table)
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == networks
    for axes in panels:
        words = [text.get_text() for text in axes.get_yticklabels()]
        assert words[0] == "sibling network, weights"
        assert words[-1] == "mean image"
        assert len(words) == len(MACHINES) + 1
        drawn = [box.lines[0].get_xdata(orig=False)[0] for box in axes.containers]
        assert sorted(drawn) == sorted(table["pearson_r"][: len(drawn)])
        lines = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == "--"]
        yardsticks = table[(table["network"] == networks[0]) & last & (table["sees"] == "weights")]
        assert len(lines) == 2  # the sibling network, and the linear distillation
        assert lines == pytest.approx(yardsticks["pearson_r"].to_list())
    assert_legible(figure)


@pytest.mark.parametrize("each", [1, 12])
def test_claims_show_every_test_by_what_it_says(each):
    says = [FOR, AGAINST, OPEN] * 4
    rows = [
        {"claim": claim, "asks": LEVEL if claim == "final" else ABOVE, "difference": 0.1 * i - 0.6}
        | {"low": 0.1 * i - 0.65, "high": 0.1 * i - 0.5, "says": says[i]}
        for claim in CLAIMS
        for i in range(each)
        if claim != "pca"
    ]
    tests = pd.DataFrame(rows)
    claims = pd.DataFrame({"claim": [*CLAIMS], "text": [c.text for c in CLAIMS.values()]})
    claims["tests"] = claims["claim"].map(tests["claim"].value_counts()).fillna(0).astype(int)
    claims = claims.assign(verdict=DEPENDS, seeds=40)
    figure = claims_chart(claims, tests, 0.05)
    (axes,) = figure.axes
    assert len(axes.containers) == len(tests)
    colours = [box.lines[0].get_color() for box in axes.containers]
    assert colours == [LOOKS[row["says"]][0] for row in rows]
    labels = [" ".join(text.get_text().split()) for text in axes.get_yticklabels()]
    assert labels == [f"{claim.text} {DEPENDS}" for name, claim in CLAIMS.items() if name != "pca"]
    assert len(axes.collections) == len(axes.containers) + 1  # intervals, and one margin
    assert_legible(figure)


def scales_table(times, sizes, networks):
    """The same scales for so many networks, and in one of two trajectories a larger best P."""
    sizes = np.asarray(sizes)
    columns = {"t": times, "patch_size": sizes, "smallest": sizes, "largest": sizes + 2}
    table = pd.DataFrame(columns).assign(trajectories=2)
    return pd.concat([table.assign(network=f"network-{i}") for i in range(networks)])


def test_scales_keep_coinciding_curves_apart_near_their_patch_size():
    times = np.arange(1, 21) / 20
    sizes = np.arange(3, 42, 2)
    figure = scales(scales_table(times, sizes, 6))
    curves = figure.axes[0].lines
    heights = np.array([curve.get_ydata() for curve in curves])
    np.testing.assert_array_equal(curves[0].get_xdata(), times)
    np.testing.assert_allclose(heights.mean(axis=0), np.arange(3, 42, 2), atol=1e-9)
    assert np.abs(heights - np.arange(3, 42, 2)).max() < 1  # an odd P stays the nearest odd number
    assert (np.diff(heights, axis=0) > 0.1).all()
    looks = {(line.get_color(), line.get_marker()) for line in curves}
    assert len(looks) == 6
    assert all(tick % 2 == 1 for tick in figure.axes[0].get_yticks())
    spans = figure.axes[0].collections[0].get_segments()  # of the first network's trajectories
    lengths = [span[1, 1] - span[0, 1] for span in spans]
    np.testing.assert_allclose(lengths, 2)
    assert len(scales(scales_table(times, sizes, 7)).axes) == 2


def test_headline_chart_draws_medians_intervals_and_the_papers():
    figure = headline_chart(medians())
    assert [axes.get_title() for axes in figure.axes] == ["20 network steps", "150 network steps"]
    ours, bars = figure.axes[0].containers[0].lines[0], figure.axes[0].containers[0].lines[2][0]
    np.testing.assert_allclose(ours.get_xdata(orig=False), [0.9, 0.9])
    np.testing.assert_allclose([bar[:, 0] for bar in bars.get_segments()], [[0.85, 0.92]] * 2)
    papers = [line for line in figure.axes[0].lines if line.get_marker() == "d"]
    np.testing.assert_allclose(papers[0].get_xdata(orig=False), [0.8, np.nan])
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["a", "b"]
    assert any("n = 32 seeds" in word for word in texts(figure))
    assert any("n = 7 to 32" in w for w in texts(headline_chart(medians(seeds=[7] + [32] * 7))))


@pytest.mark.parametrize("steps", [(150,), (20, 150)])
def test_no_words_overlap_or_leave_the_chart(steps):
    table = medians()
    table["network"] = "cifar10_jpeg-unet_attention-circular-" + table["network"]
    figure = headline_chart(table[table["network_steps"].isin(steps)])
    assert_legible(figure)


def test_no_words_overlap_or_leave_other_figures():
    assert_legible(scatter_is_vs_machine(pd.concat([agreement(n) for n in "abcd"])))
    assert_legible(scales(scales_table([0.5, 1.0], [3, 33], 9)))
    rows = {"network, 150 steps": images(), "ELS": images()}
    r = {"ELS": np.full(N, -0.123)}
    assert_legible(
        pairs(rows, range(10**6, 10**6 + N), "T" * 60, correlations=r, labels=["Ankle boot"] * N)
    )


OF_A_USER = {
    "text.usetex": True,
    "font.size": 30,
    "axes.grid": True,
    "axes.prop_cycle": matplotlib.cycler(color=["red"]),
    "image.interpolation": "bicubic",
    "figure.dpi": 37,
    "figure.autolayout": True,
    "savefig.bbox": "tight",
    "savefig.transparent": True,
}


@pytest.mark.parametrize("suffix", [".pdf", ".png"])
@pytest.mark.slow
def test_figures_do_not_depend_on_a_user_s_settings(tmp_path, suffix):
    """Nor do they change them."""

    def written(name):
        rows = {"network": images(), "ELS": images()}
        figures = (
            pairs(rows, range(N), "title"),
            headline_chart(medians()),
            scatter_is_vs_machine(agreement()),
        )
        files = [tmp_path / f"{name}{i}{suffix}" for i in range(len(figures))]
        for figure, file in zip(figures, files, strict=True):
            save_figure(figure, file)
        return [file.read_bytes() for file in files]

    usual = written("usual")
    with matplotlib.rc_context(OF_A_USER):
        assert written("user") == usual
        assert {key: matplotlib.rcParams[key] for key in OF_A_USER} == OF_A_USER


@pytest.mark.parametrize("suffix", [".pdf", ".png"])
def test_files_are_the_same_every_time_and_undated(tmp_path, suffix):
    contents = []
    for name in "ab":
        save_figure(headline_chart(medians()), tmp_path / (name + suffix))
        contents.append((tmp_path / (name + suffix)).read_bytes())
    assert contents[0] == contents[1]
    assert b"Date" not in contents[0]
    if suffix == ".pdf":
        assert b"/FontFile2" in contents[0]  # TrueType, embedded
        assert b"/Type3" not in contents[0]


def test_a_file_is_free_of_the_last_bits_of_a_layout(tmp_path):
    """Its solver puts a part of a figure at 0 or just below, by what lies where in memory."""
    contents = []
    for bottom in (0, -1e-17):
        figure = Figure()
        _, below = figure.subfigures(2, 1)
        below.bbox_relative.y0 = bottom
        save_figure(figure, tmp_path / "a.pdf")
        contents.append((tmp_path / "a.pdf").read_bytes())
    assert contents[0] == contents[1]


def test_siblings_stand_beside_els():
    row = {"a": "mnist-resnet-zeros", "b": "mnist-unet-zeros", "network_steps": 150, "seeds": 20}
    for i, prefix in enumerate(("", "els_a_", "els_b_")):
        row |= {prefix.rstrip("_") or "pearson_r": 0.9 - i / 50, f"{prefix}low": 0.8 - i / 50}
        row[f"{prefix}high"] = 0.95 - i / 50
    figure = siblings(pd.DataFrame([row, row | {"network_steps": 20}]))
    middles = [line.get_xdata()[0] for line in figure.axes[0].lines if len(line.get_xdata()) == 1]
    assert middles == pytest.approx([0.9, 0.88, 0.86] * 2)
    assert_legible(figure)


@pytest.mark.parametrize("machines", [["els", "is"], ["els", "ls", "es", "is"]])
def test_training_seeds_show_every_training(machines):
    names, rng = ["mnist-resnet-zeros", "mnist-resnet-zeros-1"], np.random.default_rng(0)
    index = pd.MultiIndex.from_product(
        [names, [20, 150], machines, range(5)],
        names=["network", "network_steps", "machine", "seed"],
    )
    table = index.to_frame(index=False)
    table["pearson_r"] = rng.uniform(0.5, 1, len(table))
    spread = pd.DataFrame(
        {"network": names[0], "network_steps": steps, "machine": machine}
        | {"sd_training": 0.012, "sd_noise": 0.1, "sd_interaction": 0.02}
        for steps in (20, 150)
        for machine in machines
    )
    figure = training_seeds(table, spread, [names], {names[0]: 0, names[1]: 7})
    for axes, steps in zip(figure.axes, (20, 150), strict=True):
        assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "7"]
        rows = table[(table["network_steps"] == steps) & (table["machine"] == "els")]
        medians = rows.groupby("network")["pearson_r"].median()
        points = axes.containers[0].lines[0]
        np.testing.assert_allclose(points.get_ydata(orig=False), medians)
        assert len([line for line in axes.lines if len(line.get_xdata()) == 2]) >= 5
    assert_legible(figure)


def test_other_formats_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"one of .pdf, .png"):
        save_figure(Figure(), tmp_path / "a.svg")
