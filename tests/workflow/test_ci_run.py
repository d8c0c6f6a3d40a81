"""The run of config/ci.yaml: what it leaves, in every place it is read, and what only reruns."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import accessibility
import chromium
import numpy as np
import pandas as pd
import pypdfium2
import pytest
import yaml
from configs import read
from projects import ROOT, copy_project, planned, snakemake

from patchmosaic.datasets.images import load_images
from patchmosaic.publish.names import PAGES
from patchmosaic.publish.site import write_site
from patchmosaic.sampling.samples import join_shards, load_samples, save_samples
from patchmosaic.sampling.trajectories import load_trajectories

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project in which config/ci.yaml has been run, and what the run printed."""
    folder = copy_project(tmp_path_factory.mktemp("a project"))
    return folder, snakemake(folder, "--configfile", "config/ci.yaml", profile="ci")


def test_ci_config_runs_and_agrees(finished):
    folder, _ = finished
    headline = pd.read_csv(folder / "results/ci/tables/headline.csv")
    assert len(headline) == 2 * 3
    assert (headline["seeds"] == 4).all()
    medians = headline.set_index(["network", "machine"])["pearson_r"].unstack()
    assert (medians["els"] > medians["is"]).all()
    agreement = pd.read_csv(folder / "results/ci/tables/agreement.csv")
    assert len(agreement) == 2 * 3 * 4
    scales = pd.read_csv(folder / "results/ci/tables/scales.csv")
    assert len(scales) == 2 * 20
    assert scales["patch_size"].between(scales["smallest"], scales["largest"]).all()
    assert (scales["smallest"] < scales["largest"]).any()
    for page in ("report", "explorer"):
        assert "<html" in (folder / f"results/ci/{page}/index.html").read_text()
    assert (folder / "results/ci/checks/headline.txt").read_text().strip()


@pytest.mark.parametrize("width", [1200, 400])
def test_report_shows_everything_in_a_browser(finished, width):
    """No error, nothing asked of the network, every category reached, every figure seen whole."""
    path = finished[0] / "results/ci/report/index.html"
    with chromium.opened(path, width) as page:
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        links = page.evaluate("[...document.querySelectorAll('nav a')].map(a => a.hash)")
        assert len(links) >= 9
        for link in links:  # as a click: it is followed, and what it names comes into view
            page.evaluate(f"document.querySelector('nav a[href=\"{link}\"]').click()")
            page.wait(f"location.hash === '{link}'")
            page.wait(
                f"(box => box.top < innerHeight && box.bottom > 0 && box.height > 20)"
                f"(document.querySelector('{link} h2').getBoundingClientRect())"
            )
        figures = page.evaluate(
            "[...document.querySelectorAll('figure')].map(f => {"
            " const image = f.querySelector('img'), box = image.getBoundingClientRect();"
            " return {pixels: image.naturalWidth,"
            " left: box.left, right: box.right, height: box.height, alt: image.alt,"
            " words: f.querySelector('figcaption').innerText.split(' ').length} })"
        )
        assert len(figures) >= 10
        for figure in figures:
            assert figure["pixels"] > 300, figure
            assert 0 <= figure["left"] < figure["right"] <= width, figure
            assert figure["height"] > 50, figure
            assert figure["alt"], figure
            assert figure["words"] > 10, figure
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.errors == []
        assert page.requests == [path.as_uri()]


@pytest.mark.parametrize("width", [1200, 400])
@pytest.mark.parametrize("page", ["report", "explorer", "paper"])
def test_accessibility_checker_finds_nothing(finished, page, width):
    with chromium.opened(finished[0] / "results/ci" / PAGES[page], width) as found:
        found.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert accessibility.violations(found) == []


CATEGORIES = {"Agreement", "Controls", "Creativity", "Headline", "Locality", "Pairs", "Theory"}


