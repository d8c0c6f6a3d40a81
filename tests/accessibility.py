"""What the accessibility checker axe-core finds in an open page: nothing, of WCAG 2 A and AA.

Its script comes with the package axe-playwright-python, of which nothing else is used.
"""

import importlib.util
import json
from pathlib import Path

import pytest

PACKAGE = "axe_playwright_python"
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
MORE_RULES = ("td-has-header", "focus-order-semantics", "label-content-name-mismatch")
COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}


def checker() -> str:
    """The checker's script; without its package the test that asks is skipped."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None:
        pytest.skip("axe-core is not installed: make .venv/axe")
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")


def violations(page) -> list[str]:
    """A line for each element that a rule finds fault with, in light and in dark colours.

    Rules of landmarks, headings and the order of focus are its best practices; MORE_RULES are those
    that it does not ask by itself.
    """
    page.evaluate(f"(() => {{ {checker()} }})()")
    rules = {"runOnly": STANDARDS, "rules": {name: {"enabled": True} for name in MORE_RULES}}
    found = []
    for scheme, options in {"light": rules, "dark": COLOURS}.items():
        wanted = [{"name": "prefers-color-scheme", "value": scheme}]
        page.call("Emulation.setEmulatedMedia", features=wanted)
        options = options | {"resultTypes": ["violations"]}
        result = page.evaluate(f"axe.run(document, {json.dumps(options)})")
        found += [
            f"{scheme}: {rule['id']}: {node['target']}: {node['failureSummary']}"
            for rule in result["violations"]
            for node in rule["nodes"]
        ]
    page.call("Emulation.setEmulatedMedia", features=[])
    return found
