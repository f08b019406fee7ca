"""What an audit shows of a scan for backdoors that nobody has named."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aseptic.core.record import Results
from aseptic.report.keys import Entry, entry
from aseptic.report.scan.content import MODEL_LIMITS, Scanned, scanned

ANSWERS = {"infected": "Infected", "clean": "Clean at this power", "cannot tell": "Cannot tell"}
"""Answer to what a page says."""
VERDICT = "scan.verdict"
"""Id of the verdict of a scan beside another verdict."""
WITHOUT = (
    "The model was compared with no twins, so the evidence below is shown and not judged. `aseptic scan` trains twins "
    "once for a kind of model (--twins), and an audit takes its null.json (--null)."
)
"""What is said where there are no twins."""


@dataclass(frozen=True, kw_only=True)
class Hidden:
    """Everything that the section shows."""

    verdict: Entry | None
    """What all scanners together say; None where the record does not have it."""
    answer: str
    """The same in a word or two."""
    rule: str
    """How it follows from the scanners."""
    without: str
    """What is said where there are no twins; empty where there are."""
    scanned: Sequence[Scanned]
    """What each scanner found."""
    limits: Sequence[str]
    """What they do not say."""


def beside(folder: Path, results: Results) -> Hidden | None:
    """Return the section; None where no scanner came to an end."""
    found = scanned(folder, results, of_model=True)
    if not found:
        return None
    first = next((one for one in results.findings if one.id == VERDICT), None)
    args = {} if first is None else first.args
    return Hidden(
        verdict=None if first is None else entry(first),
        answer=ANSWERS.get(str(args.get("answer")), "No verdict"),
        rule=str(args.get("rule", "")),
        without="" if any(one.p_value.finding.value is not None for one in found) else WITHOUT,
        scanned=found,
        limits=MODEL_LIMITS,
    )
