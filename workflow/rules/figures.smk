"""Figures and the report."""


rule figure_pairs:
    """Draw what network and machines make of the same noise (the paper's figures 5, 13 to 24)."""
    input:
        **{m: (lambda w, m=m: shards(w, m)[0]) for m in config["machines"]},
        network=lambda w: shards(w, f"network-{w.steps}")[0],
        agreement=RESULTS / "agreement/{network}-{steps}.csv",
        bank=lambda w: bank_of(w.network, config["bank"]["images"]),
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
        code=code("figures/figure_pairs.py"),
    message:
        "Drawing pairs of {wildcards.network} in {wildcards.steps} steps"
    script:
        "../../scripts/figures/figure_pairs.py"


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
        code=code("figures/figure_scatter.py"),
    message:
        "Drawing the agreement of every seed"
    script:
        "../../scripts/figures/figure_scatter.py"


rule figure_scales:
    """Draw the locality scale of every network over time (the paper's figure 4b)."""
    input:
        RESULTS / "tables/scales.csv",
    output:
        report(
            RESULTS / "figures/scales.png",
            category="Locality",
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
        code=code("figures/figure_scales.py"),
    message:
        "Drawing the locality scales"
    script:
        "../../scripts/figures/figure_scales.py"


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
        code=code("figures/figure_headline.py"),
    message:
        "Drawing the headline numbers"
    script:
        "../../scripts/figures/figure_headline.py"


rule figure_garments:
    """Draw extra limbs and other inconsistent garments of Fashion-MNIST (the paper's figure 5c)."""
    input:
        **{m: (lambda w, m=m: shards(w, m)) for m in config["machines"]},
        network=lambda w: shards(w, f"network-{w.steps}"),
        bank=lambda w: bank_of(w.network, config["bank"]["images"]),
    output:
        report(
            RESULTS / "figures/garments-{network}-{steps}.png",
            category="Pairs",
            caption="../report/garments.rst",
            labels={
                "network": "{network}",
                "network steps": "{steps}",
                "figure": "inconsistent garments",
            },
        ),
        RESULTS / "figures/garments-{network}-{steps}.pdf",
    log:
        RESULTS / "logs/figure_garments-{network}-{steps}.log",
    benchmark:
        RESULTS / "benchmarks/figure_garments-{network}-{steps}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        machines=config["machines"],
        code=code("figures/figure_garments.py"),
    message:
        "Drawing inconsistent garments of {wildcards.network} in {wildcards.steps} steps"
    script:
        "../../scripts/figures/figure_garments.py"


rule figure_architectures:
    """Draw ResNet, UNet and the machines of each side by side (the paper's figure 7)."""
    input:
        resnet=lambda w: side_by_side(w, "resnet"),
        unet=lambda w: side_by_side(w, "unet"),
    output:
        report(
            RESULTS / "figures/architectures-{dataset}-{steps}.png",
            category="Pairs",
            caption="../report/architectures.rst",
            labels={
                "dataset": "{dataset}",
                "network steps": "{steps}",
                "figure": "ResNet and UNet",
            },
        ),
        RESULTS / "figures/architectures-{dataset}-{steps}.pdf",
    log:
        RESULTS / "logs/figure_architectures-{dataset}-{steps}.log",
    benchmark:
        RESULTS / "benchmarks/figure_architectures-{dataset}-{steps}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        machines=LOCAL_MACHINES,
        code=code("figures/figure_architectures.py"),
    message:
        "Drawing ResNet and UNet of {wildcards.dataset} side by side"
    script:
        "../../scripts/figures/figure_architectures.py"


rule figure_sharpness:
    """Draw how well every patch size predicts the networks, at several times."""
    input:
        cosines=expand(
            RESULTS / "calibration/{network}.cosines.csv", network=CALIBRATED
        ),
        scales=expand(RESULTS / "calibration/{network}.scales.csv", network=CALIBRATED),
    output:
        report(
            RESULTS / "figures/sharpness.png",
            category="Locality",
            caption="../report/sharpness.rst",
            labels={"figure": "how sharp the optimum is"},
        ),
        RESULTS / "figures/sharpness.pdf",
    log:
        RESULTS / "logs/figure_sharpness.log",
    benchmark:
        RESULTS / "benchmarks/figure_sharpness.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        networks=CALIBRATED,
        code=code("figures/figure_sharpness.py"),
    message:
        "Drawing how sharp the optimum of P is"
    script:
        "../../scripts/figures/figure_sharpness.py"


rule figure_siblings:
    """Draw how networks agree with each other, beside ELS."""
    input:
        RESULTS / "tables/siblings.csv",
    output:
        report(
            RESULTS / "figures/siblings.png",
            category="Agreement",
            caption="../report/siblings.rst",
            labels={"figure": "networks with each other"},
        ),
        RESULTS / "figures/siblings.pdf",
    log:
        RESULTS / "logs/figure_siblings.log",
    benchmark:
        RESULTS / "benchmarks/figure_siblings.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("figures/figure_siblings.py"),
    message:
        "Drawing networks with each other"
    script:
        "../../scripts/figures/figure_siblings.py"


rule figure_training_seeds:
    """Draw the agreement of trainings of a network from several seeds."""
    input:
        agreement=RESULTS / "tables/agreement.csv",
        spread=RESULTS / "tables/training_seeds.csv",
    output:
        report(
            RESULTS / "figures/training_seeds.png",
            category="Agreement",
            caption="../report/training_seeds.rst",
            labels={"figure": "training seeds"},
        ),
        RESULTS / "figures/training_seeds.pdf",
    log:
        RESULTS / "logs/figure_training_seeds.log",
    benchmark:
        RESULTS / "benchmarks/figure_training_seeds.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        repeats=REPEATS,
        training_seeds={
            name: recipe_of(config, config["networks"][name])["seed"]
            for names in REPEATS
            for name in names
        },
        code=code("figures/figure_training_seeds.py"),
    message:
        "Drawing trainings from several seeds"
    script:
        "../../scripts/figures/figure_training_seeds.py"


rule figure_variants:
    """Draw the agreement under every control and ablation."""
    input:
        RESULTS / "tables/variants.csv",
    output:
        report(
            RESULTS / "figures/variants.png",
            category="Controls",
            caption="../report/variants.rst",
            labels={"figure": "controls and ablations"},
        ),
        RESULTS / "figures/variants.pdf",
    log:
        RESULTS / "logs/figure_variants.log",
    benchmark:
        RESULTS / "benchmarks/figure_variants.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        unchanged=UNCHANGED,
        code=code("figures/figure_variants.py"),
    message:
        "Drawing controls and ablations"
    script:
        "../../scripts/figures/figure_variants.py"


rule figure_learning:
    """Draw the agreement of machines and networks during the training."""
    input:
        expand(RESULTS / "learning/{network}.csv", network=WITH_SNAPSHOTS),
    output:
        report(
            RESULTS / "figures/learning.png",
            category="Controls",
            caption="../report/learning.rst",
            labels={"figure": "agreement during the training"},
        ),
        RESULTS / "figures/learning.pdf",
    log:
        RESULTS / "logs/figure_learning.log",
    benchmark:
        RESULTS / "benchmarks/figure_learning.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("figures/figure_learning.py"),
    message:
        "Drawing the agreement during the training"
    script:
        "../../scripts/figures/figure_learning.py"


rule figure_jacobians:
    """Draw how far networks look, over time, beside their scales (the paper's figure 4a)."""
    input:
        gradients=expand(RESULTS / "jacobians/{network}.npz", network=NETWORKS),
        scales=[RESULTS / f"calibration/{scales_of(n)}.scales.csv" for n in NETWORKS],
    output:
        report(
            RESULTS / "figures/jacobians.png",
            category="Locality",
            caption="../report/jacobians.rst",
            labels={"figure": "Jacobians"},
        ),
        RESULTS / "figures/jacobians.pdf",
    log:
        RESULTS / "logs/figure_jacobians.log",
    benchmark:
        RESULTS / "benchmarks/figure_jacobians.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        networks=NETWORKS,
        code=code("figures/figure_jacobians.py"),
    message:
        "Drawing the Jacobians of the networks"
    script:
        "../../scripts/figures/figure_jacobians.py"


rule figure_measures:
    """Draw r, r^2 and R^2 side by side: what the paper's r^2 is."""
    input:
        agreement=RESULTS / "tables/agreement.csv",
        expected=EXPECTED,
    output:
        report(
            RESULTS / "figures/measures.png",
            category="Agreement",
            caption="../report/measures.rst",
            labels={"figure": "r, r^2 and R^2"},
        ),
        RESULTS / "figures/measures.pdf",
    log:
        RESULTS / "logs/figure_measures.log",
    benchmark:
        RESULTS / "benchmarks/figure_measures.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("figures/figure_measures.py"),
    message:
        "Drawing r, r^2 and R^2"
    script:
        "../../scripts/figures/figure_measures.py"


rule figure_bands:
    """Draw the agreement of final images by band of spatial frequency."""
    input:
        [RESULTS / f"bands/{run['network']}-{run['steps']}.csv" for run in RUNS],
    output:
        report(
            RESULTS / "figures/bands.png",
            category="Agreement",
            caption="../report/bands.rst",
            labels={"figure": "spatial frequencies"},
        ),
        RESULTS / "figures/bands.pdf",
    log:
        RESULTS / "logs/figure_bands.log",
    benchmark:
        RESULTS / "benchmarks/figure_bands.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("figures/figure_bands.py"),
    message:
        "Drawing the agreement by spatial frequency"
    script:
        "../../scripts/figures/figure_bands.py"


rule figure_novelty:
    """Draw how far samples and held-out images are from the training images."""
    input:
        expand(RESULTS / "novelty/{network}.csv", network=NETWORKS),
    output:
        report(
            RESULTS / "figures/novelty.png",
            category="Creativity",
            caption="../report/novelty.rst",
            labels={"figure": "novelty"},
        ),
        RESULTS / "figures/novelty.pdf",
    log:
        RESULTS / "logs/figure_novelty.log",
    benchmark:
        RESULTS / "benchmarks/figure_novelty.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("figures/figure_novelty.py"),
    message:
        "Drawing how new the samples are"
    script:
        "../../scripts/figures/figure_novelty.py"


rule figure_nearest_patches:
    """Draw how far the patches of samples are from training patches, and whole samples from images."""
    input:
        patches=expand(RESULTS / "nearest_patches/{network}.csv", network=NETWORKS),
        images=expand(RESULTS / "novelty/{network}.csv", network=NETWORKS),
    output:
        report(
            RESULTS / "figures/nearest_patches.png",
            category="Creativity",
            caption="../report/nearest_patches.rst",
            labels={"figure": "nearest patches"},
        ),
        RESULTS / "figures/nearest_patches.pdf",
    log:
        RESULTS / "logs/figure_nearest_patches.log",
    benchmark:
        RESULTS / "benchmarks/figure_nearest_patches.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("figures/figure_nearest_patches.py"),
    message:
        "Drawing how far samples are from training patches"
    script:
        "../../scripts/figures/figure_nearest_patches.py"


rule figure_provenance:
    """Draw which training images the pixels of an ELS machine's sample come from."""
    input:
        bank=lambda w: bank_of(w.network, config["bank"]["images"]),
        noise=lambda w: RESULTS / f"noise/{dataset_of(w)}-evaluation.npz",
        scales=lambda w: RESULTS / f"calibration/{scales_of(w.network)}.scales.csv",
    output:
        report(
            RESULTS / "figures/provenance-{network}.png",
            category="Creativity",
            caption="../report/provenance.rst",
            labels={"network": "{network}", "figure": "patch provenance"},
        ),
        RESULTS / "figures/provenance-{network}.pdf",
    log:
        RESULTS / "logs/figure_provenance-{network}.log",
    benchmark:
        RESULTS / "benchmarks/figure_provenance-{network}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        boundary=lambda w: network(w)["padding"],
        conditional=lambda w: network(w)["conditional"],
        candidates=config["bank"]["candidates"],
        engine="auto" if config["engine"] == "adaptive" else config["engine"],
        steps=config["sampling"]["machine_steps"],
        start=config["sampling"]["machine_start"],
        images=150,
        moments=[0.4, 0.7, 1.0],
        code=code("figures/figure_provenance.py"),
    message:
        "Drawing where the pixels of the ELS machine of {wildcards.network} come from"
    script:
        "../../scripts/figures/figure_provenance.py"


rule figure_trajectories:
    """Draw the agreement of machines and networks over time."""
    input:
        RESULTS / "tables/trajectories.csv",
    output:
        report(
            RESULTS / "figures/trajectories.png",
            category="Agreement",
            caption="../report/trajectories.rst",
            labels={"figure": "agreement over time"},
        ),
        RESULTS / "figures/trajectories.pdf",
    log:
        RESULTS / "logs/figure_trajectories.log",
    benchmark:
        RESULTS / "benchmarks/figure_trajectories.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("figures/figure_trajectories.py"),
    message:
        "Drawing the agreement over time"
    script:
        "../../scripts/figures/figure_trajectories.py"


rule figure_trajectory_bands:
    """Draw the agreement of machines and networks over time by spatial frequency."""
    input:
        RESULTS / "tables/trajectory_bands.csv",
    output:
        report(
            RESULTS / "figures/trajectory_bands.png",
            category="Agreement",
            caption="../report/trajectory_bands.rst",
            labels={"figure": "agreement over time by frequency"},
        ),
        RESULTS / "figures/trajectory_bands.pdf",
    log:
        RESULTS / "logs/figure_trajectory_bands.log",
    benchmark:
        RESULTS / "benchmarks/figure_trajectory_bands.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("figures/figure_trajectory_bands.py"),
    message:
        "Drawing the agreement over time by spatial frequency"
    script:
        "../../scripts/figures/figure_trajectory_bands.py"


rule figure_denoising:
    """Animate a network and the ELS machine denoising the same noise."""
    input:
        RESULTS / "trajectories/{network}.npz",
    output:
        report(
            RESULTS / "figures/denoising-{network}.png",
            category="Pairs",
            caption="../report/denoising.rst",
            labels={"network": "{network}", "figure": "animation"},
        ),
        RESULTS / "figures/denoising-{network}.gif",
    log:
        RESULTS / "logs/figure_denoising-{network}.log",
    benchmark:
        RESULTS / "benchmarks/figure_denoising-{network}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        seeds=ANIMATED_SEEDS,
        code=code("figures/figure_denoising.py"),
    message:
        "Animating {wildcards.network} and the ELS machine"
    script:
        "../../scripts/figures/figure_denoising.py"


rule figure_consistency:
    """Draw how locally consistent predicted images are over time (theorem 4.1)."""
    input:
        expand(RESULTS / "consistency/{network}.csv", network=NETWORKS),
    output:
        report(
            RESULTS / "figures/consistency.png",
            category="Theory",
            caption="../report/consistency.rst",
            labels={"figure": "local consistency"},
        ),
        RESULTS / "figures/consistency.pdf",
    log:
        RESULTS / "logs/figure_consistency.log",
    benchmark:
        RESULTS / "benchmarks/figure_consistency.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("figures/figure_consistency.py"),
    message:
        "Drawing local consistency over time"
    script:
        "../../scripts/figures/figure_consistency.py"


rule figure_borders:
    """Draw which training patches a query patch is compared with (the paper's figure 9)."""
    output:
        report(
            RESULTS / "figures/borders.png",
            category="Theory",
            caption="../report/borders.rst",
            labels={"figure": "border dictionaries"},
        ),
        RESULTS / "figures/borders.pdf",
    log:
        RESULTS / "logs/figure_borders.log",
    benchmark:
        RESULTS / "benchmarks/figure_borders.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("figures/figure_borders.py"),
    message:
        "Drawing the border dictionaries"
    script:
        "../../scripts/figures/figure_borders.py"


rule figure_mosaics:
    """Draw mosaics of a black and a white image, with steps too large (the paper's figure 3)."""
    output:
        report(
            RESULTS / "figures/mosaics.png",
            category="Theory",
            caption="../report/mosaics.rst",
            labels={"figure": "two-image mosaics"},
        ),
        RESULTS / "figures/mosaics.pdf",
    log:
        RESULTS / "logs/figure_mosaics.log",
    benchmark:
        RESULTS / "benchmarks/figure_mosaics.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        size=32,
        patch_sizes=[3, 5, 9],
        steps=[5, 10, 20, 100, 1000],
        seeds=8,
        code=code("figures/figure_mosaics.py"),
    message:
        "Drawing mosaics of two images"
    script:
        "../../scripts/figures/figure_mosaics.py"


rule explorer:
    """Write a page that shows which training patches made each pixel of the ELS machine."""
    input:
        expand(RESULTS / "explorer/{network}.npz", network=NETWORKS),
    output:
        RESULTS / "explorer/index.html",
    log:
        RESULTS / "logs/explorer.log",
    benchmark:
        RESULTS / "benchmarks/explorer.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        experiment=config["experiment"],
        networks=NETWORKS,
        boundaries=[config["networks"][n]["padding"] for n in NETWORKS],
        most_bytes=20_000_000,
        code=code("report/explorer.py"),
    message:
        "Writing the mosaic explorer"
    script:
        "../../scripts/report/explorer.py"


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
    params:
        code=code("report/rulegraph.py"),
    message:
        "Drawing the rule graph"
    script:
        "../../scripts/report/rulegraph.py"


rule report:
    """Gather headline, figures and the origin of every number in one page."""
    input:
        agreement=RESULTS / "tables/agreement.csv",
        headline=RESULTS / "tables/headline.csv",
        paired=RESULTS / "tables/paired.csv",
        orderings=RESULTS / "tables/orderings.csv",
        paper=RESULTS / "tables/paper.html",
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
        figures=[figure["path"] for figure in GALLERY],
        captions=sorted({figure["caption"] for figure in GALLERY}),
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
        figures=GALLERY,
        tables=TABLES,
        explorer=bool(EXPLORER),
        code=code("report/report.py"),
    message:
        "Writing the report"
    script:
        "../../scripts/report/report.py"
