"""Training: it learns, it stops and goes on bit for bit, and it says what is wrong."""

import csv
import math
from dataclasses import replace

import pytest
import torch
from models.sources import Memory, source

from aseptic.core.errors import InputError
from aseptic.models.card import read_card
from aseptic.models.load import load_model
from aseptic.models.train_config import TrainConfig
from aseptic.models.training import Sources, new_subject, train
from aseptic.models.training_loop import Source, Watch

ARCH = "aseptic:smallcnn?width=4&dropout=0.2"
QUICK = {"epochs": 4, "batch_size": 16, "lr": 0.01, "flip": False, "accelerator": "cpu", "warmup": 0.5}


def model(kind="multiclass", seed=0, classes="abc", arch=ARCH):
    return new_subject(arch, task=kind, classes=classes, channels=1, size=16, mean=0.4, std=0.3, seed=seed)


def data(kind="multiclass", classes=3):
    made = (source(kind, count, seed=seed, classes=classes) for count, seed in ((97, 1), (48, 2)))
    return Sources(**dict(zip(("training", "validation"), made, strict=True)))


def config(**changes):
    return TrainConfig(**QUICK | changes)


def test_the_protocol_is_met_by_these_tests():
    assert isinstance(source("multiclass", 4, seed=0), Source)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
@pytest.mark.parametrize(
    "changes",
    [{"epochs": 8}, {"epochs": 8, "optimizer": "sgd", "lr": 0.1, "schedule": "constant", "class_weights": "balanced"}],
    ids=["adamw", "sgd"],
)
def test_learns_and_writes_a_model(tmp_path, kind, changes):
    state, subject, told = torch.get_rng_state(), model(kind), []
    watch = Watch(epoch=told.append, step=lambda done, total: told.append((done, total)))
    result = train(subject, data(kind), config(**changes), tmp_path / "m", watch=watch)
    assert torch.equal(state, torch.get_rng_state()), "the caller's random state is not used"
    assert result.best.val_score > 0.95
    assert result.best == max(result.epochs, key=lambda each: each.rank)
    assert result.epochs[-1].train_loss < result.epochs[0].train_loss
    steps = [(n, 6) for n in range(1, 7)]  # 97 images: the last batch of one is left out
    assert told == [part for each in result.epochs for part in (*steps, each)]
    assert sorted(each.name for each in (tmp_path / "m").iterdir()) == [
        "history.csv",
        "model.safetensors",
        "model.yaml",
    ]
    saved, held = load_model(tmp_path / "m"), source(kind, 60, seed=9)
    assert saved.task == subject.task
    assert saved.task.offsets == result.offsets
    with torch.no_grad():
        torch.testing.assert_close(saved(held.images), subject(held.images), rtol=1e-4, atol=1e-4)
        assert saved.task.correct(saved(held.images), held.targets).float().mean() > 0.7
    with (tmp_path / "m" / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [each.epoch for each in result.epochs]


class Stop(KeyboardInterrupt):
    pass


def stop_at(number):
    def told(epoch):
        if epoch.epoch == number:
            raise Stop

    return Watch(epoch=told)


def stop_within(step):
    counts = []

    def told(*_):
        counts.append(1)
        if len(counts) == step:
            raise Stop

    return Watch(step=told)


@pytest.mark.parametrize(
    ("kind", "optimizer", "stop", "at"),
    [
        ("multiclass", "adamw", stop_at, 1),
        ("multilabel", "sgd", stop_at, 3),
        ("multilabel", "adamw", stop_within, 3),
        ("multiclass", "sgd", stop_within, 15),
    ],
)
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(tmp_path, kind, optimizer, stop, at):
    settings = config(optimizer=optimizer, flip=True, class_weights="balanced")
    whole = train(model(kind), data(kind), settings, tmp_path / "whole")
    state = torch.get_rng_state()
    with pytest.raises(Stop):
        train(model(kind), data(kind), settings, tmp_path / "cut", watch=stop(at))
    assert torch.equal(state, torch.get_rng_state()), "also after an interrupt"
    # the resumed process starts from other weights, which must not matter once there is a checkpoint
    seed = 7 if (tmp_path / "cut" / "checkpoint.pt").exists() else 0
    resumed = train(model(kind, seed=seed), data(kind), settings, tmp_path / "cut", resume=True)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert weights[0] == weights[1]
    assert resumed.offsets == whole.offsets
    strip = [[(e.train_loss, e.val_loss, e.val_score, e.lr) for e in run.epochs] for run in (whole, resumed)]
    assert strip[0] == strip[1]


def test_a_finished_run_is_returned_as_it_is(tmp_path):
    first = train(model(), data(), config(), tmp_path)
    before = {each.name: each.stat().st_mtime_ns for each in tmp_path.iterdir()}
    subject = model(seed=5)
    again = train(subject, data(), config(workers=1), tmp_path, resume=True)
    assert again == first
    assert before == {each.name: each.stat().st_mtime_ns for each in tmp_path.iterdir()}
    assert torch.equal(subject(data().training.images), load_model(tmp_path)(data().training.images))
    with pytest.raises(InputError, match="holds a finished model: choose another folder"):
        train(model(), data(), config(), tmp_path)
    with pytest.raises(InputError, match=r"cannot go on with other settings: lr was 0.01, is 0.02"):
        train(model(), data(), config(lr=0.02), tmp_path, resume=True)


def test_an_unfinished_run_is_not_overwritten(tmp_path):
    with pytest.raises(Stop):
        train(model(), data(), config(), tmp_path, watch=stop_at(2))
    with pytest.raises(InputError, match="holds an unfinished training run: go on with --resume"):
        train(model(), data(), config(), tmp_path)
    with pytest.raises(InputError, match=r"other settings: epochs was 4, is 5"):
        train(model(), data(), config(epochs=5), tmp_path, resume=True)
    (tmp_path / "checkpoint.pt").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"checkpoint.pt is damaged; delete it to start again"):
        train(model(), data(), config(), tmp_path, resume=True)


