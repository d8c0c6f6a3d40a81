"""Images: download, preparation, banks."""


rule download:
    """Fetch a dataset's raw files from the first source that has them, and verify them."""
    output:
        update(E.data / "raw/{dataset}/provenance.json"),  # which tells where files that are there came from
    log:
        E.data / "logs/download-{dataset}.log",
    benchmark:
        E.data / "benchmarks/download-{dataset}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        source=lambda w: config["datasets"][w.dataset]["source"],
        local=lambda w: config["datasets"][w.dataset].get("local"),
        content=local_content,
        code=code("data/download.py"),
    message:
        "Downloading {wildcards.dataset}"
    script:
        "../../scripts/data/download.py"


rule prepare:
    """Crop and resize the training images to the size of the experiment."""
    input:
        E.data / "raw/{dataset}/provenance.json",
    output:
        E.data / "prepared/{dataset}-{size,\\d+}-train.npz",
    log:
        E.data / "logs/prepare-{dataset}-{size}.log",
    benchmark:
        E.data / "benchmarks/prepare-{dataset}-{size}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        source=lambda w: config["datasets"][w.dataset]["source"],
        channels=lambda w: config["datasets"][w.dataset].get("channels"),
        split="train",
        background=lambda w: config["datasets"][w.dataset].get("background", "white"),
        half=lambda w: config["datasets"][w.dataset].get("half"),
        altered=lambda w: config["datasets"][w.dataset].get("altered"),
        code=code("data/prepare.py"),
    message:
        "Preparing {wildcards.dataset} at {wildcards.size} x {wildcards.size} pixels"
    script:
        "../../scripts/data/prepare.py"


use rule prepare as prepare_held_out with:
    output:
        E.data / "prepared/{dataset}-{size,\\d+}-test.npz",
    log:
        E.data / "logs/prepare_held_out-{dataset}-{size}.log",
    benchmark:
        E.data / "benchmarks/prepare_held_out-{dataset}-{size}.tsv"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        source=lambda w: config["datasets"][w.dataset]["source"],
        channels=lambda w: config["datasets"][w.dataset].get("channels"),
        split="test",
        background=lambda w: config["datasets"][w.dataset].get("background", "white"),
        half=None,  # one of training images
        altered=lambda w: config["datasets"][w.dataset].get("altered"),
        code=code("data/prepare.py"),
    message:
        "Preparing the test images of {wildcards.dataset}"


rule bank:
    """Choose the training images whose patches the machines compare with."""
    input:
        lambda w: E.prepared(w.dataset, "test" if "held_out" in w.kind else "train"),
    output:
        E.results
        / "banks/{dataset}-{kind,(classes|pooled)(-held_out)?(-flips)?}-{images,all|\\d+}.npz",
    log:
        E.results / "logs/bank-{dataset}-{kind}-{images}.log",
    benchmark:
        E.results / "benchmarks/bank-{dataset}-{kind}-{images}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=lambda w: E.making_mb(w.dataset, w.kind),
        runtime=10,
    params:
        code=code("data/bank.py"),
    message:
        "Making the bank of {wildcards.images} images of {wildcards.dataset} ({wildcards.kind})"
    script:
        "../../scripts/data/bank.py"
