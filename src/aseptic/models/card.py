"""``model.yaml``: the facts of a model that lie beside its weights."""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from aseptic.core.documents import read_mapping, told
from aseptic.core.errors import InputError

CARD_FILE = "model.yaml"
WEIGHTS_FILE = "model.safetensors"


class Card(BaseModel):
    """What `aseptic` must know to use a weights file; an unknown key is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)

    version: Literal[1] = 1
    """Version of this schema."""
    architecture: str
    """Name that `aseptic.models.archs.build` knows."""
    task: Literal["multiclass", "multilabel", "segmentation", "detection"]
    """What the outputs mean."""
    classes: Annotated[list[str], Field(min_length=1)]
    """Names of the outputs, in the order of the logits."""
    channels: Annotated[int, Field(ge=1)] = 3
    """Channels that the network is fed."""
    size: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=2, max_length=3)] | None = None
    """Pixels along each space axis that the network is fed; None leaves images at their own size."""
    mean: list[float] = [0.0]
    """Subtracted from each channel, in image units ([0, 1])."""
    std: list[float] = [1.0]
    """Divided out of each channel, in image units."""
    outputs: Literal["logits", "probabilities"] = "logits"
    """What the network itself returns; probabilities are turned back into logits."""
    offsets: list[float] = []
    """Operating point in logits, subtracted before the decision; empty means 0 for every output."""
    source: str = ""
    """Where the weights come from, in words."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of ``model.safetensors``."""
    training: dict[str, JsonValue] = {}
    """Summary of the training run, where it is known."""


def read_card(path: Path) -> Card:
    """Read and check a ``model.yaml``.

    Raises:
        InputError: The file is absent, is not YAML, or does not hold a card; the message names each wrong key.
    """
    try:
        return Card.model_validate(read_mapping(path))
    except ValidationError as error:
        raise InputError(f"{path} is not a model card: {told(error)}") from error


def card_text(card: Card) -> str:
    """Return the card as YAML, keys in the order of the schema."""
    text: str = yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return text
