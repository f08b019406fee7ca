"""Makes the page of a run: one HTML file that needs nothing but itself."""

import json
import shlex
from pathlib import Path
from typing import Any

from aseptic.core.record import read_results, write_text
from aseptic.report import headline, method, tables
from aseptic.report.calibration import Bin, reliability
from aseptic.report.charts import diagram
from aseptic.report.curves import Panel, panels, standing
from aseptic.report.infection import infection
from aseptic.report.keys import by_section
from aseptic.report.load import Run, read_run
from aseptic.report.rendering import ALL_PHANTOM, phantom_notes, render
from aseptic.report.scan.beside import beside
from aseptic.report.scan.page import build_scan
from aseptic.report.study.page import build_study
from aseptic.report.wording import wording_of


def build(run: Path) -> Path:
    """Write ``report.html`` and the charts of a run folder, of an audit, a scan or a study, and return the page.

    The same folder gives the same bytes.

    Raises:
        InputError: The folder holds no ``results.json``, or a file in it cannot be read.
    """
    config = read_results(run).config
    if "study" in config:
        return build_study(run)
    if "scan" in config:
        return build_scan(run)
    loaded = read_run(run)
    context = _context(loaded)
    for panel in context["panels"]:
        write_text(run / "figures" / f"{panel.name}.svg", panel.svg)
    if context["standing"]:
        write_text(run / "figures" / "survival.svg", context["standing"].svg)
    if context["reliability"]:
        write_text(run / "figures" / "reliability.svg", context["reliability"])
    for one in context["hidden"].scanned if context["hidden"] else ():
        if one.chart:
            write_text(run / "figures" / f"{one.name}.svg", one.chart)
    return write_text(run / "report.html", render("page.html.j2", context))


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
        "digest": run.digest,
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
        "infection": infection(sections["infection"]),
        "infected": [tables.example(run.folder, found) for found in run.infected],
        "hidden": beside(run.folder, results),
        "threat": method.threat(sections, wording),
        "techniques": method.techniques(results.findings),
        "limits": method.limits(results),
        "command": shlex.join(results.command),
        "notes": notes,
        "config": run.config or json.dumps(results.config, indent=2),
        "phantom": phantom_notes(results.data, notes),
        "phantom_scope": ALL_PHANTOM,
        "classes": classes,
        "seconds": sum(results.timings.values()),
        "shown": tables.SHOWN,
    }
