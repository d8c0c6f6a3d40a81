"""Controls and ablations: the chain with one thing changed, and networks before their training ended."""

# Steps of networks during their training.
LEARNING_STEPS = min(config["sampling"]["network_steps"])
VARIED = [name for name in NETWORKS if VARIANTS[name]]


wildcard_constraints:
    variant="|".join(config["variants"]) or "(?!)",


use rule sample_machine as sample_variant_machine with:
    input:
        bank=variant_bank,
        noise=lambda w: RESULTS / f"noise/{dataset_of(w)}-evaluation.npz",
        scales=lambda w: RESULTS / f"calibration/{scales_of(w.network)}.scales.csv",
    output:
        RESULTS / "variants/{network}/{variant}/{machine}/{shard}.npz",
    log:
        RESULTS / "logs/sample-{network}-{variant}-{machine}-{shard}.log",
    benchmark:
        RESULTS / "benchmarks/sample-{network}-{variant}-{machine}-{shard}.tsv"
    params:
        boundary=lambda w: network(w)["padding"],
        conditional=lambda w: network(w)["conditional"]
        and dataset_of(w) not in variant(w, "bank_dataset", {}),
        shard_size=SEEDS["shard_size"],
        candidates=lambda w: variant(w, "candidates", config["bank"]["candidates"]),
        engine=config["engine"],
        adaptive=config["adaptive"] if config["engine"] == "adaptive" else None,
        steps=config["sampling"]["machine_steps"],
        start=lambda w: variant(w, "machine_start", config["sampling"]["machine_start"]),
        patch_size=lambda w: variant(w, "patch_size"),
        scales_shift=lambda w: variant(w, "scales_shift", 0),
        followed=0,
        code=code("sample/sample_machine.py"),
    message:
        "Sampling the {wildcards.machine} machine of {wildcards.network}, {wildcards.variant}, shard {wildcards.shard}"


use rule sample_network as sample_variant_network with:
    input:
        network=network_files,
        snapshots=lambda w: (
            RESULTS / f"networks/snapshots/{w.network}.safetensors"
            if variant(w, "weights") == "raw"
            else []
        ),
        noise=lambda w: RESULTS / f"noise/{dataset_of(w)}-evaluation.npz",
    output:
        RESULTS / "variants/{network}/{variant}/network-{steps}/{shard}.npz",
    log:
        RESULTS / "logs/sample-{network}-{variant}-network-{steps}-{shard}.log",
    benchmark:
        RESULTS / "benchmarks/sample-{network}-{variant}-network-{steps}-{shard}.tsv"
    params:
        conditional=lambda w: network(w)["conditional"],
        shard_size=SEEDS["shard_size"],
        start=lambda w: variant(w, "network_start", config["sampling"]["network_start"]),
        weights=lambda w: variant(w, "weights", ""),
        code=code("sample/sample_network.py"),
    message:
        "Sampling {wildcards.network} in {wildcards.steps} steps, {wildcards.variant}, shard {wildcards.shard}"


rule variants:
    """Compare ELS and network, seed by seed, under every variant."""
    input:
        lambda w: sorted(
            {
                path
                for pair in compared(w).values()
                for side in pair.values()
                for path in side
            }
        ),
    output:
        RESULTS / "variants/{network}-{steps}.csv",
    log:
        RESULTS / "logs/variants-{network}-{steps}.log",
    benchmark:
        RESULTS / "benchmarks/variants-{network}-{steps}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        compared=compared,
        variants=lambda w: VARIANTS[w.network],
        code=code("variants/variants.py"),
    message:
        "Comparing ELS and {wildcards.network} in {wildcards.steps} steps under every variant"
    script:
        "../../scripts/variants/variants.py"


rule variants_table:
    """Take the medians of every variant, and their differences from the unchanged chain."""
    input:
        expand(
            RESULTS / "variants/{network}-{steps}.csv",
            network=VARIED,
            steps=config["sampling"]["network_steps"],
        ),
    output:
        report(
            RESULTS / "tables/variants.csv",
            category="Controls",
            caption="../report/variants.rst",
            labels={"table": "controls and ablations"},
        ),
    log:
        RESULTS / "logs/variants_table.log",
    benchmark:
        RESULTS / "benchmarks/variants_table.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        unchanged=UNCHANGED,
        code=code("variants/variants_table.py"),
    message:
        "Taking the medians of controls and ablations"
    script:
        "../../scripts/variants/variants_table.py"


rule learning_curve:
    """Compare machines with a network at several moments of its training."""
    input:
        **{m: (lambda w, m=m: shards(w, m)) for m in config["machines"]},
        network=RESULTS / "networks/{network}.safetensors",
        snapshots=RESULTS / "networks/snapshots/{network}.safetensors",
        noise=lambda w: RESULTS / f"noise/{dataset_of(w)}-evaluation.npz",
    output:
        RESULTS / "learning/{network}.csv",
    log:
        RESULTS / "logs/learning_curve-{network}.log",
    benchmark:
        RESULTS / "benchmarks/learning_curve-{network}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: shared_cores(len(WITH_SNAPSHOTS), mem_mb=2000)
    resources:
        mem_mb=2000,
        runtime=240,
    params:
        machines=config["machines"],
        conditional=lambda w: network(w)["conditional"],
        start=config["sampling"]["network_start"],
        steps=LEARNING_STEPS,
        code=code("variants/learning_curve.py"),
    message:
        "Following {wildcards.network} through its training"
    script:
        "../../scripts/variants/learning_curve.py"
