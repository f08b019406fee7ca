"""Makes the page of a scan: the verdict, the evidence of each scanner, and what it does not say."""

import json
import shlex
from pathlib import Path
from typing import Any

from aseptic.core.canon import file_sha256
from aseptic.core.record import Results, read_results, write_text
from aseptic.report import headline, tables
from aseptic.report.keys import by_section
from aseptic.report.rendering import ALL_PHANTOM, phantom_notes, render
from aseptic.report.scan.beside import ANSWERS
from aseptic.report.scan.content import MODEL_LIMITS, SET_LIMITS, scanned


def build_scan(run: Path) -> Path:
    """Write ``report.html`` and the charts of the run folder of a scan, and return the page.

    The same folder gives the same bytes.

    Raises:
        InputError: The folder holds no ``results.json``, or a picture in it cannot be read.
    """
    context = _context(run, read_results(run))
    for one in context["scanned"]:
        if one.chart:
            write_text(run / "figures" / f"{one.name}.svg", one.chart)
    return write_text(run / "report.html", render("scan.html.j2", context))


def _context(run: Path, results: Results) -> dict[str, Any]:
    of_model = results.config.get("scan") == "model"
    sections, config = by_section(results.findings), run / "config.yaml"
    verdict, notes = headline.verdict(results, sections), [str(note) for note in results.data.get("notes", [])]
    args = {} if verdict.entry is None else verdict.entry.finding.args
    return {
        "of_model": of_model,
        "subject": results.model.get("name", "Model") if of_model else results.data.get("name", "Data"),
        "results": results,
        "digest": file_sha256(run / "results.json"),
        "sections": {"other": sections["other"]},
        "verdict": verdict,
        "answer": ANSWERS.get(str(args.get("answer")), "No verdict"),
        "rule": str(args.get("rule", "")),
        "scanned": scanned(run, results, of_model=of_model),
        "limits": MODEL_LIMITS if of_model else SET_LIMITS,
        "notes": notes,
        "phantom": phantom_notes(results.data, notes),
        "phantom_scope": ALL_PHANTOM,
        "classes": [str(name) for name in results.model.get("classes", results.data.get("classes", []))],
        "seconds": sum(results.timings.values()),
        "command": shlex.join(results.command),
        "config": config.read_text(encoding="utf-8") if config.is_file() else json.dumps(results.config, indent=2),
        "shown": tables.SHOWN,
    }