def test_snakemake_s_own_report_opens_and_every_category_has_results(finished, tmp_path):
    if chromium.BROWSER is None:
        pytest.skip("Chromium is not installed: the report is not opened")
    folder, _ = finished
    path = tmp_path / "report.html"
    snakemake(folder, "--report", str(path), "--configfile", "config/ci.yaml", profile="ci")
    with chromium.chromium() as page:
        for category in sorted(CATEGORIES):
            page.open(path.as_uri(), 1400)
            found = "[...document.querySelectorAll('a')].find(a => a.innerText.trim() === '%s')"
            page.wait((found % category) + " !== undefined")
            page.evaluate((found % category) + ".click()")
            page.wait("document.querySelectorAll('table tbody tr').length > 0")
        assert page.errors == []
        assert set(page.requests) == {path.as_uri()}


def test_downloading_again_keeps_where_the_files_came_from(finished, tmp_path):
    folder = copy_project(tmp_path)
    shutil.copytree(finished[0] / "data/raw/mnist", folder / "data/raw/mnist")
    provenance = folder / "data/raw/mnist/provenance.json"
    record = json.loads(provenance.read_text())
    for entry in record["files"].values():
        entry["source"] = "far away"
    provenance.write_text(json.dumps(record))
    snakemake(folder, "--force", "data/raw/mnist/provenance.json")
    assert json.loads(provenance.read_text()) == record


def test_a_bank_of_held_out_images_is_of_no_training_image(finished, tmp_path):
    folder = shutil.copytree(finished[0], tmp_path / "copy", ignore=shutil.ignore_patterns("raw"))
    path = "results/ci/banks/fashion_mnist-classes-held_out-20.npz"
    assert planned(snakemake(folder, "-n", path, "--configfile", "config/ci.yaml")) == {"bank": 1}
    snakemake(folder, path, "--configfile", "config/ci.yaml")
    bank = load_images(folder / path)
    seen = load_images(folder / "data/prepared/fashion_mnist-32-train.npz")
    assert np.bincount(bank.labels).tolist() == [20] * 10
    known = {image.tobytes() for image in seen.images}
    assert sum(image.tobytes() in known for image in bank.images) < 5  # some images occur twice


def test_every_job_leaves_a_log_and_a_benchmark(finished):
    folder, output = finished
    jobs = int(re.search(r"^total +(\d+)", output, re.M)[1]) - 1  # rule all does nothing
    for kind, suffix in (("logs", "log"), ("benchmarks", "tsv")):
        files = [*folder.glob(f"results/ci/{kind}/*.{suffix}")]
        files += folder.glob(f"data/{kind}/*.{suffix}")
        assert len(files) == jobs


def test_trajectories_end_in_the_samples(finished):
    results = finished[0] / "results/ci"
    for name in read("config/ci.yaml")["evaluate"]:
        seeds, trajectories = load_trajectories(results / f"trajectories/{name}.npz")
        for kind, trajectory in trajectories.items():
            folder = results / f"samples/{name}/{'network-20' if kind == 'network' else kind}"
            samples = join_shards(sorted(folder.glob("*.npz")))
            assert samples.seeds.tolist() == seeds
            tolerance = 1e-4 if kind == "network" else 0
            np.testing.assert_allclose(
                trajectory.states[-1], samples.images, rtol=0, atol=tolerance
            )


def test_second_run_does_nothing(finished):
    folder, _ = finished
    assert "Nothing to be done" in snakemake(folder, "--configfile", "config/ci.yaml")


def test_a_drawing_that_is_deleted_is_made_again(finished):
    folder, _ = finished
    path = folder / "results/ci/figures/headline.png"
    aside = path.rename(path.with_suffix(".aside"))
    try:
        jobs = planned(snakemake(folder, "-n", "--configfile", "config/ci.yaml"))
    finally:
        aside.rename(path)
    assert "figure_headline" in jobs


