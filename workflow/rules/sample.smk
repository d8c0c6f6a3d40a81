"""Noise shared by all, and the samples that machines and networks make of it."""


rule noise:
    """Draw the noise (and labels) of every seed; the same file serves machines and networks."""
    input:
        lambda w: prepared(w.dataset),
    output:
        RESULTS / "noise/{dataset}-{purpose}.npz",
    log:
        RESULTS / "logs/noise-{dataset}-{purpose}.log",
    benchmark:
        RESULTS / "benchmarks/noise-{dataset}-{purpose}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        first=lambda w: config["seeds"][w.purpose]["first"],
        seeds=lambda w: config["seeds"][w.purpose]["count"],
        code=code("sample/noise.py"),
    message:
        "Drawing the {wildcards.purpose} noise for {wildcards.dataset}"
    script:
        "../../scripts/sample/noise.py"


rule sample_machine:
    """Run a score machine from a shard of the seeds."""
    input:
        bank=lambda w: bank_of(w.network, config["bank"]["images"]),
        noise=lambda w: RESULTS / f"noise/{dataset_of(w)}-evaluation.npz",
        scales=lambda w: (
            RESULTS / f"calibration/{scales_of(w.network)}.scales.csv"
            if w.machine in ("ls", "els")
            else []
        ),
    output:
        RESULTS / "samples/{network}/{machine}/{shard}.npz",
        trajectories=RESULTS / "trajectories/{network}/{machine}/{shard}.npz",
    log:
        RESULTS / "logs/sample-{network}-{machine}-{shard}.log",
    benchmark:
        RESULTS / "benchmarks/sample-{network}-{machine}-{shard}.tsv"
    priority: 1
    conda:
        "../../envs/cpu.yaml"
    threads: shared_cores(len(NETWORKS) * len(SHARDS), mem_mb=max(map(bank_mb, NETWORKS)))
    resources:
        mem_mb=lambda w: bank_mb(w.network),
        runtime=720,
    params:
        boundary=lambda w: network(w)["padding"],
        conditional=lambda w: network(w)["conditional"],
        shard_size=SEEDS["shard_size"],
        candidates=config["bank"]["candidates"],
        engine=config["engine"],
        adaptive=config["adaptive"] if config["engine"] == "adaptive" else None,
        steps=config["sampling"]["machine_steps"],
        start=config["sampling"]["machine_start"],
        patch_size=None,
        scales_shift=0,
        followed=TRAJECTORY_SEEDS,
        code=code("sample/sample_machine.py"),
    message:
        "Sampling the {wildcards.machine} machine of {wildcards.network}, shard {wildcards.shard}"
    script:
        "../../scripts/sample/sample_machine.py"


rule sample_network:
    """Run a trained network from a shard of the seeds."""
    input:
        network=network_files,
        noise=lambda w: RESULTS / f"noise/{dataset_of(w)}-evaluation.npz",
    output:
        RESULTS / "samples/{network}/network-{steps}/{shard}.npz",
    log:
        RESULTS / "logs/sample-{network}-network-{steps}-{shard}.log",
    benchmark:
        RESULTS / "benchmarks/sample-{network}-network-{steps}-{shard}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: shared_cores(len(NETWORKS) * len(SHARDS), mem_mb=2000)
    resources:
        mem_mb=2000,
        runtime=240,
    params:
        conditional=lambda w: network(w)["conditional"],
        shard_size=SEEDS["shard_size"],
        start=config["sampling"]["network_start"],
        weights="",
        code=code("sample/sample_network.py"),
    message:
        "Sampling {wildcards.network} in {wildcards.steps} steps, shard {wildcards.shard}"
    script:
        "../../scripts/sample/sample_network.py"
