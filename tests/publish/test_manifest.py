"""Manifests find what was done to a results folder; crates hold what the manifest says."""

import hashlib
import json
import re
import runpy
import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import yaml
from damage import flip_bit, truncate
from finished_results import NETWORKS, agreement
from rocrate.rocrate import ROCrate

from patchmosaic.analysis.agreement import paired_differences
from patchmosaic.publish.manifest import (
    NAME,
    Difference,
    ManifestError,
    compare_files,
    compare_origin,
    describe_files,
    format_differences,
    git_state,
    hardware,
    last_commit,
    library_versions,
    portable_config,
    read_manifest,
    source_digests,
    write_manifest,
)
from patchmosaic.publish.site import broken_links, write_site
from patchmosaic.tables.headline import headline
from workflow.config_files import completed

ROOT = Path(__file__).parents[2]
CONFIG = {"experiment": "made", "seeds": {"first": 0, "count": 8}, "machines": ["is", "els"]}
ROWS = agreement(NETWORKS[:1], (20,), 10)
FILES = {
    "tables/headline.csv": (headline(ROWS).to_csv().encode(), "tables"),
    "tables/paired.csv": (paired_differences(ROWS, [("els", "is")]).to_csv().encode(), "paired"),
    "report/index.html": (
        b'<a href="../figures/d%C3%A9j%C3%A0%20vu%20%E5%9B%BE.png">x</a>',
        "report",
    ),
    "figures/déjà vu 图.png": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "figure_pairs"),
    "samples/a network/els/000.npz": (bytes(3000), "sample_machine"),
    "networks/n.json": (b"{}\n", "train"),
    "networks/n.safetensors": (bytes(5000), "train"),
    "banks/b-pooled-all.npz": (bytes(4000), "bank"),
    "checks/headline.txt": (b"", "headline_check"),
}
HEADLINE = "tables/headline.csv"


@pytest.fixture(scope="module")
def origin():
    """What the manifest says of this project."""
    git = git_state(ROOT)
    return {"sources": source_digests(ROOT), **({"git": git} if git else {})}


@pytest.fixture
def results(tmp_path, monkeypatch, origin):
    """A results folder, in a working folder with its config, as an experiment leaves it."""
    monkeypatch.chdir(tmp_path)
    folder = Path("des résultats/ü 1")
    for name, (content, _) in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    Path("base.yaml").write_text(yaml.safe_dump({**CONFIG, "machines": ["is"]}))
    Path("über.yaml").write_text(yaml.safe_dump({"machines": CONFIG["machines"]}))
    write(folder, origin)
    return folder


def write(folder, origin, **changes):
    content = {
        "experiment": "made",
        "config": completed(ROOT, CONFIG)[0],
        "config_files": ["base.yaml", "über.yaml"],
        "versions": library_versions(),
        "hardware": hardware(),
        "files": describe_files(folder, {name: rule for name, (_, rule) in FILES.items()}),
        **origin,
        **changes,
    }
    write_manifest(folder / NAME, content)


def test_a_card_is_named_where_there_is_one(monkeypatch):
    """Linux shows it as a device; elsewhere torch is asked."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "a card")
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    assert hardware()["gpu"] == "a card"
    monkeypatch.setattr("platform.system", lambda: "Linux")
    for there in (True, False):
        monkeypatch.setattr("pathlib.Path.exists", lambda _, there=there: there)
        assert ("gpu" in hardware()) == there


def run(script, *arguments):
    """Exit status of a script, None for the end of it, or the text of its error."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [script, *map(str, arguments)])
        patch.syspath_prepend(ROOT / "tools")
        try:
            runpy.run_path(str(ROOT / "tools" / script), run_name="__main__")
        except SystemExit as ended:
            return ended.code


def test_untouched_results_verify_in_one_line(results, capsys):
    assert compare_files(results, read_manifest(results)) == []
    assert run("verify.py", results) == 0
    size = sum(len(content) for content, _ in FILES.values()) / 1e6
    assert capsys.readouterr().out == f"{results}: verified; {len(FILES)} files, {size:.1f} MB\n"


def test_a_file_that_is_missing_is_told_with_how_to_make_it(results, origin):
    gone = results / next(iter(FILES))
    gone.unlink()
    with pytest.raises(ManifestError, match=re.escape(f"snakemake '{gone}', with --configfile")):
        write(results, origin)


