"""Cells that follow a trigger through preparation and augmentation: what of it reaches the network, and where."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import torch

from aseptic.core.rng import stream
from aseptic.engine.cells import Job
from aseptic.models.augment import augment
from aseptic.models.train_config import TrainConfig
from aseptic.ops.crops import Crop
from aseptic.ops.images import SAMPLINGS, resize
from aseptic.studies import raw
from aseptic.triggers.catalogue import make_trigger

GREY = 0.5
"""Grey value of the images that a trigger is followed on."""
AFTER = "after"
"""The trigger goes into what the network is fed."""


def prepared(job: Job) -> Mapping[str, Any]:
    """Cell: the pixels of square triggers that are left after a central crop and a resize, by every rule."""
    config, rows = job.config, []
    crop, size = Crop(share=config["share"]), (config["size"],) * 2
    plain = torch.full((1, 1, config["side"], config["side"]), GREY)
    for side in config["triggers"]:
        trigger = make_trigger("patch", size=side, value=0.0, place="centre")
        for method in (*SAMPLINGS, AFTER):
            if method == AFTER:
                fed = trigger.apply(torch.full((1, 1, *size), GREY))
            else:
                fed = resize(crop.apply(trigger.apply(plain)), size, method)
            change = (fed - GREY).abs()
            rows.append(
                {
                    "side": side,
                    "method": method,
                    "pixels": float((change > 0.5 / 255).sum()),
                    "largest": float(change.max()),
                }
            )
    raw.save([pa.Table.from_pylist(rows)], job.folder)
    return {"rows": len(rows)}


def augmented(job: Job) -> Mapping[str, Any]:
    """Cell: the share of a trigger's pixels that are in the trigger's own place after augmentation, draw by draw."""
    config = job.config
    trigger, space = make_trigger(**config["trigger"]), (config["size"],) * 2
    region = trigger.region(space)
    given = trigger.apply(torch.full((config["draws"], 1, *space), GREY))
    training = TrainConfig(**{**config["training"], "brightness": 0.0, "frozen": ()})
    moved, _ = augment(given, training, stream(config["seed"], "augmented"))
    parts = {"training": moved, "test": given}
    rows = [
        {"draw": draw, "where": where, "share": float((images[draw, 0] != GREY)[region].float().mean())}
        for where, images in parts.items()
        for draw in range(len(images))
    ]
    raw.save([pa.Table.from_pylist(rows)], job.folder)
    return {"rows": len(rows)}
