"""What all pages have in common: their templates, and the question that they open with."""

from __future__ import annotations

import jinja2

QUESTION = "Do the ELS machine and trained diffusion networks draw the same pixels?"
"""What report, article and site open with."""


def template(name: str) -> jinja2.Template:
    """A page's template of this package; what it shows is escaped, and nothing may be undefined."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("patchmosaic.publish", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