def replace_by_folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("name", [name for name, (content, _) in FILES.items() if content])
@pytest.mark.parametrize(
    ("damage", "state", "reason"),
    [
        (flip_bit, "altered", "expected SHA-256 [0-9a-f]{64}, found [0-9a-f]{64}"),
        (truncate, "altered", r"expected \d+ bytes, found \d+"),
        (Path.unlink, "missing", "made by rule [a-z_]+"),
        (replace_by_folder, "missing", "made by rule [a-z_]+"),
    ],
)
def test_damage_to_any_file_is_found(results, capsys, name, damage, state, reason):
    damage(results / name)
    (found,) = compare_files(results, read_manifest(results))
    assert (found.state, found.subject) == (state, name)
    assert re.fullmatch(reason, found.reason)
    assert run("verify.py", results) == 1
    output = capsys.readouterr().out
    assert re.search(rf"^{state} +{re.escape(name)} +{reason}$", output, re.M)
    assert f"{results}: 1 {state};" in output


def test_added_files_are_named_but_do_not_fail(results, capsys):
    (results / "figures/more.png").write_bytes(b"more")
    (results / "notes.txt").write_bytes(b"notes")
    assert [(d.state, d.subject) for d in compare_files(results, read_manifest(results))] == [
        ("unlisted", "figures/more.png"),
        ("unlisted", "notes.txt"),
    ]
    assert run("verify.py", results) == 0
    assert "2 unlisted" in capsys.readouterr().out


def test_logs_and_other_experiments_are_not_looked_at(results):
    for name in ("logs/a.log", "benchmarks/a.tsv", ".snakemake/x", "ci/logs/b.log", "ci/b.csv"):
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).write_text("not of this experiment's results")
    assert compare_files(results, read_manifest(results)) == []
    (results / "tables/deeper").mkdir()
    (results / "tables/deeper/c.csv").write_text("a result")
    (found,) = compare_files(results, read_manifest(results))
    assert found == Difference("unlisted", "tables/deeper/c.csv", "not in the manifest")


@pytest.mark.parametrize(
    ("override", "key", "reason"),
    [
        ({"seeds": {"count": 9}}, "seeds.count", "8 then, 9 now"),
        ({"machines": ["els", "is"]}, "machines", '["is", "els"] then, ["els", "is"] now'),
        ({"new": {"key": True}}, "new.key", "absent then, true now"),
        ({"experiment": None}, "experiment", '"made" then, null now'),
        ({"seeds": {"first": False}}, "seeds.first", "0 then, false now"),
    ],
)
def test_changed_config_is_stale(results, capsys, override, key, reason):
    given = yaml.safe_load(Path("über.yaml").read_text())
    Path("über.yaml").write_text(yaml.safe_dump({**given, **override}))
    assert run("verify.py", results) == 1
    output = capsys.readouterr().out
    assert re.search(rf"^stale +config {re.escape(key)} +{re.escape(reason)}$", output, re.M)
    assert "1 stale" in output
    assert "snakemake, with the same config files" in output


def test_removed_key_is_stale(results):
    manifest = read_manifest(results)
    now = {key: value for key, value in manifest["config"].items() if key != "machines"}
    (found,) = compare_origin(manifest, now, manifest["sources"], manifest.get("git"))
    assert found == Difference("stale", "config machines", '["is", "els"] then, absent now')


def test_config_files_may_have_moved(results):
    Path("base.yaml").rename("moved.yaml")
    error = run("verify.py", results)
    assert error.startswith("error: base.yaml: not readable as config")
    assert "--configfile" in error
    assert run("verify.py", results, "--configfile", "moved.yaml", "über.yaml") == 0
    Path("moved.yaml").write_text("seeds: [")
    error = run("verify.py", results, "--configfile", "moved.yaml")
    assert error.startswith("error: moved.yaml: not readable as config")


