"""Explorer, rule graph and report, and what an experiment left, file by file."""

DRAWINGS = drawings(E)


rule explorer:
    """Write a page of what predictors draw, and of the patches behind the ELS machine's pixels."""
    input:
        explorations=expand(E.results / "explorer/{network}.npz", network=E.networks),
        headline=E.results / "tables/headline.csv",
        paired=E.results / "tables/paired.csv",
    output:
        E.results / "explorer/index.html",
    log:
        E.results / "logs/explorer.log",
    benchmark:
        E.results / "benchmarks/explorer.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        experiment=config["experiment"],
        networks=E.networks,
        boundaries=[E.network(n)["padding"] for n in E.networks],
        pages=[*E.pages],
        most_bytes=MOST_PAGE_BYTES,
        code=code("report/explorer.py"),
    message:
        "Writing the mosaic explorer"
    script:
        "../../scripts/report/explorer.py"


rule rulegraph:
    """Draw the rules of config.yaml and what depends on what, as Mermaid text."""
    input:
        snakefile=E.project / "Snakefile",
        rules=sorted(map(str, E.project.glob("workflow/**/*.*"))),
    output:
        E.results / "figures/rulegraph.mmd",
    log:
        E.results / "logs/rulegraph.log",
    benchmark:
        E.results / "benchmarks/rulegraph.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=5,
    params:
        code=code("report/rulegraph.py"),
    message:
        "Drawing the rule graph"
    script:
        "../../scripts/report/rulegraph.py"


rule report:
    """Gather headline, figures and the origin of every number in one page."""
    input:
        agreement=E.results / "tables/agreement.csv",
        headline=E.results / "tables/headline.csv",
        paired=E.results / "tables/paired.csv",
        orderings=E.results / "tables/orderings.csv",
        equivalence=E.results / "tables/equivalence.csv",
        tails=E.results / "tables/tails.csv",
        tables=E.results / "tables/paper.html",
        leaderboard=[E.results / "tables/leaderboard.csv"] if E.has_leaderboard else [],
        paper=E.paper,
        protocol=E.protocol,
        committed=E.committed,
        banks=sorted({E.bank(name) for name in E.networks}),
        records=expand(E.results / "networks/{network}.json", network=E.networks),
        cosines=[found["cosines"] for found in E.calibrations],
        noise=sorted({E.noise(name) for name in E.networks}),
        figures=[figure["path"] for figure in DRAWINGS],
        captions=sorted({figure["caption"] for figure in DRAWINGS}),
    output:
        E.results / "report/index.html",
    log:
        E.results / "logs/report.log",
    benchmark:
        E.results / "benchmarks/report.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        experiment=config["experiment"],
        networks=E.networks,
        calibrations=E.calibrations,
        checkpoints={name: E.network(name)["checkpoint"] for name in E.networks},
        figures=DRAWINGS,
        tables=E.more_tables,
        pages=[*E.pages],
        code=code("report/report.py"),
    message:
        "Writing the report"
    script:
        "../../scripts/report/report.py"


rule manifest:
    """Write down every result file with its digest, and config, sources, seeds and versions."""
    input:
        results=[
            E.results / "tables/headline.csv",
            E.results / "tables/agreement.csv",
            E.results / "checks/headline.txt",
            E.results / "figures/rulegraph.mmd",
            *E.pages.values(),
            *[
                path
                for figure in DRAWINGS
                for path in (figure["path"], *figure["vectors"])
            ],
        ],
        snakefile=E.project / "Snakefile",
    output:
        E.results / "manifest.json",
    log:
        E.results / "logs/manifest.log",
    benchmark:
        E.results / "benchmarks/manifest.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        config_files=config_files(),
        config=content_digest(portable_config(config)),
        sources=content_digest(source_digests(E.project)),
        commit=lambda w: (git_state(E.project) or {}).get("commit"),
        code=code("report/manifest.py"),
    message:
        "Writing the manifest"
    script:
        "../../scripts/report/manifest.py"


rule article:
    """Set the experiment as a paper, every number of it by name from results."""
    input:
        manifest=E.results / "manifest.json",  # so it is not of the results that this lists
        vectors=[path for figure in DRAWINGS for path in figure["vectors"]],
        snakefile=E.project / "Snakefile",
    output:
        article=E.results / "article/article.pdf",
        content=E.results / "article/content.json",
    log:
        E.results / "logs/article.log",
    benchmark:
        E.results / "benchmarks/article.tsv"
    conda:
        "../../envs/article.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        figures=DRAWINGS,
        code=code("report/article.py"),
    message:
        "Setting the article"
    script:
        "../../scripts/report/article.py"
