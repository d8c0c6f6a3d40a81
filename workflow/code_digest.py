"""What code a script rests on: itself and all that it imports of the project, as one digest.

Docstrings and comments are left out: touching them changes no result, so nothing runs again.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = "patchmosaic"
LOADER = Path("patchmosaic/system/lazy.py")


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
    text = (project / path).read_text(encoding="utf-8")
    if path.suffix != ".py":
        names = re.findall(r'"([\w.-]+)"', text)
        return tuple(_beside(project, path, names))
    tree = ast.parse(text)
    strings = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    imported = tuple(_imports(project, tree))
    named = [path, *imported] if LOADER in imported else []
    lazy = (file for registry in named for file in _named(project, registry))
    return (*imported, *lazy, *_beside(project, path, strings))


def _named(project: Path, registry: Path) -> Iterator[Path]:
    """The files of all "module:name" that a file gives as text."""
    text = (project / registry).read_text(encoding="utf-8")
    for module in re.findall(rf'"({PACKAGE}(?:\.\w+)+):\w+"', text):
        yield from _files_of(project, module)


def _imports(project: Path, tree: ast.AST) -> Iterator[Path]:
    """The files of the modules of the package that a file imports, and of the rooms above them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] == PACKAGE:
                yield from _files_of(project, name)


def _files_of(project: Path, module: str) -> Iterator[Path]:
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        path = Path(*parts[:end])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if (project / file).is_file():
                yield file


def _beside(project: Path, path: Path, names: list[str]) -> Iterator[Path]:
    """Files in the folder of a module, not Python, that it names."""
    if path.parts[0] != PACKAGE:
        return
    for name in names:
        if re.fullmatch(r"[\w.-]+\.(?!py)\w+", name):
            file = path.with_name(name)
            if (project / file).is_file():
                yield file


@cache
def _content(path: Path) -> str:
    """SHA-256 of what a file says to Python or to a compiler."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        text = ast.dump(_without_docstrings(ast.parse(text)))
    elif path.suffix == ".c":
        text = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)
    return hashlib.sha256(text.encode()).hexdigest()


def _without_docstrings(tree: ast.Module) -> ast.Module:
    """A syntax tree in which no string stands alone: docstrings of all kinds are such."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            body[:] = [child for child in body if not _is_text(child)]
    return tree


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
