"""Disputed claims of the literature, each asked of the networks."""


rule claim_gradients:
    """Compare where a network looks with where the Wiener filters of its images look."""
    input:
        network=lambda w: E.network_files(w.network),
        noise=lambda w: E.noise(w.network),
        own=lambda w: E.bank(w.network),
        plain=lambda w: E.plain_bank(w.network),
    output:
        E.results / "claims/gradients/{network}.csv",
    log:
        E.results / "logs/claim_gradients-{network}.log",
    benchmark:
        E.results / "benchmarks/claim_gradients-{network}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=lambda w: E.machine_mb(w.network, "wiener"),
        runtime=60,
    params:
        conditional=lambda w: E.network(w.network)["conditional"],
        altered=lambda w: E.altered(w.network),
        steps=config["sampling"]["machine_steps"],
        times=[0.2, 0.4, 0.6, 0.8],
        code=code("claims/gradients.py"),
    message:
        "Comparing where {wildcards.network} looks with Wiener filters"
    script:
        "../../scripts/claims/gradients.py"


rule claim_training:
    """Compare ELS with a network at several moments, with scales calibrated anew at each."""
    input:
        network=E.results / "networks/{network}.safetensors",
        snapshots=E.results / "networks/snapshots/{network}.safetensors",
        bank=lambda w: E.bank(w.network),
        calibration_bank=lambda w: E.calibration_bank(w.network),
        noise=lambda w: E.noise(w.network),
        calibration=lambda w: E.noise(w.network, "calibration"),
    output:
        E.results / "claims/training/{network}.csv",
    log:
        E.results / "logs/claim_training-{network}.log",
    benchmark:
        E.results / "benchmarks/claim_training-{network}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: shared_cores(len(E.followed_trainings), mem_mb=4000)
    resources:
        mem_mb=lambda w: E.bank_mb(w.network),
        runtime=720,
    params:
        boundary=lambda w: E.network(w.network)["padding"],
        conditional=lambda w: E.network(w.network)["conditional"],
        candidates=config["bank"]["candidates"],
        engine=E.exact_engine,
        patch_sizes=config["calibration"]["patch_sizes"],
        machine_steps=config["sampling"]["machine_steps"],
        machine_start=config["sampling"]["machine_start"],
        steps=min(E.steps),
        start=config["sampling"]["network_start"],
        code=code("claims/training.py"),
    message:
        "Calibrating {wildcards.network} anew at moments of its training"
    script:
        "../../scripts/claims/training.py"


rule claim_scales:
    """Compare LS, with scales calibrated to LS, with a network."""
    input:
        **{
            f"network_{n}": (lambda w, n=n: E.samples(w.network, f"network-{n}"))
            for n in E.steps
        },
        network=lambda w: E.network_files(w.network),
        bank=lambda w: E.bank(w.network),
        calibration_bank=lambda w: E.calibration_bank(w.network),
        noise=lambda w: E.noise(w.network),
        calibration=lambda w: E.noise(w.network, "calibration"),
    output:
        E.results / "claims/scales/{network}.csv",
    log:
        E.results / "logs/claim_scales-{network}.log",
    benchmark:
        E.results / "benchmarks/claim_scales-{network}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: shared_cores(len(E.plain_networks), mem_mb=4000)
    resources:
        mem_mb=lambda w: E.bank_mb(w.network),
        runtime=240,
    params:
        boundary=lambda w: E.network(w.network)["padding"],
        conditional=lambda w: E.network(w.network)["conditional"],
        candidates=config["bank"]["candidates"],
        engine=E.exact_engine,
        patch_sizes=config["calibration"]["patch_sizes"],
        machine_steps=config["sampling"]["machine_steps"],
        machine_start=config["sampling"]["machine_start"],
        network_steps=E.steps,
        code=code("claims/scales.py"),
    message:
        "Calibrating LS to {wildcards.network}"
    script:
        "../../scripts/claims/scales.py"


rule claim_steps:
    """Compare single predictions, and ways on which IS and a network take over from each other."""
    input:
        network=lambda w: E.network_files(w.network),
        trajectories=E.results / "trajectories/{network}.npz",
        bank=lambda w: E.bank(w.network),
        noise=lambda w: E.noise(w.network),
        scales=lambda w: E.scales(w.network),
    output:
        steps=E.results / "claims/steps/{network}.csv",
        hybrids=E.results / "claims/hybrids/{network}.csv",
    log:
        E.results / "logs/claim_steps-{network}.log",
    benchmark:
        E.results / "benchmarks/claim_steps-{network}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: shared_cores(len(E.plain_networks), mem_mb=4000)
    resources:
        mem_mb=lambda w: E.bank_mb(w.network),
        runtime=240,
    params:
        machines=["els", "is"],
        boundary=lambda w: E.network(w.network)["padding"],
        conditional=lambda w: E.network(w.network)["conditional"],
        candidates=config["bank"]["candidates"],
        engine=E.exact_engine,
        steps=E.sampled_steps,
        every=4,
        code=code("claims/steps.py"),
    message:
        "Comparing single predictions of {wildcards.network}"
    script:
        "../../scripts/claims/steps.py"


rule claims:
    """Say of each disputed claim what becomes of it, by a criterion on intervals."""
    input:
        agreement=expand(
            E.results / "agreement/{network}-{steps}.csv",
            network=E.plain_networks,
            steps=E.steps,
        ),
        gradients=expand(
            E.results / "claims/gradients/{network}.csv", network=E.networks
        ),
        training=expand(
            E.results / "claims/training/{network}.csv", network=E.followed_trainings
        ),
        scales=expand(
            E.results / "claims/scales/{network}.csv", network=E.plain_networks
        ),
        steps=expand(E.results / "claims/steps/{network}.csv", network=E.plain_networks),
        hybrids=expand(
            E.results / "claims/hybrids/{network}.csv", network=E.plain_networks
        ),
        protocol=E.protocol,
    output:
        claims=report(
            E.results / "tables/claims.csv",
            category=NAMES["headline"],
            caption="../report/claims.rst",
            labels={"table": "disputed claims"},
        ),
        tests=E.results / "tables/claims_tests.csv",
        gradients=E.results / "tables/claims_gradients.csv",
    log:
        E.results / "logs/claims.log",
    benchmark:
        E.results / "benchmarks/claims.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        pairs=E.attention_pairs,
        code=code("claims/claims.py"),
    message:
        "Deciding disputed claims"
    script:
        "../../scripts/claims/claims.py"
