"""`scan_set`: is this training set poisoned? Scanners, permuted labels to compare with, and a verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch

from aseptic.core.errors import InputError
from aseptic.core.record import Finding, Results, Skipped, write_results
from aseptic.data.imageset import ImageSet
from aseptic.data.matching import match_classes
from aseptic.engine.cells import Cell
from aseptic.engine.runner import Outcome, Planned, Watcher, plan, run_cells
from aseptic.models.guard import untouched
from aseptic.models.subject import Subject
from aseptic.scanners.calibration import needed
from aseptic.scanners.sets.base import TASKS, Evidence, SetScanner, grouped
from aseptic.scanners.sets.catalogue import SET_SCANNERS, make_set_scanner
from aseptic.studies import facts, raw
from aseptic.studies.audit import collect
from aseptic.studies.audit.pairing import LOOKED, readable
from aseptic.studies.running import Asked, Facts, cells_of, record, run_folder
from aseptic.studies.scan.clean_sets import COMPARE, Clean, clean_like
from aseptic.studies.scan.rates import shared
from aseptic.studies.scan.set_comparing import compared_with
from aseptic.studies.scan.set_judging import set_findings, set_verdict
from aseptic.studies.scan.settings import SetScanSettings
from aseptic.triggers.catalogue import describe_trigger
from aseptic.triggers.patterns import pin_trigger

LOOK = "aseptic.studies.scan.set_cells:look"
SET_SCAN = "set"
"""What the record of a run says that it is a scan of."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedSet:
    """A scan of a training set that can begin."""

    data: ImageSet
    """The set, as the network is fed it."""
    subject: Subject | None
    """The network that was trained on it, where there is one."""
    cells: Mapping[str, Cell]
    """Name of a scanner to its cell."""
    clean: tuple[ImageSet, ...] = ()
    """Sets that are known to be clean."""
    against: Mapping[str, Cell] = field(default_factory=dict)
    """Name of a scanner to the cell that compares the set with them."""
    deciding: tuple[str, ...] = ()
    """Scanners whose comparison with clean sets can say more than that something stands out."""
    skipped: tuple[Skipped, ...] = ()
    """Scanners that are not run."""

    def all_cells(self) -> tuple[Cell, ...]:
        """Return every cell."""
        return (*self.cells.values(), *self.against.values())


