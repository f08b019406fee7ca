"""A scan of one model that can begin: its scanners, its cells, what it is compared with, and what comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from aseptic.core.errors import InputError
from aseptic.core.record import Finding, Skipped
from aseptic.core.types import Images
from aseptic.data.imageset import ImageSet
from aseptic.engine.cells import Cell
from aseptic.engine.runner import Outcome
from aseptic.models.subject import Subject
from aseptic.scanners.base import ModelScanner
from aseptic.scanners.calibration import Null, needed
from aseptic.scanners.catalogue import SCANNERS, make_scanner
from aseptic.studies import facts, raw
from aseptic.studies.audit import collect
from aseptic.studies.scan.cells import shown_key
from aseptic.studies.scan.judging import found_by, judged, verdict
from aseptic.studies.scan.nulls import NULL_FILE, check_null, twin_rows, write_nulls
from aseptic.studies.scan.passes import most_passes
from aseptic.studies.scan.rates import shared
from aseptic.studies.scan.settings import ScanSettings
from aseptic.studies.scan.twins import TwinGrid, null_of

GIVEN = "aseptic.studies.scan.cells:scan_given"
SCAN_VERDICT = "scan.verdict"
"""Id of the verdict of a scan beside another verdict."""
OTHER_IMAGES = (
    "the twins were scanned with other images than the model, so that its rate of false alarms is not exactly known"
)
"""What is said where a scanner that needs images was shown others."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A scan that can begin."""

    subject: Subject
    """The model."""
    data: ImageSet | None
    """The images that it is scanned with; None where only scanners run that need none."""
    images: Images
    """The same, or none of their shape."""
    scanners: Mapping[str, ModelScanner]
    """Scanners by name."""
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
    def odd(self) -> dict[str, tuple[str, ...]]:
        """Name of a scanner to what makes the comparison with twins that were trained before doubtful."""
        if self.data is None:
            return {}
        own = shown_key(self.data)
        return {
            name: (OTHER_IMAGES,)
            for name, null in self.nulls.items()
            if self.scanners[name].needs_images and null.facts.get("shown", own) != own
        }

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
        said += [f"{', '.join(self.odd)}: {OTHER_IMAGES}"] if self.odd else []
        return tuple(said)


def chosen(settings: ScanSettings, *, given: bool) -> tuple[dict[str, ModelScanner], list[Skipped]]:
    """Return the scanners that run, and those that do not because there are no images.

    Args:
        settings: What is asked for.
        given: Whether there are images.

    Raises:
        InputError: A scanner is unknown, has no such setting, or was named and cannot serve.
    """
    asked = settings.scanners if settings.scanners is not None else {name: {} for name in SCANNERS.names()}
    made = {name: make_scanner(name, **options) for name, options in asked.items()}
    idle = [name for name, one in made.items() if one.needs_images and not given]
    if idle and settings.scanners is not None:
        raise InputError(f"{' and '.join(idle)} must be given clean images (--data), got none")
    reason = "it needs clean images, and none were given (--data)"
    skipped = [Skipped(id=f"scan.{name}", title=f"The scanner {name}", reason=reason) for name in idle]
    return {name: one for name, one in made.items() if name not in idle}, skipped


def comparable(
    nulls: Mapping[str, Null], scanners: Mapping[str, ModelScanner], subject: Subject, settings: ScanSettings
) -> dict[str, Null]:
    """Return the statistics of twins that scanners are compared with, once they are sure to be comparable.

    Raises:
        InputError: None is of one of the scanners, or twins are not like the model, or were scanned otherwise.
    """
    kept = {name: null for name, null in nulls.items() if name in scanners}
    if nulls and not kept:
        raise InputError(f"twins must be scanned with one of {', '.join(scanners)}; got {', '.join(nulls)}")
    for name, null in kept.items():
        check_null(null, scanners[name], subject, settings)
    return kept


def model_cells(
    subject: Subject,
    scanners: Mapping[str, ModelScanner],
    shown: ImageSet | None,
    settings: ScanSettings,
    one_pass: float,
) -> dict[str, Cell]:
    """Return the cell of each scanner that scans the model.

    Args:
        subject: The model.
        scanners: By name.
        shown: The images that it is scanned with; None where there are none.
        settings: What is asked for.
        one_pass: Seconds that a forward and backward pass takes for one image, for the estimate of the time.
    """
    outputs = subject.task.classes
    basis = {
        "model": facts.model_key(subject),
        "outputs": list(outputs),
        "data": None if shown is None else shown.fingerprint(),
        "shown": settings.shown,
        "seed": settings.seed,
    }
    count = 0 if shown is None else len(shown)
    return {
        name: Cell(
            name=f"{name}/model",
            function=GIVEN,
            config={**basis, "scanner": one.describe()},
            estimate=one_pass * most_passes(one, len(outputs), count),
        )
        for name, one in scanners.items()
    }


def scan_findings(
    prepared: Prepared, settings: ScanSettings, outcomes: Mapping[str, Outcome], out: Path
) -> list[Finding]:
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
            notes = prepared.odd.get(name, ())
            found[name] = judged(stored.value, nulls.get(name), rate=rate, power=settings.power, notes=notes)
    first = verdict({name: one.verdict for name, one in found.items()}, settings.rate, prepared.compared)
    return [first, *(each for one in found.values() for each in found_by(one))]
