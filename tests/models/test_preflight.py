"""Pre-flight: every planted fault is named, and a clean model passes every check."""

import pytest
import torch

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.models.preflight import preflight
from aseptic.models.subject import Subject
from aseptic.models.unwrap import FromProbabilities

N, SIDE = 96, 8
SCALE = {"mean": 0.45, "std": 0.25}
NAMES = [
    "train_mode",
    "range",
    "outputs",
    "random_output",
    "batch_dependence",
    "logits",
    "scale",
    "gradient",
    "class_order",
]


def pictures(kind):
    """Images whose left, middle or right column is brighter, and which one (or which ones) that is."""
    rng = stream(0, kind)
    if kind == "multiclass":
        targets = torch.arange(N) % 3
        marks = torch.eye(3)[targets]
    else:
        marks = torch.rand(N, 3, generator=rng).round()
        targets = marks.clone()
        targets[torch.rand(N, 3, generator=rng) < 0.1] = torch.nan
    images = 0.3 + 0.1 * torch.rand(N, 1, SIDE, SIDE, generator=rng)
    for column, place in enumerate((1, 3, 6)):
        images[..., place] += 0.3 * marks[:, column, None, None]
    return images, targets


class Net(torch.nn.Module):
    """Reads the three columns; the sign of its logits is right where images come normalised by 0.45 and 0.25."""

    def __init__(self, gain=4.0):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(gain))
        self.register_buffer("place", torch.tensor([1, 3, 6]))

    def forward(self, images):
        return self.gain * images.mean((1, 2))[:, self.place]


class After(torch.nn.Module):
    def __init__(self, change, network=None):
        super().__init__()
        self.network, self.change = network or Net(), change

    def forward(self, images):
        return self.change(self.network(images))


class Before(After):
    def forward(self, images):
        return self.network(self.change(images))


def look(network, kind="multiclass", *, prepare=lambda images: images, training=False, seed=0, **scale):
    images, targets = pictures(kind)
    subject = Subject(network, task=kind, classes="abc", channels=1, **SCALE | scale).train(training)
    found = preflight(subject, prepare(images), targets, seed=seed)
    assert subject.training is training
    return {each.name: each for each in found}


def doubted(found):
    return [name for name, each in found.items() if each.status != "ok"]


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_a_clean_model_passes_every_check(kind):
    found = look(Net(), kind)
    assert list(found) == NAMES
    assert not doubted(found), [each.sentence for each in found.values()]


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
@pytest.mark.parametrize("seed", range(10))
def test_an_ignorant_model_is_not_accused(kind, seed):
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(SIDE * SIDE, 3))
    torch.nn.init.normal_(network[1].weight, generator=stream(seed, "weight"))
    with torch.no_grad():  # it sees only the corners, which say nothing
        network[1].weight[:, torch.arange(SIDE * SIDE) % SIDE > 0] = 0
    assert not doubted(look(network, kind, seed=seed))


class Thresholded(torch.nn.Module):
    """Knows the classes only where grey lies around 0 (normalised) by steps of tenths."""

    def forward(self, images):
        return 4 * torch.sin(images.mean((1, 2))[:, [1, 3, 6]].clamp(-1.5, 1.5))


@pytest.mark.parametrize(
    ("network", "options", "told"),
    [
        (
            lambda: Before(lambda x: (x / 255 - 0.45) / 0.25, Thresholded()),
            {"mean": 0.0, "std": 1.0},
            "multiplied by 255",
        ),
        (Thresholded, {"mean": -60.0, "std": 0.2}, "without normalisation"),
        (lambda: Before(lambda x: -x), {}, "with black and white exchanged"),
        (Net, {"prepare": lambda images: 1 - images}, "with black and white exchanged"),
    ],
    ids=["0 to 255", "wrong mean", "negative network", "negative images"],
)
@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_a_wrong_scale(network, options, told, kind):
    found = look(network(), kind, **options)["scale"]
    assert found.status == "warning"
    assert told in found.sentence


def test_images_outside_the_range_end_the_list():
    found = look(Net(), prepare=lambda images: 255 * images)
    assert list(found) == ["train_mode", "range"]
    assert found["range"].status == "refused"
    assert found["range"].sentence.startswith("Images must lie in [0, 1], got [7")


def test_probabilities():
    found = look(After(torch.nn.Softmax(1)))
    assert doubted(found) == ["logits"]
    assert found["logits"].status == "refused"
    assert "say so with --outputs probabilities" in found["logits"].sentence
    found = look(After(torch.nn.Sigmoid()), "multilabel")
    assert doubted(found) == ["logits"]
    assert found["logits"].status == "warning"
    assert not doubted(look(FromProbabilities(After(torch.nn.Softmax(1)), task="multiclass")))
    assert not doubted(look(FromProbabilities(After(torch.nn.Sigmoid()), task="multilabel"), "multilabel"))
    assert not doubted(look(After(torch.nn.LogSoftmax(1))))


