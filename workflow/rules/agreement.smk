"""From samples to the headline numbers, and their comparison with the committed ones."""


rule agreement:
    """Compare machines and network seed by seed."""
    input:
        **{m: (lambda w, m=m: shards(w, m)) for m in config["machines"]},
        network=lambda w: shards(w, f"network-{w.steps}"),
    output:
        RESULTS / "agreement/{network}-{steps}.csv",
    log:
        RESULTS / "logs/agreement-{network}-{steps}.log",
    benchmark:
        RESULTS / "benchmarks/agreement-{network}-{steps}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        configuration=lambda w: {
            "dataset": dataset_of(w),
            "architecture": architecture_of(w.network),
            "padding": network(w)["padding"],
            "conditional": network(w)["conditional"],
        },
        machines=config["machines"],
        code=code("agreement/agreement.py"),
    message:
        "Comparing the machines with {wildcards.network} in {wildcards.steps} steps"
    script:
        "../../scripts/agreement/agreement.py"


rule tables:
    """Gather all seeds in one table, and take the medians with their intervals."""
    input:
        agreement=expand(
            RESULTS / "agreement/{network}-{steps}.csv",
            network=NETWORKS,
            steps=config["sampling"]["network_steps"],
        ),
        expected=EXPECTED,
    output:
        agreement=RESULTS / "tables/agreement.csv",
        headline=report(
            RESULTS / "tables/headline.csv",
            category="Headline",
            caption="../report/headline.rst",
            labels={"table": "median agreement"},
        ),
    log:
        RESULTS / "logs/tables.log",
    benchmark:
        RESULTS / "benchmarks/tables.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("agreement/tables.py"),
    message:
        "Taking the medians over seeds"
    script:
        "../../scripts/agreement/tables.py"


rule paired:
    """Compare machines with each other, seed by seed."""
    input:
        RESULTS / "tables/agreement.csv",
    output:
        report(
            RESULTS / "tables/paired.csv",
            category="Headline",
            caption="../report/paired.rst",
            labels={"table": "paired comparisons"},
        ),
    log:
        RESULTS / "logs/paired.log",
    benchmark:
        RESULTS / "benchmarks/paired.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        pairs=[["els", "is"], ["els", "ls"], ["ls", "is"]],
        code=code("agreement/paired.py"),
    message:
        "Comparing the machines seed by seed"
    script:
        "../../scripts/agreement/paired.py"


rule scales_table:
    """Put the locality scales of all networks into one table."""
    input:
        scales=[RESULTS / f"calibration/{n}.scales.csv" for n in CALIBRATED],
        cosines=[RESULTS / f"calibration/{n}.cosines.csv" for n in CALIBRATED],
    output:
        report(
            RESULTS / "tables/scales.csv",
            category="Locality",
            caption="../report/scales.rst",
            labels={"table": "locality scales"},
        ),
    log:
        RESULTS / "logs/scales_table.log",
    benchmark:
        RESULTS / "benchmarks/scales_table.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        networks=CALIBRATED,
        code=code("calibrate/scales_table.py"),
    message:
        "Tabulating the locality scales"
    script:
        "../../scripts/calibrate/scales_table.py"


rule orderings:
    """Ask the paper's orderings of our numbers, seed by seed."""
    input:
        agreement=RESULTS / "tables/agreement.csv",
        expected=EXPECTED,
    output:
        report(
            RESULTS / "tables/orderings.csv",
            category="Headline",
            caption="../report/orderings.rst",
            labels={"table": "the paper's orderings"},
        ),
    log:
        RESULTS / "logs/orderings.log",
    benchmark:
        RESULTS / "benchmarks/orderings.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        kinds={name: kind_of(config, name) for name in NETWORKS},
        code=code("agreement/orderings.py"),
    message:
        "Asking the paper's orderings of our numbers"
    script:
        "../../scripts/agreement/orderings.py"


rule siblings:
    """Compare networks of the same images with each other, beside their agreement with ELS."""
    input:
        agreement=RESULTS / "tables/agreement.csv",
        samples=sorted(
            {path for pair in SIBLINGS for part in pair["shards"] for path in part}
        ),
    output:
        report(
            RESULTS / "tables/siblings.csv",
            category="Agreement",
            caption="../report/siblings.rst",
            labels={"table": "networks with each other"},
        ),
    log:
        RESULTS / "logs/siblings.log",
    benchmark:
        RESULTS / "benchmarks/siblings.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        pairs=SIBLINGS,
        code=code("agreement/siblings.py"),
    message:
        "Comparing networks with each other"
    script:
        "../../scripts/agreement/siblings.py"


rule training_seeds:
    """Compare the spread over trainings of a network from several seeds with that over noise."""
    input:
        RESULTS / "tables/agreement.csv",
    output:
        report(
            RESULTS / "tables/training_seeds.csv",
            category="Agreement",
            caption="../report/training_seeds.rst",
            labels={"table": "training seeds"},
        ),
    log:
        RESULTS / "logs/training_seeds.log",
    benchmark:
        RESULTS / "benchmarks/training_seeds.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        repeats=REPEATS,
        code=code("agreement/training_seeds.py"),
    message:
        "Comparing trainings from several seeds"
    script:
        "../../scripts/agreement/training_seeds.py"


rule paper_tables:
    """Put our medians into the paper's tables 1 and 2."""
    input:
        headline=RESULTS / "tables/headline.csv",
        expected=EXPECTED,
    output:
        csv=RESULTS / "tables/paper.csv",
        latex=RESULTS / "tables/paper.tex",
        html=report(
            RESULTS / "tables/paper.html",
            category="Headline",
            caption="../report/paper.rst",
            labels={"table": "the paper's tables, with ours"},
        ),
    log:
        RESULTS / "logs/paper_tables.log",
    benchmark:
        RESULTS / "benchmarks/paper_tables.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        code=code("agreement/paper_tables.py"),
    message:
        "Putting our medians into the paper's tables"
    script:
        "../../scripts/agreement/paper_tables.py"


rule headline_check:
    """Fail, with a table of what moved, unless the medians are the committed ones."""
    input:
        headline=RESULTS / "tables/headline.csv",
        expected=EXPECTED,
    output:
        RESULTS / "checks/headline.txt",
    log:
        RESULTS / "logs/headline_check.log",
    benchmark:
        RESULTS / "benchmarks/headline_check.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        experiment=config["experiment"],
        code=code("agreement/headline_check.py"),
    message:
        "Comparing the headline numbers with the committed ones"
    script:
        "../../scripts/agreement/headline_check.py"
