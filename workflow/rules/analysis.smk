"""What figures and report show beside the agreement of final images."""


rule jacobians:
    """Take a network's input gradients along its own reverse trajectories."""
    input:
        network=network_files,
        noise=lambda w: RESULTS / f"noise/{dataset_of(w)}-calibration.npz",
    output:
        RESULTS / "jacobians/{network}.npz",
    log:
        RESULTS / "logs/jacobians-{network}.log",
    benchmark:
        RESULTS / "benchmarks/jacobians-{network}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: shared_cores(len(NETWORKS), mem_mb=3000)
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        conditional=lambda w: network(w)["conditional"],
        seeds=JACOBIAN_SEEDS,
        moments=7,
        steps=config["sampling"]["machine_steps"],
        code=code("analysis/jacobians.py"),
    message:
        "Taking the input gradients of {wildcards.network}"
    script:
        "../../scripts/analysis/jacobians.py"


rule bands:
    """Compare machines and network band by band of spatial frequency."""
    input:
        **{m: (lambda w, m=m: shards(w, m)) for m in config["machines"]},
        network=lambda w: shards(w, f"network-{w.steps}"),
    output:
        RESULTS / "bands/{network}-{steps}.csv",
    log:
        RESULTS / "logs/bands-{network}-{steps}.log",
    benchmark:
        RESULTS / "benchmarks/bands-{network}-{steps}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        machines=config["machines"],
        code=code("analysis/bands.py"),
    message:
        "Comparing frequency bands of {wildcards.network} in {wildcards.steps} steps"
    script:
        "../../scripts/analysis/bands.py"


rule prepare_held_out:
    """Crop and resize the test images to the size of the experiment."""
    input:
        DATA / "raw/{dataset}/provenance.json",
    output:
        DATA / "prepared/{dataset}-{size,\\d+}-test.npz",
    log:
        DATA / "logs/prepare_held_out-{dataset}-{size}.log",
    benchmark:
        DATA / "benchmarks/prepare_held_out-{dataset}-{size}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        source=lambda w: config["datasets"][w.dataset]["source"],
        channels=lambda w: config["datasets"][w.dataset].get("channels"),
        split="test",
        code=code("data/prepare.py"),
    message:
        "Preparing the test images of {wildcards.dataset}"
    script:
        "../../scripts/data/prepare.py"


rule novelty:
    """Measure how far samples are from the training images, beside held-out images."""
    input:
        **{m: (lambda w, m=m: shards(w, m)) for m in config["machines"]},
        **{
            f"network_{steps}": (lambda w, steps=steps: shards(w, f"network-{steps}"))
            for steps in STEPS
        },
        training=lambda w: prepared(dataset_of(w)),
        held_out=lambda w: held_out(dataset_of(w)),
    output:
        RESULTS / "novelty/{network}.csv",
    log:
        RESULTS / "logs/novelty-{network}.log",
    benchmark:
        RESULTS / "benchmarks/novelty-{network}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    resources:
        mem_mb=lambda w: memory(3000, w.network),
        runtime=30,
    params:
        sources=SOURCES,
        held_out=1000,
        code=code("analysis/novelty.py"),
    message:
        "Measuring how new the samples of {wildcards.network} are"
    script:
        "../../scripts/analysis/novelty.py"


rule nearest_patches:
    """Measure how far the patches of samples are from training patches, beside held-out images."""
    input:
        **{m: (lambda w, m=m: shards(w, m)) for m in config["machines"]},
        **{
            f"network_{steps}": (lambda w, steps=steps: shards(w, f"network-{steps}"))
            for steps in STEPS
        },
        bank=lambda w: bank_of(w.network, config["calibration"]["bank_images"]),
        held_out=lambda w: held_out(dataset_of(w)),
    output:
        RESULTS / "nearest_patches/{network}.csv",
    log:
        RESULTS / "logs/nearest_patches-{network}.log",
    benchmark:
        RESULTS / "benchmarks/nearest_patches-{network}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: shared_cores(len(NETWORKS), mem_mb=3000)
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        sources=SOURCES,
        boundary=lambda w: network(w)["padding"],
        conditional=lambda w: network(w)["conditional"],
        candidates=config["bank"]["candidates"],
        engine="auto" if config["engine"] == "adaptive" else config["engine"],
        patch_sizes=lambda w: [
            p for p in (3, 7, 13) if p <= config["datasets"][dataset_of(w)]["size"]
        ],
        images=500,
        most_seeds=PATCH_SEEDS,
        held_out=40,
        code=code("analysis/nearest_patches.py"),
    message:
        "Measuring how far the patches of {wildcards.network} are from training patches"
    script:
        "../../scripts/analysis/nearest_patches.py"