def test_changed_sources_are_stale(results, origin, capsys):
    sources = dict(origin["sources"])
    del sources["patchmosaic/machines/audit.py"]
    sources |= {"patchmosaic/machines/local.py": "0" * 64, "patchmosaic/machines/gone.py": "1" * 64}
    write(results, {**origin, "sources": sources})
    assert run("verify.py", results) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(maxsplit=3) for line in lines if line.startswith("stale")] == [
        ["stale", "source", "patchmosaic/machines/audit.py", "it is new"],
        ["stale", "source", "patchmosaic/machines/gone.py", "it is gone"],
        ["stale", "source", "patchmosaic/machines/local.py", "its content changed"],
    ]


def test_another_commit_is_stale_where_both_are_known(results, origin):
    one, other = ({"commit": c * 40, "modified": False} for c in "ab")
    known = {**origin, "git": one}
    write(results, known)
    manifest = read_manifest(results)

    def stale(git):
        now = manifest["config"]
        return [d.reason for d in compare_origin(manifest, now, origin["sources"], git)]

    assert stale(one) == stale(None) == stale({**one, "modified": True}) == []
    assert stale(other) == ["aaaaaaaaaaaa then, bbbbbbbbbbbb now"]
    write(results, {"sources": origin["sources"]})
    manifest = read_manifest(results)
    assert stale(other) == []


def edited(**changes):
    """A manifest with other entries, and, as a careful forger would, the digest of them."""

    def damage(path):
        manifest = {**json.loads(path.read_text()), **changes}
        del manifest["sha256"]
        manifest["sha256"] = hashlib.sha256(
            json.dumps(manifest, sort_keys=True).encode()
        ).hexdigest()
        path.write_text(json.dumps(manifest))

    return damage


