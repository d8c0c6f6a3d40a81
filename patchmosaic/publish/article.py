"""The article: a paper of an experiment whose numbers, tables and figures come by name.

:func:`patchmosaic.publish.article_content.gather` makes what the template may name out of results;
:func:`typeset` makes the PDF. A name that is missing stops it, and so does a number that is typed
into the template's prose (:func:`typed_numbers`).
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from patchmosaic.publish.article_content import ArticleError

ARTICLE, CONTENT = "article/article.pdf", "article/content.json"
TEMPLATE, LAYOUT, BIBLIOGRAPHY = "article.typ", "article_layout.typ", "article.bib"

# Digits that prose may have: names that are looked up, citations and labels, equations of single
# digits, and the paper's own numbering.
ALLOWED = (
    r"//.*",
    r"\b(?:v|tab|fig|has)\(\"[\w.-]+\"\)",
    r"[@<][\w.:-]+>?",
    r"\$(?!\s*\d+\s*\$)(?:[^$\d]|(?<![\d.])\d(?![\d.]))*\$",
    r"\b(?:[Tt]ables?|[Ff]igures?|[Tt]heorem|[Ss]ections?) \d+(?:\.\d+)?(?: (?:and|to) \d+)?",
)


def typeset(content: Mapping, results: Path, folder: Path | None = None) -> bytes:
    """The article as PDF.

    Args:
        content: from :func:`patchmosaic.publish.article_content.gather`.
        results: the folder of the figures.
        folder: of template, layout and bibliography; by default this package's.

    Raises:
        ArticleError: in one line, where the template types a number, names what is not there, or
            cannot be set.
    """
    try:
        import typst
    except ModuleNotFoundError:
        raise ArticleError("the article needs typst: pip install '.[article]'") from None

    folder = folder or Path(__file__).parent
    text = (folder / TEMPLATE).read_text(encoding="utf-8")
    if typed := typed_numbers(text):
        line, number = typed[0]
        raise ArticleError(f'{TEMPLATE}:{line}: the number {number} is typed: name it by #v("...")')
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for part in (TEMPLATE, LAYOUT, BIBLIOGRAPHY):
            shutil.copyfile(folder / part, root / part)
        (root / "content.json").write_text(json.dumps(content), encoding="utf-8")
        for figure in content["figures"].values():
            place = root / figure["file"]
            place.parent.mkdir(exist_ok=True)
            shutil.copyfile(results / figure["file"], place)
        try:
            return typst.compile(root / TEMPLATE, root=root, ignore_system_fonts=True)
        except typst.TypstError as error:
            raise ArticleError(_in_one_line(error.message, error.diagnostic)) from None


def article_of(results: Path, manifest: Mapping) -> list[str]:
    """The article's files, relative to the results; none where it is of another manifest."""
    try:
        content = json.loads((results / CONTENT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    is_current = isinstance(content, dict) and content.get("manifest_sha256") == manifest["sha256"]
    return [ARTICLE, CONTENT] if is_current and (results / ARTICLE).is_file() else []


def typed_numbers(text: str) -> list[tuple[int, str]]:
    """Numbers that are typed in digits into a template's prose, each with its line.

    Names that are looked up, citations, labels, the paper's own numbering (table 1, theorem 4.1)
    and equations of single digits are no such numbers.
    """
    allowed = re.compile("|".join(f"(?:{pattern})" for pattern in ALLOWED))
    left = allowed.sub(lambda match: "\n" * match[0].count("\n") or " ", text)
    return [
        (number, word)
        for number, line in enumerate(left.splitlines(), start=1)
        for word in re.findall(r"\d(?:[\d.,]*\d)?%?", line)
    ]


def _in_one_line(message: str, diagnostic: str) -> str:
    """What Typst says, with the line of the template where it says it."""
    where = re.findall(rf"{re.escape(TEMPLATE)}:(\d+)", diagnostic)
    place = f"{TEMPLATE}:{where[-1]}" if where else TEMPLATE
    text = message.removeprefix("panicked with: ").strip('"').splitlines()[0]
    return f"{place}: {text}"
