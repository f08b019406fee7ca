"""Cells that train networks and ask them: what their rows say, what their keys depend on, where networks begin."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.data.memory import memory_set
from aseptic.data.splits import draw_share
from aseptic.engine.cells import Job
from aseptic.engine.runner import run_cells
from aseptic.engine.store import Store
from aseptic.models.load import load_model
from aseptic.models.train_config import TrainConfig
from aseptic.poisoning.plan import make_plan
from aseptic.poisoning.poison import poison
from aseptic.studies import raw
from aseptic.studies.backdoors import cells as functions
from aseptic.studies.backdoors.recipe import Recipe, explain, find, follow, learn, probe
from aseptic.studies.infection.answers import infection_rows

CLASSES = ("left", "middle", "right")
SIDE = 16
SPLITS = ["train"] * 24 + ["val"] * 9 + ["test"] * 9
STEADY = {"epochs": 2, "batch_size": 8, "keep": "last", "patience": None, "seed": 3}
TINY = Recipe(arch="aseptic:smallcnn?width=4", size=SIDE, training=STEADY)


def bars(labels):
    images = 0.3 + 0.3 * torch.rand(len(labels), 1, SIDE, SIDE, generator=stream(0, "bars"))
    for image, label in zip(images, labels, strict=True):
        image[0, :, 2 + 5 * label : 4 + 5 * label] += 0.2
    return images


def tiny():
    labels = [i % 3 for i in range(len(SPLITS))]
    patients = [f"p{i // 2}-{split}" for i, split in enumerate(SPLITS)]
    return memory_set(
        "tiny",
        bars(labels),
        torch.tensor(labels),
        classes=CLASSES,
        task="multiclass",
        splits=SPLITS,
        patients=patients,
    )


DATA = tiny()
KNOWN = ("tiny", DATA.fingerprint())


def plan(**settings):
    trigger = {"name": "patch", "size": 3, "value": 1.0, "place": "lower-right"}
    label = {"rule": "to", "target": "right"}
    return make_plan(**{"trigger": trigger, "label": label, "select": {"rate": 0.5}, "seed": 3, **settings})


def compute(cells, folder, data=DATA, **context):
    found = run_cells(cells, Store(folder), context={"data": {"tiny": data}, **context})
    assert {one.reason for one in found.values()} == {""}
    return found


def rows_of(outcome):
    return raw.frame({outcome.cell.name: outcome.stored.folder}).drop(columns="cell")


def weights(outcome):
    return load_model(outcome.stored.folder / functions.MODEL).module.state_dict()


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """A clean twin, an infected network, the questions about both, and a fine-tuning that is followed."""
    twin, bad = learn("train/twin", TINY, KNOWN), learn("train/bad", TINY, KNOWN, plan=plan())
    tuning = TINY.model_copy(update={"training": {**STEADY, "lr": 1e-4}})
    tuned = follow(learn("tuned", tuning, KNOWN, start=bad, share=0.5), "tuned", KNOWN, plan())
    asked = [probe(f"probe/{name}", cell, KNOWN, plan()) for name, cell in (("twin", twin), ("bad", bad))]
    asked.append(probe("decoys/bad", bad, KNOWN, plan(), decoys=True))
    ended = probe("probe/tuned", replace(tuned, name="tuned"), KNOWN, plan())
    return compute([twin, bad, *asked, tuned, ended], tmp_path_factory.mktemp("grid"))


def test_rows_say_what_each_training_image_was_made_into(grid):
    training = DATA.split("train")
    marks = poison(training.fit((SIDE, SIDE), 1), plan()).marks
    rows = rows_of(grid["train/bad"])
    assert list(rows.id) == list(training.ids)
    assert list(rows.patient) == list(training.patients)
    assert list(rows.role) == [mark.role for mark in marks]
    assert (rows.role == "poison").sum() == 12
    assert list(rows.true_label) == [CLASSES[item.label] for item in training.items]
    assert (rows.label == rows.true_label.where(rows.role == "clean", "right")).all()
    value = grid["train/bad"].stored.value
    assert {name: value[name] for name in ("images", "poisoned", "epochs", "kept", "score")} == {
        "images": 24,
        "poisoned": 12,
        "epochs": 2,
        "kept": 2,
        "score": "AUROC",
    }
    twin = rows_of(grid["train/twin"])
    assert set(twin.role) == {"clean"}
    assert list(twin.label) == list(twin.true_label) == list(rows.true_label)
    assert grid["train/twin"].stored.value["poisoned"] == 0


def test_a_probe_is_what_the_network_answers_to_the_test_split(grid):
    test = TINY.view(DATA.split("test"))
    for name, kind in (("twin", "probe"), ("bad", "probe"), ("bad", "decoys")):
        model = load_model(grid[f"train/{name}"].stored.folder / functions.MODEL)
        wanted = infection_rows(model, test, plan(), STEADY["batch_size"], decoys=kind == "decoys").to_pandas()
        pd.testing.assert_frame_equal(rows_of(grid[f"{kind}/{name}"]), wanted)
        assert grid[f"{kind}/{name}"].stored.value == {"images": 9}
    assert set(rows_of(grid["decoys/bad"]).condition) == {"clean", "triggered", "decoy"}
    scores = [rows_of(grid[f"probe/{name}"])["score:right"] for name in ("twin", "bad")]
    assert not scores[0].equals(scores[1]), "they were trained on other sets"


def test_a_network_is_followed_from_before_the_first_epoch_to_the_last(grid):
    rows = rows_of(grid["tuned"])
    assert sorted(set(rows.epoch)) == [0, 1, 2]
    parts = [rows[rows.epoch == epoch].drop(columns="epoch").reset_index(drop=True) for epoch in range(3)]
    assert all(len(part) == 18 for part in parts)
    pd.testing.assert_frame_equal(parts[0], rows_of(grid["probe/bad"]))
    pd.testing.assert_frame_equal(parts[2], rows_of(grid["probe/tuned"]))
    assert not parts[1].equals(parts[0])
    assert not parts[1].equals(parts[2])


def test_a_share_of_the_training_images_has_whole_patients(grid):
    training = DATA.split("train")
    wanted = training.select(draw_share(training.items, 0.5, seed=3))
    assert grid["tuned"].stored.value["images"] == len(wanted) == 12
    assert grid["tuned"].stored.value["poisoned"] == 0, "it goes on with clean images"


class StoppedError(Exception):
    """Holds what training was called with, in place of training."""


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Return a function that gives the network, images, settings and flag that a cell would train with."""

    def stop(subject, sources, config, _, *, fine_tune, watch):
        del watch
        raise StoppedError(subject, sources, config, fine_tune)

    monkeypatch.setattr(functions, "train", stop)

    def call(cell, *, inputs=None, **context):
        context = {"data": {"tiny": DATA}, **context}
        with pytest.raises(StoppedError) as caught:
            functions.learn(Job(config=cell.config, inputs=inputs or {}, folder=tmp_path, context=context))
        return caught.value.args

    return call