def test_finished_results_verify(finished):
    """The manifest lists every file, with nothing of this machine; damage is found."""
    folder, _ = finished
    command = [sys.executable, "tools/verify.py", "results/ci"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}

    def verify():
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)

    done = verify()
    assert done.stdout.startswith("results/ci: verified;")
    assert (done.returncode, done.stderr) == (0, "")
    path = folder / "results/ci/manifest.json"
    text = path.read_text(encoding="utf-8")
    for private in (str(folder), str(Path.home()), platform.node()):
        assert f'"{private}' not in text
    manifest = json.loads(text)
    assert manifest["config_files"] == ["config.yaml", "config/ci.yaml"]
    assert manifest["seeds"] == {
        "calibration": [1000000, 1000001, 1000002],
        "evaluation": [0, 1, 2, 3],
    }
    assert {*manifest["datasets"]} == {
        f"{dataset}-32-{split}"
        for dataset in ("mnist", "fashion_mnist")
        for split in ("train", "test")
    }
    shard = manifest["samples"]["samples/mnist-resnet-zeros/els/000.npz"]
    assert shard["engine"] == "adaptive"
    assert shard["audit"]["rms"] < 0.01
    record = json.loads((folder / "results/ci/networks/mnist-resnet-zeros.json").read_text())
    assert manifest["networks"]["mnist-resnet-zeros"] == record["weights_sha256"]
    rules = {entry["rule"] for entry in manifest["files"].values()}
    assert {"sample_machine", "tables", "report", "packaged_checkpoint", "bank"} <= rules
    assert not {"manifest", "prepare", "download"} & rules
    damaged = folder / "results/ci/tables/headline.csv"
    content = damaged.read_bytes()
    times = damaged.stat().st_atime_ns, damaged.stat().st_mtime_ns
    damaged.write_bytes(content + b" ")
    try:
        done = verify()
    finally:
        damaged.write_bytes(content)
        os.utime(damaged, ns=times)
    assert done.returncode == 1
    assert re.search(r"^altered +tables/headline.csv +expected", done.stdout, re.M)


CI = ("--configfile", "config/ci.yaml")


@pytest.fixture(scope="module")
def graph(finished):
    """Of the jobs of config/ci.yaml: what each is, by number, and arrows from each to the next."""
    text = snakemake(finished[0], *CI, "--dag", "mermaid-js")
    jobs = dict(re.findall(r"^\s*(id\d+)\[(.*)\]$", text, re.M))
    return jobs, set(re.findall(r"^\s*(id\d+) --> (id\d+)$", text, re.M))


def with_what_rests_on(first, graph):
    """The rules of the jobs that begin with one of these words, and of all jobs after them."""
    jobs, arrows = graph
    found = {job for job, words in jobs.items() if words.startswith(first)}
    assert found
    while more := {after for job, after in arrows if job in found} - found:
        found |= more
    return {jobs[job].split(" - ")[0] for job in found}


OF_MACHINES = ("sample_machine", "trajectories", "figure_patch_origins", "explorer_data")


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ({"sampling": {"machine_start": "skip_first"}}, OF_MACHINES),
        ({"sampling": {"network_start": "skip_first"}}, ("sample_network", "learning_curve")),
        ({"bank": {"images": 700}}, ("bank",)),
        ({"seeds": {"evaluation": {"first": 100}}}, ("noise - purpose: evaluation",)),
        ({"recipes": {"paper": {"epochs": 200}}}, ("manifest",)),
        ({"calibration": {"patch_sizes": [3, 5]}}, ("manifest",)),  # its scales are packaged
    ],
    ids=["machine_start", "network_start", "bank", "seeds", "unused_recipe", "unused_sizes"],
)
def test_changed_parameter_reruns_what_depends_on_it(finished, graph, tmp_path, change, first):
    """The jobs that it is told to and all after them; the manifest holds the whole config."""
    folder, _ = finished
    override = tmp_path / "change.yaml"
    override.write_text(yaml.safe_dump(change))
    found = set(planned(snakemake(folder, "-n", *CI, str(override))))
    assert found == with_what_rests_on(first, graph)