def test_training_mode():
    found = look(After(torch.nn.Dropout(0.5)), training=True)
    assert doubted(found) == ["train_mode"], "the rest is judged in evaluation mode"
    assert found["train_mode"].status == "refused"
    assert "module.change and others); call model.eval()" in found["train_mode"].sentence


def test_random_output():
    rng = stream(0, "noise")
    found = look(After(lambda logits: logits + 0.1 * torch.randn(logits.shape, generator=rng)))
    assert found["random_output"].status == "warning"
    assert "the model draws random numbers" in found["random_output"].sentence


def test_batch_dependence():
    found = look(After(lambda logits: logits - logits.mean(0)))
    assert "batch_dependence" in doubted(found)
    assert "An image alone and in a batch differs by up to" in found["batch_dependence"].sentence


def test_a_network_that_needs_a_batch():
    found = look(After(torch.nn.BatchNorm1d(3, track_running_stats=False)))
    assert "The network cannot be fed one image alone" in found["batch_dependence"].sentence


@pytest.mark.parametrize(
    ("network", "why", "saturated"),
    [
        (lambda: Before(lambda x: (20 * x).round() / 20), "the network hides it", 0),
        (lambda: After(lambda logits: logits.detach()), "the network hides it", 0),
        (lambda: Net(gain=4000.0), "so sure that the softmax underflows", 64),
    ],
    ids=["rounded", "detached", "saturated"],
)
def test_zero_gradients(network, why, saturated):
    found = look(network())
    assert doubted(found) == ["gradient"]
    assert why in found["gradient"].sentence
    assert found["gradient"].evidence == {"images": 64, "zero": 64, "saturated": saturated, "not_finite": 0}


def test_saturated_findings():
    assert "underflows" in look(Net(gain=4000.0), "multilabel")["gradient"].sentence


def test_gradients_that_are_not_finite():
    found = look(Before(lambda x: x + (x - x).sqrt()))
    assert doubted(found) == ["gradient"]
    assert "NaN or infinite for 64 of 64 images" in found["gradient"].sentence


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_class_order(kind):
    found = look(After(lambda logits: logits[:, [1, 0, 2]]), kind)
    assert "class_order" in doubted(found)
    assert found["class_order"].evidence["better_order"] == ["b", "a", "c"]
    assert "the output called 'b' answers to the images of 'a'" in found["class_order"].sentence


def test_two_classes_the_other_way_round():
    images, targets = pictures("multiclass")
    images, targets = images[targets < 2], targets[targets < 2]
    for columns, status in (([0, 1], "ok"), ([1, 0], "warning")):
        # a bias makes it always choose the same class: only the ranking shows the order
        network = After(lambda logits, columns=columns: logits[:, columns] + torch.tensor([50.0, 0.0]))
        subject = Subject(network, task="multiclass", classes="ab", channels=1, mean=0.45, std=0.25).eval()
        found = preflight(subject, images, targets, seed=0)[-1]
        assert (found.name, found.status) == ("class_order", status)


def test_a_finding_with_the_wrong_sign():
    found = look(After(lambda logits: logits * torch.tensor([1.0, -1.0, 1.0])), "multilabel")
    assert doubted(found) == ["class_order"]
    assert found["class_order"].evidence["backwards"] == ["b"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda logits: logits[:, :2], "one number for each of the 3 classes (a, b, c), got shape [96, 2]"),
        (lambda logits: logits[:, :, None], "got shape [96, 3, 1]"),
        (lambda logits: (logits, logits), "must return one tensor of logits, got tuple"),
        (lambda logits: logits / 0, "returns NaN or infinity for 96 of 96 images"),
        (lambda logits: logits @ torch.ones(5, 5), r"cannot be fed these images (channel and space [1, 8, 8])"),
    ],
    ids=["too few", "rank", "tuple", "infinite", "raises"],
)
def test_outputs_that_cannot_be_used_end_the_list(change, told):
    found = look(After(change))
    assert list(found) == NAMES[:3]
    assert found["outputs"].status == "refused"
    assert told in found["outputs"].sentence


def test_many_classes_are_not_compared():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(SIDE * SIDE, 40))
    subject = Subject(network, task="multiclass", classes=[str(n) for n in range(40)], channels=1).eval()
    images, targets = pictures("multiclass")
    found = preflight(subject, images, targets, seed=0)[-1]
    assert (found.name, found.sentence) == ("class_order", "Not judged: there are more than 32 classes.")


def test_few_images_prove_nothing():
    images, targets = pictures("multiclass")
    subject = Subject(After(lambda logits: logits[:, [1, 0, 2]]), task="multiclass", classes="abc", channels=1).eval()
    assert all(each.status == "ok" for each in preflight(subject, images[:4], targets[:4], seed=0))


def test_the_model_is_left_as_it_was():
    network = After(torch.nn.BatchNorm1d(3))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    look(network, training=True)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(each.grad is None and each.requires_grad for each in network.parameters())


def test_images_are_needed():
    images, targets = pictures("multiclass")
    with pytest.raises(InputError, match="preflight needs at least 1 image, got 0"):
        preflight(Subject(Net(), task="multiclass", classes="abc"), images[:0], targets[:0], seed=0)