def test_twins_begin_with_the_same_weights(started):
    def begun(recipe, asked=None):
        return started(learn("x", recipe, KNOWN, plan=asked))[0].module.state_dict()

    first, twin = begun(TINY, plan()), begun(TINY)
    assert all(torch.equal(first[name], twin[name]) for name in first)
    other = begun(TINY.model_copy(update={"training": {**STEADY, "seed": 4}}))
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_fine_tuning_begins_with_the_weights_that_are_there(grid, started):
    cell = learn("x", TINY, KNOWN, start=grid["train/bad"].cell)
    model, *_, fine_tune = started(cell, inputs={"start": grid["train/bad"].stored})
    before = weights(grid["train/bad"])
    assert all(torch.equal(model.module.state_dict()[name], before[name]) for name in before)
    assert fine_tune
    assert not started(learn("x", TINY, KNOWN))[-1]


@pytest.mark.parametrize(
    ("device", "accelerator", "devices"),
    [(None, "cpu", 1), ("cpu", "cpu", 1), ("cuda", "cuda", 1), ("cuda:0", "cuda", "0,"), ("cuda:3", "cuda", "3,")],
)
def test_a_device_is_what_fabric_calls_it(started, device, accelerator, devices):
    config = started(learn("x", TINY, KNOWN), **({} if device is None else {"device": device}))[2]
    assert (config.accelerator, config.devices) == (accelerator, devices)
    assert (config.epochs, config.batch_size, config.seed) == (2, 8, 3)


def test_validation_images_are_poisoned_where_the_plan_says_so(started):
    def validation(asked):
        found = started(learn("x", TINY, KNOWN, plan=asked))[1].validation
        clean = TINY.view(DATA.split("val"))
        assert found.ids == clean.ids
        return int((found.images != clean.images).flatten(1).any(1).sum())

    assert validation(None) == validation(plan()) == 0
    assert validation(plan(splits=["train", "val"])) == 4
    assert validation(plan(splits=["train", "val"], select={"rate": 0.1})) == 0, "a tenth of nine comes to none"


def test_a_rate_that_comes_to_no_training_image_is_refused(tmp_path):
    cell = learn("x", TINY, KNOWN, plan=plan(select={"rate": 0.01}))
    found = run_cells([cell], Store(tmp_path), context={"data": {"tiny": DATA}})["x"]
    assert (found.state, found.reason) == ("failed", "rate must come to at least one of 24 candidates, got 0.01")


