"""What a study is: a paper's claims and traps, a grid of cells, and what is measured on their rows."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar, final

from pydantic import BaseModel

from aseptic.core.errors import ContractError
from aseptic.data.imageset import ImageSet
from aseptic.engine.cells import Cell
from aseptic.report.study.card import Chart, Grid
from aseptic.studies.frame.claims import Claim
from aseptic.studies.frame.measuring import Measure
from aseptic.studies.frame.scales import AtScale, Scale
from aseptic.studies.frame.traps import Trap

S = TypeVar("S", bound=BaseModel)
"""Settings of a study."""


@dataclass(frozen=True, kw_only=True)
class Setup(Generic[S]):
    """What a run of a study is about."""

    scale: Scale
    """The scale."""
    settings: S
    """The settings at that scale."""
    data: Mapping[str, ImageSet]
    """The opened data sets, by the names that the study gives them."""
    fingerprints: Mapping[str, str]
    """Content hash of each data set, for the configuration of the cells that depend on it."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A PNG that a cell leaves in its folder and the page shows."""

    cell: str
    """Name of the cell."""
    file: str
    """Name of the file in the cell's folder."""
    alt: str
    """The picture in words."""
    caption: str
    """What it shows."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Study(Generic[S]):
    """A paper's experiment, to be run at several scales.

    Raises:
        ContractError: Two claims or two traps share a name, or there is no scale.
    """

    name: str
    """First author and year: ``cohen2019``."""
    title: str
    """Authors, title and year of the paper."""
    paper: str
    """Address of the paper."""
    claims: tuple[Claim, ...]
    """What the paper says."""
    traps: tuple[Trap, ...] = ()
    """Where its code and a sensible reading part."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """First part of the ids of findings (up to the dot) to the heading of their table."""
    scales: Mapping[Scale, AtScale]
    """What each scale needs and how it departs from the paper; the smallest first."""
    settings: Callable[[Scale, int], S]
    """Settings at a scale, from the root seed."""
    open: Callable[[Scale, S, Mapping[str, str]], Mapping[str, ImageSet]]
    """Opens the data: from the paths that were given by name, or drawn as phantoms. They reach the cells as
    ``job.context["data"]``."""
    cells: Callable[[Setup[S]], Sequence[Cell]]
    """The grid. What a cell depends on stands in its configuration, data sets by their fingerprints."""
    measures: Callable[[Setup[S]], Sequence[Measure]]
    """Every number, from raw rows alone."""
    charts: Callable[[Setup[S]], Sequence[Chart]] = lambda _: ()
    """What is drawn."""
    grids: Callable[[Setup[S]], Sequence[Grid]] = lambda _: ()
    """What is shown as a table of many rows and columns."""
    pictures: Callable[[Setup[S]], Sequence[Picture]] = lambda _: ()
    """What cells have drawn."""

    def __post_init__(self) -> None:
        """Refuse what no page could show."""
        distinct([claim.id for claim in self.claims], f"claims of study {self.name}")
        distinct([trap.number for trap in self.traps], f"traps of study {self.name}")
        if not self.scales:
            raise ContractError(f"study {self.name} must have at least one scale, got none")


def distinct(names: Iterable[str], what: str) -> set[str]:
    """Return the names as a set; raise `ContractError` where one is there twice."""
    counts = Counter(names)
    if twice := next((name for name, count in counts.items() if count > 1), None):
        raise ContractError(f"{what} must have distinct names, got {twice!r} twice")
    return set(counts)
