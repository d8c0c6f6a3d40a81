"""From samples to the headline numbers, and their comparison with the committed ones."""


rule agreement:
    """Compare machines and network seed by seed."""
    input:
        **{m: (lambda w, m=m: E.samples(w.network, m)) for m in E.machines},
        network=lambda w: E.samples(w.network, f"network-{w.steps}"),
    output:
        E.results / "agreement/{network}-{steps}.csv",
    log:
        E.results / "logs/agreement-{network}-{steps}.log",
    benchmark:
        E.results / "benchmarks/agreement-{network}-{steps}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        description=lambda w: {
            "dataset": E.dataset(w.network),
            "architecture": E.architecture(w.network),
            "padding": E.network(w.network)["padding"],
            "conditional": E.network(w.network)["conditional"],
        },
        machines=E.machines,
        code=code("agreement/agreement.py"),
    message:
        "Comparing the machines with {wildcards.network} in {wildcards.steps} steps"
    script:
        "../../scripts/agreement/agreement.py"


rule tables:
    """Gather all seeds in one table; take their medians with intervals, and their tails."""
    input:
        agreement=expand(
            E.results / "agreement/{network}-{steps}.csv",
            network=E.networks,
            steps=E.steps,
        ),
        paper=E.paper,
        protocol=E.protocol,
    output:
        agreement=E.results / "tables/agreement.csv",
        headline=report(
            E.results / "tables/headline.csv",
            category=NAMES["headline"],
            caption="../report/headline.rst",
            labels={"table": "median agreement"},
        ),
        tails=report(
            E.results / "tables/tails.csv",
            category="Headline",
            caption="../report/tails.rst",
            labels={"table": "seeds of low agreement"},
        ),
    log:
        E.results / "logs/tables.log",
    benchmark:
        E.results / "benchmarks/tables.tsv"
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
        E.results / "tables/agreement.csv",
    output:
        report(
            E.results / "tables/paired.csv",
            category=NAMES["headline"],
            caption="../report/paired.rst",
            labels={"table": "paired comparisons"},
        ),
    log:
        E.results / "logs/paired.log",
    benchmark:
        E.results / "benchmarks/paired.tsv"
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


rule orderings:
    """Ask the paper's orderings of our numbers, seed by seed."""
    input:
        agreement=E.results / "tables/agreement.csv",
        paper=E.paper,
    output:
        report(
            E.results / "tables/orderings.csv",
            category=NAMES["headline"],
            caption="../report/orderings.rst",
            labels={"table": "the paper's orderings"},
        ),
    log:
        E.results / "logs/orderings.log",
    benchmark:
        E.results / "benchmarks/orderings.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        kinds=E.kinds,
        code=code("agreement/orderings.py"),
    message:
        "Asking the paper's orderings of our numbers"
    script:
        "../../scripts/agreement/orderings.py"


rule equivalence:
    """Test whether our medians are within a margin of the paper's."""
    input:
        agreement=E.results / "tables/agreement.csv",
        trainings=E.trainings,
        paper=E.paper,
        protocol=E.protocol,
    output:
        report(
            E.results / "tables/equivalence.csv",
            category=NAMES["headline"],
            caption="../report/equivalence.rst",
            labels={"table": "equivalence with the paper"},
        ),
    log:
        E.results / "logs/equivalence.log",
    benchmark:
        E.results / "benchmarks/equivalence.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        repeats=E.repeats,
        code=code("agreement/equivalence.py"),
    message:
        "Testing whether our medians are the paper's"
    script:
        "../../scripts/agreement/equivalence.py"


rule siblings:
    """Compare networks of the same images with each other, beside their agreement with ELS."""
    input:
        agreement=E.results / "tables/agreement.csv",
        samples=sorted(
            {path for pair in E.siblings for part in pair["shards"] for path in part}
        ),
    output:
        report(
            E.results / "tables/siblings.csv",
            category="Agreement",
            caption="../report/siblings.rst",
            labels={"table": "networks with each other"},
        ),
    log:
        E.results / "logs/siblings.log",
    benchmark:
        E.results / "benchmarks/siblings.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        pairs=E.siblings,
        code=code("agreement/siblings.py"),
    message:
        "Comparing networks with each other"
    script:
        "../../scripts/agreement/siblings.py"


rule leaderboard:
    """Rank every predictor by every measure, beside networks trained for the same."""
    input:
        agreement=E.results / "tables/agreement.csv",
        samples=sorted(
            {
                *(p["samples"] for n in E.networks for p in E.predictors(n)),
                *(path for n in E.networks for path in E.samples(n, "is")),
                *(
                    path
                    for run in E.runs
                    for path in E.samples(run["network"], f"network-{run['steps']}")
                ),
            }
        ),
    output:
        csv=E.results / "tables/leaderboard.csv",
        latex=E.results / "tables/leaderboard.tex",
        html=report(
            E.results / "tables/leaderboard.html",
            category=NAMES["headline"],
            caption="../report/leaderboard.rst",
            labels={"table": "leaderboard"},
        ),
    log:
        E.results / "logs/leaderboard.log",
    benchmark:
        E.results / "benchmarks/leaderboard.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        experiment=config["experiment"],
        runs=[
            run
            | {
                "predictors": E.predictors(run["network"]),
                "sibling": E.sampled_sibling(**run),
                "is": E.samples(run["network"], "is"),
                "samples": E.samples(run["network"], f"network-{run['steps']}"),
            }
            for run in E.runs
        ],
        pages=[*E.pages],
        code=code("agreement/leaderboard.py"),
    message:
        "Ranking the predictors"
    script:
        "../../scripts/agreement/leaderboard.py"


rule training_seeds:
    """Compare the spread over trainings of a network from several seeds with that over noise."""
    input:
        E.results / "tables/agreement.csv",
    output:
        report(
            E.results / "tables/training_seeds.csv",
            category="Agreement",
            caption="../report/training_seeds.rst",
            labels={"table": "training seeds"},
        ),
    log:
        E.results / "logs/training_seeds.log",
    benchmark:
        E.results / "benchmarks/training_seeds.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        repeats=E.repeats,
        code=code("agreement/training_seeds.py"),
    message:
        "Comparing trainings from several seeds"
    script:
        "../../scripts/agreement/training_seeds.py"


rule paper_tables:
    """Put our medians into the paper's tables 1 and 2."""
    input:
        headline=E.results / "tables/headline.csv",
        paper=E.paper,
    output:
        csv=E.results / "tables/paper.csv",
        latex=E.results / "tables/paper.tex",
        html=report(
            E.results / "tables/paper.html",
            category=NAMES["headline"],
            caption="../report/paper.rst",
            labels={"table": "the paper's tables, with ours"},
        ),
    log:
        E.results / "logs/paper_tables.log",
    benchmark:
        E.results / "benchmarks/paper_tables.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        experiment=config["experiment"],
        pages=[*E.pages],
        code=code("agreement/paper_tables.py"),
    message:
        "Putting our medians into the paper's tables"
    script:
        "../../scripts/agreement/paper_tables.py"


rule headline_check:
    """Fail, with a table of what moved, unless the medians are the committed ones."""
    input:
        headline=E.results / "tables/headline.csv",
        committed=E.committed,
    output:
        E.results / "checks/headline.txt",
    log:
        E.results / "logs/headline_check.log",
    benchmark:
        E.results / "benchmarks/headline_check.tsv"
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
