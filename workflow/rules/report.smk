"""What an experiment left, file by file, and what it was made with and from."""


rule manifest:
    """Write down every result file with its digest, and config, sources, seeds and versions."""
    input:
        results=[
            RESULTS / "tables/headline.csv",
            RESULTS / "tables/agreement.csv",
            RESULTS / "checks/headline.txt",
            RESULTS / "report/index.html",
            RESULTS / "figures/rulegraph.mmd",
            *EXPLORER,
        ],
        snakefile=workflow.main_snakefile,
    output:
        RESULTS / "manifest.json",
    log:
        RESULTS / "logs/manifest.log",
    benchmark:
        RESULTS / "benchmarks/manifest.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        config_files=config_files(),
        config=content_digest(portable_config(config)),
        sources=content_digest(source_digests(Path(workflow.basedir))),
        commit=lambda w: (git_state(Path(workflow.basedir)) or {}).get("commit"),
        code=code("report/manifest.py"),
    message:
        "Writing the manifest"
    script:
        "../../scripts/report/manifest.py"
