"""What is fitted to a network: locality scales, computed or packaged; affine maps."""


rule calibrate:
    """Choose, at each time, the patch size at which the machine best predicts the network."""
    input:
        network=lambda w: E.network_files(w.network),
        bank=lambda w: E.calibration_bank(w.network),
        noise=lambda w: E.noise(w.network, "calibration"),
    output:
        scales=E.results / "calibration/{network}.scales.csv",
        cosines=E.results / "calibration/{network}.cosines.csv",
        record=E.results / "calibration/{network}.scales.json",
    log:
        E.results / "logs/calibrate-{network}.log",
    benchmark:
        E.results / "benchmarks/calibrate-{network}.tsv"
    wildcard_constraints:
        network=any_of(E.calibrated if E.calibrates else ()),
    priority: 1
    conda:
        "../../envs/cpu.yaml"
    threads:
        lambda w: shared_cores(
            len(E.calibrated), mem_mb=max(map(E.calibration_mb, E.calibrated))
        )
    resources:
        mem_mb=lambda w: E.calibration_mb(w.network),
        runtime=240,
    params:
        machine="els",
        boundary=lambda w: E.network(w.network)["padding"],
        conditional=lambda w: E.network(w.network)["conditional"],
        patch_sizes=config["calibration"]["patch_sizes"],
        candidates=config["bank"]["candidates"],
        engine=E.exact_engine,
        steps=config["sampling"]["machine_steps"],
        code=code("calibrate/calibrate.py"),
    message:
        "Calibrating the locality scales of {wildcards.network}"
    script:
        "../../scripts/calibrate/calibrate.py"


use rule calibrate as calibrate_machine with:
    output:
        scales=E.results / "calibration/{machine}/{network}.scales.csv",
        cosines=E.results / "calibration/{machine}/{network}.cosines.csv",
        record=E.results / "calibration/{machine}/{network}.scales.json",
    log:
        E.results / "logs/calibrate-{machine}-{network}.log",
    benchmark:
        E.results / "benchmarks/calibrate-{machine}-{network}.tsv"
    wildcard_constraints:
        network=any_of(E.calibrated),
        machine=any_of(E.calibrated_alone),
    params:
        machine=lambda w: w.machine,
        code=code("calibrate/calibrate.py"),
    message:
        "Calibrating locality scales of {wildcards.network} for {wildcards.machine} alone"


rule packaged_scales:
    """Verify packaged locality scales and that they are for this network, and copy them."""
    input:
        network=E.results / "networks/{network}.safetensors",
        scales=E.checkpoints / "{network}.scales.csv",
        cosines=E.checkpoints / "{network}.cosines.csv",
        record=E.checkpoints / "{network}.scales.json",
    output:
        scales=E.results / "calibration/{network}.scales.csv",
        cosines=E.results / "calibration/{network}.cosines.csv",
        record=E.results / "calibration/{network}.scales.json",
    log:
        E.results / "logs/packaged_scales-{network}.log",
    benchmark:
        E.results / "benchmarks/packaged_scales-{network}.tsv"
    wildcard_constraints:
        network=any_of(() if E.calibrates else E.calibrated),
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        code=code("calibrate/packaged_scales.py"),
    message:
        "Using the packaged locality scales of {wildcards.network}"
    script:
        "../../scripts/calibrate/packaged_scales.py"


rule scales_table:
    """Put the locality scales of all networks into one table."""
    input:
        scales=[E.results / f"calibration/{n}.scales.csv" for n in E.calibrated],
        cosines=[E.results / f"calibration/{n}.cosines.csv" for n in E.calibrated],
    output:
        report(
            E.results / "tables/scales.csv",
            category="Locality",
            caption="../report/scales.rst",
            labels={"table": "locality scales"},
        ),
    log:
        E.results / "logs/scales_table.log",
    benchmark:
        E.results / "benchmarks/scales_table.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        networks=E.calibrated,
        code=code("calibrate/scales_table.py"),
    message:
        "Tabulating the locality scales"
    script:
        "../../scripts/calibrate/scales_table.py"


rule published_scales:
    """Write the locality scales that the paper's authors published for such a network."""
    input:
        network=E.results / "networks/{network}.safetensors",
    output:
        scales=E.results / "calibration/published/{network}.scales.csv",
        record=E.results / "calibration/published/{network}.scales.json",
    log:
        E.results / "logs/published_scales-{network}.log",
    benchmark:
        E.results / "benchmarks/published_scales-{network}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        published=lambda w: published_networks()[published_row(config, w.network)],
        code=code("calibrate/published_scales.py"),
    message:
        "Taking the authors' locality scales for {wildcards.network}"
    script:
        "../../scripts/calibrate/published_scales.py"


rule distill:
    """Fit, at each time, the affine map that best predicts the network on noised images."""
    input:
        network=lambda w: E.network_files(w.network),
        bank=lambda w: E.bank(w.network),
    output:
        filters=E.results / "distillation/{network}.npz",
        fits=E.results / "distillation/{network}.csv",
    log:
        E.results / "logs/distill-{network}.log",
    benchmark:
        E.results / "benchmarks/distill-{network}.tsv"
    priority: 1
    conda:
        "../../envs/cpu.yaml"
    threads: lambda w: shared_cores(len(E.networks), mem_mb=max(map(E.distillation_mb, E.networks)))
    resources:
        mem_mb=lambda w: E.distillation_mb(w.network),
        runtime=240,
    params:
        **config["distillation"],
        conditional=lambda w: E.network(w.network)["conditional"],
        steps=E.sampled_steps,
        start=config["sampling"]["machine_start"],
        protocol=config["sampling"]["protocol"],
        code=code("calibrate/distill.py"),
    message:
        "Distilling {wildcards.network} into affine maps"
    script:
        "../../scripts/calibrate/distill.py"
