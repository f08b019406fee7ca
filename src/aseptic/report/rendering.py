"""From a context to one HTML file that needs nothing but itself."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from aseptic.report import words
from aseptic.report.svg import inline_svg

ALL_PHANTOM = "Every number on this page was measured on them. None of it says anything about patients."
"""What a page says where all of its data is drawn by a program."""


def render(template: str, context: Mapping[str, Any]) -> str:
    """Return the page that a template makes of a context; everything in the context is escaped."""
    templates = files("aseptic.report") / "templates"
    script, style = ((templates / name).read_text(encoding="utf-8") for name in ("page.js", "style.css"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    # Both files are our own and hold nothing of the run, so they are not escaped.
    own = {"script": Markup(script), "style": Markup(style), "script_hash": digest}  # noqa: S704
    return _environment().get_template(template).render(**context, **own)


def phantom_notes(data: Mapping[str, Any], notes: Sequence[str]) -> list[str]:
    """Return what a page must say of a data set that is drawn by a program; nothing of any other."""
    said = [note for note in notes if "phantom" in note.lower()]
    made = "phantom" in f"{data.get('name', '')}".lower()
    return said or (["The images are phantoms: drawn by a program, not taken of patients."] if made else [])


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("aseptic.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(words=words, svg=_svg)
    return environment


def _svg(text: str, name: str) -> Markup:
    """Return a chart for the page; matplotlib has escaped every text in it."""
    return Markup(inline_svg(text, name))  # noqa: S704
