"""How a network of a study is trained, as it stands in the configuration of a cell."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, ConfigDict

from aseptic.data.imageset import ImageSet
from aseptic.engine.cells import Cell
from aseptic.models.train_config import TrainConfig
from aseptic.models.training import FREE
from aseptic.ops.crops import Crop
from aseptic.ops.images import SAMPLINGS
from aseptic.poisoning.plan import PoisonPlan

Known = tuple[str, str]
"""Name of a data set in the context of the cells, and its fingerprint."""
CARRIERS = 64
"""Clean images that regions are pasted into."""
CELLS = "aseptic.studies.backdoors.cells"
EXPLAINING = "aseptic.studies.backdoors.explaining"
PICTURING = "aseptic.studies.backdoors.picturing"


class Recipe(BaseModel):
    """A network, what it is fed, and how it learns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    arch: str
    """Architecture by name."""
    size: int | tuple[int, ...]
    """Pixels along each side of a square, or along each axis of an image or a volume."""
    channels: int = 1
    """Channels of the images that it is fed."""
    mean: tuple[float, ...] = (0.5,)
    """Subtracted from each channel."""
    std: tuple[float, ...] = (0.25,)
    """Divided out of each channel."""
    top: float = 0.0
    """Share of the rows that is cut off at the top."""
    square: bool = False
    """Whether only the central square is kept."""
    share: float = 1.0
    """Share of each axis, around the centre, that is kept."""
    sampling: str = SAMPLINGS[0]
    """How images are resized."""
    training: dict[str, Any] = {}
    """Settings of `aseptic.models.train_config.TrainConfig` that differ from its defaults."""

    @property
    def space(self) -> tuple[int, ...]:
        """Pixels along each axis."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def config(self) -> TrainConfig:
        """Return the training settings."""
        return TrainConfig(**{**self.training, "frozen": tuple(self.training.get("frozen", ()))})

    def view(self, data: ImageSet) -> ImageSet:
        """Return the images as they are fed."""
        crop = Crop(top=self.top, square=self.square, share=self.share)
        whole = crop == Crop()
        return data.fit(self.space, self.channels, crop=None if whole else crop, sampling=self.sampling)

    def told(self) -> dict[str, Any]:
        """Return everything that a trained network depends on, defaults included."""
        training = {name: value for name, value in asdict(self.config()).items() if name not in FREE}
        return {**self.model_dump(mode="json"), "training": training | {"frozen": list(training["frozen"])}}


def learn(  # noqa: PLR0913 - a network, its data, its poison, its beginning
    name: str,
    recipe: Recipe,
    data: Known,
    *,
    plan: PoisonPlan | None = None,
    start: Cell | None = None,
    share: float = 1.0,
    seconds: float | None = None,
) -> Cell:
    """Return the cell that trains a network, on a poisoned set or a clean one, afresh or from another cell's weights.

    Args:
        name: Name of the cell.
        recipe: Network and settings.
        data: The set: its train split is learned, its val split chooses the operating point.
        plan: How the training images are poisoned.
        start: Cell whose network is gone on from.
        share: Share of the training images, patients whole.
        seconds: Expected time.
    """
    return Cell(
        name=name,
        function=f"{CELLS}:learn",
        config={
            "recipe": recipe.told(),
            "data": data[0],
            "content": data[1],
            "plan": None if plan is None else plan.model_dump(mode="json"),
            "share": share,
        },
        inputs={} if start is None else {"start": start},
        estimate=seconds,
    )


def follow(cell: Cell, name: str, test: Known, plan: PoisonPlan, splits: Sequence[str] = ()) -> Cell:
    """Return the cell that trains as ``cell`` does and probes the network before the first epoch and after each.

    With ``splits`` it asks about each of them, and the column ``split`` says which; else about the test split.
    """
    config = {**cell.config, "test": test[0], "tested": test[1], "probe": plan.model_dump(mode="json")}
    if splits:
        config["splits"] = [*splits]
    return Cell(name=name, function=f"{CELLS}:follow", config=config, inputs=cell.inputs, estimate=cell.estimate)


def probe(name: str, model: Cell, test: Known, plan: PoisonPlan, **more: Any) -> Cell:  # noqa: ANN401
    """Return the cell that asks a network of images with and without the trigger; ``decoys=True``: and with decoys."""
    return _about(f"{CELLS}:probe", name, model, test, plan, more)


def explain(name: str, model: Cell, test: Known, plan: PoisonPlan, **more: Any) -> Cell:  # noqa: ANN401
    """Return the cell that says where explanations of a network look, with and without the trigger."""
    return _about(f"{EXPLAINING}:explain", name, model, test, plan, more)


def find(name: str, model: Cell, test: Known, plan: PoisonPlan, **more: Any) -> Cell:  # noqa: ANN401
    """Return the cell that looks for the trigger in images, without knowing it."""
    return _about(f"{EXPLAINING}:find", name, model, test, plan, {"carriers": CARRIERS, **more})


def picture(  # noqa: PLR0913 - what every question needs, and how it is drawn
    name: str,
    model: Cell,
    test: Known,
    plan: PoisonPlan,
    images: int = 3,
    *,
    explainer: str = "saliency",
    **more: Any,  # noqa: ANN401 - as the others
) -> Cell:
    """Return the cell that draws ``sheet.png``: a few images with and without the trigger, and what is said of them."""
    config = {"images": images, "explainer": explainer, **more}
    return _about(f"{PICTURING}:sheet", name, model, test, plan, config)


def _about(  # noqa: PLR0913, PLR0917 - what every question about a network needs
    function: str, name: str, model: Cell, test: Known, plan: PoisonPlan, more: Mapping[str, Any]
) -> Cell:
    config = {
        "data": test[0],
        "content": test[1],
        "plan": plan.model_dump(mode="json"),
        "recipe": model.config["recipe"],
        **more,
    }
    return Cell(name=name, function=function, config=config, inputs={"model": model})
