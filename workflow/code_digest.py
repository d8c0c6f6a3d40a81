"""What code a script rests on: itself and all that it imports of the project, as one digest.

Docstrings and comments are left out: touching them changes no result, so nothing runs again. What a
file says is kept by its content beside Snakemake's own records: every start would parse them all.
"""

from __future__ import annotations

import ast
import atexit
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from patchmosaic.system.files import written_whole

PACKAGE = "patchmosaic"
LOADER = Path("patchmosaic/system/lazy.py")
KEPT = Path(".snakemake").absolute() / "code.json"


def code_digest(project: Path, *files: Path) -> str:
    """SHA-256 of the code of some Python files, relative to the project, and of their closure."""
    digest = hashlib.sha256()
    for path in closure(project, *files):
        digest.update(f"{path.as_posix()}\0{_content(project / path)}\0".encode())
    return digest.hexdigest()


def closure(project: Path, *files: Path) -> list[Path]:
    """These files and all of the package that they rest on, relative to the project, sorted.

    That is what they import, wherever in the file, and other files of a module's folder that it
    names in a string: C sources, templates. A file that loads by name, as registries give it, rests
    on all that the registries that it imports name.
    """
    found: set[Path] = set()
    todo = list(files)
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            todo += _needs(project, path)
    return sorted(found)


@cache
def _needs(project: Path, path: Path) -> tuple[Path, ...]:
    said = _read(project / path)
    imported = [file for module in said.modules for file in _files_of(project, module)]
    named = [path, *imported] if LOADER in imported else []
    lazy = [file for registry in named for file in _named(project, registry)]
    return (*imported, *lazy, *_beside(project, path, said.strings))


def _named(project: Path, registry: Path) -> Iterator[Path]:
    """The files of all "module:name" that a file gives as text."""
    for text in _read(project / registry).strings:
        if found := re.fullmatch(rf"({PACKAGE}(?:\.\w+)+):\w+", text):
            yield from _files_of(project, found[1])


@cache
def _files_of(project: Path, module: str) -> tuple[Path, ...]:
    """The files of a module of the package, and of the rooms above it."""
    parts = module.split(".")
    paths = [Path(*parts[:end]) for end in range(1, len(parts) + 1)]
    files = (file for path in paths for file in (path.with_suffix(".py"), path / "__init__.py"))
    return tuple(file for file in files if (project / file).is_file())


def _beside(project: Path, path: Path, names: tuple[str, ...]) -> Iterator[Path]:
    """Files in the folder of a module, not Python, that it names."""
    if path.parts[0] != PACKAGE:
        return
    for name in names:
        if re.fullmatch(r"[\w.-]+\.(?!py)\w+", name):
            file = path.with_name(name)
            if (project / file).is_file():
                yield file


def _content(path: Path) -> str:
    """SHA-256 of what a file says to Python or to a compiler."""
    return _read(path).digest


class _Said(NamedTuple):
    """What a file says: the digest of its code, modules of the package, and strings of one word."""

    digest: str
    modules: tuple[str, ...]
    strings: tuple[str, ...]


@cache
def _read(path: Path) -> _Said:
    """Of a file, read once; parsed where an earlier start has not kept what it says."""
    content = path.read_bytes()
    key = hashlib.sha256(path.suffix.encode() + b"\0" + content).hexdigest()
    said = _kept().get(key) or _parsed(content.decode(), path.suffix)
    _used[key] = said
    return said


def _parsed(text: str, suffix: str) -> _Said:
    modules: list[str] = []
    strings: list[str] = []
    if suffix == ".py":
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                strings.append(node.value)
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                modules += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                modules += [alias.name for alias in node.names]
            elif isinstance(body := getattr(node, "body", None), list):
                body[:] = [child for child in body if not _is_text(child)]  # docstrings
        text = ast.dump(tree)
    else:
        strings = re.findall(r'"([\w.-]+)"', text)
        if suffix == ".c":
            text = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)
    ours = (name for name in modules if name.split(".")[0] == PACKAGE)
    names = (name for name in strings if re.fullmatch(r"[\w.:-]+", name))
    return _Said(hashlib.sha256(text.encode()).hexdigest(), tuple(ours), tuple(names))


_used: dict[str, _Said] = {}


@cache
def _kept() -> dict[str, _Said]:
    """What files say, by their content, from an earlier start of this version; empty if damaged."""
    try:
        maker, files = json.loads(KEPT.read_text(encoding="utf-8"))
        if maker != _maker():
            return {}
        return {k: _Said(digest, tuple(ms), tuple(ss)) for k, (digest, ms, ss) in files.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _maker() -> str:
    return f"{sys.version} {hashlib.sha256(Path(__file__).read_bytes()).hexdigest()}"


@atexit.register
def _keep() -> None:
    """Keep what was read, where Snakemake keeps its records and they may be written."""
    if _used and _used != _kept() and KEPT.parent.is_dir():
        try:
            with written_whole(KEPT) as temporary:
                temporary.write_text(json.dumps([_maker(), _used]), encoding="utf-8")
        except OSError:
            pass


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
