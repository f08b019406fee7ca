"""Makes the pages of a study: ``report.html``, and ``study.md`` for a folder of documentation."""

import json
import shlex
from pathlib import Path
from typing import Any

from aseptic.core.record import write_text
from aseptic.report import tables
from aseptic.report.load import read_picture
from aseptic.report.rendering import render
from aseptic.report.study.content import Content, read_content
from aseptic.report.study.drawing import on_ground, panels
from aseptic.report.study.grids import tables_of
from aseptic.report.study.markdown import chart_file, markdown


def build_study(run: Path) -> Path:
    """Write ``report.html``, ``study.md`` and the charts of the run folder of a study, and return the page.

    The same folder gives the same bytes.

    Raises:
        InputError: The folder holds no ``results.json`` of a study, or a picture in it cannot be read.
    """
    content = read_content(run)
    context = _context(content)
    charts = [panel for _, panel in context["panels"]]
    for panel in charts:
        write_text(run / chart_file(panel), on_ground(panel.svg))
    write_text(run / "study.md", markdown(content, charts, context["grids"]))
    return write_text(run / "report.html", render("study.html.j2", context))


def _context(content: Content) -> dict[str, Any]:
    results, config = content.results, content.folder / "config.yaml"
    return {
        "content": content,
        "card": content.card,
        "results": results,
        "digest": content.digest,
        "phantom": content.phantom_notes(),
        "phantom_scope": content.phantom_scope(),
        "tone": _tone(content),
        "grids": tables_of(content.card.grids, content.by_id),
        "panels": panels(content.card.charts, content.by_id),
        "pictures": [(read_picture(content.folder, one.file), one.alt, one.caption) for one in content.card.pictures],
        "command": shlex.join(results.command) or content.command,
        "config": config.read_text(encoding="utf-8") if config.is_file() else json.dumps(results.config, indent=2),
        "shown": tables.SHOWN,
        "sections": {"other": []},
    }


def _tone(content: Content) -> str:
    """Return the colour of the banner: of a warning where a claim is not held, of good news where all are."""
    verdicts = {one.verdict for one in content.claims}
    return "medium" if "not held" in verdicts else "low" if verdicts == {"held"} else "none"
