"""The three sizes at which a study can be run, and what each needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Scale = Literal["smoke", "desk", "paper"]
"""``smoke``: phantoms, minutes on two cores. ``desk``: real images from folders. ``paper``: the published data."""
SCALES: tuple[Scale, ...] = get_args(Scale)


@dataclass(frozen=True, kw_only=True)
class AtScale:
    """What a study is at one scale."""

    departures: tuple[str, ...]
    """How a run departs from the paper, one sentence each."""
    takes: str
    """How long it takes, on what machine: ``about a minute on two cores``."""
    needs: Mapping[str, str] = field(default_factory=dict)
    """Data set that must be given as ``--data NAME=PATH``, to what it must be, in words."""
