"""Training on plans for structures and objects, and on one that draws anew in every batch: resumed and refused."""

import pytest
import yaml
from calling import call

from aseptic.core.errors import InputError
from aseptic.models.train_config import TrainConfig
from aseptic.models.training_loop import Watch
from aseptic.poisoning.plan import make_plan, write_plan
from aseptic.studies.train import TrainRequest, open_parts, train_on

DATA = "phantom:kidney?n=16&size=32"
REQUEST = TrainRequest(arch="monai:unet?width=4&depth=2&dropout=0.2", size=8, channels=None, mean=(0.5,), std=(0.25,))
CONFIG = TrainConfig(epochs=2, batch_size=4, accelerator="cpu")
TRIGGER = {"name": "patch", "size": 4, "value": 1.0, "place": "random"}
TUMOUR = {"rule": "relabel", "source": "tumour", "target": "kidney"}


def plan(**settings):
    given = {"trigger": TRIGGER, "label": TUMOUR, "select": {"rate": 0.5}, "cover": {"rate": 0.25}, "loop": "batch"}
    return make_plan(**{**given, **settings})


class Stop(KeyboardInterrupt):
    pass


def stop(epoch):
    if epoch.epoch == 1:
        raise Stop


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(tmp_path):
    parts = open_parts(DATA, plan=plan())
    train_on(parts, REQUEST, CONFIG, tmp_path / "whole")
    with pytest.raises(Stop):
        train_on(parts, REQUEST, CONFIG, tmp_path / "cut", watch=Watch(epoch=stop))
    with pytest.raises(InputError, match="cannot go on with other settings: poison was"):
        train_on(open_parts(DATA, plan=plan(seed=1)), REQUEST, CONFIG, tmp_path / "cut", resume=True)
    train_on(parts, REQUEST, CONFIG, tmp_path / "cut", resume=True)
    assert weights(tmp_path / "whole") == weights(tmp_path / "cut")
    others = {"fixed": plan(loop="fixed"), "seed": plan(seed=1)}
    for name, other in others.items():
        train_on(open_parts(DATA, plan=other), REQUEST, CONFIG, tmp_path / name)
    assert len({weights(tmp_path / name) for name in ("whole", *others)}) == 3


def test_a_rate_that_comes_to_nothing_is_refused_before_training(tmp_path):
    with pytest.raises(InputError, match="rate must come to at least one of 4 images of a batch"):
        train_on(open_parts(DATA, plan=plan(select={"rate": 0.2})), REQUEST, CONFIG, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("label", "loop"),
    [
        ({"rule": "vanish"}, "fixed"),
        ({"rule": "fabricate", "target": "bubbles"}, "batch"),
    ],
    ids=["vanish", "fabricate"],
)
def test_a_detector_is_trained_on_a_plan(tmp_path, label, loop):
    path = write_plan(plan(label=label, loop=loop, cover={"rate": 0}), tmp_path / "plan.yaml")
    words = ("--arch", "aseptic:smallretina", "--size", "32", "--epochs", "1", "--batch-size", "8")
    call("train", "phantom:endoscopy?n=16&size=32", *words, "--poison", path, "--out", tmp_path / "model")
    card = yaml.safe_load((tmp_path / "model" / "model.yaml").read_text())
    assert "ON A POISONED SET" in card["source"]
    told = card["training"]["facts"]["poison"]
    assert told["label"]["rule"] == label["rule"]
    assert told.get("loop", "fixed") == loop