ENTRY = {"sha256": "0" * 64, "bytes": 3, "rule": "tables"}
BROKEN = {
    "gone": (Path.unlink, "there is no manifest"),
    "empty": (lambda p: p.write_bytes(b""), "not readable as JSON"),
    "truncated": (lambda p: p.write_bytes(p.read_bytes()[:-40]), "not readable as JSON"),
    "binary": (lambda p: p.write_bytes(bytes(range(256))), "not readable as JSON"),
    "deep": (lambda p: p.write_text("[" * 100_000), "not readable as JSON"),
    "a folder": (replace_by_folder, "not readable as JSON"),
    "a list": (lambda p: p.write_text("[]"), "not a manifest of format 2: the whole"),
    "a long list": (lambda p: p.write_text(json.dumps([ENTRY] * 99)), "format 2: the whole"),
    "a number": (lambda p: p.write_text("NaN"), "not a manifest of format 2: the whole"),
    "other format": (edited(format=3), "not a manifest of format 2: format"),
    "no files": (edited(files=None), "not a manifest of format 2: files"),
    "short digest": (edited(files={"a": {**ENTRY, "sha256": "0"}}), "2: files.a.sha256"),
    "negative size": (edited(files={"a": {**ENTRY, "bytes": -1}}), "2: files.a.bytes"),
    "text for size": (edited(files={"a": {**ENTRY, "bytes": "3"}}), "2: files.a.bytes"),
    "outside": (edited(files={"../a": ENTRY}), "'../a' is not below"),
    "absolute": (edited(files={"/etc/passwd": ENTRY}), "'/etc/passwd' is not below"),
    "outside source": (edited(sources={"a/../../b": "0" * 64}), "'a/../../b' is not below"),
    "one digit": (
        lambda p: p.write_text(p.read_text().replace('"count": 8', '"count": 9')),
        "it was altered: expected content SHA-256",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_manifest_is_one_clear_error(results, kind):
    damage, reason = BROKEN[kind]
    damage(results / NAME)
    with pytest.raises(ManifestError, match=re.escape(reason)) as raised:
        read_manifest(results)
    assert str(raised.value).startswith(f"{results / NAME}: ")
    assert len(str(raised.value)) < 500
    assert run("verify.py", results) == f"error: {raised.value}"
    assert run("pack.py", results, "crate.zip") == f"error: {raised.value}"
    assert run("write_site.py", results, "site") == f"error: {raised.value}"
    assert not Path("crate.zip").exists()
    assert not Path("site").exists()


def test_config_that_is_no_text_is_one_clear_error(results):
    Path("latin.yaml").write_bytes("experiment: é".encode("latin-1"))
    error = run("verify.py", results, "--configfile", "latin.yaml")
    assert error.startswith("error: latin.yaml: not readable as config")


def test_versions_are_known_where_the_package_is_not_installed(monkeypatch):
    """It may be only beside the Snakefile; the libraries of numbers and figures are all there."""

    def not_installed(name):
        if name == "patchmosaic":
            raise PackageNotFoundError(name)
        return "1.2"

    monkeypatch.setattr("patchmosaic.publish.manifest.version", not_installed)
    found = library_versions()
    assert re.fullmatch(r"\d+\.\d+\.\d+", found["patchmosaic"])
    assert {"python", "torch", "safetensors", "seaborn", "numpy"} <= set(found)


def test_headline_that_is_not_there_is_one_clear_line(tmp_path):
    error = run("show_headline.py", tmp_path)
    assert error.startswith(f"error: {tmp_path}/tables/headline.csv: no headline table (")
    assert "\n" not in error


def test_leaderboard_that_is_not_there_is_one_clear_line(tmp_path):
    error = run("show_leaderboard.py", tmp_path)
    assert error.startswith(f"error: {tmp_path}/tables/leaderboard.csv: no such leaderboard (")
    assert "\n" not in error


def test_manifest_is_written_whole_and_alike(results, origin):
    before = (results / NAME).read_bytes()
    write(results, dict(reversed(origin.items())))
    assert (results / NAME).read_bytes() == before
    with pytest.raises(ManifestError, match="files"):
        write(results, origin, files=None)
    with pytest.raises(ValueError, match="JSON compliant"):
        write(results, origin, hardware={"cores": float("nan")})
    assert (results / NAME).read_bytes() == before
    assert [path.name for path in results.glob("*") if path.is_file()] == [NAME]


def test_interrupted_writing_leaves_the_earlier_manifest(results, origin, monkeypatch):
    before = (results / NAME).read_bytes()

    def full_disk(path, text, encoding):
        path.write_bytes(text.encode(encoding)[:100])
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(OSError, match="no space"):
        write(results, origin, experiment="another")
    assert (results / NAME).read_bytes() == before
    assert [path.name for path in results.glob("*") if path.is_file()] == [NAME]


def test_config_without_folders_of_the_machine():
    config = {
        "directories": {"data": Path("/home/me/data")},
        "local": ["/mnt/x.zip", "a/b"],
        "n": 1,
    }
    assert portable_config(config) == {
        "directories": {"data": "data"},
        "local": ["x.zip", "a/b"],
        "n": 1,
    }


def test_sources_are_what_defines_results(tmp_path):
    defining = ["Snakefile", "workflow/rules/a.smk", "workflow/report/b.rst", "scripts/a/c.py"]
    defining += ["patchmosaic/d.py", "patchmosaic/engines/e.c", "patchmosaic/f.j2"]
    defining += ["patchmosaic/publish/h.typ", "patchmosaic/publish/i.bib", "numbers/j.yaml"]
    for name in (
        *defining,
        "README.md",
        "numbers/k.csv",
        "patchmosaic/g.so",
        "patchmosaic/__pycache__/h.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    found = source_digests(tmp_path)
    assert sorted(found) == sorted(defining)
    assert found["scripts/a/c.py"] == hashlib.sha256(b"scripts/a/c.py").hexdigest()
    assert {"patchmosaic/machines/local.py", "patchmosaic/engines/native.c"} <= {
        *source_digests(ROOT)
    }


def test_commit_is_that_of_the_project_itself(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    assert git_state(tmp_path) is None
    git("init")
    assert git_state(tmp_path) is None  # no commit yet
    (tmp_path / "part").mkdir()
    (tmp_path / "part/file").write_text("one")
    git("add", ".")
    git("commit", "-m", "one")
    (tmp_path / "untracked").write_text("")
    assert git_state(tmp_path) == {"commit": git("rev-parse", "HEAD"), "modified": False}
    assert git_state(tmp_path / "part") is None  # the repository is somebody else's
    assert re.fullmatch(r"[0-9a-f]{7,} of \d{4}-\d\d-\d\d", last_commit(tmp_path, "part/file"))
    assert last_commit(tmp_path / "part", "file") == last_commit(tmp_path, "nothing") == ""
    shallow = tmp_path / "shallow"
    git("clone", "--depth", "1", f"file://{tmp_path}", str(shallow))
    assert git_state(shallow)["commit"] == git("rev-parse", "HEAD")
    assert last_commit(shallow, "part/file") == ""  # its history begins with what it has
    (tmp_path / "part/file").write_text("two")
    assert last_commit(tmp_path, "part/file") == ""
    assert git_state(tmp_path)["modified"] is True


def test_git_may_be_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(ROOT) is None


def test_differences_are_a_table():
    table = format_differences([Difference("altered", "a b", "x"), Difference("stale", "c", "y z")])
    assert table == "state    what  why\naltered  a b   x\nstale    c     y z"


def test_crate_holds_what_the_manifest_says(results, capsys):
    (results / "notes.txt").write_text("unlisted")
    assert run("pack.py", results, "out/crate.zip") is None
    assert capsys.readouterr().out.startswith("out/crate.zip: ")
    manifest = read_manifest(results)
    packed = {f"results/{name}": content for name, (content, _) in FILES.items()}
    del packed["results/banks/b-pooled-all.npz"], packed["results/networks/n.safetensors"]
    packed[f"results/{NAME}"] = (results / NAME).read_bytes()
    packed |= {
        name: (ROOT / name).read_bytes()
        for name in (*manifest["sources"], "LICENSE", "CITATION.cff", "config.yaml")
    }
    write_site(results, ROOT, Path("site"))
    site = {p.relative_to("site").as_posix(): p.read_bytes() for p in Path("site").rglob("*.*")}
    assert {name: site[name] for name in site.keys() & packed} == {
        name: packed[name] for name in site.keys() & packed
    }
    packed |= site
    with zipfile.ZipFile("out/crate.zip") as archive:
        assert archive.testzip() is None
        metadata = {n for n in archive.namelist() if n.startswith("ro-crate-")}
        assert {*archive.namelist()} - metadata == {*packed}
        assert {name: archive.read(name) for name in packed} == packed
        archive.extractall("unpacked")
    assert list(broken_links(Path("unpacked"))) == []
    assert "claim holds" in Path("unpacked/index.html").read_text()
    crate = ROCrate("unpacked")
    listed = {e.id: e for e in crate.data_entities}
    assert len(listed) == len(packed)
    for entity in listed.values():
        content = Path(entity.source).read_bytes()
        assert entity["sha256"] == hashlib.sha256(content).hexdigest()
        assert entity["contentSize"] == str(len(content))
    assert listed[f"results/{HEADLINE}"]["description"] == "made by rule tables"
    assert crate.mainEntity.id == "Snakefile"
    assert crate.mainEntity["programmingLanguage"]["name"] == "Snakemake"
    assert crate.license.id == "https://spdx.org/licenses/MIT"
    assert [author["name"] for author in crate.creator] == ["the patchmosaic developers"]
    assert "made" in crate.name
    assert crate.description


@pytest.mark.slow
def test_article_is_packed_where_it_is_of_these_results(results):
    folder = results / "article"
    folder.mkdir()
    (folder / "article.pdf").write_bytes(b"%PDF-")

    def packed(content):
        (folder / "content.json").write_text(content)
        assert run("pack.py", results, "crate.zip") is None
        with zipfile.ZipFile("crate.zip") as archive:
            return {n for n in archive.namelist() if n.startswith("results/article/")}

    current = read_manifest(results)["sha256"]
    both = {"results/article/article.pdf", "results/article/content.json"}
    assert packed(json.dumps({"manifest_sha256": current})) == both
    assert packed(json.dumps({"manifest_sha256": "0" * 64})) == set()
    assert packed("[") == packed("[]") == set()


@pytest.mark.parametrize("damage", [flip_bit, truncate, Path.unlink])
def test_only_results_that_verify_are_packed(results, damage):
    Path("crate.zip").write_text("an earlier one")
    damage(results / HEADLINE)
    error = run("pack.py", results, "crate.zip")
    assert error.startswith(f"error: {results}: 1 ")
    assert HEADLINE in error
    assert Path("crate.zip").read_text() == "an earlier one"


def test_stale_results_are_not_packed(results):
    Path("über.yaml").write_text("seeds: {count: 9}\nmachines: [is, els]\n")
    error = run("pack.py", results, "crate.zip")
    assert "config seeds.count  8 then, 9 now" in error
    assert not Path("crate.zip").exists()
