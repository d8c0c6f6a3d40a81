"""What figures and report show beside the agreement of final images."""


rule jacobians:
    """Take a network's input gradients along its own reverse trajectories."""
    input:
        network=lambda w: E.network_files(w.network),
        noise=lambda w: E.noise(w.network, "calibration"),
    output:
        E.results / "jacobians/{network}.npz",
    log:
        E.results / "logs/jacobians-{network}.log",
    benchmark:
        E.results / "benchmarks/jacobians-{network}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: shared_cores(len(E.networks), mem_mb=3000)
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        conditional=lambda w: E.network(w.network)["conditional"],
        seeds=4,  # trajectories that input gradients are averaged over, at most
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
        **{m: (lambda w, m=m: E.samples(w.network, m)) for m in E.machines},
        network=lambda w: E.samples(w.network, f"network-{w.steps}"),
    output:
        E.results / "bands/{network}-{steps}.csv",
    log:
        E.results / "logs/bands-{network}-{steps}.log",
    benchmark:
        E.results / "benchmarks/bands-{network}-{steps}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        machines=E.machines,
        code=code("analysis/bands.py"),
    message:
        "Comparing frequency bands of {wildcards.network} in {wildcards.steps} steps"
    script:
        "../../scripts/analysis/bands.py"


rule novelty:
    """Measure how far samples are from the training images, beside held-out images."""
    input:
        unpack(lambda w: E.samples_by_kind(w.network)),
        training=lambda w: E.prepared(E.dataset(w.network)),
        held_out=lambda w: E.held_out(w.network),
    output:
        E.results / "novelty/{network}.csv",
    log:
        E.results / "logs/novelty-{network}.log",
    benchmark:
        E.results / "benchmarks/novelty-{network}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    resources:
        mem_mb=lambda w: E.memory(3000, w.network),
        runtime=30,
    params:
        sources=E.kinds_of_samples,
        flips=lambda w: E.flips(w.network),
        held_out=1000,
        code=code("analysis/novelty.py"),
    message:
        "Measuring how new the samples of {wildcards.network} are"
    script:
        "../../scripts/analysis/novelty.py"


rule nearest_patches:
    """Measure how far the patches of samples are from training patches, beside held-out images."""
    input:
        unpack(lambda w: E.samples_by_kind(w.network)),
        bank=lambda w: E.calibration_bank(w.network),
        held_out=lambda w: E.held_out(w.network),
    output:
        E.results / "nearest_patches/{network}.csv",
    log:
        E.results / "logs/nearest_patches-{network}.log",
    benchmark:
        E.results / "benchmarks/nearest_patches-{network}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: shared_cores(len(E.networks), mem_mb=3000)
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        sources=E.kinds_of_samples,
        boundary=lambda w: E.network(w.network)["padding"],
        conditional=lambda w: E.network(w.network)["conditional"],
        candidates=config["bank"]["candidates"],
        engine=E.exact_engine,
        patch_sizes=lambda w: [
            p
            for p in (3, 7, 13)
            if p <= config["datasets"][E.dataset(w.network)]["size"]
        ],
        images=500,
        most_seeds=10,
        held_out=40,
        code=code("analysis/nearest_patches.py"),
    message:
        "Measuring how far the patches of {wildcards.network} are from training patches"
    script:
        "../../scripts/analysis/nearest_patches.py"


rule trajectories:
    """Follow a network step by step, and put the machines' trajectories beside its own."""
    input:
        **{m: (lambda w, m=m: E.followed_shards(w.network, m)) for m in E.machines},
        network=lambda w: E.network_files(w.network),
        noise=lambda w: E.noise(w.network),
    output:
        E.results / "trajectories/{network}.npz",
    log:
        E.results / "logs/trajectories-{network}.log",
    benchmark:
        E.results / "benchmarks/trajectories-{network}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: shared_cores(len(E.networks), mem_mb=2000)
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        machines=E.machines,
        conditional=lambda w: E.network(w.network)["conditional"],
        steps=E.sampled_steps,
        start=config["sampling"]["machine_start"],
        protocol=config["sampling"]["protocol"],
        seeds=E.followed_seeds,
        code=code("analysis/trajectories.py"),
    message:
        "Following {wildcards.network} step by step"
    script:
        "../../scripts/analysis/trajectories.py"


rule trajectory_tables:
    """Tabulate the agreement of machines and networks over time, whole and by frequency."""
    input:
        expand(E.results / "trajectories/{network}.npz", network=E.networks),
    output:
        whole=report(
            E.results / "tables/trajectories.csv",
            category="Agreement",
            caption="../report/trajectories.rst",
            labels={"table": "agreement over time"},
        ),
        bands=report(
            E.results / "tables/trajectory_bands.csv",
            category="Agreement",
            caption="../report/trajectory_bands.rst",
            labels={"table": "agreement over time by frequency"},
        ),
    log:
        E.results / "logs/trajectory_tables.log",
    benchmark:
        E.results / "benchmarks/trajectory_tables.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        networks=E.networks,
        code=code("analysis/trajectory_tables.py"),
    message:
        "Tabulating the agreement over time"
    script:
        "../../scripts/analysis/trajectory_tables.py"


rule consistency:
    """Measure how locally consistent predicted images are along trajectories."""
    input:
        trajectories=E.results / "trajectories/{network}.npz",
        bank=lambda w: E.calibration_bank(w.network),
        noise=lambda w: E.noise(w.network),
        scales=lambda w: E.scales(w.network),
    output:
        E.results / "consistency/{network}.csv",
    log:
        E.results / "logs/consistency-{network}.log",
    benchmark:
        E.results / "benchmarks/consistency-{network}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: shared_cores(len(E.networks), mem_mb=3000)
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        machines=E.of_any_bank,
        boundary=lambda w: E.network(w.network)["padding"],
        conditional=lambda w: E.network(w.network)["conditional"],
        candidates=config["bank"]["candidates"],
        engine=E.exact_engine,
        images=500,
        every=2,
        tolerance=0.2,
        code=code("analysis/consistency.py"),
    message:
        "Measuring local consistency along the trajectories of {wildcards.network}"
    script:
        "../../scripts/analysis/consistency.py"


rule explorer_data:
    """Follow an ELS machine beside the others, and find the patches behind every pixel."""
    input:
        trajectories=E.results / "trajectories/{network}.npz",
        bank=lambda w: E.bank(w.network),
        noise=lambda w: E.noise(w.network),
        scales=lambda w: E.scales(w.network),
    output:
        E.results / "explorer/{network}.npz",
    log:
        E.results / "logs/explorer_data-{network}.log",
    benchmark:
        E.results / "benchmarks/explorer_data-{network}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        **EXPLORED,
        boundary=lambda w: E.network(w.network)["padding"],
        conditional=lambda w: E.network(w.network)["conditional"],
        candidates=config["bank"]["candidates"],
        engine=E.exact_engine,
        steps=E.sampled_steps,
        start=config["sampling"]["machine_start"],
        protocol=config["sampling"]["protocol"],
        seeds=E.explored_seeds,
        code=code("analysis/explorer_data.py"),
    message:
        "Finding the training patches behind the pixels of {wildcards.network}"
    script:
        "../../scripts/analysis/explorer_data.py"
