"""Twins of a model: what their cells depend on, and what becomes of those that fail or are not infected."""

import json
from dataclasses import replace

import pytest
import torch

from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream, stream
from aseptic.data.memory import memory_set
from aseptic.models.load import load_model
from aseptic.models.save import save_model
from aseptic.models.subject import Subject
from aseptic.models.train_config import TrainConfig
from aseptic.models.training import Sources, new_subject, train
from aseptic.poisoning.plan import make_plan
from aseptic.scanners.calibration import judge, read_null, write_null
from aseptic.scanners.mmbd import MMBD
from aseptic.scanners.neuralcleanse import NeuralCleanse
from aseptic.studies.backdoors.cells import MODEL
from aseptic.studies.scan import twins as module
from aseptic.studies.scan.cells import shown_images
from aseptic.studies.scan.twins import Twins, calibrate, recipe_of, training_of, twin_grid

CLASSES, SIDE = ("left", "middle", "right"), 16
SPLITS = ["train"] * 24 + ["val"] * 9 + ["test"] * 9
TRAINING = {"epochs": 2, "batch_size": 8, "keep": "last", "patience": None}
SCANNER = MMBD(starts=1, steps=2)


def tiny(classes=CLASSES, task="multiclass"):
    labels = torch.arange(len(SPLITS)) % 3
    images = 0.3 + 0.3 * torch.rand(len(labels), 1, SIDE, SIDE, generator=stream(0, "bars"))
    for image, label in zip(images, labels.tolist(), strict=True):
        image[0, :, 2 + 5 * label : 4 + 5 * label] += 0.2
    targets = labels if task == "multiclass" else torch.nn.functional.one_hot(labels, 3).float()
    return memory_set("tiny", images, targets, classes=classes, task=task, splits=SPLITS)


def subject(**more):
    facts = {"task": "multiclass", "classes": CLASSES, "size": SIDE, "channels": 1, "mean": 0.5, "std": 0.25}
    return new_subject("aseptic:smallcnn?width=4", **{**facts, **more})


