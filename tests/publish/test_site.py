"""The site holds report, article and pages; its links lead somewhere; it is seen whole."""

import json
import re
import subprocess
import sys

import accessibility
import chromium
import pandas as pd
import pytest
import yaml
from finished_results import FULL, ROOT, full
from made_pages import write_pages

from patchmosaic.publish.article import article_of, typeset
from patchmosaic.publish.article_content import gather
from patchmosaic.publish.manifest import read_manifest
from patchmosaic.publish.names import NAMES, PAGES
from patchmosaic.publish.pages import opening
from patchmosaic.publish.site import SiteError, broken_links, write_site

REPORT = '<!doctype html><html lang="en"><body><a href="../tables/headline.csv">x</a></body></html>'


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Made results with all pages and an article."""
    folder = tmp_path_factory.mktemp("résultats")
    figures = write_pages(folder)
    content = gather(folder, ROOT, figures)
    (folder / "article").mkdir()
    (folder / "article/article.pdf").write_bytes(typeset(content, folder))
    (folder / "article/content.json").write_text(json.dumps(content))
    assert article_of(folder, read_manifest(folder))
    return folder


@pytest.fixture(scope="module")
def site(results, tmp_path_factory):
    folder = tmp_path_factory.mktemp("a site") / "é"
    write_site(results, ROOT, folder)
    return folder


def test_first_page_leads_to_all(site):
    text = (site / "index.html").read_text()
    for page, file in {**PAGES, "article": "article/article.pdf"}.items():
        assert f'<a href="results/{file}">{NAMES[page]}</a>' in text
    assert 'href="docs/README.html"' in text
    assert (site / "results/article/article.pdf").read_bytes().startswith(b"%PDF-")


def test_every_page_of_the_project_is_there(site):
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    assert len(pages) > 10
    for page in pages:
        text = (site / page.relative_to(ROOT).with_suffix(".html")).read_text()
        assert "<h1 id=" in text
        assert "](" not in text.replace("`](", "")
        assert not re.search(r"<th[^>]*></th>", text), "a heading of a table is empty"
    method = (site / "docs/method.html").read_text()
    assert 'href="controls.html#the-bank-of-circular-networks"' in method
    assert "<table>" in method
    assert 'href="../patchmosaic/machines"' not in method  # no page of the site: words alone
    assert ">machines" in method


def test_links_lead_somewhere(site, tmp_path):
    assert list(broken_links(site)) == []
    (tmp_path / "a.html").write_text(
        '<p id="here"><a href="#here">1</a><a href="#gone">2</a><a href="b.html">3</a>'
        '<img src="c.png"><a href="https://example.org/gone">4</a>'
    )
    assert list(broken_links(tmp_path)) == [
        f"a.html: {link} leads nowhere" for link in ("#gone", "b.html", "c.png")
    ]


def test_pages_open_with_the_same_statement(site):
    """So does the article, whose test has the words of its PDF."""
    headline, paired = (
        pd.read_csv(site / f"results/tables/{name}.csv") for name in ("headline", "paired")
    )
    statement = opening(headline, paired)
    both = f"{statement.claim}. <strong>{statement.verdict}</strong>"
    for page in ("index.html", *(f"results/{PAGES[name]}" for name in ("report", "explorer"))):
        text = (site / page).read_text()
        assert both in text
        assert (statement.summary in text) == ("explorer" not in page)


@pytest.mark.slow
def test_page_that_is_not_there_is_no_part(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    full(folder, {"report/index.html": REPORT})
    write_site(folder, ROOT, tmp_path / "site")
    text = (tmp_path / "site/index.html").read_text()
    assert NAMES["report"] in text
    for page in ("leaderboard", "explorer", "article"):
        assert NAMES[page] not in text


@pytest.mark.slow
def test_link_that_leads_nowhere_stops_it(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    full(folder, {"report/index.html": REPORT.replace("headline", "no-such")})
    with pytest.raises(SiteError, match=r"report/index\.html: \.\./tables/no-such\.csv leads"):
        write_site(folder, ROOT, tmp_path / "site")


def test_command_writes_what_verifies(results, tmp_path):
    (tmp_path / "over.yaml").write_text(yaml.safe_dump(FULL))
    command = [sys.executable, ROOT / "tools/write_site.py", results, "site"]

    def run(*more):
        return subprocess.run(
            [*command, *more], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    stale = run("--configfile", str(ROOT / "config.yaml"))
    assert stale.returncode == 1
    assert "stale  config evaluate" in stale.stderr
    assert not (tmp_path / "site").exists()
    done = run("--configfile", "over.yaml")
    assert (done.returncode, done.stdout) == (0, "site/index.html\n"), done.stderr
    assert (tmp_path / "site/results/article/article.pdf").is_file()


def test_only_a_site_is_written_over(results, site, tmp_path):
    before = (site / "index.html").read_text()
    (site / "stale.html").touch()
    write_site(results, ROOT, site)
    assert (site / "index.html").read_text() == before
    assert not (site / "stale.html").exists()
    other = tmp_path / "other"
    other.mkdir()
    for text in ("", "<html></html>"):
        (other / "index.html").write_text(text)
        with pytest.raises(SiteError, match="no site of this project"):
            write_site(results, ROOT, other)
    assert (other / "index.html").read_text() == "<html></html>"


CHECKED = [
    *("index.html", "README.html", "docs/method.html", "docs/workflow.html"),
    *(f"results/{file}" for file in PAGES.values()),
]


@pytest.mark.parametrize("width", [1200, 400])
@pytest.mark.parametrize("page", CHECKED)
def test_pages_are_seen_whole_in_a_browser(site, page, width):
    """Nothing is wider than the window, images have words, tables heads; keys can scroll them."""
    with chromium.opened(site / page, width) as found:
        assert found.evaluate("document.documentElement.scrollWidth") <= width
        assert found.evaluate("[...document.images].every(i => i.naturalWidth > 0 && i.alt)")
        tables = "[...document.querySelectorAll('table')]"
        assert found.evaluate(
            f"{tables}.every(t => t.closest('[tabindex=\"0\"][role=region][aria-label]'))"
        )
        assert found.evaluate(f"{tables}.every(t => t.querySelector('thead th[scope=col]'))")
        assert found.evaluate("document.querySelectorAll('th:not([scope])').length") == 0
        assert found.evaluate("document.querySelectorAll('h1').length") == 1
        assert found.evaluate("document.querySelectorAll('main').length") == 1
        assert found.errors == []
        assert all(request.startswith("file:") for request in found.requests)


@pytest.mark.parametrize("width", [1200, 400])
@pytest.mark.parametrize("page", CHECKED)
@pytest.mark.slow
def test_accessibility_checker_finds_nothing(site, page, width):
    with chromium.opened(site / page, width) as found:
        found.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert accessibility.violations(found) == []


@pytest.mark.parametrize(
    ("rule", "page", "change"),
    [
        ("select-name", "explorer", "$('seed').parentNode.replaceWith($('seed'))"),
        ("image-alt", "report", "document.images[0].removeAttribute('alt')"),
        ("color-contrast", "leaderboard", "document.body.style.color = '#999'"),
        ("region", "paper", "document.body.append(document.querySelector('main p'))"),
        (
            "scrollable-region-focusable",
            "paper",
            "document.querySelector('.scroll').removeAttribute('tabindex')",
        ),
        ("button-name", "explorer", "$('later').ariaLabel = $('later').textContent = ''"),
        ("html-has-lang", "report", "document.documentElement.removeAttribute('lang')"),
    ],
)
@pytest.mark.slow
def test_accessibility_checker_finds_what_is_broken(site, rule, page, change):
    with chromium.opened(site / "results" / PAGES[page], 400) as found:
        found.evaluate(change)
        faults = accessibility.violations(found)
        assert {fault.split(": ")[1] for fault in faults} == {rule}


def test_accessibility_checker_looks_at_dark_colours_too(site):
    darkened = "@media (prefers-color-scheme: dark) { main { color: #444 } }"
    with chromium.opened(site / "results" / PAGES["paper"], 400) as found:
        found.evaluate(f"document.querySelector('style').append({darkened!r})")
        faults = accessibility.violations(found)
        assert faults
        assert all(fault.startswith("dark: color-contrast: ") for fault in faults)
