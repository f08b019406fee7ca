"""The cells of a matrix: infected and clean networks, and every defence on each of them."""

from collections.abc import Iterator

from aseptic.engine.cells import Cell
from aseptic.poisoning.plan import PoisonPlan
from aseptic.studies.backdoors.defending import cure, detect, inspect, scan
from aseptic.studies.backdoors.recipe import Known, learn, probe
from aseptic.studies.matrix.settings import CLEAN, Matrix


def matrix_cells(spec: Matrix, known: Known) -> list[Cell]:
    """Return every cell of a matrix, network by network, infected ones first.

    The names are those that `aseptic.studies.matrix.measures.matrix_measures` reads. A study that has one of these
    cells under another name already must name it as ``Matrix.cell`` does, since a grid holds every cell once.

    Args:
        spec: Triggers, defences and seeds.
        known: The set, with the splits ``train``, ``val`` and ``test``.
    """
    found: list[Cell] = []
    for trigger in spec.triggers:
        for seed in spec.seeds:
            plan = spec.plan(trigger, seed)
            model = learn(spec.cell("train", trigger, seed), spec.trained(seed), known, plan=plan)
            found += [model, probe(spec.cell("probe", trigger, seed), model, known, plan)]
            found += _cured(spec, known, model, trigger, seed)
            found += _judged(spec, known, model, (trigger, seed), plan)
            found += _scanned(spec, known, model, trigger, seed)
    for seed in spec.twin_seeds:
        model = learn(spec.cell("train", CLEAN, seed), spec.trained(seed), known)
        found.append(model)
        if seed in spec.judged_twins:
            found += _judged(spec, known, model, (CLEAN, seed), None)
        if seed in spec.twin_seeds[: spec.twins]:
            found += _scanned(spec, known, model, CLEAN, seed)
    return found


def _cured(spec: Matrix, known: Known, model: Cell, trigger: str, seed: int) -> Iterator[Cell]:
    plan = spec.plan(trigger, seed)
    for one in spec.defences("cures"):
        name, options = spec.cell("cure", trigger, seed, one.label), one.options
        yield cure(name, model, known, plan, defence=one.method, options=options, clean=spec.clean, seed=seed)


def _judged(spec: Matrix, known: Known, model: Cell, row: tuple[str, int], plan: PoisonPlan | None) -> Iterator[Cell]:
    for one in spec.defences("detectors"):
        yield detect(
            spec.cell("detect", *row, one.label),
            model,
            known,
            plan,
            detector=one.method,
            options=one.options,
            clean=spec.clean,
            images=spec.images,
            rate=spec.rate,
            seed=row[1],
        )
    for one in spec.defences("sets"):
        name = spec.cell("inspect", *row, one.label)
        yield inspect(name, model, known, scanner=one.method, options=one.options, draws=spec.draws, seed=row[1])


def _scanned(spec: Matrix, known: Known, model: Cell, trigger: str, seed: int) -> Iterator[Cell]:
    for one in spec.defences("scanners"):
        name, same = spec.cell("scan", trigger, seed, one.label), spec.seeds[0]
        yield scan(name, model, known, scanner=one.method, options=one.options, images=spec.scanned, seed=same)
