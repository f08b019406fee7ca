"""`scan_model`: is this model backdoored? Scanners, twins to compare with, and a verdict."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch

from aseptic.core.errors import InputError
from aseptic.core.record import Finding, Results, Skipped, write_results
from aseptic.core.types import Images
from aseptic.data.imageset import ImageSet
from aseptic.engine.cells import Cell
from aseptic.engine.runner import Outcome, Planned, Watcher, plan, run_cells
from aseptic.models.subject import Subject
from aseptic.scanners.aims import check_served
from aseptic.scanners.base import ModelScanner
from aseptic.scanners.calibration import Null, needed
from aseptic.scanners.catalogue import SCANNERS, make_scanner
from aseptic.studies import facts, raw
from aseptic.studies.audit import collect
from aseptic.studies.audit.grid import TIMED_IMAGES, seconds_per_pass
from aseptic.studies.audit.infecting import check_plan
from aseptic.studies.audit.pairing import readable
from aseptic.studies.running import Asked, Facts, cells_of, record, run_folder
from aseptic.studies.scan.cells import drawn
from aseptic.studies.scan.judging import found_by, judged, verdict
from aseptic.studies.scan.nulls import NULL_FILE, check_null, twin_rows, write_nulls
from aseptic.studies.scan.passes import most_passes
from aseptic.studies.scan.rates import shared
from aseptic.studies.scan.settings import ScanSettings
from aseptic.studies.scan.twins import TwinGrid, Twins, null_of, twin_grid

GIVEN = "aseptic.studies.scan.cells:scan_given"
MODEL_SCAN = "model"
"""What the record of a run says that it is a scan of."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A scan that can begin."""

    subject: Subject
    """The model."""
    data: ImageSet | None
    """The images that it is scanned with; None where only scanners run that need none."""
    images: Images
    """The same, or none of their shape."""
    cells: Mapping[str, Cell]
    """Name of a scanner to the cell that scans the model."""
    grids: Mapping[str, TwinGrid] = field(default_factory=dict)
    """Name of a scanner to the twins that are trained."""
    nulls: Mapping[str, Null] = field(default_factory=dict)
    """Name of a scanner to the statistics of twins that were trained before."""
    skipped: tuple[Skipped, ...] = ()
    """Scanners that are not run."""

    def all_cells(self) -> tuple[Cell, ...]:
        """Return every cell: the model first."""
        return (*self.cells.values(), *(cell for grid in self.grids.values() for cell in grid.cells()))

    @property
    def compared(self) -> int:
        """How many scanners are compared with twins, and so share the error rate."""
        return len({*self.grids, *self.nulls})

    def warnings(self, settings: ScanSettings) -> tuple[str, ...]:
        """Return what makes sure already that nothing can be said, in sentences."""
        rate = shared(settings.rate, self.compared)
        counts = dict.fromkeys(self.grids, settings.twins) | {n: len(one.clean) for n, one in self.nulls.items()}
        alone = [name for name in self.cells if name not in counts]
        few = [name for name, count in counts.items() if count < needed(rate)]
        said = []
        if alone:
            said.append(f"{', '.join(alone)} will not be able to tell: there are no twins to compare with")
        if few:
            said.append(
                f"{', '.join(few)} will not be able to tell: at least {needed(rate)} clean twins are needed, "
                f"and there are {min(counts[name] for name in few)}"
            )
        return tuple(said)


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
    scanners, skipped = _scanners(settings, given=data is not None)
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
    kept = _given(nulls or {}, scanners, subject, settings)
    basis = {
        "model": facts.model_key(subject),
        "outputs": list(subject.task.classes),
        "data": None if shown is None else shown.fingerprint(),
    }
    cells = {
        name: Cell(
            name=f"{name}/model",
            function=GIVEN,
            config={**basis, "scanner": one.describe(), "shown": settings.shown, "seed": settings.seed},
            estimate=one_pass * most_passes(one, len(subject.task.classes), len(images)),
        )
        for name, one in scanners.items()
    }
    return Prepared(
        subject=subject, data=shown, images=images, cells=cells, grids=grids, nulls=kept, skipped=tuple(skipped)
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
        findings = _findings(prepared, settings, outcomes, out)
        said = Facts(
            environment=facts.environment(facts.device_of(subject)),
            model=facts.model(subject),
            data={} if prepared.data is None else facts.data(prepared.data),
        )
        ended = list(outcomes.values())
        results = record(findings, ended, said, asked=asked, config=config, skipped=prepared.skipped)
        write_results(results, out)
    return results


def _findings(prepared: Prepared, settings: ScanSettings, outcomes: Mapping[str, Outcome], out: Path) -> list[Finding]:
    """Write rows, pictures and the statistics of twins; return what was found, the verdict first."""
    nulls = {**prepared.nulls, **{name: null_of(grid, outcomes) for name, grid in prepared.grids.items()}}
    (out / "rows").mkdir(exist_ok=True)
    if nulls:
        write_nulls(nulls, out / NULL_FILE)
        pq.write_table(twin_rows(nulls), out / "rows" / "twins.parquet")
    folders = collect.folders(prepared.cells.values(), outcomes)
    if not folders:
        return []
    pq.write_table(raw.gather(folders), out / "rows" / "scan.parquet")
    rate = shared(settings.rate, prepared.compared)
    found = {}
    for name, cell in prepared.cells.items():
        collect.copy_pictures(cell, outcomes, out / "figures")
        if (stored := collect.stored(cell, outcomes)) is not None:
            found[name] = judged(stored.value, nulls.get(name), rate=rate, power=settings.power)
    first = verdict({name: one.verdict for name, one in found.items()}, settings.rate, prepared.compared)
    return [first, *(each for one in found.values() for each in found_by(one))]


def _scanners(settings: ScanSettings, *, given: bool) -> tuple[dict[str, ModelScanner], list[Skipped]]:
    """Return the scanners that run, and those that do not because there are no images."""
    asked = settings.scanners if settings.scanners is not None else {name: {} for name in SCANNERS.names()}
    made = {name: make_scanner(name, **options) for name, options in asked.items()}
    idle = [name for name, one in made.items() if one.needs_images and not given]
    if idle and settings.scanners is not None:
        raise InputError(f"{' and '.join(idle)} must be given clean images (--data), got none")
    reason = "it needs clean images, and none were given (--data)"
    skipped = [Skipped(id=f"scan.{name}", title=f"The scanner {name}", reason=reason) for name in idle]
    return {name: one for name, one in made.items() if name not in idle}, skipped


def _given(
    nulls: Mapping[str, Null], scanners: Mapping[str, ModelScanner], subject: Subject, settings: ScanSettings
) -> dict[str, Null]:
    """Return the statistics of twins that scanners are compared with, once they are sure to be comparable."""
    kept = {name: null for name, null in nulls.items() if name in scanners}
    if nulls and not kept:
        raise InputError(f"twins must be scanned with one of {', '.join(scanners)}; got {', '.join(nulls)}")
    for name, null in kept.items():
        check_null(null, scanners[name], subject, settings)
    return kept


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
