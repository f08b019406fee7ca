"""The page of a study as Markdown, to be kept with the documentation: no paths, the charts, every number."""

import re
from collections.abc import Iterable, Iterator, Sequence

from aseptic.core.record import Finding
from aseptic.report import words
from aseptic.report.curves import Panel
from aseptic.report.study.content import Content, Group, Pair, Side, Told
from aseptic.report.study.grids import Place, Table

SPECIAL = re.compile(r"[\\`*_\[\]<>|#$~]")
"""Characters that would be taken for mark-up."""


def markdown(content: Content, charts: Sequence[Panel] = (), grids: Sequence[Table] = ()) -> str:
    """Return the page of a study as Markdown; the charts lie beside it, where `chart_file` says."""
    card, results = content.card, content.results
    made = f"Study `{card.name}` at scale `{content.scale}`, {results.created:%Y-%m-%d}, aseptic "
    computed = f"{len(results.timings)} cells were computed in {words.duration(content.seconds)}. "
    lines = [
        *(f"# {escape(card.title)}", "", f"{made}{results.aseptic_version}. Paper: <{card.paper}>.", ""),
        *(f"**{content.headline()}.**", "", "```text", content.command, "```", ""),
        *_phantoms(content),
        *_claims(content.claims),
        *_traps(content.traps),
        *("## How this run departs from the paper", ""),
        *(f"- {escape(one)}" for one in card.departures or ("In nothing that is known.",)),
        "",
        *(line for grid in grids for line in _grid(grid)),
        *_charts(charts),
        *("## Numbers", "", "Intervals are 95 %; n counts images.", ""),
        *(line for group in content.groups for line in _numbers(group)),
        *_gaps(content),
        *_data(content),
        *("## Machine", ""),
        *table(("fact", "value"), [(escape(name), escape(value)) for name, value in results.environment.items()]),
        f"{computed}SHA-256 of `results.json`: `{content.digest}`.",
    ]
    return "\n".join(lines) + "\n"


def chart_file(panel: Panel) -> str:
    """Return where the file of a chart lies in the folder of a run."""
    return f"figures/{panel.name}.svg"


def escape(text: str) -> str:
    r"""Return a text that stays text in a table of Markdown.

    >>> escape("a|b_c\nd")
    'a\\|b\\_c d'
    """
    return SPECIAL.sub(lambda found: "\\" + found[0], " ".join(text.split()))


def _charts(panels: Sequence[Panel]) -> Iterator[str]:
    """Yield the charts; their numbers stand in the tables."""
    if panels:
        yield from ("## Charts", "")
    for panel in panels:
        yield from (f"![{escape(panel.title)}]({chart_file(panel)})", "")
        yield from ((escape(f"{panel.title}. {panel.caption}".strip())), "")


def _grid(grid: Table) -> Iterator[str]:
    """Yield a grid; the ids of its findings stand in the tables of all numbers."""
    yield from (f"## {escape(grid.title)}", "", escape(f"{grid.legend} {grid.caption}".strip()), "")
    head = [f"{escape(one.label)}<br>({escape(one.group)})" for one in grid.columns]
    rows = ([f"**{escape(label)}**", *(_place(one) for one in places)] for label, places in grid.rows)
    yield from table(("", *head), rows)


def _place(place: Place | None) -> str:
    if place is None:
        return ""
    parts = (place.mark, place.value, f"({place.interval})" if place.interval else "")
    return " ".join(part for part in parts if part)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table and an empty one."""
    for row in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(row)} |"
    yield ""


def number(found: Finding) -> str:
    """Return a number with its interval and its count.

    >>> number(Finding(id="a", title="a", method="a", metric="success", value=0.5, ci_low=0.4, ci_high=0.6, n=10))
    '50.0 % (40.0 to 60.0 %, n = 10)'
    """
    value = words.amount(found.value, found.metric, found.unit)
    inside = ", ".join(part for part in (words.interval(found), words.count(found)) if part)
    return f"{value} ({inside})" if inside else value


def _phantoms(content: Content) -> Iterator[str]:
    if notes := content.phantom_notes():
        yield f"> Phantom data: {escape('; '.join(notes)).removesuffix('.')}."
        yield from (f"> {escape(content.phantom_scope())}", "")


def _claims(claims: Sequence[Told]) -> Iterator[str]:
    yield from ("## Claims", "")
    if not claims:
        yield from ("The study judges no claims.", "")
        return
    rows = [
        (
            f"**{one.verdict}**",
            f"“{escape(one.finding.title)}” ({escape(one.where)})",
            one.published,
            "; ".join(f"{number(e.finding)} `{e.finding.id}`" for e in one.measured) or "not measured",
            f"{escape(one.criterion)}: {escape(one.reason)}",
        )
        for one in claims
    ]
    yield from table(("verdict", "claim", "published", "measured", "must be, and why so judged"), rows)


def _traps(traps: Sequence[Pair]) -> Iterator[str]:
    if not traps:
        return
    yield from ("## Traps", "", "Where the authors' released code and a sensible reading part, both were run.", "")
    rows = []
    for one in traps:
        sides = [_side(side) for side in one.sides.values()] or ["", ""]
        rows.append((one.number, escape(one.finding.title), *sides, escape(one.done)))
    yield from table(("trap", "what it is", "as released", "corrected", "what was done"), rows)


def _side(side: Side) -> str:
    return number(side.entry.finding) if side.entry else escape(side.reason)


def _numbers(group: Group) -> Iterator[str]:
    rows = [
        (
            escape(e.finding.title),
            words.amount(e.finding.value, e.finding.metric, e.finding.unit),
            words.interval(e.finding),
            "" if e.finding.n is None else str(e.finding.n),
            f"`{e.finding.id}`",
        )
        for e in group.entries
    ]
    yield from (f"### {escape(group.title)}", "", *table(("what", "value", "95 % interval", "n", "id"), rows))


def _gaps(content: Content) -> Iterator[str]:
    gaps = [(one.id, one.reason) for one in content.results.failed]
    gaps += [(one.id, one.reason) for one in content.results.skipped]
    if gaps:
        yield from ("## Not measured", "", *(f"- `{name}`: {escape(reason)}" for name, reason in gaps), "")


def _data(content: Content) -> Iterator[str]:
    yield from ("## Data", "")
    rows = [
        (
            f"`{name}`",
            escape(str(one.get("name", ""))),
            str(one.get("n_used", "")),
            str(one.get("patients") or "not identified"),
            f"`{str(one.get('fingerprint', ''))[:12]}`",
        )
        for name, one in content.results.data.items()
    ]
    yield from table(("name", "set", "images", "patients", "fingerprint"), rows)
    notes = [str(note) for one in content.results.data.values() for note in one.get("notes", [])]
    yield from (*(f"- {escape(note)}" for note in dict.fromkeys(notes)), *([""] if notes else []))
