"""The manifest of a results folder: every file with its SHA-256, and what the numbers depend on.

It is written when an experiment is complete. Later it tells what of the folder is missing or
altered, and whether config, sources and commit still are those that the results were made with.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import subprocess
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from patchmosaic.system.files import sha256_of, written_whole
from patchmosaic.system.processor import instructions, processor_name

NAME = "manifest.json"
FORMAT = 2
OLD_FORMATS = (1,)  # of the code before it was in rooms: sources have other names
NOT_RESULTS = ("logs", "benchmarks", "article", ".snakemake")  # the article is made from a manifest
LIBRARIES = (
    "torch",
    "safetensors",
    "numpy",
    "pandas",
    "matplotlib",
    "seaborn",
    "pillow",
    "snakemake",
)
SOURCES = (
    "Snakefile",
    "workflow/**/*.*",
    "scripts/*/*.py",
    "patchmosaic/**/*.py",
    "patchmosaic/**/*.c",
    "patchmosaic/**/*.j2",
    "patchmosaic/**/*.typ",
    "patchmosaic/**/*.bib",
    "numbers/*.yaml",
)
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_SHA256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_SCHEMA = {
    "type": "object",
    "properties": {
        "format": {"enum": [*OLD_FORMATS, FORMAT]},
        "experiment": {"type": "string"},
        "config": {"type": "object"},
        "config_files": {"type": "array", "items": {"type": "string"}},
        "git": {
            "type": "object",
            "properties": {"commit": {"type": "string"}, "modified": {"type": "boolean"}},
            "required": ["commit", "modified"],
        },
        "sources": {"type": "object", "additionalProperties": _SHA256},
        "versions": _TEXTS,
        "files": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {
                    "sha256": _SHA256,
                    "bytes": {"type": "integer", "minimum": 0},
                    "rule": {"type": "string"},
                },
                "required": ["sha256", "bytes", "rule"],
            },
        },
        "sha256": _SHA256,
    },
    "required": [
        "format",
        "experiment",
        "config",
        "config_files",
        "sources",
        "versions",
        "files",
        "sha256",
    ],
}


class ManifestError(ValueError):
    """A manifest that is missing, broken or altered."""


@dataclass(frozen=True)
class Difference:
    """One way in which results are not what their manifest says.

    state: "missing", "altered", "unlisted", "stale" or "old". subject: the file, or the part of the
    manifest. reason: what the manifest says and what was found.
    """

    state: str
    subject: str
    reason: str


def library_versions() -> dict[str, str]:
    """Versions of Python, this package and the libraries that numbers and figures come from."""
    return {
        "python": platform.python_version(),
        "patchmosaic": _own_version(),
        **{name: version(name) for name in LIBRARIES},
    }


def _own_version() -> str:
    """Of this package: as it says itself beside the Snakefile, installed or not, else installed."""
    project = Path(__file__).parents[2] / "pyproject.toml"
    if project.is_file():
        return tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"]
    return version("patchmosaic")


def _may_have_gpu() -> bool:
    """Whether asking torch is worth its second; Linux shows one that can be used as a device."""
    devices = map(Path, ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd"))
    return platform.system() != "Linux" or any(device.exists() for device in devices)


def hardware() -> dict[str, object]:
    """What this machine is: processor, its instructions, how many cores, a GPU if there is one."""
    found: dict[str, object] = {
        "architecture": platform.machine(),
        "cpu": processor_name(),
        "instructions": instructions(),
        "cores": os.cpu_count(),
    }
    if _may_have_gpu():
        import torch  # here, because nothing else about manifests needs it, and it takes a second

        if torch.cuda.is_available():
            found["gpu"] = torch.cuda.get_device_name()
    return found


def source_digests(root: Path) -> dict[str, str]:
    """SHA-256 of every file of the project at ``root`` that defines results, by relative path."""
    found = {path.relative_to(root) for pattern in SOURCES for path in root.glob(pattern)}
    return {
        path.as_posix(): sha256_of(root / path)
        for path in sorted(found)
        if "__pycache__" not in path.parts and (root / path).is_file()
    }


def git_state(root: Path) -> dict[str, object] | None:
    """Commit of the repository whose root is ``root``, and whether tracked files are modified.

    None where ``root`` is not the root of a git repository with a commit, or git is not there.
    """
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return None
    modified = _git(root, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "modified": bool(modified)}


def last_commit(root: Path, path: str) -> str:
    """When a file of the repository whose root is ``root`` was last changed: commit and date.

    "" where that is not known, as in :func:`git_state` or a shallow clone, or the file has changed
    since.
    """
    if _git(root, "rev-parse", "--is-shallow-repository") != "false":
        return ""
    if _git(root, "status", "--porcelain", "--", path) != "":
        return ""
    return _git(root, "log", "-1", "--format=%h of %cs", "--", path) or ""


def _git(root: Path, *arguments: str) -> str | None:
    command = ["git", "--no-optional-locks", "-C", str(root)]

    def said(arguments: Sequence[str]) -> str:
        done = subprocess.run(
            [*command, *arguments], check=True, capture_output=True, encoding="utf-8"
        )
        return done.stdout.strip()

    try:
        if Path(said(["rev-parse", "--show-toplevel"])).resolve() != root.resolve():
            return None
        return said(arguments)
    except (OSError, subprocess.CalledProcessError):
        return None


def portable_config(config: object) -> object:
    """A config as JSON holds it; of absolute paths only the last part, which says nothing of the
    machine."""
    if isinstance(config, Mapping):
        return {str(key): portable_config(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return [portable_config(value) for value in config]
    if isinstance(config, str | PurePath) and PurePath(config).is_absolute():
        return PurePath(config).name
    return config


def content_digest(content: object) -> str:
    """SHA-256 of what JSON can hold, whatever the order of its keys."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def describe_files(results: Path, rules: Mapping[str, str]) -> dict[str, dict[str, object]]:
    """SHA-256, size in bytes and rule of each result file.

    Args:
        results: the results folder.
        rules: for each file, relative to ``results``, the rule that made it.

    Raises:
        ManifestError: files are missing, deleted to save space, say.
    """
    if missing := [str(results / name) for name in sorted(rules) if not (results / name).exists()]:
        raise ManifestError(
            f"{results}: files of the experiment are missing; made again by\n"
            f"{shlex.join(['snakemake', *missing])}, with --configfile as here"
        )
    return {
        name: {
            "sha256": sha256_of(results / name),
            "bytes": (results / name).stat().st_size,
            "rule": rule,
        }
        for name, rule in rules.items()
    }


