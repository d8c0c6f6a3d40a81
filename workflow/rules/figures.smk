"""The figures: a rule for every row of the table in workflow/figures.py."""

for name, figure in FIGURES.items():

    rule:
        name:
            f"figure_{name}"
        input:
            unpack(lambda w, figure=figure: figure.inputs(E, w)),
        output:
            report(
                E.results / f"figures/{name}{figure.suffix}.png",
                category=figure.category,
                caption=f"../report/{name}.rst",
                labels={"figure": figure.title},
            ),
            E.results / f"figures/{name}{figure.suffix}.{figure.second}",
        log:
            E.results / f"logs/figure_{name}{figure.suffix}.log",
        benchmark:
            E.results / f"benchmarks/figure_{name}{figure.suffix}.tsv"
        conda:
            "../../envs/cpu.yaml"
        threads: 1
        resources:
            mem_mb=figure.mem_mb,
            runtime=10,
        params:
            figure=name,
            settings=lambda w, figure=figure: figure.settings(E, w),
            code=code("figures/draw.py", f"figures/{name}.py"),
        message:
            figure.message
        script:
            "../../scripts/figures/draw.py"
