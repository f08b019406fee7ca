"""Going on from a model on another data set: one path for both, with the model's own classes, size and channels."""

from dataclasses import replace

import pytest
import torch
from calling import write_images

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.data.memory import memory_set
from aseptic.models.card import read_card
from aseptic.models.load import load_model
from aseptic.models.train_config import TrainConfig
from aseptic.models.training import new_subject
from aseptic.models.training_loop import Watch
from aseptic.studies.train import Parts, TrainRequest, open_parts, train_on

CLASSES = ("dark", "grey", "light")
REQUEST = TrainRequest(arch="aseptic:smallcnn?width=4", size=16, channels=None, mean=(0.4,), std=(0.2,))
CONFIG = TrainConfig(epochs=4, batch_size=16, lr=0.01, flip=False, shift=0.0, accelerator="cpu")


def squares(count, seed, classes=CLASSES, side=16):
    """Noise with a square as bright as its class says; ``classes`` is the order of the numbers."""
    rng, quarter = stream(seed, "squares"), side // 4
    images, names = 0.2 + 0.1 * torch.rand(count, 1, side, side, generator=rng), [CLASSES[i % 3] for i in range(count)]
    for image, name in zip(images, names, strict=True):
        image[0, quarter:-quarter, quarter:-quarter] += 0.3 * CLASSES.index(name)
    targets = torch.tensor([classes.index(name) for name in names])
    return memory_set("squares", images, targets, classes=classes, task="multiclass")


def parts(**facts):
    return Parts(
        training=squares(48, 1, **facts), validation=squares(24, 2, **facts), test=squares(30, 3, **facts), notes=()
    )


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start")
    assert train_on(parts(), REQUEST, replace(CONFIG, epochs=20), folder).test["accuracy"].value > 0.9
    return folder


def test_classes_are_matched_by_name_and_images_fitted_to_the_model(start, tmp_path):
    """A tiny rate changes nothing: what was learnt shows on data with other numbers and another size."""
    subject, other = load_model(start), parts(classes=("light", "dark", "grey"), side=24)
    still = replace(CONFIG, epochs=1, lr=1e-9, warmup=0.0, frozen=("all-but-head",))
    found = train_on(other, subject, still, tmp_path)
    assert found.test["accuracy"].value > 0.9
    assert subject.task.classes == load_model(tmp_path).task.classes == CLASSES
    cards = [read_card(folder / "model.yaml") for folder in (start, tmp_path)]
    assert cards[1].training["facts"]["started_from"] == cards[0].sha256
    facts = ("architecture", "classes", "size", "channels", "mean", "std")
    assert [getattr(cards[0], name) for name in facts] == [getattr(cards[1], name) for name in facts]


def test_epochs_are_measured_from_before_the_first_step(start, tmp_path):
    """A curve: the caller measures the model before training, the watcher after each epoch."""
    subject, held_out, curve = load_model(start), squares(30, 3), []

    def measure(epoch, live):
        right = live.task.correct(live(held_out.images), held_out.targets).float().mean()
        curve.append((epoch, float(right)))

    with torch.no_grad():
        measure(0, subject)
    swapped = parts()
    items = [replace(item, label=(item.label + 1) % 3) for item in swapped.training.items]
    swapped = replace(swapped, training=replace(swapped.training, items=tuple(items)))
    config = replace(CONFIG, keep="last", patience=None)
    watch = Watch(weights=lambda epoch, live: measure(epoch.epoch, live))
    found = train_on(swapped, subject, config, tmp_path, watch=watch)
    assert [epoch for epoch, _ in curve] == [0, 1, 2, 3, 4]
    assert curve[0][1] > 0.9
    assert curve[-1][1] < 0.4, "it has learnt the other labels"
    assert found.result.kept.epoch == 4 > found.result.best.epoch
    assert "kept epoch 4, the last, validation AUROC" in found.summary()[1]


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"classes": ("dark", "grey", "front")}, "classes of squares must be dark, grey, light, as the model has"),
        ({"task": None}, "data must be multiclass as the model is, got None"),
    ],
)
def test_data_of_another_kind_is_refused(start, tmp_path, facts, message):
    found = parts()
    found = replace(found, training=replace(found.training, **facts), validation=replace(found.validation, **facts))
    with pytest.raises(InputError, match=message):
        train_on(found, load_model(start), CONFIG, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_model_of_any_size_takes_the_images_as_they_are(tmp_path):
    subject = new_subject("aseptic:smallcnn?width=4", task="multiclass", classes=CLASSES, channels=1)
    train_on(parts(side=20), subject, replace(CONFIG, epochs=1, warmup=0.0), tmp_path)
    assert load_model(tmp_path).spec.size is None


def test_a_share_of_the_patients_is_noted(tmp_path, monkeypatch):
    monkeypatch.setenv("ASEPTIC_PSEUDONYM_KEY", "of the tests")
    folder = write_images(tmp_path / "set")
    whole, part, again = (open_parts(str(folder), share=share, seed=4) for share in (1.0, 0.2, 0.2))
    assert [len(one.training) for one in (whole, part, again)] == [30, 6, 6]
    assert part.training.ids == again.training.ids
    assert part.training.ids != open_parts(str(folder), share=0.2, seed=5).training.ids
    assert part.validation.ids == whole.validation.ids
    assert part.test.ids == whole.test.ids
    assert part.notes == (*whole.notes, "Trained on 6 of 30 patients, 6 of 30 images, drawn with seed 4.")
    one = open_parts(str(folder), share=0.01)
    lost = one.training.classes[1 - one.training.items[0].label]
    assert one.notes[-1] == f"Trained on 1 of 30 patients, 1 of 30 images, drawn with seed 0. None shows {lost}."
    with pytest.raises(InputError, match=r"share must lie in \(0, 1\], got 0"):
        open_parts(str(folder), share=0.0)


def test_a_share_of_images_is_noted_where_patients_are_unknown(tmp_path):
    folder = write_images(tmp_path / "set")
    table = folder / "labels.csv"
    table.write_text("".join(f"{line.rpartition(',')[0]}\n" for line in table.read_text().splitlines()))
    assert open_parts(str(folder), share=0.5).notes[-1] == "Trained on 15 of 30 images, drawn with seed 0."