def prepare_set_scan(
    data: ImageSet,
    subject: Subject | None,
    settings: SetScanSettings,
    *,
    clean: Sequence[ImageSet] = (),
    max_bad: int | None = None,
) -> PreparedSet:
    """Return the cells of a scan of a training set; reads every image once, computes nothing else.

    Args:
        data: The set with its labels.
        subject: The network that was trained on it; None leaves the scanners that need none.
        settings: What is asked for.
        clean: Sets of the same kind that are known to be clean.
        max_bad: Unreadable files that are accepted; None accepts any number.

    Raises:
        InputError: The set has no labels that can be scanned, or other classes than the model; a scanner is unknown or
            cannot serve; no label has enough images; there are too few permutations or parts of clean sets for the
            rate; or clean sets are not of the kind of the suspected one.
    """
    if data.task not in TASKS:
        raise InputError(f"a scanned set must be labelled for {' or '.join(TASKS)}, got {data.task or 'no labels'}")
    scanners, skipped = _scanners(settings, given=subject is not None)
    if settings.draws < (least := needed(shared(settings.rate, len(scanners)))):
        share = f"{100 * settings.rate:g} % over {len(scanners)} scanner{'s' * (len(scanners) != 1)}"
        raise InputError(f"draws must be at least {least} for a rate of {share}, got {settings.draws}")
    fed = readable(_fed(data, subject), max_bad=max_bad)
    none = Evidence(rows=torch.empty(len(fed), 0), targets=fed.targets, classes=fed.classes)
    for name, one in scanners.items():
        sizes = {group.name: len(group.rows) for group in grouped(none, absent=one.absent)}
        if max(sizes.values()) < one.at_least:
            told = ", ".join(f"{label} {size}" for label, size in sizes.items())
            raise InputError(f"some label must have at least {one.at_least} images for {name}; got {told}")
    basis = {
        "data": fed.fingerprint(),
        "batch_size": settings.batch_size,
        "draws": settings.draws,
        "shown": settings.shown,
        "seed": settings.seed,
    }
    key = None if subject is None else facts.model_key(subject)
    cells = {
        name: Cell(
            name=f"{name}/set",
            function=LOOK,
            config={**basis, "scanner": {"name": name, **asdict(one)}, "model": key if one.needs_model else None},
        )
        for name, one in scanners.items()
    }
    deciding = tuple(name for name, one in scanners.items() if not one.needs_model)
    prepared = PreparedSet(data=fed, subject=subject, cells=cells, deciding=deciding, skipped=tuple(skipped))
    if not clean:
        if settings.plans:
            raise InputError("poison must come with clean sets that it is put into (--clean), got none")
        return prepared
    if settings.parts < (fewest := needed(shared(settings.rate, len(deciding)))):
        raise InputError(
            f"parts must be at least {fewest} for a rate of {100 * settings.rate:g} %, got {settings.parts}"
        )
    made = clean_like(fed, [readable(one, max_bad=max_bad) for one in clean], settings.parts)
    for name, one in scanners.items():
        if max(made.sizes.values()) < one.at_least:
            told = ", ".join(f"{label or 'all'} {size}" for label, size in made.sizes.items())
            raise InputError(
                f"some label must have at least {one.at_least} images for {name} in a part of a clean set; got {told}"
            )
    return replace(prepared, clean=made.sets, against=_against(prepared, made, settings))


def _against(prepared: PreparedSet, clean: Clean, settings: SetScanSettings) -> dict[str, Cell]:
    """Return the cells that compare the set with clean ones; poison is tried where no network has to learn it."""
    # They may have been made for a whole set, of which these are parts.
    free = {"data": None, "splits": ("train",)}
    pinned = {
        kind: {**free, "trigger": describe_trigger(pin_trigger(one.made))} for kind, one in settings.plans.items()
    }
    plans = {kind: one.model_copy(update=pinned[kind]).model_dump(mode="json") for kind, one in settings.plans.items()}
    basis = {
        "clean": [one.fingerprint() for one in clean.sets],
        "sizes": dict(clean.sizes),
        "overlap": clean.overlap,
        "share": clean.share,
        "parts": settings.parts,
        "infected": settings.infected,
    }
    found = {}
    for name, look in prepared.cells.items():
        kept = {key: look.config[key] for key in ("scanner", "model", "data", "batch_size", "seed")}
        own = plans if name in prepared.deciding else {}
        config = {**basis, **kept, "plans": own}
        found[name] = Cell(name=f"{name}/clean-sets", function=COMPARE, config=config, inputs={"look": look})
    return found


def dry_run(prepared: PreparedSet, out: Path) -> tuple[Planned, ...]:
    """Return what `scan_set` would compute in this folder, and what it would reuse."""
    return plan(prepared.all_cells(), cells_of(out))


