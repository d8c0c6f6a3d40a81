"""Which figures an experiment has, and what the report shows, in order."""

ANALYSES = config["analyses"]
JACOBIAN_SEEDS = 4  # trajectories that input gradients are averaged over, at most
PATCH_SEEDS = 10  # seeds whose samples' nearest patches are found, at most
ANIMATED_SEEDS = min(3, SEEDS["count"])  # those of them that the animations show
EXPLORER_SEEDS = 2 if len(NETWORKS) < 6 else 1  # the page stays below 20 MB
LOCAL_MACHINES = [m for m in ("els", "ls") if m in config["machines"]]
EXPLORER = [RESULTS / "explorer/index.html"] if "els" in LOCAL_MACHINES else []


def drawn(kind, title, category, **wildcards):
    """A figure of the report: its file, its words, and the caption it shares with Snakemake's."""
    return {
        "path": str(RESULTS / f"figures/{'-'.join([kind, *wildcards.values()])}.png"),
        "title": title.format(**wildcards),
        "category": category,
        "caption": str(Path(workflow.basedir) / f"workflow/report/{kind}.rst"),
        "wildcards": wildcards,
    }


def architecture_pairs():
    """For each dataset a ResNet and a UNet that differ in their architecture only."""
    found = {}
    for name in NETWORKS:
        for other in NETWORKS:
            kinds = [architecture_of(n) for n in (name, other)]
            if kinds == ["resnet", "unet"] and is_alike(name, other):
                found.setdefault(config["networks"][name]["dataset"], (name, other))
    return found


def side_by_side(wildcards, architecture):
    """First shards of a dataset's ResNet or UNet, then of its local machines."""
    name = dict(zip(("resnet", "unet"), SIDE_BY_SIDE[wildcards.dataset]))[architecture]
    kinds = [f"network-{wildcards.steps}", *LOCAL_MACHINES]
    return [samples_of(name, kind)[0] for kind in kinds]


def has_garments(name):
    """Whether a network draws Fashion-MNIST's classes, and ELS is there to draw them too."""
    chosen = config["networks"][name]
    fashion = config["datasets"][chosen["dataset"]]["source"] == "fashion_mnist"
    return fashion and chosen["conditional"] and "els" in config["machines"]


def held_out(dataset):
    """The prepared test images of a dataset; none of a folder of images, which need not have any."""
    chosen = config["datasets"][dataset]
    if chosen["source"] == "image_folder":
        return []
    return [DATA / f"prepared/{dataset}-{chosen['size']}-test.npz"]


SIDE_BY_SIDE = architecture_pairs()
STEPS = [str(steps) for steps in config["sampling"]["network_steps"]]
RUNS = [{"network": name, "steps": steps} for name in NETWORKS for steps in STEPS]
SOURCES = {f"network_{steps}": f"network, {steps} steps" for steps in STEPS} | {
    machine: machine
    for machine in ("els", "ls", "es", "is")
    if machine in config["machines"]
}
GALLERY = [
    drawn("headline", "Median agreement", "Headline"),
    drawn("scatter", "Every seed", "Agreement"),
    *(
        [drawn("measures", "r, r² and R²", "Agreement")]
        if "els" in LOCAL_MACHINES
        else []
    ),
    *([drawn("siblings", "Networks with each other", "Agreement")] if SIBLINGS else []),
    *([drawn("training_seeds", "Training seeds", "Agreement")] if REPEATS else []),
    drawn("bands", "Agreement by spatial frequency", "Agreement"),
    drawn("trajectories", "Agreement over time", "Agreement"),
    drawn("trajectory_bands", "Agreement over time by spatial frequency", "Agreement"),
    *(
        drawn("pairs", "{network}, {steps} network steps", "Pairs", **run)
        for run in RUNS
    ),
    *(
        drawn(
            "architectures",
            "{dataset}, ResNet and UNet, {steps} network steps",
            "Pairs",
            dataset=dataset,
            steps=steps,
        )
        for dataset in SIDE_BY_SIDE
        for steps in STEPS
    ),
    *(
        drawn(
            "garments",
            "Inconsistent garments of {network}, {steps} network steps",
            "Pairs",
            **run,
        )
        for run in RUNS
        if has_garments(run["network"])
    ),
    *(
        drawn("denoising", "{network} and ELS, from noise to image", "Pairs", network=n)
        for n in NETWORKS
        if "els" in LOCAL_MACHINES
    ),
    drawn("novelty", "How new the samples are", "Creativity"),
    *(
        [drawn("nearest_patches", "What the samples are made of", "Creativity")]
        if "nearest_patches" in ANALYSES
        else []
    ),
    *(
        drawn(
            "provenance",
            "Where the pixels of {network} come from",
            "Creativity",
            network=n,
        )
        for n in NETWORKS
        if "els" in LOCAL_MACHINES
    ),
    *([drawn("variants", "Controls and ablations", "Controls")] if VARIED else []),
    *(
        [drawn("learning", "Agreement during the training", "Controls")]
        if WITH_SNAPSHOTS and "learning" in ANALYSES
        else []
    ),
    drawn("scales", "Locality scales", "Locality"),
    drawn("sharpness", "How sharp the optimum of P is", "Locality"),
    drawn("jacobians", "How far networks look", "Locality"),
    *(
        [drawn("consistency", "Local consistency over time", "Theory")]
        if "consistency" in ANALYSES
        else []
    ),
    drawn("mosaics", "Mosaics of two images", "Theory"),
    drawn("borders", "Border dictionaries", "Theory"),
]

# Tables beside those that every experiment has: path relative to the report, and what each holds.
TABLES = {
    "../tables/scales.csv": "locality scales of every network",
    "../tables/trajectories.csv": "agreement over time, a row a time and seed",
    "../tables/trajectory_bands.csv": "the same within bands of frequency",
}
if SIBLINGS:
    TABLES["../tables/siblings.csv"] = "networks of the same images with each other"
if REPEATS:
    TABLES["../tables/training_seeds.csv"] = "spread over trainings and over noise"
if VARIED:
    TABLES["../tables/variants.csv"] = "controls and ablations"
