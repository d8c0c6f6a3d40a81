"""Controls and ablations: the chain with one thing changed, and networks before their training ended."""


wildcard_constraints:
    variant=any_of(config["variants"]),


use rule sample_machine as sample_variant_machine with:
    input:
        bank=lambda w: E.variant_bank(w.network, w.variant),
        noise=lambda w: E.noise(w.network),
        scales=lambda w: E.variant_scales(w.network, w.variant),
    output:
        E.results / "variants/{network}/{variant}/{machine}/{shard}.npz",
    log:
        E.results / "logs/sample-{network}-{variant}-{machine}-{shard}.log",
    benchmark:
        E.results / "benchmarks/sample-{network}-{variant}-{machine}-{shard}.tsv"
    params:
        own=None,
        boundary=lambda w: E.network(w.network)["padding"],
        conditional=lambda w: E.variant_conditional(w.network, w.variant),
        shard_size=E.seeds["shard_size"],
        device=config["device"],
        candidates=lambda w: E.changed(
            w.variant, "candidates", config["bank"]["candidates"]
        ),
        engine=config["engine"],
        adaptive=E.adaptive,
        steps=config["sampling"]["machine_steps"],
        start=lambda w: E.changed(
            w.variant, "machine_start", config["sampling"]["machine_start"]
        ),
        protocol="ours",
        patch_size=lambda w: E.changed(w.variant, "patch_size"),
        scales_shift=lambda w: E.changed(w.variant, "scales_shift", 0),
        followed=0,
        code=code("sample/sample_machine.py"),
    message:
        "Sampling the {wildcards.machine} machine of {wildcards.network}, {wildcards.variant}, shard {wildcards.shard}"


use rule sample_network as sample_variant_network with:
    input:
        network=lambda w: E.network_files(w.network),
        snapshots=lambda w: (
            E.results / f"networks/snapshots/{w.network}.safetensors"
            if E.changed(w.variant, "weights") == "raw"
            else []
        ),
        noise=lambda w: E.noise(w.network),
    output:
        E.results / "variants/{network}/{variant}/network-{steps}/{shard}.npz",
    log:
        E.results / "logs/sample-{network}-{variant}-network-{steps}-{shard}.log",
    benchmark:
        E.results / "benchmarks/sample-{network}-{variant}-network-{steps}-{shard}.tsv"
    params:
        conditional=lambda w: E.network(w.network)["conditional"],
        shard_size=E.seeds["shard_size"],
        device=config["device"],
        start=lambda w: E.changed(
            w.variant, "network_start", config["sampling"]["network_start"]
        ),
        protocol="ours",
        weights=lambda w: E.changed(w.variant, "weights", ""),
        noise_change=lambda w: E.changed(w.variant, "noise_change", 0),
        code=code("sample/sample_network.py"),
    message:
        "Sampling {wildcards.network} in {wildcards.steps} steps, {wildcards.variant}, shard {wildcards.shard}"


rule variants:
    """Compare ELS and network, seed by seed, under every variant."""
    input:
        lambda w: sorted(
            {
                path
                for pair in E.compared(w.network, w.steps).values()
                for side in pair.values()
                for path in side
            }
        ),
    output:
        E.results / "variants/{network}-{steps}.csv",
    log:
        E.results / "logs/variants-{network}-{steps}.log",
    benchmark:
        E.results / "benchmarks/variants-{network}-{steps}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        compared=lambda w: E.compared(w.network, w.steps),
        variants=lambda w: E.variants[w.network],
        code=code("variants/variants.py"),
    message:
        "Comparing ELS and {wildcards.network} in {wildcards.steps} steps under every variant"
    script:
        "../../scripts/variants/variants.py"


rule variants_table:
    """Take the medians of every variant, and their differences from the unchanged chain."""
    input:
        expand(
            E.results / "variants/{network}-{steps}.csv",
            network=E.varied,
            steps=E.steps,
        ),
    output:
        report(
            E.results / "tables/variants.csv",
            category=NAMES["controls"],
            caption="../report/variants.rst",
            labels={"table": "controls and ablations"},
        ),
    log:
        E.results / "logs/variants_table.log",
    benchmark:
        E.results / "benchmarks/variants_table.tsv"
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
        **{m: (lambda w, m=m: E.samples(w.network, m)) for m in E.machines},
        network=E.results / "networks/{network}.safetensors",
        snapshots=E.results / "networks/snapshots/{network}.safetensors",
        noise=lambda w: E.noise(w.network),
    output:
        E.results / "learning/{network}.csv",
    log:
        E.results / "logs/learning_curve-{network}.log",
    benchmark:
        E.results / "benchmarks/learning_curve-{network}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: shared_cores(len(E.with_snapshots), mem_mb=2000)
    resources:
        mem_mb=2000,
        runtime=240,
    params:
        machines=E.machines,
        conditional=lambda w: E.network(w.network)["conditional"],
        start=config["sampling"]["network_start"],
        steps=min(E.steps),
        code=code("variants/learning_curve.py"),
    message:
        "Following {wildcards.network} through its training"
    script:
        "../../scripts/variants/learning_curve.py"