def test_stops_early_and_keeps_the_best_epoch(tmp_path):
    sources = data()
    rubbish = Memory(sources.validation.images, sources.validation.targets.roll(1))
    settings = config(epochs=40, patience=2, warmup=0.0)
    result = train(model(), Sources(training=sources.training, validation=rubbish), settings, tmp_path)
    assert len(result.epochs) == result.best.epoch + 2 < 40
    assert result.best == max(result.epochs, key=lambda each: each.rank)


def test_the_seed_decides(tmp_path):
    weights = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(model(), data(), config(epochs=1, warmup=0.0, seed=seed), tmp_path / name)
        weights.append((tmp_path / name / "model.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_divergence_is_named(tmp_path):
    with pytest.raises(
        InputError, match=r"the loss is not finite in epoch \d: .* choose a smaller lr \(it is 1e\+30\)"
    ):
        train(model(), data(), config(optimizer="sgd", lr=1e30), tmp_path)


def test_half_precision(tmp_path):
    result = train(model(), data(), config(precision="bf16-mixed", epochs=6), tmp_path)
    assert result.best.val_score > 0.9
    assert load_model(tmp_path).module.head.weight.dtype == torch.float32


def test_two_processes_see_every_image_once(tmp_path):
    result = train(model(), data(), config(devices=2, strategy="ddp_fork", batch_size=8, epochs=6), tmp_path)
    assert result.best.val_score > 0.9
    assert load_model(tmp_path).task.offsets == result.offsets


def test_volumes(tmp_path):
    flat = data()
    cubes = (
        Memory(part.images[..., None].expand(-1, -1, -1, -1, 8).clone(), part.targets)
        for part in (flat.training, flat.validation)
    )
    subject = new_subject("aseptic:smallcnn?width=4", task="multiclass", classes="abc", channels=1, size=(16, 16, 8))
    sources = Sources(**dict(zip(("training", "validation"), cubes, strict=True)))
    assert math.isfinite(train(subject, sources, config(epochs=1, warmup=0.0), tmp_path).best.val_loss)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: Memory(s.images[:0], s.targets[:0]), "the validation set must hold images, got 0"),
        (lambda s: Memory(s.images, s.targets * 0), "at least one class both present and absent"),
        (lambda s: Memory(s.images, s.targets + 1), r"targets must lie in 0..2, got 1..3"),
    ],
)
def test_validation_sets_that_cannot_judge(tmp_path, change, message):
    sources = data()
    with pytest.raises(InputError, match=message):
        train(
            model(),
            Sources(training=sources.training, validation=change(sources.validation)),
            config(),
            tmp_path,
        )


def test_a_model_without_a_name(tmp_path):
    subject = model()
    subject.architecture = ""
    with pytest.raises(InputError, match="has no architecture name, so it could not be loaded after training"):
        train(subject, data(), config(), tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": "adam"}, "optimizer must be one of adamw, sgd; got 'adam'"),
        ({"precision": "64"}, "precision must be one of 32-true, 16-mixed, bf16-mixed; got '64'"),
        ({"schedule": "step"}, "schedule must be one of cosine, constant; got 'step'"),
        ({"class_weights": "yes"}, "class_weights must be none, balanced, or numbers above 0 with commas; got 'yes'"),
        ({"class_weights": "1,0"}, "class_weights must be none, balanced, or numbers above 0 with commas; got '1,0'"),
        ({"loss": "l2"}, "loss must be one of task, categorical; got 'l2'"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch_size": 1}, "batch_size must be at least 2, got 1"),
        ({"patience": 0}, "patience must be at least 1 or None, got 0"),
        ({"lr": 0.0}, "lr must be greater than 0, got 0"),
        ({"lr": math.nan}, "lr must be greater than 0, got nan"),
        ({"momentum": 1.0}, r"momentum must lie in \[0, 0.999\], got 1"),
        ({"shift": 0.6}, r"shift must lie in \[0, 0.5\], got 0.6"),
        ({"warmup": 30.0}, r"warmup must lie in \[0, epochs=30\), got 30"),
    ],
)
def test_settings_outside_their_domain(change, message):
    with pytest.raises(InputError, match=message):
        TrainConfig(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class_weights": "1,2"}, "class_weights must be one for each of 3 classes, got 2"),
        ({"loss": "categorical"}, "loss must be task for a multiclass model, got 'categorical'"),
    ],
)
def test_settings_that_do_not_fit_the_model(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        train(model(), data(), config(**change), tmp_path)


def test_a_poisoned_set_is_said_in_the_card(tmp_path):
    sources = replace(data(), poison={"trigger": {"name": "patch"}})
    train(model(), sources, config(epochs=1), tmp_path)
    card = read_card(tmp_path / "model.yaml")
    assert card.source.startswith("trained with aseptic ON A POISONED SET")
    assert card.training["facts"]["poison"] == {"trigger": {"name": "patch"}}
    with pytest.raises(InputError, match=r"poison was \{'trigger'"):
        train(model(), data(), config(epochs=1), tmp_path, resume=True)
