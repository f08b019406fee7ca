"""Going on from a model: what is held stays, what it started from is recorded, and to watch changes nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from models.sources import Memory, source
from torch import nn

from aseptic.attacks.base import Threat
from aseptic.attacks.fgsm import FGSM
from aseptic.attacks.running import run
from aseptic.core.errors import ContractError, InputError
from aseptic.core.rng import stream
from aseptic.models.archs import build
from aseptic.models.card import read_card
from aseptic.models.freezing import frozen_names, held
from aseptic.models.load import load_model
from aseptic.models.save import save_model
from aseptic.models.subject import Subject
from aseptic.models.train_config import TrainConfig
from aseptic.models.training import Sources, new_subject, train
from aseptic.models.training_loop import Watch
from aseptic.models.unwrap import FromProbabilities
from aseptic.ops.balls import Ball
from aseptic.tasks.multiclass import Avoid

ARCH = "aseptic:smallcnn?width=4&dropout=0.2"
DATA = Sources(training=source("multiclass", 49, seed=1), validation=source("multiclass", 24, seed=2))


def config(**changes):
    quick = {"epochs": 3, "batch_size": 16, "lr": 0.01, "accelerator": "cpu", "warmup": 0.5, "patience": None}
    return TrainConfig(**quick | changes)


def fresh(seed=0, arch=ARCH):
    return new_subject(arch, task="multiclass", classes="abc", channels=1, size=16, mean=0.4, std=0.3, seed=seed)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start")
    train(fresh(), DATA, config(lr=0.001, epochs=2), folder)
    return folder


def copied(subject):
    return {name: value.clone() for name, value in subject.module.state_dict().items()}


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize(
    ("frozen", "held_back"),
    [
        (("features.0", "features.1"), ("features.0.", "features.1.")),
        (("features",), ("features.",)),
        (("all-but-head",), ("features.",)),
        (("head", "features.14"), ("head.", "features.14.")),
    ],
)
def test_what_is_frozen_keeps_every_weight_and_statistic(tmp_path, start, frozen, held_back, optimizer):
    subject = load_model(start)
    before = copied(subject)
    train(subject, DATA, config(epochs=1, warmup=0.0, frozen=frozen, optimizer=optimizer), tmp_path, fine_tune=True)
    after = subject.module.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if not name.startswith(held_back)}
    assert all(value.requires_grad for value in subject.parameters()), "put back"
    assert read_card(tmp_path / "model.yaml").training["facts"]["frozen"] == list(frozen)


def test_held_layers_learn_again_afterwards_if_they_did_before():
    subject = fresh()
    subject.module.head.bias.requires_grad = False
    names = frozen_names(subject, ["head", "features.1"])

    def fail():
        with held(subject, names) as still:
            assert [*still] == [subject.module.features[1]]
            assert not any(value.requires_grad for value in subject.module.head.parameters())
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert {name for name, value in subject.module.named_parameters() if not value.requires_grad} == {"head.bias"}


@pytest.mark.parametrize(
    ("arch", "head"),
    [("aseptic:covidnet?width=4", "head"), ("torchvision:mobilenet_v3_small", "classifier.3")],
)
def test_all_but_head_leaves_the_last_layer(arch, head):
    subject = new_subject(arch, task="multiclass", classes="abc", channels=1, size=32)
    names = frozen_names(subject, ["all-but-head"])
    assert {name for name, _ in subject.module.named_parameters()} - names == {f"{head}.weight", f"{head}.bias"}


@pytest.mark.parametrize(
    ("frozen", "message"),
    [
        (
            ("featuers",),
            "must name layers such as features, dropout, head, or all-but-head; got 'featuers', did",
        ),
        (("feature",), "got 'feature', did you mean 'features'"),
        (("head", "all-but-haed"), "got 'all-but-haed', did you mean 'all-but-head'"),
        (("features.14.wieght",), r"got 'features.14.wieght', did you mean 'features.14.weight'"),
        (("features", "head"), "freeze must leave something to train, got features, head, which is every layer"),
        (("all-but-head", "head"), "freeze must leave something to train, got all-but-head, head"),
    ],
)
def test_what_cannot_be_frozen(tmp_path, frozen, message):
    with pytest.raises(InputError, match=message):
        train(fresh(), DATA, config(frozen=frozen), tmp_path / "m")
    assert not (tmp_path / "m").exists()


class Stop(KeyboardInterrupt):
    pass


def stop_at(number, seen):
    def told(epoch, _):
        seen.append(epoch.epoch)
        if epoch.epoch == number:
            raise Stop

    return Watch(weights=told)


@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_resumed_fine_tuning_is_the_uninterrupted_one_bit_for_bit(tmp_path, start, keep):
    settings = config(epochs=4, keep=keep, frozen=("features.0", "features.1"), class_weights="balanced")
    whole = train(load_model(start), DATA, settings, tmp_path / "whole", fine_tune=True)
    seen = []
    with pytest.raises(Stop):
        train(load_model(start), DATA, settings, tmp_path / "cut", fine_tune=True, watch=stop_at(3, seen))
    other = load_model(start)
    other.module.head.bias.data += 1
    with pytest.raises(InputError, match=r"cannot go on with other settings: started_from was \w{64}, is \w{64}"):
        train(other, DATA, settings, tmp_path / "cut", fine_tune=True, resume=True)
    with pytest.raises(InputError, match=r"started_from was \w{64}, is None"):
        train(load_model(start), DATA, settings, tmp_path / "cut", resume=True)
    train(load_model(start), DATA, settings, tmp_path / "cut", fine_tune=True, resume=True, watch=stop_at(0, seen))
    assert seen == [1, 2, 3, 3, 4], "the epoch in which it was killed comes again, and none is missed"
    assert len({(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "cut")}) == 1
    again = train(load_model(start), DATA, settings, tmp_path / "cut", fine_tune=True, resume=True)
    assert again.kept.epoch == whole.kept.epoch
    swapped = replace(settings, keep="last" if keep == "best" else "best")
    with pytest.raises(InputError, match="keep was"):
        train(load_model(start), DATA, swapped, tmp_path / "cut", fine_tune=True, resume=True)


def test_the_card_says_where_it_came_from(tmp_path, start):
    train(load_model(start), DATA, config(epochs=1, warmup=0.0, keep="last"), tmp_path, fine_tune=True)
    before, after = (read_card(folder / "model.yaml") for folder in (start, tmp_path))
    assert before.training["facts"]["started_from"] is None
    assert after.training["facts"]["started_from"] == before.sha256
    assert (before.source, after.source) == ("trained with aseptic", "fine-tuned with aseptic")
    assert after.training["facts"]["keep"] == "last"


@pytest.mark.parametrize("keep", ["best", "last"])
def test_keeps_the_epoch_that_is_asked_for(tmp_path, start, keep):
    seen = {}
    watch = Watch(weights=lambda epoch, subject: seen.update({epoch.epoch: copied(subject)}))
    # every training label is another class's: the longer it learns, the worse it is
    wrong = Memory(DATA.training.images, (DATA.training.targets + 1) % 3)
    sources, settings = Sources(training=wrong, validation=DATA.validation), config(epochs=5, keep=keep)
    subject = load_model(start)
    result = train(subject, sources, settings, tmp_path, fine_tune=True, watch=watch)
    ranks = [each.rank for each in result.epochs]
    assert result.best.epoch == ranks.index(max(ranks)) + 1 < 5
    assert result.kept == (result.best if keep == "best" else result.epochs[-1])
    assert [*seen] == [1, 2, 3, 4, 5]
    kept = seen[result.kept.epoch]
    assert all(torch.equal(value, kept[name]) for name, value in load_model(tmp_path).module.state_dict().items())
    assert all(torch.equal(value, kept[name]) for name, value in subject.module.state_dict().items())
    told = read_card(tmp_path / "model.yaml").training
    assert (told["best_epoch"], told["kept_epoch"]) == (result.best.epoch, result.kept.epoch)
    assert told["val_score"] == pytest.approx(result.kept.val_score)


def test_a_watcher_changes_nothing(tmp_path, start):
    """It predicts, attacks, draws random numbers and changes modes: the model is the same, bit for bit."""
    seen, held_out = [], source("multiclass", 12, seed=9)
    threat = Threat(Avoid(), Ball("linf", 0.05))

    def look(epoch, subject):
        assert not torch.is_grad_enabled()
        assert not any(module.training for module in subject.modules())
        drawn = float(torch.rand(()))
        np.testing.assert_array_equal(subject(held_out.images), subject(held_out.images))
        found = run(FGSM(), subject, held_out.images, held_out.targets, threat, seed=0)
        seen.append((epoch.epoch, drawn, float(found.success.float().mean())))
        subject.train()
        for value in subject.parameters():
            value.requires_grad = False

    settings = config(frozen=("features.1", "features.0"))
    quiet = train(load_model(start), DATA, settings, tmp_path / "quiet", fine_tune=True)
    state = torch.get_rng_state()
    watched = load_model(start)
    loud = train(watched, DATA, settings, tmp_path / "loud", fine_tune=True, watch=Watch(weights=look))
    assert torch.equal(state, torch.get_rng_state())
    assert len({(tmp_path / name / "model.safetensors").read_bytes() for name in ("quiet", "loud")}) == 1
    assert loud.offsets == quiet.offsets
    assert [epoch for epoch, *_ in seen] == [1, 2, 3]
    assert len({drawn for _, drawn, _ in seen}) == 3, "each epoch has a stream of its own"
    assert all(value.requires_grad for value in watched.parameters())


def test_a_watcher_that_changes_the_model_is_caught(tmp_path, start):
    def push(_, subject):
        subject.module.head.bias += 1

    with pytest.raises(ContractError, match=r"the audited model must not change, but module.head.bias did"):
        train(load_model(start), DATA, config(), tmp_path, fine_tune=True, watch=Watch(weights=push))


def test_a_model_of_probabilities_goes_on_as_one(tmp_path):
    network = build(ARCH, outputs=3, channels=1, size=16)
    wrapped = FromProbabilities(nn.Sequential(network, nn.Softmax(1)), task="multiclass")
    assert frozen_names(Subject(wrapped, task="multiclass", classes="abc", channels=1), ["0.head"]) == {
        *("0.head", "0.head.weight", "0.head.bias"),
    }
    # an architecture whose card says that it returns probabilities, whatever it returns
    facts = {"task": "multiclass", "classes": "abc", "channels": 1, "size": 16, "architecture": ARCH}
    positive = FromProbabilities(build(ARCH, outputs=3, channels=1, size=16), task="multiclass")
    positive.network.head.bias.data += 5
    save_model(Subject(positive, **facts), tmp_path / "start")
    before = load_model(tmp_path / "start")
    assert isinstance(before.module, FromProbabilities)
    features = before.module.network.features[0].weight.clone()
    train(before, DATA, config(epochs=1, warmup=0.0, frozen=("all-but-head",)), tmp_path / "m", fine_tune=True)
    after = load_model(tmp_path / "m")
    assert isinstance(after.module, FromProbabilities)
    assert torch.equal(after.module.network.features[0].weight, features)
    images = torch.rand((2, 1, 16, 16), generator=stream(0))
    with torch.no_grad():
        torch.testing.assert_close(after(images), before(images))
