"""Locality scales: computed from the network's trajectories, or packaged."""

COMPUTED = config["calibration"]["source"] == "computed"


rule calibrate:
    """Choose, at each time, the patch size at which the machine best predicts the network."""
    input:
        network=network_files,
        bank=lambda w: bank_of(w.network, config["calibration"]["bank_images"]),
        noise=lambda w: RESULTS / f"noise/{dataset_of(w)}-calibration.npz",
    output:
        scales=RESULTS / "calibration/{network}.scales.csv",
        cosines=RESULTS / "calibration/{network}.cosines.csv",
        record=RESULTS / "calibration/{network}.scales.json",
    log:
        RESULTS / "logs/calibrate-{network}.log",
    benchmark:
        RESULTS / "benchmarks/calibrate-{network}.tsv"
    wildcard_constraints:
        network="|".join(CALIBRATED) if COMPUTED else "(?!)",
    priority: 1
    conda:
        "../../envs/cpu.yaml"
    threads: shared_cores(len(CALIBRATED), mem_mb=max(map(calibration_mb, CALIBRATED)))
    resources:
        mem_mb=lambda w: calibration_mb(w.network),
        runtime=240,
    params:
        boundary=lambda w: network(w)["padding"],
        conditional=lambda w: network(w)["conditional"],
        patch_sizes=config["calibration"]["patch_sizes"],
        candidates=config["bank"]["candidates"],
        engine="auto" if config["engine"] == "adaptive" else config["engine"],
        steps=config["sampling"]["machine_steps"],
        code=code("calibrate/calibrate.py"),
    message:
        "Calibrating the locality scales of {wildcards.network}"
    script:
        "../../scripts/calibrate/calibrate.py"


rule packaged_scales:
    """Verify packaged locality scales and that they are for this network, and copy them."""
    input:
        network=RESULTS / "networks/{network}.safetensors",
        scales=CHECKPOINTS / "{network}.scales.csv",
        cosines=CHECKPOINTS / "{network}.cosines.csv",
        record=CHECKPOINTS / "{network}.scales.json",
    output:
        scales=RESULTS / "calibration/{network}.scales.csv",
        cosines=RESULTS / "calibration/{network}.cosines.csv",
        record=RESULTS / "calibration/{network}.scales.json",
    log:
        RESULTS / "logs/packaged_scales-{network}.log",
    benchmark:
        RESULTS / "benchmarks/packaged_scales-{network}.tsv"
    wildcard_constraints:
        network="(?!)" if COMPUTED else "|".join(CALIBRATED),
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
