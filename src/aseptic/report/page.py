"""Makes the page of a run: one HTML file that needs nothing but itself."""

import base64
import hashlib
import json
import shlex
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from aseptic.core.record import write_text
from aseptic.report import headline, method, tables, words
from aseptic.report.calibration import Bin, reliability
from aseptic.report.charts import diagram
from aseptic.report.curves import Panel, panels, standing
from aseptic.report.keys import by_section
from aseptic.report.load import Run, read_run
from aseptic.report.svg import inline_svg
from aseptic.report.wording import wording_of


def build(run: Path) -> Path:
    """Write ``report.html`` and the charts of a run folder, and return the page.

    The same folder gives the same bytes.

    Raises:
        InputError: The folder holds no ``results.json``, or a file in it cannot be read.
    """
    loaded = read_run(run)
    context = _context(loaded)
    for panel in context["panels"]:
        write_text(run / "figures" / f"{panel.name}.svg", panel.svg)
    if context["standing"]:
        write_text(run / "figures" / "survival.svg", context["standing"].svg)
    if context["reliability"]:
        write_text(run / "figures" / "reliability.svg", context["reliability"])
    return write_text(run / "report.html", _render(context))


def _context(run: Run) -> dict[str, Any]:
    results, sections = run.results, by_section(run.results.findings)
    task = str(results.model.get("task", results.data.get("task", "")))
    classes = [str(name) for name in results.model.get("classes", results.data.get("classes", []))]
    verdict, wording = headline.verdict(results, sections), wording_of(task)
    # Without labels the rows hold the clean decisions as targets, and nothing of the section is measured.
    bins: list[Bin] = reliability(run.clean_rows, task, classes) if sections["clean"] and wording.calibration else []
    drawn: list[Panel] = panels(sections, task, classes, verdict.grey)
    notes = [str(note) for note in results.data.get("notes", [])]
    return {
        "run": run,
        "results": results,
        "sections": sections,
        "verdict": verdict,
        "wording": wording,
        "keys": headline.key_numbers(sections, wording, verdict.grey),
        "panels": drawn,
        "standing": standing(sections["survival"]),
        "bins": bins,
        "reliability": diagram(bins) if bins else "",
        "damage": tables.damage(sections["damage"]),
        "drift": tables.pivot(sections["drift"]),
        "storage": tables.pivot(sections["storage"]),
        "stored": headline.storage_columns(sections),
        "by_attack": tables.by_class([e for e in sections["probe"] if e.metric != wording.repeated]),
        "parts": tables.parts(sections["class"], verdict.grey),
        "per_class": tables.by_class(sections["clean"]),
        "examples": [tables.example(run.folder, found) for found in run.examples],
        "threat": method.threat(sections, wording),
        "techniques": method.techniques(results.findings),
        "limits": method.limits(results),
        "command": shlex.join(results.command),
        "notes": notes,
        "config": run.config or json.dumps(results.config, indent=2),
        "phantom": [note for note in notes if "phantom" in note.lower()] or _phantom(results.data),
        "classes": classes,
        "seconds": sum(results.timings.values()),
        "shown": tables.SHOWN,
    }


def _phantom(data: dict[str, Any]) -> list[str]:
    made = "phantom" in f"{data.get('name', '')}".lower()
    return ["The images are phantoms: drawn by a program, not taken of patients."] if made else []


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


def _render(context: dict[str, Any]) -> str:
    templates = files("aseptic.report") / "templates"
    script, style = ((templates / name).read_text(encoding="utf-8") for name in ("page.js", "style.css"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    # Both files are our own and hold nothing of the run, so they are not escaped.
    own = {"script": Markup(script), "style": Markup(style), "script_hash": digest}  # noqa: S704
    return _environment().get_template("page.html.j2").render(**context, **own)


def _svg(text: str, name: str) -> Markup:
    """Return a chart for the page; matplotlib has escaped every text in it."""
    return Markup(inline_svg(text, name))  # noqa: S704
