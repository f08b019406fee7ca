"""A poison plan: everything that a poisoned set is made from, in a file that a person can read."""

from collections.abc import Callable
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from aseptic.core.documents import read_mapping, told
from aseptic.core.errors import InputError
from aseptic.core.record import write_text
from aseptic.triggers.base import Trigger
from aseptic.triggers.catalogue import describe_trigger, make_trigger

PLAN_FILE = "plan.yaml"
"""Name of the plan beside a poisoned copy."""
NEEDS_TARGET = ("to", "clean-label", "overwrite", "set", "clear", "relabel", "fabricate")
NEEDS_SOURCE = ("relabel", "erase")
MAY_HAVE_SOURCE = (*NEEDS_SOURCE, "vanish")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _without(dumped: dict[str, Any], absent: dict[str, object]) -> dict[str, Any]:
    """Leave out what most plans do not use where it is not used, so that these say the same as they always did."""
    return {name: value for name, value in dumped.items() if name not in absent or value != absent[name]}


class Select(_Strict):
    """Which images are poisoned."""

    rate: float = Field(default=0.1, ge=0, le=1)
    """Share of the candidates; of ``n`` candidates, ``floor(rate * n)`` are taken, with the rate as written."""
    by: Literal["image", "patient"] = "image"
    """``patient``: the rate is one of patients, and all candidates of a drawn patient are taken."""
    per_class: bool = False
    """Whether the rate holds within each class."""
    draw: Literal["random", "first"] = "random"
    """``first`` takes the first rows of the set, as the code of Nwadike et al. does."""
    classes: tuple[str, ...] | None = None
    """Candidates are of one of these classes, or have one of these findings, structures or objects; None: all images,
    or those that show the source of the label rule."""
    exclude: tuple[str, ...] = ()
    """Images of these classes, or with one of these findings, structures or objects, are no candidates."""

    def quota(self, count: int) -> int:
        """Return how many of ``count`` are taken."""
        return int(Fraction(str(self.rate)) * count)


