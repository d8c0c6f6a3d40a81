"""Networks: trained here, packaged with the project, or the user's own."""


rule train:
    """Train a network by its recipe; continues where an interrupted run stopped."""
    input:
        images=lambda w: E.prepared(E.dataset(w.network)),
    output:
        weights=E.results / "networks/{network}.safetensors",
        snapshots=E.results / "networks/snapshots/{network}.safetensors",
        record=E.results / "networks/{network}.json",
    log:
        E.results / "logs/train-{network}.log",
    benchmark:
        E.results / "benchmarks/train-{network}.tsv"
    wildcard_constraints:
        network=any_of(E.of_checkpoint("trained")),
    conda:
        "../../envs/cpu.yaml"
    threads: 8
    resources:
        mem_mb=lambda w: E.memory(4000, w.network),
        runtime=1440,
        gpu=1,  # used if there is one; without, the CPU trains
    params:
        network=lambda w: E.network(w.network),
        recipe=lambda w: E.recipe(w.network),
        state=lambda w: E.data / f"training/{w.network}",
        code=code("networks/train.py"),
    message:
        "Training {wildcards.network}"
    script:
        "../../scripts/networks/train.py"


rule packaged_checkpoint:
    """Verify a packaged network and that it was trained on these images, and copy it."""
    input:
        weights=E.checkpoints / "{network}.safetensors",
        record=E.checkpoints / "{network}.json",
        images=lambda w: E.prepared(E.dataset(w.network)),
    output:
        weights=E.results / "networks/{network}.safetensors",
        record=E.results / "networks/{network}.json",
    log:
        E.results / "logs/packaged_checkpoint-{network}.log",
    benchmark:
        E.results / "benchmarks/packaged_checkpoint-{network}.tsv"
    wildcard_constraints:
        network=any_of(E.of_checkpoint("packaged")),
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
        weights=E.checkpoints / "{network}.safetensors",
        snapshots=E.checkpoints / "snapshots/{network}.safetensors",
        record=E.checkpoints / "{network}.json",
    output:
        E.results / "networks/snapshots/{network}.safetensors",
    log:
        E.results / "logs/packaged_snapshots-{network}.log",
    benchmark:
        E.results / "benchmarks/packaged_snapshots-{network}.tsv"
    wildcard_constraints:
        network=any_of(E.of_checkpoint("packaged")),
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


rule external_checkpoint:
    """Verify an external network by asking it, and bring weights, Python file and record here."""
    input:
        module=lambda w: E.network(w.network)["module"],
        weights=lambda w: E.network(w.network)["weights"],
        images=lambda w: E.prepared(E.dataset(w.network)),
    output:
        weights=E.results / "networks/{network}.safetensors",
        record=E.results / "networks/{network}.json",
        module=E.results / "networks/{network}.py",
    log:
        E.results / "logs/external_checkpoint-{network}.log",
    benchmark:
        E.results / "benchmarks/external_checkpoint-{network}.tsv"
    wildcard_constraints:
        network=any_of(E.of_checkpoint("external")),
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        dataset=lambda w: E.dataset(w.network),
        predicts=lambda w: E.network(w.network)["predicts"],
        direction=lambda w: E.network(w.network).get("direction"),
        running=lambda w: E.running(w.network),
        conditional=lambda w: E.network(w.network)["conditional"],
        code=code("networks/external_checkpoint.py"),
    message:
        "Asking the external network {wildcards.network}"
    script:
        "../../scripts/networks/external_checkpoint.py"


rule diffusers_checkpoint:
    """Read a network of the diffusers library, verify it by asking it, and bring weights and record here."""
    input:
        files=lambda w: E.model_files(w.network),
        images=lambda w: E.prepared(E.dataset(w.network)),
    output:
        weights=E.results / "networks/{network}.safetensors",
        record=E.results / "networks/{network}.json",
    log:
        E.results / "logs/diffusers_checkpoint-{network}.log",
    benchmark:
        E.results / "benchmarks/diffusers_checkpoint-{network}.tsv"
    wildcard_constraints:
        network=any_of(E.of_checkpoint("diffusers")),
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        dataset=lambda w: E.dataset(w.network),
        model=lambda w: E.network(w.network)["model"],
        revision=lambda w: E.network(w.network).get("revision"),
        running=lambda w: E.running(w.network),
        conditional=lambda w: E.network(w.network)["conditional"],
        code=code("networks/diffusers_checkpoint.py"),
    message:
        "Asking the network {wildcards.network} of the diffusers library"
    script:
        "../../scripts/networks/diffusers_checkpoint.py"


rule edm_checkpoint:
    """Verify a network of EDM by asking it, and bring weights and record here."""
    input:
        weights=lambda w: E.network(w.network)["weights"],
        images=lambda w: E.prepared(E.dataset(w.network)),
    output:
        weights=E.results / "networks/{network}.safetensors",
        record=E.results / "networks/{network}.json",
    log:
        E.results / "logs/edm_checkpoint-{network}.log",
    benchmark:
        E.results / "benchmarks/edm_checkpoint-{network}.tsv"
    wildcard_constraints:
        network=any_of(E.of_checkpoint("edm")),
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        dataset=lambda w: E.dataset(w.network),
        running=lambda w: E.running(w.network),
        conditional=lambda w: E.network(w.network)["conditional"],
        code=code("networks/edm_checkpoint.py"),
    message:
        "Asking the network {wildcards.network} of EDM"
    script:
        "../../scripts/networks/edm_checkpoint.py"


rule published_checkpoint:
    """Download a network that the paper's authors published, verify it, and bring its weights here."""
    input:
        images=lambda w: E.prepared(E.dataset(w.network)),
    output:
        weights=E.results / "networks/{network}.safetensors",
        record=E.results / "networks/{network}.json",
    log:
        E.results / "logs/published_checkpoint-{network}.log",
    benchmark:
        E.results / "benchmarks/published_checkpoint-{network}.tsv"
    wildcard_constraints:
        network=any_of(E.of_checkpoint("published")),
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        network=lambda w: E.network(w.network),
        published=lambda w: published_networks()[published_row(config, w.network)],
        folder=E.data / "authors",
        code=code("networks/published_checkpoint.py"),
    message:
        "Bringing the authors' network {wildcards.network}"
    script:
        "../../scripts/networks/published_checkpoint.py"
