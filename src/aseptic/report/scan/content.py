"""What the page of a scan shows, gathered from the record alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aseptic.core.record import Finding, Results
from aseptic.report.keys import Entry, entry
from aseptic.report.load import Picture, read_picture
from aseptic.report.scan.drawing import strip

MODEL_LIMITS = (
    (
        "A comparison is as good as its twins: a model that was trained on other data, for longer or from other "
        "weights than its twins differs from them for honest reasons."
    ),
    (
        "Clean means clean of the kinds of backdoor that the infected twins carry, and only of those. Every scanner is "
        "blind to whole families; its documentation says to which."
    ),
    (
        "Infected is a suspicion with a number: a mark that only one hospital burns into its images is a shortcut, "
        "too. Look at what was recovered, and try it with `aseptic audit --trigger`."
    ),
)
"""What no scan of a model shows."""
SET_LIMITS = (
    (
        "A label that looks poisoned may hold images of another scanner or hospital, or two kinds of clean images. "
        "Look at the images that are named."
    ),
    "Poison that all labels have alike, or that makes up half of a label, is not seen.",
    "Not found is not clean, but for poison of the kinds that were put into clean sets to see whether it is found.",
)
"""What no scan of a training set shows."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """An output of the model, or a label of the set."""

    name: str
    """Which."""
    entry: Entry
    """Its score."""
    reached: float | None
    """Share of the images, or of the starts, that what was recovered leads to it."""
    index: float | None
    """Published anomaly index."""
    p_value: float | None
    """Of a label: against permuted labels."""
    picture: Picture | None
    """What was recovered."""
    mask: Picture | None
    """Where it is."""
    factor: int
    """How many times it is amplified."""


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A suspicious image of a set."""

    name: str
    """Its id."""
    label: str
    """Its label."""
    suspicion: float
    """Higher is more suspicious."""
    picture: Picture | None
    """The image."""


@dataclass(frozen=True, kw_only=True)
class Scanned:
    """What one scanner found."""

    name: str
    """The scanner."""
    answer: str
    """What it says."""
    target: str
    """The most suspicious output or label."""
    sentences: Sequence[str]
    """What it found, in words."""
    settings: Mapping[str, Any]
    """Search settings."""
    p_value: Entry
    """The number behind the answer."""
    statistic: Entry | None
    """What was compared."""
    false_positives: Entry | None
    """Clean models that are called infected."""
    powers: Sequence[Entry]
    """Infected twins, or poisoned sets, that are found, by kind."""
    among: str
    """What the statistic is compared with."""
    seconds: Entry | None
    """Time."""
    outputs: Sequence[Output]
    """Outputs or labels, the most suspicious first."""
    chart: str
    """The statistic among those that it was compared with, as SVG; empty where there are none."""
    alt: str
    """The same in words."""
    suspects: Sequence[Suspect]
    """The most suspicious images."""


def scanned(folder: Path, results: Results, *, of_model: bool) -> list[Scanned]:
    """Return what every scanner found, in the order of the record; ``of_model``, or else of a training set."""
    by_scanner: dict[str, list[Finding]] = {}
    for one in results.findings:
        if one.id.startswith("scan."):
            by_scanner.setdefault(str(one.args.get("scanner", "")), []).append(one)
    return [
        _scanned(folder, name, found, of_model=of_model)
        for name, found in by_scanner.items()
        if any(one.metric == "p_value" for one in found)
    ]


def _scanned(folder: Path, name: str, found: Sequence[Finding], *, of_model: bool) -> Scanned:
    first = next(one for one in found if one.metric == "p_value")
    statistic = _one(found, "statistic")
    groups = _groups(statistic, of_model=of_model)
    value = None if statistic is None else statistic.finding.args.get("compared", statistic.finding.value)
    return Scanned(
        name=name,
        answer=str(first.args.get("answer", "cannot tell")),
        target=str(first.args.get("target", "")),
        sentences=[str(line) for line in first.args.get("sentences", [])],
        settings={key: value for key, value in first.args.get("settings", {}).items() if key != "name"},
        p_value=entry(first),
        statistic=statistic,
        false_positives=_one(found, "false_positives"),
        powers=[entry(one) for one in found if one.metric == "power"],
        among=next(iter(groups), "nothing"),
        seconds=_one(found, "seconds"),
        outputs=sorted(
            (_output(folder, one) for one in found if one.metric == "score"),
            key=lambda one: -float("inf") if one.entry.finding.value is None else one.entry.finding.value,
            reverse=True,
        ),
        chart=""
        if value is None or not groups
        else strip(value, groups, whose="this model" if of_model else "this set"),
        alt=_alt(name, value, groups),
        suspects=[_suspect(folder, one) for one in first.args.get("suspicious", [])],
    )


def _one(found: Iterable[Finding], metric: str) -> Entry | None:
    return next((entry(one) for one in found if one.metric == metric), None)


def _groups(statistic: Entry | None, *, of_model: bool) -> dict[str, list[float]]:
    """Return the name of each group that the statistic is compared with, and its statistics."""
    if statistic is None:
        return {}
    args = statistic.finding.args
    clean = {"clean twins" if of_model else str(args.get("among", "permuted labels")): args.get("clean", [])}
    infected = {f"infected: {kind}": values for kind, values in args.get("infected", {}).items()}
    return {name: [float(one) for one in values] for name, values in {**clean, **infected}.items() if values}


def _alt(name: str, value: float | None, groups: Mapping[str, Sequence[float]]) -> str:
    if value is None or not groups:
        return ""
    told = "; ".join(f"{group}: {len(own)} from {min(own):.3g} to {max(own):.3g}" for group, own in groups.items())
    return f"Statistic of {name}: {value:.3g}. {told}."


def _output(folder: Path, found: Finding) -> Output:
    args = found.args
    factor = args.get("factor", 1)
    return Output(
        name=str(args.get("output", "")),
        entry=entry(found),
        reached=_number(args.get("reached")),
        index=_number(args.get("index")),
        p_value=_number(args.get("p_value")),
        picture=read_picture(folder, args.get("picture")),
        mask=read_picture(folder, args.get("mask")),
        factor=factor if isinstance(factor, int) else 1,
    )


def _suspect(folder: Path, found: Mapping[str, Any]) -> Suspect:
    return Suspect(
        name=str(found.get("id", "")),
        label=str(found.get("label", "")),
        suspicion=_number(found.get("suspicion")) or 0.0,
        picture=read_picture(folder, found.get("picture")),
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