def test_article_is_set_from_the_run(finished):
    """Nothing that the manifest lists is made again; drawings are vectors."""
    folder, _ = finished
    target = ("results/ci/article/article.pdf", "--configfile", "config/ci.yaml")
    assert planned(snakemake(folder, "-n", *target)) == {"article": 1}
    snakemake(folder, *target)
    pages = [
        page.get_textpage().get_text_bounded()
        for page in pypdfium2.PdfDocument(folder / "results/ci/article/article.pdf")
    ]
    assert 6 <= len(pages) <= 10
    text = re.sub(r"\s+", " ", " ".join(pages))
    assert "median Pearson r with the network" in text  # of a drawing
    medians = pd.read_csv(folder / "results/ci/tables/headline.csv").query("machine == 'els'")
    for r in medians["pearson_r"]:
        assert f"{r:.2f}" in text
    content = json.loads((folder / "results/ci/article/content.json").read_text())
    manifest = json.loads((folder / "results/ci/manifest.json").read_text())
    assert content["manifest_sha256"] == manifest["sha256"]
    assert "Nothing to be done" in snakemake(folder, *target)
    command = [sys.executable, "tools/verify.py", "results/ci"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.stdout.startswith("results/ci: verified;"), done.stdout


def test_site_is_made_of_the_run(finished, tmp_path):
    """Every link of its report and explorer leads somewhere."""
    write_site(finished[0] / "results/ci", ROOT, tmp_path / "site")
    text = (tmp_path / "site/index.html").read_text()
    for page in ("report", "explorer"):
        assert f'href="results/{page}/index.html"' in text


def test_every_comparison_refuses_samples_of_other_noise(finished):
    """Samples that a run with other seeds had left, say, with a new time."""
    folder, _ = finished
    samples = folder / "results/ci/samples"
    paths = sorted(samples.glob("*/els/*.npz"))
    assert len(paths) == 2
    garments = "garments-fashion_mnist-unet-zeros-20"
    jobs = {
        "agreement/mnist-resnet-zeros-20.csv": "agreement-mnist-resnet-zeros-20",
        "bands/mnist-resnet-zeros-20.csv": "bands-mnist-resnet-zeros-20",
        "learning/mnist-resnet-zeros.csv": "learning_curve-mnist-resnet-zeros",
        f"figures/{garments}.png": f"figure_{garments}",
    }
    made = [folder / "results/ci" / target for target in (*jobs, f"figures/{garments}.pdf")]
    originals = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in (*paths, *made)}
    for path in paths:
        loaded = load_samples(path)
        save_samples(path, replace(loaded, record=loaded.record | {"noise_sha256": "another"}))
    arguments = ["--keep-going", "--rerun-triggers", "mtime", "--configfile", "config/ci.yaml"]
    try:
        snakemake(folder, *(f"results/ci/{t}" for t in jobs), *arguments, check=False)
    finally:
        for path, (content, time) in originals.items():
            path.parent.mkdir(exist_ok=True)  # Snakemake removes one that a failed job left empty
            path.write_bytes(content)
            os.utime(path, ns=(time, time))
    for job in jobs.values():
        log = folder / f"results/ci/logs/{job}.log"
        assert "have the same seeds, but are of different noise" in log.read_text()


def test_moved_numbers_fail_with_a_table(finished):
    """A run whose numbers are not the committed ones ends with an error that shows both."""
    folder, _ = finished
    path = folder / "numbers/committed.yaml"
    original = path.read_text()
    committed = yaml.safe_load(original)
    row = committed["ci"][0]
    row["pearson_r"] -= row["tolerance"] * 2.5
    path.write_text(yaml.safe_dump(committed))
    try:
        target = "results/ci/checks/headline.txt"
        output = snakemake(folder, target, "--configfile", "config/ci.yaml", check=False)
    finally:
        path.write_text(original)
    assert "the headline numbers are not the committed ones" in output
    assert f"{row['pearson_r']:.3f}" in output
    snakemake(folder, target, "--configfile", "config/ci.yaml")
