"""Figures and the report."""


rule figure_pairs:
    """Draw what network and machines make of the same noise (the paper's figures 5, 13 to 24)."""
    input:
        **{
            m: RESULTS / f"samples/{{network}}/{m}/{SHARDS[0]}.npz"
            for m in config["machines"]
        },
        network=lambda w: RESULTS
        / f"samples/{w.network}/network-{w.steps}/{SHARDS[0]}.npz",
        agreement=RESULTS / "agreement/{network}-{steps}.csv",
    output:
        report(
            RESULTS / "figures/pairs-{network}-{steps}.png",
            category="Pairs",
            caption="../report/pairs.rst",
            labels={"network": "{network}", "network steps": "{steps}"},
        ),
        RESULTS / "figures/pairs-{network}-{steps}.pdf",
    log:
        RESULTS / "logs/figure_pairs-{network}-{steps}.log",
    benchmark:
        RESULTS / "benchmarks/figure_pairs-{network}-{steps}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        machines=config["machines"],
        code=code("figures", "samples.py"),
    message:
        "Drawing pairs of {wildcards.network} in {wildcards.steps} steps"
    script:
        "../../scripts/figure_pairs.py"


rule figure_scatter:
    """Draw the agreement of IS against that of LS and ELS (the paper's figures 10 to 12)."""
    input:
        RESULTS / "tables/agreement.csv",
    output:
        report(
            RESULTS / "figures/scatter.png",
            category="Agreement",
            caption="../report/scatter.rst",
            labels={"figure": "scatter"},
        ),
        RESULTS / "figures/scatter.pdf",
    log:
        RESULTS / "logs/figure_scatter.log",
    benchmark:
        RESULTS / "benchmarks/figure_scatter.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("figures"),
    message:
        "Drawing the agreement of every seed"
    script:
        "../../scripts/figure_scatter.py"


rule figure_scales:
    """Draw the locality scale of every network over time (the paper's figure 4b)."""
    input:
        [RESULTS / f"calibration/{n}.scales.csv" for n in CALIBRATED],
    output:
        report(
            RESULTS / "figures/scales.png",
            category="Calibration",
            caption="../report/scales.rst",
            labels={"figure": "scales"},
        ),
        RESULTS / "figures/scales.pdf",
    log:
        RESULTS / "logs/figure_scales.log",
    benchmark:
        RESULTS / "benchmarks/figure_scales.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        networks=CALIBRATED,
        code=code("figures"),
    message:
        "Drawing the locality scales"
    script:
        "../../scripts/figure_scales.py"


rule figure_headline:
    """Draw the medians with their intervals beside the paper's."""
    input:
        RESULTS / "tables/headline.csv",
    output:
        report(
            RESULTS / "figures/headline.png",
            category="Headline",
            caption="../report/headline.rst",
            labels={"figure": "headline"},
        ),
        RESULTS / "figures/headline.pdf",
    log:
        RESULTS / "logs/figure_headline.log",
    benchmark:
        RESULTS / "benchmarks/figure_headline.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("figures"),
    message:
        "Drawing the headline numbers"
    script:
        "../../scripts/figure_headline.py"


rule rulegraph:
    """Draw the rules of config.yaml and what depends on what, as Mermaid text."""
    input:
        snakefile=workflow.main_snakefile,
        rules=sorted(
            str(p) for p in Path(workflow.basedir).glob("workflow/rules/*.smk")
        ),
    output:
        RESULTS / "figures/rulegraph.mmd",
    log:
        RESULTS / "logs/rulegraph.log",
    benchmark:
        RESULTS / "benchmarks/rulegraph.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    message:
        "Drawing the rule graph"
    script:
        "../../scripts/rulegraph.py"


rule report:
    """Gather headline, figures and the origin of every number in one page."""
    input:
        agreement=RESULTS / "tables/agreement.csv",
        headline=RESULTS / "tables/headline.csv",
        expected=EXPECTED,
        banks=sorted({bank_of(n, config["bank"]["images"]) for n in NETWORKS}),
        records=expand(RESULTS / "networks/{network}.json", network=NETWORKS),
        cosines=expand(
            RESULTS / "calibration/{network}.cosines.csv", network=CALIBRATED
        ),
        noise=sorted(
            {
                RESULTS / f"noise/{config['networks'][n]['dataset']}-evaluation.npz"
                for n in NETWORKS
            }
        ),
        pairs=expand(
            RESULTS / "figures/pairs-{network}-{steps}.png",
            network=NETWORKS,
            steps=config["sampling"]["network_steps"],
        ),
        scatter=RESULTS / "figures/scatter.png",
        scales=RESULTS / "figures/scales.png",
        chart=RESULTS / "figures/headline.png",
    output:
        RESULTS / "report/index.html",
    log:
        RESULTS / "logs/report.log",
    benchmark:
        RESULTS / "benchmarks/report.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        experiment=config["experiment"],
        networks=NETWORKS,
        calibrated=CALIBRATED,
        checkpoints=lambda w: {n: config["networks"][n]["checkpoint"] for n in NETWORKS},
        scales=config["calibration"]["source"],
        steps=config["sampling"]["network_steps"],
        code=code("report.py", "report.html.j2", "headline.py"),
    message:
        "Writing the report"
    script:
        "../../scripts/report.py"
