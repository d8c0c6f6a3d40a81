"""What figures and report show beside the agreement of final images."""


rule jacobians:
    """Take a network's input gradients along its own reverse trajectories."""
    input:
        network=RESULTS / "networks/{network}.safetensors",
        noise=lambda w: RESULTS / f"noise/{dataset_of(w)}-calibration.npz",
    output:
        RESULTS / "jacobians/{network}.npz",
    log:
        RESULTS / "logs/jacobians-{network}.log",
    benchmark:
        RESULTS / "benchmarks/jacobians-{network}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 8
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        conditional=lambda w: network(w)["conditional"],
        seeds=JACOBIAN_SEEDS,
        steps=config["sampling"]["machine_steps"],
        code=[NETWORK_CODE, code("jacobians.py")],
    message:
        "Taking the input gradients of {wildcards.network}"
    script:
        "../../scripts/jacobians.py"
