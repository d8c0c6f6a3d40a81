"""The site: report, explorer, article and the project's pages as a folder that needs no server."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from html import escape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pandas as pd

from patchmosaic.publish.article import ARTICLE, article_of
from patchmosaic.publish.manifest import NAME, read_manifest
from patchmosaic.publish.names import NAMES, PAGES
from patchmosaic.publish.pages import opening, template

DOCUMENTATION = ("*.md", "docs/*.md", "benchmarks/*.md", "config/*.md", "numbers/*.md")
SHOWN = ("report/*", "explorer/*.html", "tables/*", "figures/*")  # of the results
MOST_BYTES = 1_000_000  # of a file of the project that a page links to, for it to be copied
NOT_OF_ANCHORS = re.compile(r"[^\w\- ]")
GENERATOR = "patchmosaic.publish.site"  # which its first page names


class SiteError(ValueError):
    """A link that leads nowhere."""


def write_site(results: Path, project: Path, folder: Path) -> None:
    """Write the site of finished results into a folder, in place of an earlier one.

    Args:
        results: with a manifest; of them report, explorer, tables, figures, and the article where
            it was set from this manifest.
        project: the folder of the Snakefile, with the pages.
        folder: must not be there, or be such a site.

    Raises:
        SiteError: naming page and link, where one leads to nothing of the site; or the folder,
            where it is something else.
        patchmosaic.publish.manifest.ManifestError: where there is no manifest, or a broken one.
    """
    manifest = read_manifest(results)
    first = folder / "index.html"
    if folder.exists() and not (first.is_file() and GENERATOR in first.read_text("utf-8")):
        raise SiteError(f"{folder}: it is there, and no site of this project: name another folder")
    shutil.rmtree(folder, ignore_errors=True)
    names = [name for name in manifest["files"] if any(Path(name).match(p) for p in SHOWN)]
    article = article_of(results, manifest)
    for name in (*names, *article, NAME):
        _copy(results / name, folder / "results" / name)
    pages = sorted({path for pattern in DOCUMENTATION for path in project.glob(pattern)})
    for page in pages:
        _write_page(page, project, folder, set(pages))
    pairs = [name for name in names if re.match(r"figures/pairs-.*\.png$", name)]
    headline, paired = (pd.read_csv(results / f"tables/{n}.csv") for n in ("headline", "paired"))
    text = template("site.html.j2").render(
        generator=GENERATOR,
        root="",
        experiment=manifest["experiment"],
        opening=opening(headline, paired),
        links={},
        parts=_parts({*names, *article}),
        pairs=[f"results/{name}" for name in pairs[:1]],
    )
    first.write_text(text, encoding="utf-8")
    if broken := list(broken_links(folder)):
        raise SiteError("; ".join(broken))


def _parts(names: set[str]) -> dict[str, tuple[str, str]]:
    """What the first page leads to: path, title and a few words, of what there is."""
    words = {
        "report": "verdicts, every table and figure, provenance",
        "leaderboard": "every predictor beside every network",
        "explorer": "the training patches that made a pixel",
        "paper": "every row of tables 1 and 2, and what we found",
        "article": "the same as a paper, a PDF",
    }
    files = PAGES | {"article": ARTICLE}
    return {
        f"results/{files[part]}": (NAMES[part], text)
        for part, text in words.items()
        if files[part] in names
    } | {
        f"results/{NAME}": (NAMES["manifest"], "digest and origin of every file"),
        "docs/README.html": (NAMES["documentation"], "method, controls, how to run and extend it"),
    }


def _copy(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, place)


def _write_page(page: Path, project: Path, folder: Path, pages: set[Path]) -> None:
    """Write a page as HTML, and copy what it links to and shows."""
    try:
        from markdown_it import MarkdownIt
    except ModuleNotFoundError:
        raise SiteError("the site needs markdown-it-py: make's environment has it") from None

    def linked(href: str) -> str | None:
        """The link of the site; None where it leads to nothing that the site has."""
        place, _, anchor = href.partition("#")
        if urlsplit(href).scheme or not place:
            return href
        target = Path(os.path.normpath(page.parent / unquote(place)))
        target = target / "README.md" if target.is_dir() else target
        if target in pages:
            target = target.with_suffix(".html")
        elif target.is_file() and target.stat().st_size <= MOST_BYTES:
            _copy(target, folder / target.relative_to(project))
        else:
            return None
        return os.path.relpath(target, page.parent) + (f"#{anchor}" if anchor else "")

    markdown = MarkdownIt("commonmark").enable("table")
    tokens = markdown.parse(page.read_text(encoding="utf-8"))
    title = heading = page.stem
    tables: list[str] = []  # what they are called: by the heading above them
    for token, content in pairwise(tokens):
        if token.type == "heading_open":
            heading = content.content
            title = heading if token.tag == "h1" else title
            words = NOT_OF_ANCHORS.sub("", heading.lower())
            token.attrSet("id", words.replace(" ", "-"))
        elif token.type == "table_open":
            tables.append(f"Table {len(tables) + 1}: {heading}")
    for token in tokens:
        children = token.children or []
        dropped = False
        for child in children:
            if child.type == "link_open":
                href = linked(str(child.attrGet("href")))
                dropped = href is None
                child.attrSet("href", href or "")
            elif child.type == "image" and (source := linked(str(child.attrGet("src")))):
                child.attrSet("src", source)
            if dropped and child.type in ("link_open", "link_close"):
                dropped, child.type = child.type == "link_open", "text"
    body = markdown.renderer.render(tokens, markdown.options, {})
    region = '<div class="scroll" tabindex="0" role="region" aria-label="{}"><table>'
    names = map(escape, tables)
    body = re.sub("<table>", lambda _: region.format(next(names)), body)
    body = re.sub(r"<th\b", '<th scope="col"', body.replace("</table>", "</table></div>"))
    body = body.replace("<pre>", '<pre tabindex="0">')
    place = folder / page.relative_to(project).with_suffix(".html")
    root = "../" * len(page.relative_to(project).parts[:-1])
    place.parent.mkdir(parents=True, exist_ok=True)
    text = template("site.html.j2").render(generator=GENERATOR, title=title, root=root, body=body)
    place.write_text(text, encoding="utf-8")


class _Links(HTMLParser):
    """The anchors of a page, and what it links to or shows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors |= {value for name in ("id", "name") if (value := found.get(name))}
        self.links += [value for name in ("href", "src") if (value := found.get(name)) is not None]


def broken_links(folder: Path) -> Iterator[str]:
    """Links of the pages below a folder that lead to no file there, or to no place in a page."""
    pages = {path: _Links(path.read_text(encoding="utf-8")) for path in folder.rglob("*.html")}
    for path, page in sorted(pages.items()):
        for link in dict.fromkeys(page.links):
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = Path(os.path.normpath(path.parent / unquote(parts.path)))
            target = target if parts.path else path
            anchors = pages[target].anchors if target in pages else set()
            if not target.is_file() or (parts.fragment and parts.fragment not in anchors):
                yield f"{path.relative_to(folder)}: {link} leads nowhere"
