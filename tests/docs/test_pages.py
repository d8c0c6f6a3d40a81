"""What the pages name is there: links, sections, files, functions, commands."""

import ast
import re
import subprocess

import pytest
from configs import ROOT

from workflow.figures import FIGURES

MAKEFILE = (ROOT / "Makefile").read_text()


def pages():
    """All pages that a clone has."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    found = listed.stdout.split() or [
        page.relative_to(ROOT).as_posix() for page in [*ROOT.glob("*.md"), *ROOT.glob("*/*.md")]
    ]
    return sorted(path for path in found if (ROOT / path).exists())


def without_code(text):
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def anchors(path):
    """The anchors of a page's sections."""
    titles = re.findall(r"^#+ (.+)$", without_code(path.read_text()), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return {title.replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", pages())
def test_links_lead_somewhere(page):
    text = without_code((ROOT / page).read_text())
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(("http://", "https://")):
            continue
        place, _, anchor = link.partition("#")
        target = (ROOT / page).parent / place if place else ROOT / page
        assert target.exists(), f"{page}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page}: {link}"


@pytest.mark.parametrize("page", [page for page in pages() if page != "CHANGELOG.md"])
def test_files_that_are_named_exist(page):
    text = (ROOT / page).read_text()
    rooms = "patchmosaic|workflow|tests|docs|tools|scripts|numbers|benchmarks|config|checkpoints"
    for path in re.findall(rf"`((?:{rooms})/[\w./-]+)`", text):
        assert (ROOT / path).exists(), f"{page}: {path}"


@pytest.mark.parametrize("page", ["docs/method.md", "docs/figures.md"])
def test_functions_and_files_of_the_package_exist(page):
    """They are below patchmosaic/; "`name` in `path`" means that the file defines the name."""
    text = (ROOT / page).read_text()
    rooms = "|".join(path.name for path in (ROOT / "patchmosaic").iterdir() if path.is_dir())
    paths = re.findall(rf"`((?:{rooms})/\w+\.(?:py|c))`", text)
    assert len(paths) > 10
    for path in paths:
        assert (ROOT / "patchmosaic" / path).is_file(), f"{page}: {path}"
    for names, path in re.findall(r"((?:`\w+`, )*`\w+`) in `(\w+/\w+\.py)`", text):
        tree = ast.parse((ROOT / "patchmosaic" / path).read_text())
        defined = {node.name for node in tree.body if hasattr(node, "name")}
        assert set(re.findall(r"\w+", names)) <= defined, f"{page}: {names} in {path}"


def test_every_figure_has_its_row():
    """docs/figures.md has a row for each of FIGURES, drawn by the module of its name."""
    rows = re.findall(
        r"^\|[^|]*\| `(\w+)(?:-<[^`]*>)?`[^|]*\|[^|]*\| `figures/(\w+)\.py`",
        (ROOT / "docs/figures.md").read_text(),
        re.MULTILINE,
    )
    assert sorted(rows) == sorted((name, name) for name in FIGURES)


def test_every_rule_is_in_a_stage():
    """The table of docs/workflow.md names all rules, and no others; figures as `figure_*`."""
    written = "\n".join(path.read_text() for path in ROOT.glob("workflow/rules/*.smk"))
    rules = set(re.findall(r"^rule (\w+):|^use rule \w+ as (\w+) with", written, re.MULTILINE))
    text = (ROOT / "docs/workflow.md").read_text()
    table = text.partition("## Stages")[2].partition("What needs what")[0]
    named = set(re.findall(r"`(\w+)`", table))
    assert named == {one or other for one, other in rules}
    assert "`figure_*`" in table


def test_readme_is_a_front_door():
    """Short, with the answer, and at most three clicks from everything."""
    assert (ROOT / "README.md").stat().st_size <= 8192
    reached = {"README.md"}
    for _ in range(3):
        for page in [page for page in reached if page.endswith(".md")]:
            links = re.findall(r"\]\(([^)#\s]+)", without_code((ROOT / page).read_text()))
            near = (((ROOT / page).parent / link).resolve() for link in links if "://" not in link)
            reached |= {path.relative_to(ROOT).as_posix() for path in near if path.is_file()}
    of_people = {page for page in pages() if not page.startswith((".github", "patchmosaic"))}
    assert of_people <= reached


def test_index_names_every_page_of_its_folder():
    index = (ROOT / "docs/README.md").read_text()
    for page in pages():
        if page.startswith("docs/") and page != "docs/README.md":
            assert f"({page.removeprefix('docs/')})" in index


def test_make_commands_are_targets():
    targets = set(re.findall(r"^([\w./-]+):", MAKEFILE, re.MULTILINE))
    text = "\n".join((ROOT / page).read_text() for page in pages())
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line.split("#")[0].split() for block in blocks for line in block.splitlines()]
    named = {word for line in lines if line[:1] == ["make"] for word in line[1:] if "=" not in word}
    named |= set(re.findall(r"`make (?:\w+=\S+ )?([a-z-]+)[ `]", text))
    assert {"reproduce", "test", "demo"} <= named <= targets


def test_ci_runs_the_readme_s_test_command():
    assert re.search(r"^make test( |$)", (ROOT / ".ci/run").read_text(), re.MULTILINE)