def scan_set(  # noqa: PLR0913 - what is scanned, where to write, and how
    prepared: PreparedSet,
    out: Path,
    *,
    settings: SetScanSettings,
    resume: bool = False,
    asked: Asked | None = None,
    watch: Watcher = lambda _: None,
) -> Results:
    """Scan a training set, judge it, and write the run folder without its page.

    Args:
        prepared: What `prepare_set_scan` returned. The model is the same afterwards, or a `ContractError` is raised.
        out: Run folder; cells that it holds are reused when ``resume`` is set.
        settings: The settings that `prepare_set_scan` was given.
        resume: Go on in a folder that already holds a run.
        asked: What the caller asked for, for the record.
        watch: Told of every cell.

    Raises:
        InputError: The folder already holds a run.
    """
    asked = asked or Asked()
    config = {"scan": SET_SCAN, "settings": settings.model_dump(mode="json"), **(asked.config or {})}
    data, subject = prepared.data, prepared.subject
    context = {"model": subject, "data": data, "clean": prepared.clean}
    with run_folder(out, config, asked, resume=resume) as store:
        cells = prepared.all_cells()
        if subject is None:
            outcomes = run_cells(cells, store, context=context, watch=watch)
        else:
            with untouched(subject):
                outcomes = run_cells(cells, store, context=context, watch=watch)
        findings = _findings(prepared, settings, outcomes, out)
        said = Facts(
            environment=facts.environment("cpu" if subject is None else facts.device_of(subject)),
            model={} if subject is None else facts.model(subject),
            data=facts.data(data),
        )
        ended = list(outcomes.values())
        results = record(findings, ended, said, asked=asked, config=config, skipped=prepared.skipped)
        write_results(results, out)
    return results


def _findings(
    prepared: PreparedSet, settings: SetScanSettings, outcomes: Mapping[str, Outcome], out: Path
) -> list[Finding]:
    """Write rows and thumbnails; return what was found, the verdict first."""
    folders = collect.folders(prepared.cells.values(), outcomes)
    if not folders:
        return []
    (out / "rows").mkdir(exist_ok=True)
    pq.write_table(raw.gather(folders), out / "rows" / "suspicion.parquet")
    rate = shared(settings.rate, len(prepared.cells))
    found: dict[str, Mapping[str, Any]] = {}
    for name, cell in prepared.cells.items():
        collect.copy_pictures(cell, outcomes, out / "figures")
        if (stored := collect.stored(cell, outcomes)) is not None:
            found[name] = stored.value
    strict = shared(settings.rate, len(prepared.deciding))
    against = {
        name: compared_with(found[name], stored.value, strict, settings.power, decides=name in prepared.deciding)
        for name, cell in prepared.against.items()
        if name in found and (stored := collect.stored(cell, outcomes)) is not None
    }
    first = set_verdict(found, settings.rate, rate, len(prepared.cells), against)
    return [
        first,
        *(each for name, value in found.items() for each in set_findings(name, value, rate, against.get(name))),
    ]


def _fed(data: ImageSet, subject: Subject | None) -> ImageSet:
    """Return the set as the network is fed it; without a network, as it is, if its images are of one size."""
    if subject is not None:
        if data.task != subject.task.name:
            raise InputError(f"data must be {subject.task.name} as the model is, got {data.task}")
        return match_classes(data, subject.task.classes).fit(subject.spec.size, subject.spec.channels)
    shapes = {tuple(data.read(row).pixels.shape) for row in range(min(len(data), LOOKED))}
    if data.size is None and len({shape[1:] for shape in shapes}) > 1:
        raise InputError("size must be given (--size): the images are of several sizes, and no model says its own")
    return data.fit(None, 1 if len({shape[0] for shape in shapes}) > 1 else None)


def _scanners(settings: SetScanSettings, *, given: bool) -> tuple[dict[str, SetScanner], list[Skipped]]:
    """Return the scanners that run, and those that do not because there is no model."""
    asked = settings.scanners if settings.scanners is not None else {name: {} for name in SET_SCANNERS.names()}
    made = {name: make_set_scanner(name, **options) for name, options in asked.items()}
    idle = [name for name, one in made.items() if one.needs_model and not given]
    if idle and settings.scanners is not None:
        raise InputError(
            f"{' and '.join(idle)} must be given the model that was trained on the set (--model), got none"
        )
    reason = "it needs the model that was trained on the set, and none was given (--model)"
    skipped = [Skipped(id=f"scan.{name}", title=f"The scanner {name}", reason=reason) for name in idle]
    return {name: one for name, one in made.items() if name not in idle}, skipped