def plan(**more):
    trigger = {"name": "patch", "size": 3, "value": 1.0, "place": "lower-right"}
    return make_plan(trigger=trigger, label={"rule": "to", "target": "right"}, **{"select": {"rate": 0.5}, **more})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two clean twins, one infected, and one whose plan comes to no image, with everything in a store."""
    asked = Twins(clean=2, infected=1, plans={"patch": plan(), "none": plan(select={"rate": 0.01})}, images=6)
    grid, store, told = twin_grid(subject(), tiny(), SCANNER, asked, TRAINING), tmp_path_factory.mktemp("twins"), []
    return grid, store, calibrate(grid, store, watch=told.append), told


def test_the_statistics_are_those_of_the_networks_in_the_store(made):
    grid, store, found, _ = made
    assert list(found.clean) == ["clean/0", "clean/1"]
    images = shown_images(tiny(), grid.recipe, "test", 6, 0)
    for name, cell in grid.clean.items():
        network = load_model(store / cell.inputs["model"].key / MODEL)
        assert found.clean[name] == pytest.approx(SCANNER.scan(network, images).statistic, rel=1e-4)
        assert network.task.classes == CLASSES
    assert found.clean["clean/0"] != found.clean["clean/1"], "each twin begins with weights of its own"
    assert found.scanner == SCANNER.describe()
    assert found.facts["recipe"] == recipe_of(subject(), TRAINING).told()


def test_a_twin_that_fails_or_is_not_infected_is_left_out_and_named(made, monkeypatch):
    grid, store, found, _ = made
    assert set(found.infected) == {"patch", "none"}
    assert found.infected["none"] == {}
    assert found.facts["failed"] == {
        "twin/none/0": "rate must come to at least one of 24 candidates, got 0.01",
        "mm-bd/none/0": "it needs twin/none/0, which was failed",
        "tried/none/0": "it needs twin/none/0, which was failed",
    }
    success = found.facts["success"]
    assert success["none/0"] is None
    monkeypatch.setattr(module, "TAKEN", success["patch/0"])
    assert list(calibrate(grid, store).infected["patch"]) == ["patch/0"]
    monkeypatch.setattr(module, "TAKEN", success["patch/0"] + 0.01)
    assert calibrate(grid, store).infected["patch"] == {}


def test_what_is_stored_is_not_computed_again(made):
    grid, store, found, told = made
    assert {one.state for one in told} >= {"running", "done", "failed"}
    again = []
    more = replace(grid, twins=replace(grid.twins, clean=1, plans={"patch": plan()}))
    assert calibrate(more, store, watch=again.append).clean == {"clean/0": found.clean["clean/0"]}
    assert {one.state for one in again} == {"reused"}


def test_a_model_is_judged_by_what_was_written(made, tmp_path):
    grid, _, found, _ = made
    written = read_null(write_null(found, tmp_path / "null.json"))
    assert written == found
    scan = SCANNER.scan(subject(), shown_images(tiny(), grid.recipe, "test", 6, 0))
    told = judge(scan, written, rate=0.5)
    assert told.answer in {"infected", "cannot tell"}
    assert judge(scan, written).answer == "cannot tell"


def test_the_images_are_drawn_from_the_split_and_the_same_for_all():
    recipe, data = recipe_of(subject(), TRAINING), tiny()
    shown, test = shown_images(data, recipe, "test", 5, 3), data.split("test").images
    rows = sorted(numpy_stream(3, "scanned").permutation(9)[:5].tolist())
    assert torch.equal(shown, test[rows])
    assert len(shown_images(data, recipe, "test", 50, 3)) == 9
    assert not torch.equal(shown, shown_images(data, recipe, "test", 5, 4))


def test_the_key_of_a_scan_follows_all_that_it_depends_on():
    def key(scanner=SCANNER, training=TRAINING, model=None, **twins):
        asked = Twins(**{"clean": 1, **twins})
        return twin_grid(model or subject(), tiny(), scanner, asked, training).clean["clean/0"].key

    others = [
        key(),
        key(scanner=MMBD(starts=2, steps=2)),
        key(scanner=NeuralCleanse()),
        key(training={**TRAINING, "epochs": 3}),
        key(model=subject(size=24)),
        key(model=subject(mean=0.4)),
        key(split="val"),
        key(images=3),
        key(seed=1),
    ]
    assert len(set(others)) == len(others)
    assert key(clean=5) == others[0]
    assert key(training={**TRAINING, "lr": TrainConfig().lr}) == others[0]
    grid = twin_grid(subject(), tiny(), SCANNER, Twins(clean=3, infected=2, plans={"patch": plan()}), TRAINING)
    trained = [cell.inputs["model"] for cell in grid.cells()]
    seeds = [cell.config["recipe"]["training"]["seed"] for cell in trained]
    assert len(trained) == 3 + 2 * 2
    assert len(set(seeds)) == 5, "no twin shares its weights with another"


def test_twins_answer_with_the_classes_of_the_model():
    turned = tiny(classes=("right", "left", "middle"))
    grid = twin_grid(subject(), turned, SCANNER, Twins(clean=1), TRAINING)
    assert grid.data.classes == CLASSES
    assert [item.label for item in grid.data.items[:3]] == [2, 0, 1]


def test_the_recipe_is_read_from_the_card_of_the_model(tmp_path):
    model, data = subject(), tiny().fit((SIDE, SIDE), 1)
    sources = Sources(training=data.split("train"), validation=data.split("val"))
    train(model, sources, TrainConfig(**TRAINING, seed=5, frozen=("head",)), tmp_path / "model")
    found = training_of(tmp_path / "model")
    assert TrainConfig(**{**found, "frozen": tuple(found["frozen"])}) == TrainConfig(
        **TRAINING, seed=5, frozen=("head",)
    )
    assert json.loads(json.dumps(found)) == found
    recipe = recipe_of(model, found)
    assert (recipe.arch, recipe.size, recipe.channels, recipe.mean, recipe.std) == (
        "aseptic:smallcnn?width=4",
        SIDE,
        1,
        (0.5,),
        (0.25,),
    )
    save_model(model, tmp_path / "bare")
    with pytest.raises(InputError, match=r"bare.model\.yaml must say how the model was trained, got nothing"):
        training_of(tmp_path / "bare")
    train(model, sources, TrainConfig(**TRAINING), tmp_path / "tuned", fine_tune=True)
    with pytest.raises(InputError, match="tuned was fine-tuned, and its twins would have to begin as it did"):
        training_of(tmp_path / "tuned")


def test_models_without_twins_are_refused():
    def grid(model, data=None):
        return twin_grid(model, data or tiny(), SCANNER, Twins(), TRAINING)

    bare = Subject(subject().module, task="multiclass", classes=CLASSES, size=SIDE, channels=1, name="mine")
    with pytest.raises(InputError, match="model 'mine' has no architecture name, without which it has no twins"):
        grid(bare)
    for size, got in ((None, "any"), ((16, 24), r"\[16, 24\]"), ((8, 8, 8), r"\[8, 8, 8\]")):
        with pytest.raises(InputError, match=f"twins need a model that is fed squares of one size, got {got}"):
            grid(subject(size=size))
    with pytest.raises(InputError, match="data must be multiclass as the model is, got multilabel"):
        grid(subject(), tiny(task="multilabel"))
    for name in ("clean", "infected", "images"):
        with pytest.raises(InputError, match=f"{name} must be a whole number of at least 1, got 0"):
            Twins(**{name: 0})