def write_manifest(path: Path, content: Mapping[str, object]) -> None:
    """Write a manifest, whole or not at all: ``content``, its format, and the SHA-256 of both.

    The same content gives the same bytes. Raises ManifestError where ``content`` lacks what
    :func:`read_manifest` asks for.
    """
    manifest = {**content, "format": FORMAT}
    manifest["sha256"] = content_digest(manifest)
    _check(path, manifest)
    text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    with written_whole(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_manifest(results: Path) -> dict:
    """The manifest of a results folder.

    Raises ManifestError naming the file where it is missing, no manifest, or was altered.
    """
    path = results / NAME
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ManifestError(
            f"{path}: there is no manifest; snakemake writes it when the experiment is complete"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ManifestError(
            f"{path}: not readable as JSON ({error}); remove it and run snakemake again"
        ) from None
    _check(path, manifest)
    found = content_digest({k: v for k, v in manifest.items() if k != "sha256"})
    if found != manifest["sha256"]:
        raise ManifestError(
            f"{path}: it was altered: expected content SHA-256 {manifest['sha256']}, found {found}"
        )
    return manifest


def compare_files(results: Path, manifest: Mapping) -> list[Difference]:
    """What of a results folder is missing, altered, or not listed in its manifest.

    Logs, benchmarks, the article and the results of other experiments (folders with logs of their
    own) are not looked at.
    """
    differences = []
    for name, expected in manifest["files"].items():
        path = results / name
        if not path.is_file():
            differences.append(Difference("missing", name, f"made by rule {expected['rule']}"))
        elif (size := path.stat().st_size) != expected["bytes"]:
            reason = f"expected {expected['bytes']} bytes, found {size}"
            differences.append(Difference("altered", name, reason))
        elif (found := sha256_of(path)) != expected["sha256"]:
            reason = f"expected SHA-256 {expected['sha256']}, found {found}"
            differences.append(Difference("altered", name, reason))
    unlisted = sorted({*_result_files(results)} - {*manifest["files"], NAME})
    differences += [Difference("unlisted", name, "not in the manifest") for name in unlisted]
    return differences


def compare_origin(
    manifest: Mapping,
    config: Mapping[str, object],
    sources: Mapping[str, str],
    git: Mapping[str, Any] | None,
) -> list[Difference]:
    """Why results may no longer be what a run would give: config, sources or commit changed.

    What a manifest of an earlier format tells of them is not comparable: it is called old.

    Args:
        manifest: as :func:`read_manifest` gives it.
        config: the experiment's config as it is now.
        sources: as :func:`source_digests` gives them.
        git: as :func:`git_state` gives it; the commit is compared where both are known.
    """
    if manifest["format"] != FORMAT:
        reason = f"of format {manifest['format']}: its config and sources had other names"
        return [Difference("old", NAME, f"{reason} and are not compared; its files are")]
    then, now = dict(_leaves(manifest["config"])), dict(_leaves(portable_config(config)))
    differences = [
        Difference("stale", f"config {key}", f"{_shown(then, key)} then, {_shown(now, key)} now")
        for key in sorted({*then, *now})
        if _shown(then, key) != _shown(now, key)
    ]
    recorded = manifest["sources"]
    for name in sorted({*recorded, *sources}):
        if name not in sources:
            differences.append(Difference("stale", f"source {name}", "it is gone"))
        elif name not in recorded:
            differences.append(Difference("stale", f"source {name}", "it is new"))
        elif sources[name] != recorded[name]:
            differences.append(Difference("stale", f"source {name}", "its content changed"))
    made_at = manifest.get("git")
    if made_at and git and made_at["commit"] != git["commit"]:
        reason = f"{made_at['commit'][:12]} then, {git['commit'][:12]} now"
        differences.append(Difference("stale", "commit", reason))
    return differences


def format_differences(differences: Sequence[Difference]) -> str:
    """A table, a line a difference, in columns."""
    rows = [("state", "what", "why")]
    rows += [(d.state, d.subject, d.reason) for d in differences]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(f"{a:{widths[0]}}  {b:{widths[1]}}  {c}" for a, b, c in rows)


def _check(path: Path, manifest: Any) -> None:
    error = best_match(Draft202012Validator(_SCHEMA).iter_errors(manifest))
    if error is not None:
        where = ".".join(map(str, error.absolute_path)) or "the whole"
        reason = error.message if len(error.message) < 200 else f"{error.message[:200]} ..."
        raise ManifestError(f"{path}: not a manifest of format {FORMAT}: {where}: {reason}")
    for name in (*manifest["files"], *manifest["sources"]):
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ManifestError(f"{path}: {name!r} is not below the folder of the manifest")


def _result_files(results: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(results):
        if Path(folder) == results:
            folders[:] = [name for name in folders if name not in NOT_RESULTS]
        folders[:] = [name for name in folders if not Path(folder, name, "logs").is_dir()]
        yield from (Path(folder, name).relative_to(results).as_posix() for name in files)


def _leaves(value: object, key: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{key}.{name}" if key else name)
    else:
        yield key, value


def _shown(leaves: Mapping[str, object], key: str) -> str:
    return json.dumps(leaves[key], ensure_ascii=False) if key in leaves else "absent"
