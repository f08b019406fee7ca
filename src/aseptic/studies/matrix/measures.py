"""The numbers of a matrix over its seeds, from raw rows: ``matrix.<trigger>.<defence>.<metric>``."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aseptic.core.estimate import Estimate
from aseptic.core.record import Finding, finding
from aseptic.data.imageset import ImageSet
from aseptic.metrics.bootstrap import SHARE
from aseptic.metrics.decisions import proportion
from aseptic.metrics.seeds import over_seeds
from aseptic.studies.backdoors.measures import OWN
from aseptic.studies.frame.measuring import Computed, Measure
from aseptic.studies.infection.measure import BACKDOOR
from aseptic.studies.matrix.ruling import CHANGE, RULE, Row, Ruled, clean_null, flagged
from aseptic.studies.matrix.settings import BYPASSED, CLEAN, NONE, Asked, Kind, Matrix
from aseptic.studies.scan.set_judging import stands_out

METRICS: Mapping[Kind, Mapping[str, str]] = {
    "scanners": {
        "found": "Networks with {trigger} that {defence} calls infected, beside clean ones",
        "aim": "Networks with {trigger} for which {defence} names the attacker's target",
    },
    "sets": {
        "auroc": "Training images poisoned with {trigger} told from clean ones by {defence} (AUROC)",
        "stood_out": "Training sets poisoned with {trigger} that stand out from permuted ones for {defence}",
    },
    "detectors": {
        "tpr": "Images with {trigger} that {defence} catches where it flags {rate:.3g} % of the clean ones",
        "auroc": "Images with {trigger} told from clean ones by {defence} (AUROC)",
    },
    "cures": {
        "success_left": "Images with {trigger}, none of the target, answered as the attacker wants after {defence}",
        "clean_change": "{quality} on clean images after {defence} against {trigger}, minus before",
    },
}
"""Kind of defence to its numbers and their titles; the first is shown in the table."""
SHARES = frozenset({"found", "aim", "stood_out"})
"""Numbers that are yes or no for each network: their interval is Wilson's, over the seeds."""
NAMES = {"success_left": "success_other", "found": "share", "aim": "share", "stood_out": "share"}
"""Number to the name of its metric, where that differs."""
KINDS_OF_CELLS: Mapping[Kind, str] = {
    "scanners": "scan",
    "sets": "inspect",
    "detectors": "detect",
    "cures": "cure",
}
"""Kind of defence to what its cells are called."""
QUALITY = {
    "accuracy": "Accuracy",
    "auroc_macro": "Mean AUROC of the classes",
    "dice": "Mean Dice of the structures",
    "map50": "mAP at overlap 0.5",
}
"""Main number of a task to its name."""


def matrix_measures(spec: Matrix, data: ImageSet) -> list[Measure]:
    """Return every number of a matrix.

    Args:
        spec: What `aseptic.studies.matrix.grid.matrix_cells` was given.
        data: The set; only its task and classes are looked at.
    """
    found: list[Measure] = []
    for trigger in spec.triggers:
        found.append(undefended(spec, data, trigger))
        found += [defended(spec, data, trigger, one) for one in spec.defences()]
        found.append(bypassed(spec, data, trigger))
    return [*found, *(false_alarms(spec, one) for one in spec.defences("scanners", "sets", "detectors"))]


def undefended(spec: Matrix, data: ImageSet, trigger: str) -> Measure:
    """Return how well a backdoor works where nothing stands against it: ``matrix.fiba.none.success_left``."""
    main = OWN[str(data.task)][0]
    titles = {
        "success_left": f"Images with {trigger}, none of the target, answered as the attacker wants, without a defence",
        "clean": f"{QUALITY[main]} on clean images of networks with {trigger}, without a defence",
    }

    def read(computed: Computed) -> Iterator[Finding]:
        each = {seed: _row(spec, data, trigger, seed, computed).undefended() for seed in spec.seeds}
        for metric, title in titles.items():
            own = {seed: numbers[metric] for seed, numbers in each.items()}
            name = {"success_left": "success_other", "clean": main}[metric]
            yield _told(spec.finding(trigger, NONE, metric), title, name, over_seeds([*own.values()], SHARE), own)

    cells = tuple(spec.cell("probe", trigger, seed) for seed in spec.seeds)
    gives = tuple(spec.finding(trigger, NONE, metric) for metric in titles)
    return Measure(title=f"{trigger} without a defence", gives=gives, cells=cells, read=read)


def defended(spec: Matrix, data: ImageSet, trigger: str, one: Asked) -> Measure:
    """Return how a defence fares against a trigger, and in how many of the networks it is bypassed."""
    main = OWN[str(data.task)][0]
    words = {"trigger": trigger, "defence": one.label, "rate": 100 * spec.rate, "quality": QUALITY[main]}

    def read(computed: Computed) -> Iterator[Finding]:
        rows = {seed: _row(spec, data, trigger, seed, computed) for seed in spec.seeds}
        ruled = {seed: row.rule(one) for seed, row in rows.items()}
        for metric, title in METRICS[one.kind].items():
            own = {seed: found.numbers[metric] for seed, found in ruled.items()}
            name = f"{main}_change" if metric == "clean_change" else NAMES.get(metric, metric)
            args = {"defence": one.method, "settings": one.options, "facts": _facts(ruled)}
            estimate = _over(metric, [*own.values()])
            yield _told(spec.finding(trigger, one.label, metric), title.format(**words), name, estimate, own, **args)
        past = _past({seed: found for seed, found in ruled.items() if rows[seed].works()})
        title = f"Networks with a working {trigger} in which it bypasses {one.label}"
        estimate = proportion(sum(past.values()), len(past))
        answers = {seed: float(answer) for seed, answer in past.items()}
        yield _told(spec.finding(trigger, one.label, BYPASSED), title, "share", estimate, answers, rule=RULE)

    gives = tuple(spec.finding(trigger, one.label, metric) for metric in (*METRICS[one.kind], BYPASSED))
    return Measure(title=f"{one.label} against {trigger}", gives=gives, cells=_cells(spec, trigger, one), read=read)


