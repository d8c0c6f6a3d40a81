"""Networks: trained here, packaged with the project, or the user's own."""


rule train:
    """Train a network by its recipe; continues where an interrupted run stopped."""
    input:
        images=lambda w: prepared(dataset_of(w)),
    output:
        weights=RESULTS / "networks/{network}.safetensors",
        snapshots=RESULTS / "networks/snapshots/{network}.safetensors",
        record=RESULTS / "networks/{network}.json",
    log:
        RESULTS / "logs/train-{network}.log",
    benchmark:
        RESULTS / "benchmarks/train-{network}.tsv"
    wildcard_constraints:
        network="|".join(TRAINED) or "(?!)",
    conda:
        "../../envs/cpu.yaml"
    threads: 8
    resources:
        mem_mb=lambda w: memory(4000, w.network),
        runtime=1440,
        gpu=1,  # used if there is one; without, the CPU trains
    params:
        network=network,
        recipe=lambda w: recipe_of(config, network(w)),
        state=lambda w: DATA / f"training/{w.network}",
        code=code("networks/train.py"),
    message:
        "Training {wildcards.network}"
    script:
        "../../scripts/networks/train.py"


rule packaged_checkpoint:
    """Verify a packaged network and that it was trained on these images, and copy it."""
    input:
        weights=CHECKPOINTS / "{network}.safetensors",
        record=CHECKPOINTS / "{network}.json",
        images=lambda w: prepared(dataset_of(w)),
    output:
        weights=RESULTS / "networks/{network}.safetensors",
        record=RESULTS / "networks/{network}.json",
    log:
        RESULTS / "logs/packaged_checkpoint-{network}.log",
    benchmark:
        RESULTS / "benchmarks/packaged_checkpoint-{network}.tsv"
    wildcard_constraints:
        network="|".join(PACKAGED) or "(?!)",
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        code=code("networks/packaged_checkpoint.py"),
    message:
        "Using the packaged network {wildcards.network}"
    script:
        "../../scripts/networks/packaged_checkpoint.py"


rule packaged_snapshots:
    """Verify the packaged snapshots of a network's training, and copy them."""
    input:
        weights=CHECKPOINTS / "{network}.safetensors",
        snapshots=CHECKPOINTS / "snapshots/{network}.safetensors",
        record=CHECKPOINTS / "{network}.json",
    output:
        RESULTS / "networks/snapshots/{network}.safetensors",
    log:
        RESULTS / "logs/packaged_snapshots-{network}.log",
    benchmark:
        RESULTS / "benchmarks/packaged_snapshots-{network}.tsv"
    wildcard_constraints:
        network="|".join(PACKAGED) or "(?!)",
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        code=code("networks/packaged_snapshots.py"),
    message:
        "Using the packaged snapshots of {wildcards.network}"
    script:
        "../../scripts/networks/packaged_snapshots.py"


rule own_checkpoint:
    """Verify an own network by asking it, and bring weights, Python file and record here."""
    input:
        module=lambda w: network(w)["module"],
        weights=lambda w: network(w)["weights"],
        images=lambda w: prepared(dataset_of(w)),
    output:
        weights=RESULTS / "networks/{network}.safetensors",
        record=RESULTS / "networks/{network}.json",
        module=RESULTS / "networks/{network}.py",
    log:
        RESULTS / "logs/own_checkpoint-{network}.log",
    benchmark:
        RESULTS / "benchmarks/own_checkpoint-{network}.tsv"
    wildcard_constraints:
        network="|".join(OWN) or "(?!)",
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        dataset=dataset_of,
        predicts=lambda w: network(w)["predicts"],
        conditional=lambda w: network(w)["conditional"],
        code=code("networks/own_checkpoint.py"),
    message:
        "Asking the own network {wildcards.network}"
    script:
        "../../scripts/networks/own_checkpoint.py"
