"""Cells that train networks and ask them: the same in every study of a backdoor."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from aseptic.data.imageset import ImageSet
from aseptic.data.splits import draw_share
from aseptic.data.targets import label_text
from aseptic.engine.cells import Job
from aseptic.models.load import load_model
from aseptic.models.subject import Subject
from aseptic.models.train_config import TrainConfig
from aseptic.models.trainer_state import Epoch
from aseptic.models.training import Sources, new_subject, train
from aseptic.models.training_loop import Watch
from aseptic.poisoning.mixing import Mixture, mix
from aseptic.poisoning.plan import PoisonPlan, make_plan
from aseptic.poisoning.poison import poison
from aseptic.studies import raw
from aseptic.studies.backdoors.recipe import Recipe
from aseptic.studies.infection.either import rows_of

MODEL = "model"
"""Folder of the network in that of the cell."""
IN_TURN = "in turn"
"""Role of images that are poisoned in some batches and clean in others."""


def learn(job: Job) -> Mapping[str, Any]:
    """Cell: train a network; the rows say what each training image was made into."""
    found, rows = _learn(job, _subject(job), Watch())
    raw.save([rows], job.folder)
    return found


def follow(job: Job) -> Mapping[str, Any]:
    """Cell: train a network and write its answers to test images with and without the trigger after every epoch."""
    subject, config = _subject(job), job.config
    test = Recipe(**config["recipe"]).view(job.context["data"][config["test"]].split("test"))
    plan, tables = make_plan(**config["probe"]), dict[int, pa.Table]()
    batch_size = config["recipe"]["training"]["batch_size"]

    def answer(number: int, model: Subject) -> None:
        rows = rows_of(model, test, plan, batch_size, decoys=False)
        tables[number] = rows.append_column("epoch", pa.array([number] * len(rows)))

    def after(epoch: Epoch, model: Subject) -> None:
        answer(epoch.epoch, model)

    answer(0, subject)
    found, _ = _learn(job, subject, Watch(weights=after))
    raw.save(list(tables.values()), job.folder)
    return found


def probe(job: Job) -> Mapping[str, Any]:
    """Cell: what a network says of test images with and without the trigger and, where asked for, with a decoy."""
    subject, test, plan = opened(job)
    batch_size, decoys = job.config["recipe"]["training"]["batch_size"], bool(job.config.get("decoys"))
    rows = rows_of(subject, test, plan, batch_size, decoys=decoys)
    raw.save([rows], job.folder)
    return {"images": len(test)}


def opened(job: Job) -> tuple[Subject, ImageSet, PoisonPlan]:
    """Return the network, the images as it is fed them, and the plan that a question is about.

    Questions are about the test split.
    """
    subject = load_model(job.inputs["model"].folder / MODEL).to(_device(job))
    test = Recipe(**job.config["recipe"]).view(job.context["data"][job.config["data"]].split("test"))
    return subject, test, make_plan(**job.config["plan"])


def _subject(job: Job) -> Subject:
    recipe, data = Recipe(**job.config["recipe"]), job.context["data"][job.config["data"]]
    if (start := job.inputs.get("start")) is not None:
        return load_model(start.folder / MODEL)
    return new_subject(
        recipe.arch,
        task=str(data.task),
        classes=data.classes,
        size=recipe.space,
        channels=recipe.channels,
        mean=recipe.mean,
        std=recipe.std,
        seed=recipe.config().seed,
    )


def _learn(job: Job, subject: Subject, watch: Watch) -> tuple[Mapping[str, Any], pa.Table]:
    """Train ``subject`` as the cell says and leave it in the cell's folder; return how it went, and the images."""
    recipe, config = Recipe(**job.config["recipe"]), job.config
    data = recipe.view(job.context["data"][config["data"]])
    training, validation = data.split("train"), data.split("val")
    if config["share"] < 1:
        training = training.select(draw_share(training.items, config["share"], seed=recipe.config().seed))
    marks = [("clean", item.label) for item in training.items]
    mixture: Mixture | None = None
    if config["plan"] is not None:
        plan = make_plan(**config["plan"])
        if plan.loop == "batch":
            mixture = mix(training, plan, recipe.config().batch_size)
            roles = [IN_TURN if may else "clean" for may in mixture.candidates]
            marks = [(role, label) for role, (_, label) in zip(roles, marks, strict=True)]
        else:
            made = poison(training, plan)
            training, marks = made.data, [(mark.role, mark.original.label) for mark in made.marks]
        if "val" in plan.splits and plan.select.quota(len(validation)):  # a small rate may come to none of them
            validation = poison(validation, plan).data
    result = train(
        subject,
        Sources(training=training if mixture is None else mixture, validation=validation),
        _config(job, recipe),
        job.folder / MODEL,
        fine_tune="start" in job.inputs,
        watch=watch,
    )
    told = {
        "images": len(training),
        "poisoned": sum(role in {"poison", IN_TURN} for role, _ in marks),
        "epochs": len(result.epochs),
        "kept": result.kept.epoch,
        "score": result.kept.score,
        "val_score": result.kept.val_score,
    }
    rows = pa.table(
        {
            "id": training.ids,
            "patient": pa.array(training.patients, pa.string()),
            "role": [role for role, _ in marks],
            "true_label": [label_text(training.classes, label) for _, label in marks],
            "label": [label_text(training.classes, item.label) for item in training.items],
        }
    )
    return told, rows


def _device(job: Job) -> str:
    return str(job.context.get("device", "cpu"))


def _config(job: Job, recipe: Recipe) -> TrainConfig:
    kind, _, number = _device(job).partition(":")
    return replace(recipe.config(), accelerator=kind, devices=f"{number}," if number else 1)
