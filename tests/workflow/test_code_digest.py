"""What code a rule rests on: all of its closure, and neither comments nor docstrings."""

import re
import shutil
from functools import cache
from pathlib import Path

import pytest
from projects import planned, snakemake

from workflow import code_digest
from workflow.code_digest import closure
from workflow.figures import FIGURES

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^(?:use )?rule (?:\w+ as )?(\w+)(?: with)?:$", re.M)
WORDS = '\n"""Words."""  # more words\n\n\ndef _f():\n    """Only words."""\n'
CHANGES = {".py": "\nCHANGED = True\n", ".c": "\nint changed;\n"}


@cache
def rules():
    """The files that the code digest of every rule with a script starts from."""
    found = {}
    for path in sorted(ROOT.glob("workflow/rules/*.smk")):
        parts = BLOCK.split(path.read_text())
        for name, body in zip(parts[1::2], parts[2::2], strict=True):
            scripts = re.findall(r'"\.\./\.\./scripts/([\w/.]+)"', body)
            (given,) = re.findall(r'code=code\("([\w/.]+)"\)', body)
            assert scripts in ([], [given]), name  # none where it is that of another rule
            found[name] = [Path("scripts") / given]
    for name in FIGURES:
        found[f"figure_{name}"] = [
            Path("scripts/figures/draw.py"),
            Path(f"patchmosaic/figures/{name}.py"),
        ]
    return found


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    """What the digest takes of every file: as it is, with words more, and with code more."""
    folder = tmp_path_factory.mktemp("changed")

    def of(path, more):
        changed = folder / path.name
        changed.write_text(path.read_text(encoding="utf-8") + more, encoding="utf-8")
        return code_digest._read.__wrapped__(changed).digest

    found = {}
    for path in sorted({path for files in rules().values() for path in closure(ROOT, *files)}):
        whole = ROOT / path
        empty = WORDS.replace("Words", "Other words").replace("Only", "Other")
        found[path] = {
            "as it is": of(whole, WORDS if path.suffix == ".py" else ""),
            "words": of(whole, empty if path.suffix == ".py" else ""),
            "code": of(whole, CHANGES.get(path.suffix, "changed")),
        }
    return found


def test_every_rule_is_here():
    assert len(rules()) > 50
    assert {"sample_machine", "sample_variant_machine", "train", "manifest"} <= set(rules())
    machine = set(map(str, closure(ROOT, *rules()["sample_machine"])))
    assert {f"patchmosaic/machines/{name}.py" for name in ("base", "ideal", "local")} <= machine
    assert {f"patchmosaic/engines/{name}.py" for name in ("dense", "native", "adaptive")} <= machine
    assert any(path.endswith(".c") for path in machine)
    for name in ("tables", "headline_check", "figure_headline"):
        assert not any("engines" in str(path) for path in closure(ROOT, *rules()[name])), name


@pytest.mark.parametrize("name", rules())
def test_all_that_a_rule_rests_on_changes_its_digest(name, contents, monkeypatch):
    files = rules()[name]
    kinds = dict.fromkeys(contents, "as it is")

    def digest():
        return code_digest.code_digest(ROOT, *files)

    monkeypatch.setattr(
        code_digest,
        "_content",
        lambda path: contents[path.relative_to(ROOT)][kinds[path.relative_to(ROOT)]],
    )
    before = digest()
    for path in closure(ROOT, *files):
        kinds[path] = "words"
    assert digest() == before
    for path in closure(ROOT, *files):
        kinds[path] = "code"
        assert digest() != before, path
        kinds[path] = "as it is"
    assert digest() == before


@pytest.mark.workflow
def test_snakemake_reruns_what_rests_on_a_module(own_run, tmp_path):
    """After a change of its code; after one of its words only the manifest, which lists sources."""
    folder = shutil.copytree(own_run.folder, tmp_path / "copy é")
    module = folder / "patchmosaic/analysis/intervals.py"
    original = module.read_text()

    def rerun(more):
        module.write_text(original + more)
        return set(planned(snakemake(folder, "-n", "--configfile", *own_run.configs)))

    assert rerun("\n# words\n") == {"manifest", "all"}
    found, rests = rerun("\nCHANGED = True\n"), Path("patchmosaic/analysis/intervals.py")
    resting = {name for name, files in rules().items() if rests in closure(ROOT, *files)}
    assert {"tables", "figure_scatter", "figure_trajectories"} <= resting & found
    assert not {"sample_machine", "train", "calibrate"} & (resting | found)


@pytest.fixture
def start(tmp_path, monkeypatch):
    """A start of snakemake in a folder: the digest of a rule, and how many files were parsed."""
    kept = tmp_path / ".snakemake/code.json"
    kept.parent.mkdir()
    monkeypatch.setattr(code_digest, "KEPT", kept)
    parse = code_digest._parsed

    def begin(project=ROOT):
        parsed = []

        def counted(*given):
            parsed.append(given)
            return parse(*given)

        monkeypatch.setattr(code_digest, "_parsed", counted)
        code_digest._used.clear()
        for each in (code_digest._read, code_digest._needs, code_digest._kept):
            each.cache_clear()
        found = code_digest.code_digest(project, *rules()["tables"])
        code_digest._keep()
        return found, len(parsed)

    yield begin
    for each in (code_digest._read, code_digest._needs, code_digest._kept):
        each.cache_clear()
    code_digest._used.clear()


def test_what_a_file_says_is_kept_by_its_content(start, tmp_path):
    project = tmp_path / "project"
    for part in ("scripts", "patchmosaic"):
        ignored = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(ROOT / part, project / part, ignore=ignored)
    first, parsed = start(project)
    assert parsed > 10
    assert start(project) == (first, 0)
    module = project / "patchmosaic/analysis/intervals.py"
    original = module.read_text()
    module.write_text(original + "\nCHANGED = True\n")
    changed, parsed = start(project)
    assert (changed != first, parsed) == (True, 1)
    module.write_text(original)
    assert start(project) == (first, 1)


@pytest.mark.parametrize("text", ["", "[]", "null", '["another version", {}]', '[1, {"a": 2}]'])
def test_a_file_of_what_is_kept_that_is_none_counts_for_nothing(start, text):
    first, parsed = start()
    code_digest.KEPT.write_text(text)
    assert start() == (first, parsed)


def test_nothing_is_kept_where_snakemake_keeps_nothing(start):
    code_digest.KEPT.parent.rmdir()
    first, parsed = start()
    assert start() == (first, parsed)
    assert not code_digest.KEPT.parent.exists()