def bypassed(spec: Matrix, data: ImageSet, trigger: str) -> Measure:
    """Return which share of the defences a trigger bypasses, network by network: ``matrix.fiba.bypassed``."""
    asked, name = [*spec.defences()], f"{spec.name}.{trigger}.{BYPASSED}"

    def read(computed: Computed) -> Iterator[Finding]:
        rows = [_row(spec, data, trigger, seed, computed, draws=1) for seed in spec.seeds]
        shares: dict[int, Estimate] = {}
        which: dict[str, dict[str, bool]] = {one.label: {} for one in asked}
        for row in rows:
            if row.works():
                answers = {one.label: row.rule(one).bypassed for one in asked}
                known = {label: answer for label, answer in answers.items() if answer is not None}
                shares[row.seed] = proportion(sum(known.values()), len(known))
                for label, answer in known.items():
                    which[label][str(row.seed)] = answer
        exact = [Estimate(value=part.value, low=_NAN, high=_NAN, n=part.n) for part in shares.values()]
        estimate = over_seeds(exact, SHARE)
        title = f"Defences that a working {trigger} bypasses, of {len(asked)}"
        yield _told(name, title, "share", estimate, shares, rule=RULE, defences=which)

    cells = dict.fromkeys(cell for one in asked for cell in _cells(spec, trigger, one))
    return Measure(title=f"what {trigger} bypasses", gives=(name,), cells=tuple(cells), read=read)


_NAN = float("nan")


def false_alarms(spec: Matrix, one: Asked) -> Measure:
    """Return how often a defence accuses the innocent: ``matrix.clean.strip.false_positive_rate``.

    Of detectors, the share of clean test images that is flagged, in clean networks; of scanners of sets, the share of
    clean training sets that stand out; of scanners of models, the share of clean networks that is called infected,
    which the number of clean networks fixes.
    """
    name = spec.finding(CLEAN, one.label, "false_positive_rate")
    seeds = spec.twin_seeds[: spec.twins] if one.kind == "scanners" else spec.judged_twins
    cells = {seed: spec.cell(KINDS_OF_CELLS[one.kind], CLEAN, seed, one.label) for seed in seeds}
    what = {
        "scanners": f"Clean networks that {one.label} calls infected, with as many to compare with",
        "sets": f"Clean training sets that stand out from permuted ones for {one.label}",
        "detectors": f"Clean test images that {one.label} flags, in clean networks",
    }

    def read(computed: Computed) -> Iterator[Finding]:
        own: dict[int, float]
        if one.kind == "scanners":
            own = {seed: float(computed.value(cell)["statistic"]) for seed, cell in cells.items()}
            estimate = clean_null(spec, one, computed).false_positives(spec.rate)
        elif one.kind == "sets":
            own = {seed: float(stands_out(computed.value(cell), spec.rate)) for seed, cell in cells.items()}
            estimate = proportion(round(sum(own.values())), len(own))
        else:
            shares = {seed: flagged(computed.rows(cell)) for seed, cell in cells.items()}
            own, estimate = {seed: share.value for seed, share in shares.items()}, over_seeds([*shares.values()], SHARE)
        yield _told(name, what[one.kind], "false_positives", estimate, own, rate=spec.rate)

    return Measure(title=f"false alarms of {one.label}", gives=(name,), cells=tuple(cells.values()), read=read)


def _row(spec: Matrix, data: ImageSet, trigger: str, seed: int, computed: Computed, **more: int) -> Row:
    return Row(spec=spec, data=data, trigger=trigger, seed=seed, computed=computed, **more)


def _cells(spec: Matrix, trigger: str, one: Asked) -> tuple[str, ...]:
    """Return the names of the cells that say how a defence fares."""
    kind = KINDS_OF_CELLS[one.kind]
    own = [
        spec.cell(name, trigger, seed, label)
        for seed in spec.seeds
        for name, label in (("probe", ""), (kind, one.label))
    ]
    null = spec.twin_seeds[: spec.twins] if one.kind == "scanners" else ()
    return (*own, *(spec.cell(kind, CLEAN, seed, one.label) for seed in null))


def _over(metric: str, parts: Sequence[Estimate]) -> Estimate:
    if metric in SHARES:
        known = [part.value for part in parts if part.known]
        return proportion(round(sum(known)), len(known))
    return over_seeds(parts, CHANGE if metric == "clean_change" else SHARE)


def _past(ruled: Mapping[int, Ruled]) -> dict[int, bool]:
    return {seed: found.bypassed for seed, found in ruled.items() if found.bypassed is not None}


def _facts(ruled: Mapping[int, Ruled]) -> dict[str, Any]:
    return {str(seed): dict(found.facts) for seed, found in ruled.items() if found.facts}


def _told(
    name: str,
    title: str,
    metric: str,
    estimate: Estimate,
    each: Mapping[int, Estimate | float],
    **args: Any,  # noqa: ANN401 - JSON values
) -> Finding:
    """Return a finding with the numbers of the seeds behind it; one that was not measured is null."""
    values = {
        str(seed): one if isinstance(one, float) else one.value if one.known else None for seed, one in each.items()
    }
    told = {**args, "seeds": values}
    return finding(name, title, method="matrix", metric=metric, estimate=estimate, args=told, threat=BACKDOOR)
