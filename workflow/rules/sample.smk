"""Noise shared by all, and the samples that machines and networks make of it."""


onstart:
    ask_own_machines()
    tell_estimate()


rule noise:
    """Draw the noise (and labels) of every seed; the same file serves machines and networks."""
    input:
        lambda w: E.prepared(w.dataset),
    output:
        E.results / "noise/{dataset}-{purpose}.npz",
    log:
        E.results / "logs/noise-{dataset}-{purpose}.log",
    benchmark:
        E.results / "benchmarks/noise-{dataset}-{purpose}.tsv"
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


rule own_machine:
    """Ask a machine of one's own about noisy images, before anything is sampled."""
    input:
        module=lambda w: E.own_machine_files(w.network, w.machine)[0],
        images=lambda w: E.prepared(E.dataset(w.network)),
    output:
        module=E.results / "machines/{network}/{machine}.py",
        record=E.results / "machines/{network}/{machine}.json",
    log:
        E.results / "logs/own_machine-{network}-{machine}.log",
    benchmark:
        E.results / "benchmarks/own_machine-{network}-{machine}.tsv"
    wildcard_constraints:
        machine=any_of(E.own_machines),
    priority: 100
    conda:
        "../../envs/cpu.yaml"
    threads: shared_cores(1, mem_mb=4000)  # alone: sampling waits for its answer
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        own=lambda w: E.own_machine(w.machine),
        boundary=lambda w: E.network(w.network)["padding"],
        conditional=lambda w: E.network(w.network)["conditional"],
        code=code("sample/own_machine.py"),
    message:
        "Asking the machine {wildcards.machine} about images of {wildcards.network}"
    script:
        "../../scripts/sample/own_machine.py"


rule sample_machine:
    """Run a score machine from a shard of the seeds."""
    input:
        bank=lambda w: E.bank(w.network),
        noise=lambda w: E.noise(w.network),
        scales=lambda w: E.needed_scales(w.network, w.machine),
        filters=lambda w: E.needed_filters(w.network, w.machine),
        own=lambda w: E.own_machine_files(w.network, w.machine),
    output:
        E.results / "samples/{network}/{machine}/{shard}.npz",
        trajectories=E.results / "trajectories/{network}/{machine}/{shard}.npz",
    log:
        E.results / "logs/sample-{network}-{machine}-{shard}.log",
    benchmark:
        E.results / "benchmarks/sample-{network}-{machine}-{shard}.tsv"
    priority: 1
    conda:
        "../../envs/cpu.yaml"
    threads:
        lambda w: shared_cores(
            len(E.networks) * len(E.shards), mem_mb=max(map(E.bank_mb, E.networks))
        )
    resources:
        mem_mb=lambda w: E.machine_mb(w.network, w.machine),
        runtime=720,
    params:
        own=lambda w: E.own_machine(w.machine),
        boundary=lambda w: E.network(w.network)["padding"],
        conditional=lambda w: E.network(w.network)["conditional"],
        shard_size=E.seeds["shard_size"],
        device=config["device"],
        candidates=config["bank"]["candidates"],
        engine=config["engine"],
        adaptive=E.adaptive,
        steps=E.sampled_steps,
        start=config["sampling"]["machine_start"],
        protocol=config["sampling"]["protocol"],
        patch_size=None,
        scales_shift=0,
        followed=E.followed_seeds,
        code=code("sample/sample_machine.py"),
    message:
        "Sampling the {wildcards.machine} machine of {wildcards.network}, shard {wildcards.shard}"
    script:
        "../../scripts/sample/sample_machine.py"


rule sample_network:
    """Run a trained network from a shard of the seeds."""
    input:
        network=lambda w: E.network_files(w.network),
        noise=lambda w: E.noise(w.network),
    output:
        E.results / "samples/{network}/network-{steps}/{shard}.npz",
    log:
        E.results / "logs/sample-{network}-network-{steps}-{shard}.log",
    benchmark:
        E.results / "benchmarks/sample-{network}-network-{steps}-{shard}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: shared_cores(len(E.networks) * len(E.shards), mem_mb=2000)
    resources:
        mem_mb=2000,
        runtime=240,
    params:
        conditional=lambda w: E.network(w.network)["conditional"],
        shard_size=E.seeds["shard_size"],
        device=config["device"],
        start=config["sampling"]["network_start"],
        protocol=config["sampling"]["protocol"],
        weights="",
        noise_change=0,
        code=code("sample/sample_network.py"),
    message:
        "Sampling {wildcards.network} in {wildcards.steps} steps, shard {wildcards.shard}"
    script:
        "../../scripts/sample/sample_network.py"
