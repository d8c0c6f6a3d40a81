"""The article says what results say, by name; what is missing or typed stops it."""

import json
import re
import shutil
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pypdfium2
import pypdfium2.raw as pdfium
import pytest
import yaml
from finished_results import DRAWN, WHOLE, bare, draw_in_place, finish, full

from patchmosaic.publish import article
from patchmosaic.publish.article_content import ArticleError, gather
from patchmosaic.publish.manifest import NAME, ManifestError, compare_files, read_manifest
from patchmosaic.publish.pages import opening
from workflow.config_files import completed

ROOT = Path(__file__).parents[2]
TEXT_MM, PAGE_MM = (25, 185), (210, 297)


@pytest.fixture(scope="module", params=[full, bare], ids=["full", "bare"])
def made(request, tmp_path_factory):
    """Results, what the article may say of them, and its PDF."""
    folder = tmp_path_factory.mktemp("made") / "results é"
    folder.mkdir()
    content = gather(folder, ROOT, request.param(folder))
    pdf = article.typeset(content, folder)
    return SimpleNamespace(kind=request.param, folder=folder, content=content, pdf=pdf)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The full results, and their figures."""
    folder = tmp_path_factory.mktemp("full")
    return folder, full(folder)


@pytest.fixture
def template(tmp_path):
    """A copy of template, layout and bibliography, to be changed."""
    for name in (article.TEMPLATE, article.LAYOUT, article.BIBLIOGRAPHY):
        shutil.copy(ROOT / "patchmosaic/publish" / name, tmp_path)
    return tmp_path


def opened(pdf):
    return pypdfium2.PdfDocument(pdf)


def text_of(pdf):
    """All words of a PDF, with single spaces and without hyphens at the ends of lines."""
    text = " ".join(page.get_textpage().get_text_bounded() for page in opened(pdf))
    return re.sub(r"\s+", " ", re.sub(r"[\u00ad\ufffe\x02]\s*|-\r?\n", "", text))


def used_names(content):
    """The values that the template names and that there are."""
    text = (ROOT / "patchmosaic/publish" / article.TEMPLATE).read_text()
    return set(re.findall(r'\bv\("([\w.-]+)"\)', text)) & set(content["values"])


def test_same_results_give_the_same_bytes(made):
    assert made.pdf.startswith(b"%PDF-")
    assert article.typeset(made.content, made.folder) == made.pdf


def test_pages_are_six_to_ten(made):
    assert 6 - 2 * (made.kind is bare) <= len(opened(made.pdf)) <= 10


def test_tables_stand_in_the_order_of_their_numbers(made):
    found = []
    for number, page in enumerate(opened(made.pdf)):
        text = page.get_textpage()
        for caption in re.finditer(r"^Table (\d+)\.", text.get_text_range(), re.M):
            top = text.get_charbox(caption.start())[3]
            found.append((number, -top, int(caption[1])))
    assert [n for *_, n in sorted(found)] == list(range(1, 1 + len(found)))
    template = (ROOT / "patchmosaic/publish" / article.TEMPLATE).read_text()
    shown = set(re.findall(r'#tab\("([\w.]+)"', template)) & set(made.content["tables"])
    assert len(found) == len(shown) > 3


@pytest.mark.slow
def test_the_whole_paper_has_ten_pages(tmp_path):
    """With all its rows, and drawings of as many networks."""
    figures = full(tmp_path, override=WHOLE)
    draw_in_place(tmp_path, WHOLE["evaluate"])
    finish(tmp_path, completed(ROOT, WHOLE)[0])
    content = gather(tmp_path, ROOT, figures)
    assert len(content["tables"]["equivalence"]["rows"]) == 2 * len(WHOLE["evaluate"])
    assert len(opened(article.typeset(content, tmp_path))) <= 10


def test_every_number_leads_to_its_file_rule_and_digest(made):
    text, names = text_of(made.pdf), used_names(made.content)
    assert len(names) > 30
    appendix = text.partition("Appendix: where each number comes from")[2]
    manifest = read_manifest(made.folder)
    if made.kind is bare:
        names -= {"processor", "cores"}  # said of its cost, which is not known
    for name in names:
        assert f" {name} " in appendix
        for file in made.content["values"][name]["files"]:
            found = made.content["files"][file]
            assert found["sha256"] in appendix.replace(" ", ""), file
            if file in manifest["files"]:
                assert found == {k: manifest["files"][file][k] for k in ("rule", "sha256")}
                assert found["rule"] in appendix
    links = sum(count_links(page) for page in opened(made.pdf))
    assert links > 2 * len(names)  # to the appendix, and from there back and to the files


def count_links(page):
    """How many links a page has that lead to a place of the same document."""
    document, count = page.pdf.raw, 0
    for i in range(pdfium.FPDFPage_GetAnnotCount(page)):
        annotation = pdfium.FPDFPage_GetAnnot(page, i)
        link = pdfium.FPDFAnnot_GetLink(annotation)
        count += bool(link) and bool(pdfium.FPDFLink_GetDest(document, link))
        pdfium.FPDFPage_CloseAnnot(annotation)
    return count


def test_values_of_the_results_are_said(made):
    text = text_of(made.pdf)
    for name in ("verdict", "paper.rows", "paper.resnets", "r.els", "seeds"):
        assert made.content["values"][name]["text"] in text
    medians = pd.read_csv(made.folder / "tables/headline.csv").query("machine == 'els'")
    assert f"{medians['pearson_r'].max():.2f}" in text
    lacking = [each["what"] for each in made.content["lacking"]]
    if made.kind is full:
        assert lacking == []
        assert "The claim holds in every comparison." in text
        assert "Of 2 that were ranked beside all networks in 150 steps, the first is" in text
        for words in (
            "PCA-locality",
            "0.929 to 0.959",
            "shuffled seeds",
            "0% of those of ELS",
            "14 jobs",
        ):
            assert words in text
    else:
        assert "The claim could not be asked here." in text
        assert "controls and ablations" in lacking
        for words in (*lacking, "No times were kept", "Nothing is committed"):
            assert words in text


def test_least_agreement_and_disputed_claims_are_said(made):
    text, values = text_of(made.pdf).replace("\u200b", ""), made.content["values"]
    tails = pd.read_csv(made.folder / "tables/tails.csv").query("machine == 'els'")
    least = tails.loc[tails["lowest"].idxmin()]
    assert values["tails.lowest"]["text"] == f"{least['lowest']:.2f}"
    where = f"seed {least['lowest_seed']} of {least['network']} in {least['network_steps']} steps"
    said = f"and the lowest, {least['lowest']:.2f}, is {where}"
    assert said.replace("-", "") in text.replace("-", "")  # long names are broken at hyphens
    if made.kind is bare:
        assert "Disputed claims" not in text
        assert "the disputed claims of the literature (config/claims.yaml has them" in text
        return
    claims = pd.read_csv(made.folder / "tables/claims.csv")
    counts = claims["verdict"].value_counts()
    assert f"Each of {len(claims)} claims was broken into paired tests" in text
    assert f"{counts['holds']} hold in all of their tests and" in text
    assert f"{counts['undecided']} are undecided" in text
    for claim in claims["text"]:
        assert claim in text


def test_article_opens_with_the_statement_of_all_pages(made):
    headline, paired = (
        pd.read_csv(made.folder / f"tables/{name}.csv") for name in ("headline", "paired")
    )
    statement = opening(headline, paired)
    text = text_of(made.pdf).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    parts = (statement.question, statement.claim, statement.verdict, statement.summary)
    found = [text.index(part.removesuffix(".")) for part in parts]
    assert found == sorted(found)
    assert found[-1] < text.index("What was claimed")


def test_drawings_are_vectors_with_words(made):
    text = text_of(made.pdf)
    for name in DRAWN if made.kind is full else DRAWN[:5]:
        assert f"a drawing of {name}" in text
        assert made.content["figures"][name]["title"] == f"About {name}"


def test_fonts_are_embedded(made):
    fonts = set()
    for page in opened(made.pdf):
        for item in page.get_objects([pdfium.FPDF_PAGEOBJ_TEXT], max_depth=5):
            font = pdfium.FPDFTextObj_GetFont(item)
            assert pdfium.FPDFFont_GetIsEmbedded(font) == 1
            fonts.add(pdfium.FPDFFont_GetWeight(font))
    assert fonts


def test_nothing_stands_in_the_margins(made):
    """No ink left or right of the text, nor above it, nor below the number of the page."""
    for page in opened(made.pdf):
        assert np.allclose(page.get_size(), np.array(PAGE_MM) / 25.4 * 72, atol=1)
        image = np.asarray(page.render(scale=2, grayscale=True).to_pil())
        rows, columns = np.nonzero(image < 200)
        pixels = image.shape[1] / PAGE_MM[0]
        left, right = columns.min() / pixels, columns.max() / pixels
        assert TEXT_MM[0] - 1 <= left <= right <= TEXT_MM[1] + 1
        assert rows.min() / pixels > 20
        assert rows.max() / pixels < PAGE_MM[1] - 8


def test_words_do_not_run_into_each_other(made):
    """Of the tables: within a line no word begins before the one to its left has ended."""
    for page in opened(made.pdf):
        text = page.get_textpage()
        boxes = [text.get_rect(i) for i in range(text.count_rects())]
        lines = {}
        for left, bottom, right, _ in boxes:
            lines.setdefault(round(bottom), []).append((left, right))
        for line in lines.values():
            for (_, end), (start, _) in pairwise(sorted(line)):
                assert start > end - 1.5


@pytest.mark.parametrize("kind", ["value", "table", "figure"])
def test_missing_name_stops_it(results, template, kind):
    folder, figures = results
    lookup = {"value": '#v("{}")', "table": '#tab("{}")[x]', "figure": '#fig("{}")[x]'}[kind]
    path = template / article.TEMPLATE
    text = path.read_text()
    path.write_text(text + "\nWords\n" + lookup.format("no.such-name") + "\n")
    line = len(text.splitlines()) + 3
    content = gather(folder, ROOT, figures)
    with pytest.raises(ArticleError) as caught:
        article.typeset(content, folder, template)
    assert str(caught.value) == f"article.typ:{line}: no {kind} is named no.such-name"


def test_value_that_the_results_have_no_more_stops_it(results):
    folder, figures = results
    content = gather(folder, ROOT, figures)
    del content["values"]["seeds"]
    with pytest.raises(ArticleError, match=r"^article\.typ:\d+: no value is named seeds$"):
        article.typeset(content, folder)


@pytest.mark.parametrize("typed", ["0.95", "18 of 18", "97%", "$r = 0.95$", '#text("0.95")'])
def test_typed_number_stops_it(results, template, typed):
    path = template / article.TEMPLATE
    path.write_text(path.read_text() + f"\nIts median is {typed}.\n")
    content = gather(results[0], ROOT, results[1])
    with pytest.raises(ArticleError, match=r"^article\.typ:\d+: the number [\d.%]+ is typed: "):
        article.typeset(content, results[0], template)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The paper's tables 1 and 2, its theorem 4.1, figure 5", []),
        ('#v("r.95") and #tab("paper.1")[words]', []),
        ("@kamb2025 and <table-1>", []),
        ("$x_0 + 1 - y$ in $[-1, 1]$", []),
        ("$\n x_0\n$ and\n12", [(4, "12")]),
        ("// 12 of them", []),
        ("$0.95$", [(1, "0.95")]),
        ("$9$", [(1, "9")]),
        ("$r = 95$", [(1, "95")]),
        ('#v("a", 0.95)', [(1, "0.95")]),
        ('#text("95")', [(1, "95")]),
        ("in 18 of 18 rows, 1,024 of 99%", [(1, n) for n in ("18", "18", "1,024", "99%")]),
        ("first\ntable 1 has 22 rows", [(2, "22")]),
    ],
)
def test_typed_numbers_are_found(text, found):
    assert article.typed_numbers(text) == found


@pytest.mark.slow
def test_file_that_is_not_what_the_manifest_says_stops_it(tmp_path):
    figures = full(tmp_path)
    path = tmp_path / "tables/headline.csv"
    before = path.read_text()
    path.write_text(before + "\n")
    with pytest.raises(ArticleError, match=r"headline\.csv: expected SHA-256 .*run snakemake"):
        gather(tmp_path, ROOT, figures)
    path.unlink()
    with pytest.raises(ArticleError, match=r"headline\.csv is missing: run snakemake"):
        gather(tmp_path, ROOT, figures)
    path.write_text(before)
    (tmp_path / NAME).unlink()
    with pytest.raises(ManifestError, match="there is no manifest"):
        gather(tmp_path, ROOT, figures)


def test_article_is_beside_what_the_manifest_lists(results):
    folder, _ = results
    (folder / "article").mkdir()
    (folder / "article/article.pdf").write_bytes(b"")
    listed = {"article/article.pdf", "unlisted.txt"}
    (folder / "unlisted.txt").touch()
    found = {each.subject for each in compare_files(folder, read_manifest(folder))}
    assert found & listed == {"unlisted.txt"}


def test_every_table_and_figure_that_there_is_is_shown(results):
    """Nothing is gathered in vain."""
    content = gather(results[0], ROOT, results[1])
    text = (ROOT / "patchmosaic/publish" / article.TEMPLATE).read_text()
    assert set(content["tables"]) <= set(re.findall(r'\btab\("([\w.-]+)"\)', text))
    assert set(content["figures"]) <= set(re.findall(r'\bfig\("([\w.-]+)"\)', text))
    json.dumps(content, allow_nan=False)
    unsaid = set(content["values"]) - used_names(content)
    assert unsaid == set()


def test_bibliography_has_what_is_cited():
    folder = ROOT / "patchmosaic/publish"
    keys = set(re.findall(r"^@\w+\{(\w+),", (folder / article.BIBLIOGRAPHY).read_text(), re.M))
    text = (folder / article.TEMPLATE).read_text()
    cited = set(re.findall(r"@([a-z]+\d{4})", text))
    assert cited == keys
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())["references"][0]
    assert citation["title"] in (folder / article.BIBLIOGRAPHY).read_text()