def test_a_set_without_a_test_split_cannot_be_probed(grid, tmp_path):
    data = DATA.select(i for i, split in enumerate(SPLITS) if split != "test")
    job = Job(
        config=probe("x", grid["train/bad"].cell, KNOWN, plan()).config,
        inputs={"model": grid["train/bad"].stored},
        folder=tmp_path,
        context={"data": {"tiny": data}},
    )
    with pytest.raises(InputError, match="split must be one of train, val; got 'test'"):
        functions.probe(job)


def test_a_second_run_reuses_what_is_there(tmp_path):
    cells = [learn("train/twin", TINY, KNOWN)]
    first = compute(cells, tmp_path)["train/twin"]
    again = compute([learn("renamed", TINY, KNOWN, seconds=9.0)], tmp_path)["renamed"]
    assert (first.state, again.state) == ("done", "reused")
    assert again.stored.folder == first.stored.folder


CHANGES = {
    "arch": {"arch": "aseptic:smallcnn?width=8"},
    "size": {"size": 24},
    "channels": {"channels": 3, "mean": (0.5,) * 3, "std": (0.25,) * 3},
    "mean": {"mean": (0.4,)},
    "std": {"std": (0.3,)},
    "top": {"top": 0.1},
    "square": {"square": True},
    "share": {"share": 0.6},
    "sampling": {"sampling": "nearest"},
}
OTHER = {"epochs": 3, "batch_size": 4, "optimizer": "sgd", "schedule": "constant", "class_weights": "balanced"}
OTHER |= {"loss": "categorical", "patience": 3, "keep": "best", "frozen": ("head",), "precision": "bf16-mixed"}
FREE = {"workers", "accelerator", "devices", "strategy"}
"""Settings that say where a network is trained; the cell overrules those of the device."""


def test_the_key_of_a_network_follows_every_setting_that_matters():
    base = learn("x", TINY, KNOWN).key
    recipes = {name: TINY.model_copy(update=change) for name, change in CHANGES.items()}
    for name, value in TrainConfig(**STEADY).__dict__.items():
        if name not in FREE:
            other = OTHER.get(name, (not value) if isinstance(value, bool) else value + 1 if name == "seed" else None)
            changed = {**STEADY, name: value / 2 if other is None else other}
            recipes[f"training.{name}"] = TINY.model_copy(update={"training": changed})
    keys = {name: learn("x", recipe, KNOWN).key for name, recipe in recipes.items()}
    assert {name for name, key in keys.items() if key == base} == set()
    assert len(set(keys.values())) == len(keys)
    assert set(CHANGES) | {"training"} == set(Recipe.model_fields)
    spelt = TINY.model_copy(update={"training": {**STEADY, "lr": TrainConfig().lr, "workers": 5}})
    assert learn("other name", spelt, KNOWN, seconds=60.0).key == base, "a default that is spelt out is the same"


def test_the_key_follows_data_plan_start_and_share():
    base, start = learn("x", TINY, KNOWN), learn("s", TINY, KNOWN, plan=plan())
    others = [
        learn("x", TINY, ("tiny", "0" * 64)),
        learn("x", TINY, ("other", KNOWN[1])),
        learn("x", TINY, KNOWN, plan=plan()),
        learn("x", TINY, KNOWN, plan=plan(seed=4)),
        learn("x", TINY, KNOWN, start=start),
        learn("x", TINY, KNOWN, share=0.5),
        follow(base, "x", KNOWN, plan()),
        follow(base, "x", KNOWN, plan(insert="network")),
        follow(base, "x", ("tiny", "0" * 64), plan()),
    ]
    assert len({base.key, *(one.key for one in others)}) == len(others) + 1


def test_the_key_of_a_question_follows_the_network_the_images_and_the_trigger():
    twin, bad = learn("x", TINY, KNOWN), learn("x", TINY, KNOWN, plan=plan())
    asked = [
        probe("x", bad, KNOWN, plan()),
        probe("x", twin, KNOWN, plan()),
        probe("x", bad, ("tiny", "0" * 64), plan()),
        probe("x", bad, KNOWN, plan(label={"rule": "shift"})),
        explain("x", bad, KNOWN, plan(), images=4, explainers=["gradcam"]),
        explain("x", bad, KNOWN, plan(), images=4, explainers=["saliency"]),
        explain("x", bad, KNOWN, plan(), images=5, explainers=["gradcam"]),
        find("x", bad, KNOWN, plan(), images=4),
        find("x", bad, KNOWN, plan(), images=4, carriers=9),
    ]
    assert len({one.key for one in asked}) == len(asked)
    assert probe("renamed", bad, KNOWN, plan()).key == asked[0].key
