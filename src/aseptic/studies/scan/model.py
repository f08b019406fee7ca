"""`scan_model`: is this model backdoored? Scanners, twins to compare with, and a verdict."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from aseptic.core.errors import InputError
from aseptic.core.record import Results, write_results
from aseptic.core.types import Images
from aseptic.data.imageset import ImageSet
from aseptic.engine.runner import Planned, Watcher, plan, run_cells
from aseptic.models.subject import Subject
from aseptic.scanners.aims import check_served
from aseptic.scanners.base import ModelScanner
from aseptic.scanners.calibration import Null
from aseptic.studies import facts
from aseptic.studies.audit.grid import TIMED_IMAGES, seconds_per_pass
from aseptic.studies.audit.infecting import check_plan
from aseptic.studies.audit.pairing import readable
from aseptic.studies.running import Asked, Facts, cells_of, record, run_folder
from aseptic.studies.scan.cells import drawn
from aseptic.studies.scan.prepared import Prepared, chosen, comparable, model_cells, scan_findings
from aseptic.studies.scan.settings import ScanSettings
from aseptic.studies.scan.twins import TwinGrid, Twins, twin_grid

MODEL_SCAN = "model"
"""What the record of a run says that it is a scan of."""


def prepare_scan(  # noqa: PLR0913 - a model, its data, its twins
    subject: Subject,
    data: ImageSet | None,
    settings: ScanSettings,
    *,
    training: Mapping[str, Any] | None = None,
    nulls: Mapping[str, Null] | None = None,
    max_bad: int | None = None,
) -> Prepared:
    """Return the cells of a scan; measures the time of one pass, computes nothing else.

    Args:
        subject: The model.
        data: Clean images, not those that it was trained on. For twins, a labelled set with its splits, of which
            ``settings.split`` is what is scanned with. None leaves the scanners that need no images.
        settings: What is asked for.
        training: Settings of `aseptic.models.train_config.TrainConfig` of the twins.
        nulls: Statistics of twins that were trained before, by scanner.
        max_bad: Unreadable files that are accepted; None accepts any number.

    Raises:
        InputError: The model has no one output that images could be led to, or can have no twins; a scanner is unknown
            or cannot serve; twins are both trained and given, or those given are not like the model.
    """
    check_served(subject.task)
    scanners, skipped = chosen(settings, given=data is not None)
    if nulls and settings.twins:
        raise InputError("either twins must be trained (--twins) or given (--null), and not both")
    spec = subject.spec
    whole = None if data is None else readable(data.fit(spec.size, spec.channels), max_bad=max_bad)
    part = None if whole is None else whole.split(settings.split) if settings.twins else whole
    shown = None if part is None else drawn(part, settings.images, settings.seed)
    images = _nothing(subject) if shown is None else shown.images
    timed = images[:TIMED_IMAGES] if len(images) else images.new_zeros(1, *images.shape[1:])
    one_pass = seconds_per_pass(subject, timed)
    grids = _grids(subject, whole, scanners, settings, training or {}, one_pass)
    return Prepared(
        subject=subject,
        data=shown,
        images=images,
        scanners=scanners,
        cells=model_cells(subject, scanners, shown, settings, one_pass),
        grids=grids,
        nulls=comparable(nulls or {}, scanners, subject, settings),
        skipped=tuple(skipped),
    )


def dry_run(prepared: Prepared, out: Path) -> tuple[Planned, ...]:
    """Return what `scan_model` would compute in this folder, and what it would reuse."""
    return plan(prepared.all_cells(), cells_of(out))


def scan_model(  # noqa: PLR0913 - what is scanned, where to write, and how
    prepared: Prepared,
    out: Path,
    *,
    settings: ScanSettings,
    resume: bool = False,
    asked: Asked | None = None,
    watch: Watcher = lambda _: None,
) -> Results:
    """Scan a model and its twins, judge it, and write the run folder without its page.

    Args:
        prepared: What `prepare_scan` returned. The model is the same afterwards, or a `ContractError` is raised.
        out: Run folder; cells that it holds are reused when ``resume`` is set.
        settings: The settings that `prepare_scan` was given.
        resume: Go on in a folder that already holds a run.
        asked: What the caller asked for, for the record.
        watch: Told of every cell.

    Raises:
        InputError: The folder already holds a run.
    """
    asked = asked or Asked()
    config = {"scan": MODEL_SCAN, "settings": settings.model_dump(mode="json"), **(asked.config or {})}
    subject = prepared.subject
    context: dict[str, Any] = {"model": subject, "images": prepared.images}
    for grid in prepared.grids.values():
        context |= grid.context(facts.device_of(subject))
    with run_folder(out, config, asked, resume=resume) as store:
        outcomes = run_cells(prepared.all_cells(), store, context=context, watch=watch)
        findings = scan_findings(prepared, settings, outcomes, out)
        said = Facts(
            environment=facts.environment(facts.device_of(subject)),
            model=facts.model(subject),
            data={} if prepared.data is None else facts.data(prepared.data),
        )
        ended = list(outcomes.values())
        results = record(findings, ended, said, asked=asked, config=config, skipped=prepared.skipped)
        write_results(results, out)
    return results


def _nothing(subject: Subject) -> Images:
    """Return no images, of the shape that the model is fed."""
    if subject.spec.size is None:
        raise InputError("images must be given (--data), or their size (--size): the model does not say its own")
    return torch.zeros(0, subject.spec.channels, *subject.spec.size)


def _grids(  # noqa: PLR0913, PLR0917 - what twins are made from
    subject: Subject,
    data: ImageSet | None,
    scanners: Mapping[str, ModelScanner],
    settings: ScanSettings,
    training: Mapping[str, Any],
    one_pass: float,
) -> dict[str, TwinGrid]:
    """Return the twins of each scanner; they share the networks."""
    if not settings.twins:
        return {}
    if data is None:
        raise InputError("twins must be given what they learn from (--data), got nothing")
    for one in settings.plans.values():
        check_plan(subject, data, one, pixels=True)
    twins = Twins(
        clean=settings.twins,
        plans=settings.plans,
        infected=max(settings.infected, 1),
        split=settings.split,
        images=settings.images,
        seed=settings.seed,
    )
    made = {name: twin_grid(subject, data, one, twins, training) for name, one in scanners.items()}
    return {name: replace(grid, one_pass=one_pass) for name, grid in made.items()}