rule trajectories:
    """Follow a network step by step, and put the machines' trajectories beside its own."""
    input:
        **{m: (lambda w, m=m: followed_shards(w, m)) for m in config["machines"]},
        network=network_files,
        noise=lambda w: RESULTS / f"noise/{dataset_of(w)}-evaluation.npz",
    output:
        RESULTS / "trajectories/{network}.npz",
    log:
        RESULTS / "logs/trajectories-{network}.log",
    benchmark:
        RESULTS / "benchmarks/trajectories-{network}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: shared_cores(len(NETWORKS), mem_mb=2000)
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        machines=config["machines"],
        conditional=lambda w: network(w)["conditional"],
        steps=config["sampling"]["machine_steps"],
        start=config["sampling"]["machine_start"],
        seeds=TRAJECTORY_SEEDS,
        code=code("analysis/trajectories.py"),
    message:
        "Following {wildcards.network} step by step"
    script:
        "../../scripts/analysis/trajectories.py"


rule trajectory_tables:
    """Tabulate the agreement of machines and networks over time, whole and by frequency."""
    input:
        expand(RESULTS / "trajectories/{network}.npz", network=NETWORKS),
    output:
        whole=report(
            RESULTS / "tables/trajectories.csv",
            category="Agreement",
            caption="../report/trajectories.rst",
            labels={"table": "agreement over time"},
        ),
        bands=report(
            RESULTS / "tables/trajectory_bands.csv",
            category="Agreement",
            caption="../report/trajectory_bands.rst",
            labels={"table": "agreement over time by frequency"},
        ),
    log:
        RESULTS / "logs/trajectory_tables.log",
    benchmark:
        RESULTS / "benchmarks/trajectory_tables.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        networks=NETWORKS,
        code=code("analysis/trajectory_tables.py"),
    message:
        "Tabulating the agreement over time"
    script:
        "../../scripts/analysis/trajectory_tables.py"


rule consistency:
    """Measure how locally consistent predicted images are along trajectories."""
    input:
        trajectories=RESULTS / "trajectories/{network}.npz",
        bank=lambda w: bank_of(w.network, config["calibration"]["bank_images"]),
        noise=lambda w: RESULTS / f"noise/{dataset_of(w)}-evaluation.npz",
        scales=lambda w: RESULTS / f"calibration/{scales_of(w.network)}.scales.csv",
    output:
        RESULTS / "consistency/{network}.csv",
    log:
        RESULTS / "logs/consistency-{network}.log",
    benchmark:
        RESULTS / "benchmarks/consistency-{network}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: shared_cores(len(NETWORKS), mem_mb=3000)
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        machines=config["machines"],
        boundary=lambda w: network(w)["padding"],
        conditional=lambda w: network(w)["conditional"],
        candidates=config["bank"]["candidates"],
        engine="auto" if config["engine"] == "adaptive" else config["engine"],
        images=500,
        every=2,
        tolerance=0.2,
        code=code("analysis/consistency.py"),
    message:
        "Measuring local consistency along the trajectories of {wildcards.network}"
    script:
        "../../scripts/analysis/consistency.py"


rule explorer_data:
    """Follow a network and an ELS machine, and find the training patches behind every pixel."""
    input:
        network=network_files,
        bank=lambda w: bank_of(w.network, config["bank"]["images"]),
        noise=lambda w: RESULTS / f"noise/{dataset_of(w)}-evaluation.npz",
        scales=lambda w: RESULTS / f"calibration/{scales_of(w.network)}.scales.csv",
    output:
        RESULTS / "explorer/{network}.npz",
    log:
        RESULTS / "logs/explorer_data-{network}.log",
    benchmark:
        RESULTS / "benchmarks/explorer_data-{network}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        boundary=lambda w: network(w)["padding"],
        conditional=lambda w: network(w)["conditional"],
        candidates=config["bank"]["candidates"],
        engine="auto" if config["engine"] == "adaptive" else config["engine"],
        steps=config["sampling"]["machine_steps"],
        start=config["sampling"]["machine_start"],
        seeds=EXPLORER_SEEDS,
        images=300,
        moments=7,
        top=6,
        code=code("analysis/explorer_data.py"),
    message:
        "Finding the training patches behind the pixels of {wildcards.network}"
    script:
        "../../scripts/analysis/explorer_data.py"
