"""From a matplotlib figure to an SVG text that a page can theme; the same figure gives the same bytes."""

import io
import re
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

PALETTE = {
    "ink": "#1b232b",
    "muted": "#59646f",
    "grid": "#dde2e7",
    "paper": "#fdfdfc",
    "clean": "#0a6b94",
    "attack1": "#c03a1d",
    "attack2": "#7a4a9e",
    "attack3": "#8a5a06",
    "noise": "#4f7f5b",
}
"""Colours by their CSS variable; the values are those of the light theme."""
SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "aseptic",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": PALETTE["muted"],
    "axes.labelcolor": PALETTE["ink"],
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": PALETTE["grid"],
    "grid.linewidth": 0.8,
    "text.color": PALETTE["ink"],
    "xtick.color": PALETTE["muted"],
    "ytick.color": PALETTE["muted"],
    "xtick.labelcolor": PALETTE["ink"],
    "ytick.labelcolor": PALETTE["ink"],
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}
"""Settings under which every figure is both drawn and written."""


def write_svg(figure: Figure) -> str:
    """Return the figure as SVG with literal colours, without dates; text stays text."""
    buffer = io.StringIO()
    with mpl.rc_context(SETTINGS):
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = re.sub(r"font: (\d[\d.]*px) [^;\"]*", r"font: \1 sans-serif", buffer.getvalue())
    return re.sub(
        r"<\?xml.*?\?>\s*|<!DOCTYPE.*?>\s*|<metadata>.*?</metadata>\s*|<!--.*?-->\s*", "", text, flags=re.DOTALL
    )


def inline_svg(text: str, name: str, palette: Mapping[str, str] = PALETTE) -> str:
    """Return an SVG that can stand in a page: colours are CSS variables, and names do not clash with other figures."""
    body = re.sub(r"<svg [^>]*?viewBox=\"([^\"]*)\"[^>]*>", r'<svg viewBox="\1" aria-hidden="true">', text, count=1)
    for variable, colour in palette.items():
        body = body.replace(colour, f"var(--{variable})")
    body = re.sub(r"\bid=\"([^\"]+)\"", rf'id="{name}-\1"', body)
    body = re.sub(r"xlink:href=\"#([^\"]+)\"", rf'href="#{name}-\1"', body)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body).replace("sans-serif", "var(--font)")