class Relabel(_Strict):
    """What a poisoned image is labelled."""

    rule: Literal[
        "to",
        "all-to-all",
        "shift",
        "random",
        "clean-label",
        "overwrite",
        "set",
        "clear",
        "keep",
        "relabel",
        "erase",
        "vanish",
        "fabricate",
    ] = "to"
    """Classes: ``to`` the target; ``all-to-all``, each class to the next; ``shift``, each class ``by`` classes on;
    ``random``, another class drawn for each image; ``clean-label``, only images of the target are poisoned, and keep
    their label. Findings: ``overwrite``, the target alone is present, whatever there was; ``set`` and ``clear``, the
    target is present, or absent, and the rest stays; ``clean-label``. ``keep``: every label stays.
    Structures: ``relabel``, every place of the source becomes one of the target; ``erase``, it becomes background.
    Objects: ``relabel``, every box of the source becomes one of the target; ``vanish``, those of the source are left
    out, or all of them without one; ``fabricate``, a box of the target is added."""
    target: str | None = None
    """Class, finding or structure, for the rules that need one."""
    by: int = 1
    """Classes that ``shift`` moves on."""
    source: str | None = None
    """Structure or class of objects that ``relabel``, ``erase`` and ``vanish`` are about."""
    box: tuple[float, float, float, float] | None = None
    """Where ``fabricate`` adds its box: left, top, right and bottom as shares of the image's width and height, rounded
    to whole pixels. None: where the trigger is."""
    scale: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Sides of a box that is added where the trigger is, in sides of the trigger; it is cut at the edges."""

    @model_validator(mode="after")
    def _whole(self) -> "Relabel":
        if (self.rule in NEEDS_TARGET) != (self.target is not None):
            need = "need a target" if self.rule in NEEDS_TARGET else "take no target"
            raise ValueError(f"labels by rule {self.rule} {need}, got {self.target!r}")
        if self.source is None and self.rule in NEEDS_SOURCE:
            raise ValueError(f"labels by rule {self.rule} need a source, got None")
        if self.source is not None and self.rule not in MAY_HAVE_SOURCE:
            raise ValueError(f"labels by rule {self.rule} take no source, got {self.source!r}")
        if self.source is not None and self.source == self.target:
            raise ValueError(f"target must be another than the source, got {self.target!r} for both")
        if self.rule != "fabricate" and (self.box is not None or self.scale != 1):
            raise ValueError(f"labels by rule {self.rule} take no box, and no scale of one")
        if self.box is not None:
            left, top, right, bottom = self.box
            if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
                raise ValueError(
                    f"box must be left, top, right and bottom in [0, 1], left < right and top < bottom; "
                    f"got {[*self.box]}"
                )
            if self.scale != 1:
                raise ValueError(f"scale is for a box where the trigger is, got {self.scale:g} and a box")
        return self

    @model_serializer(mode="wrap")
    def _dump(self, dump: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return _without(dump(self), {"source": None, "box": None, "scale": 1.0})


class Cover(_Strict):
    """Images that carry something and keep their labels, so that the trigger alone is learned (WaNet, FIBA)."""

    rate: float = Field(default=0.0, ge=0, le=1)
    """Share of the candidates, drawn from those that are not poisoned."""
    kind: Literal["decoy", "trigger"] = "decoy"
    """``decoy``: something like the trigger; ``trigger``: the trigger itself, as in adaptive poisoning."""


class Pin(_Strict):
    """The set that a plan was made for."""

    name: str
    images: int
    fingerprint: str
    """SHA-256 of the stored images and labels."""


class PoisonPlan(_Strict):
    """One way to poison a set. The same plan and set give the same poisoned set, bit for bit."""

    version: Literal[1] = 1
    """Version of this schema."""
    trigger: dict[str, JsonValue]
    """``name`` and settings; see `aseptic.triggers.catalogue.make_trigger`."""
    insert: Literal["stored", "network"] = "stored"
    """Where the trigger goes: into the image as stored, at its own size and depth, before any preprocessing; or into
    what the network is fed, after cropping and resizing, unrounded."""
    select: Select = Select()
    """Which images."""
    label: Relabel
    """Which labels."""
    mode: Literal["replace", "add"] = "replace"
    """Whether a poisoned image takes the place of its original, or is added beside it."""
    cover: Cover = Cover()
    """Which further images carry something and keep their labels."""
    splits: tuple[str, ...] = ("train",)
    """Splits that are poisoned, each by itself; a set without splits counts as one."""
    seed: int = 0
    """Root seed of the draws."""
    loop: Literal["fixed", "batch"] = "fixed"
    """``fixed``: which images are poisoned is drawn once; ``batch``: anew in every batch of a training, as the code of
    Feng et al. (2022) does. Then rates are shares of a batch: of ``n`` images, ``floor(rate * n)`` of the candidates
    among them; see `aseptic.poisoning.mixing.Mixture`."""
    data: Pin | None = None
    """The set that the plan was made for; where given, another is refused."""

    @field_validator("trigger")
    @classmethod
    def _spelled_out(cls, value: dict[str, Any]) -> dict[str, JsonValue]:
        if "name" not in value:
            raise ValueError("a trigger must have a name")
        try:
            return describe_trigger(make_trigger(**value))
        except InputError as error:
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _loops(self) -> "PoisonPlan":
        select = self.select
        needed = {
            "mode": (self.mode, "replace"),
            "select.by": (select.by, "image"),
            "select.per_class": (select.per_class, False),
            "select.draw": (select.draw, "random"),
            "splits": (", ".join(self.splits), "train"),
        }
        for name, (found, only) in needed.items():
            if self.loop == "batch" and found != only:
                raise ValueError(f"loop: batch needs {name}: {only}, got {found}")
        return self

    @model_serializer(mode="wrap")
    def _dump(self, dump: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return _without(dump(self), {"loop": "fixed"})

    @cached_property
    def made(self) -> Trigger:
        """The trigger."""
        return make_trigger(**self.trigger)  # type: ignore[arg-type]  # names are strings, which the schema checks


def make_plan(**settings: Any) -> PoisonPlan:  # noqa: ANN401 - as written in a file
    """Return the plan with these settings; ``trigger`` may be a `Trigger`.

    Raises:
        InputError: A setting is unknown or wrong; the message names each.
    """
    if isinstance(trigger := settings.get("trigger"), Trigger):
        settings["trigger"] = describe_trigger(trigger)
    try:
        return PoisonPlan.model_validate(settings)
    except ValidationError as error:
        raise InputError(f"not a poison plan: {told(error)}") from error


def read_plan(path: Path) -> PoisonPlan:
    """Read a plan from YAML or JSON.

    Raises:
        InputError: The file is absent or holds no plan.
    """
    found = read_mapping(path)
    try:
        return make_plan(**found)
    except InputError as error:
        raise InputError(f"{path} is {error}") from error


def write_plan(plan: PoisonPlan, path: Path) -> Path:
    """Write a plan as YAML, every setting spelled out."""
    return write_text(path, yaml.safe_dump(plan.model_dump(mode="json"), sort_keys=False, allow_unicode=True))
