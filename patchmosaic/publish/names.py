"""What pages, sections and the article's headings are called; this module imports nothing."""

NAMES = {
    "report": "Report",
    "explorer": "Mosaic explorer",
    "article": "Article",
    "manifest": "Manifest",
    "documentation": "Documentation",
    "verdicts": "Verdicts",
    "leaderboard": "Leaderboard",
    "pairs": "Pairs",
    "paper": "The paper\N{RIGHT SINGLE QUOTATION MARK}s tables, with ours",
    "equivalence": "The paper\N{RIGHT SINGLE QUOTATION MARK}s medians",
    "orderings": "The paper\N{RIGHT SINGLE QUOTATION MARK}s orderings",
    "headline": "Headline",
    "tails": "Low agreement",
    "paired": "Paired comparisons",
    "creativity": "Creativity",
    "claims": "Disputed claims",
    "controls": "Controls",
    "committed": "Committed numbers",
    "provenance": "Provenance",
    "tables": "On disk",
}
"""By key; the keys of sections are their places in the report."""

HELD_OUT = "held-out images"
"""A source in tables of novelty, the yardstick of the others."""

PAGES = {
    "report": "report/index.html",
    "leaderboard": "tables/leaderboard.html",
    "explorer": "explorer/index.html",
    "paper": "tables/paper.html",
}
"""Pages of a results folder, each at its place there."""
