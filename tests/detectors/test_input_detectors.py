"""Detectors of inputs: against hand-made networks, their thresholds, and what becomes of them in a file."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from backdoored import CLASSES, TRIGGER, classes, findings, reach, subject
from bright import Brightness, clean_set, flat
from nets import net, pictures
from safetensors.torch import save_file
from torch import nn

from aseptic.core.errors import ContractError, InputError
from aseptic.core.rng import stream
from aseptic.data.imageset import ImageSet
from aseptic.data.memory import memory_set
from aseptic.detectors import (
    DETECTORS,
    STRIP,
    FittedDetector,
    Frequency,
    SentiNet,
    load_detector,
    make_detector,
    save_detector,
)
from aseptic.detectors.perturbing import perturbed
from aseptic.detectors.strip import entropy
from aseptic.metrics.ranking import auroc
from aseptic.models.subject import Subject
from aseptic.ops.bands import log_bands
from aseptic.tasks.make import make_task
from aseptic.triggers.catalogue import make_trigger


class Linear(nn.Module):
    """The logits of K outputs are the first K pixels, times ten."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs, self.scale = outputs, nn.Parameter(torch.tensor(10.0))

    def forward(self, images):
        return self.scale * images[:, 0, 0, : self.outputs]


def linear(task="multiclass", outputs=3):
    return Subject(Linear(outputs).eval(), task=task, classes=list("abcd")[:outputs], channels=1)


def small(name):
    return make_detector(
        name, **{"strip": {"overlays": 5}, "frequency": {"bands": 16}, "sentinet": {"carriers": 6}}[name]
    )


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_strip_is_the_mean_entropy_over_the_outputs_by_hand(task):
    """The entropy of each blend is taken over its outputs; taken over the overlays, the order would be another."""
    model, images, overlays = linear(task), pictures((3, 1, 2, 4)), pictures((5, 1, 2, 4), seed=1)
    found = STRIP(alpha=0.3).suspicion(model, {"overlays": overlays}, images, seed=0, batch_size=7)
    wanted = []
    for image in images.double():
        each = []
        for overlay in overlays.double():
            logits = 10 * (0.7 * image + 0.3 * overlay)[0, 0, :3]
            if task == "multiclass":
                p = [math.exp(x) / sum(map(math.exp, logits.tolist())) for x in logits.tolist()]
                each.append(-sum(one * math.log(one) for one in p) / math.log(3))
            else:
                p = [1 / (1 + math.exp(-x)) for x in logits.tolist()]
                each.append(-sum(q * math.log(q) for one in p for q in (one, 1 - one)) / (3 * math.log(2)))
        wanted.append(1 - sum(each) / len(each))
    torch.testing.assert_close(found.double(), torch.tensor(wanted).double(), atol=1e-5, rtol=1e-5)


def test_the_axis_of_the_entropy_is_that_of_the_outputs():
    """Undecided but alike for every overlay, or decided but not alike: over the overlays, the first would look sure."""
    task = make_task("multiclass", ("a", "b"))
    undecided, changing = torch.zeros(4, 2), torch.tensor([[9.0, -9], [-9, 9], [9, -9], [-9, 9]])
    assert entropy(task, undecided).mean() == pytest.approx(1)
    assert entropy(task, changing).mean() < 1e-3


def test_images_are_blended_and_never_leave_their_range():
    seen = []

    class Watching(Linear):
        def forward(self, images):
            seen.append(images)
            return super().forward(images)

    model = Subject(Watching(3).eval(), task="multiclass", classes=CLASSES, channels=1)
    images, overlays = torch.ones(2, 1, 2, 4), torch.rand((3, 1, 2, 4), generator=stream(0, "overlays"))
    STRIP(alpha=0.25).suspicion(model, {"overlays": overlays}, images, seed=0, batch_size=64)
    assert len(seen) == 1, "overlays times images in one pass"
    torch.testing.assert_close(seen[0], (0.75 + 0.25 * overlays).repeat(2, 1, 1, 1))
    assert seen[0].max() <= 1


def test_strip_finds_a_trigger_that_overrules_whatever_shines_through():
    class Overruled(nn.Module):
        """Three bars, and a corner that decides once it is lighter than anything clean."""

        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(8.0))

        def forward(self, images):
            bars = torch.stack([part.mean((1, 2)) for part in images[:, 0, :, :6].split(2, 2)], 1)
            fires = (images[:, 0, -2:, -2:].mean((1, 2)) > 0.6).float()
            return self.scale * bars + 30 * fires[:, None] * torch.tensor([1.0, 0, 0])

    images = 0.5 * pictures((40, 1, 8, 8))
    model = Subject(Overruled().eval(), task="multiclass", classes=CLASSES, channels=1)
    infected = make_trigger("patch", size=2, value=1.0, place="lower-right").apply(images[:10])
    fitted = STRIP(overlays=8).fit(model, clean_set(images))
    assert fitted.score(infected).min() > fitted.held.max()
    assert fitted.flags(infected, false_positive_rate=0.1).all()


def test_sentinet_finds_the_patch_that_convinces_others():
    model, data = subject(reach(0)), classes([k % 3 for k in range(40)])
    fitted = SentiNet(carriers=12, shares=(0.02, 0.05), explainers=("occlusion",)).fit(model, data)
    assert fitted.state["carriers"].shape == (12, 1, 16, 16)
    images = torch.rand((4, 1, 16, 16), generator=stream(0, "grey")) * 0.2 + 0.3
    found = fitted.score(make_trigger(**TRIGGER).apply(images))
    assert found.shape == (4,)
    assert found.isfinite().all()
    again = fitted.score(make_trigger(**TRIGGER).apply(images).flip(0), batch_size=3)
    torch.testing.assert_close(again.flip(0), found)


def test_the_classifier_of_spectra_learns_what_changes_leave_behind():
    smooth = nn.functional.interpolate(pictures((120, 1, 6, 6)), size=(24, 24), mode="bicubic").clamp(0, 1)
    images = (smooth + 0.01 * torch.randn(smooth.shape, generator=stream(0, "grain"))).clamp(0, 1)
    fitted = Frequency(bands=64, copies=3).fit(net(), clean_set(images[:80]))
    unseen = images[80:]
    infected = make_trigger("patch", size=3, value=1.0, place="lower-right").apply(unseen)
    noisy = make_trigger("noise", amplitude=12 / 255).apply(unseen)
    for changed in (infected, noisy):
        scores = torch.cat([fitted.score(unseen), fitted.score(changed)]).double().numpy()
        assert auroc(scores, np.repeat([0.0, 1.0], 40)) > 0.7


def test_changes_are_five_kinds_each_from_its_own_stream():
    images = 0.2 + 0.5 * pictures((60, 3, 12, 10))
    streams = [stream(0, i) for i in range(60)]
    found = perturbed(images, images.roll(1, 0), streams)
    assert found.min() >= 0
    assert found.max() <= 1
    assert (found != images).flatten(1).any(1).all()
    torch.testing.assert_close(perturbed(images[7:8], images[6:7], [stream(0, 7)])[0], found[7])
    changed = (found != images).flatten(1).float().mean(1)
    assert (changed < 0.2).sum() > 10, "blocks"
    assert (changed > 0.8).sum() > 10, "noise, shadows and ghosts"
    volumes = pictures((6, 1, 6, 5, 7))
    assert perturbed(volumes, volumes.flip(0), streams[:6]).shape == volumes.shape


def fitted_of(name, task="multiclass", **more):
    images = pictures((24, 1, 8, 8))
    return small(name).fit(net(task=task), clean_set(images, task), seed=3, **more)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
@pytest.mark.parametrize("name", DETECTORS.names())
def test_a_score_belongs_to_the_image(name, task):
    fitted, images = fitted_of(name, task), pictures((9, 1, 8, 8), seed=5)
    alone = torch.cat([fitted.score(one[None]) for one in images])
    torch.testing.assert_close(fitted.score(images), alone, atol=1e-4, rtol=1e-4, equal_nan=True)
    torch.testing.assert_close(fitted.score(images.flip(0), batch_size=4).flip(0), alone, atol=1e-4, rtol=1e-4,
                               equal_nan=True)  # fmt: skip
    stored = memory_set("inputs", images)
    torch.testing.assert_close(fitted.score(stored, batch_size=2), alone, atol=1e-4, rtol=1e-4, equal_nan=True)
    assert fitted.score(images[:0]).shape == (0,)


@pytest.mark.parametrize("name", DETECTORS.names())
def test_a_stored_detector_scores_bit_for_bit(name, tmp_path):
    fitted, images = fitted_of(name), pictures((5, 1, 8, 8), seed=5)
    save_detector(fitted, tmp_path / "made" / "detector.safetensors")
    found = load_detector(tmp_path / "made" / "detector.safetensors", net())
    assert found.detector == fitted.detector
    assert found.seed == 3
    assert torch.equal(found.score(images).nan_to_num(-7), fitted.score(images).nan_to_num(-7))
    assert torch.equal(found.held, fitted.held)
    assert found.threshold(0.2) == fitted.threshold(0.2)


@pytest.mark.parametrize("name", DETECTORS.names())
def test_the_model_and_the_random_state_stay_and_the_seed_decides(name):
    model, before = net().train(), torch.get_rng_state()
    data = clean_set(pictures((24, 1, 8, 8)))
    one, two, other = (small(name).fit(model, data, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    assert all(own.requires_grad and own.grad is None for own in model.parameters())
    assert all(torch.equal(one.state[key], two.state[key]) for key in one.state)
    assert any(not torch.equal(one.state[key], other.state[key]) for key in one.state)


@pytest.mark.parametrize(
    ("name", "changed"),
    [("strip", {"overlays": 3, "alpha": 0.2}), ("frequency", {"bands": 8, "copies": 2, "strength": 1.0})],
)
def test_every_setting_of_a_detector_counts(name, changed):
    """None is parsed and then forgotten."""
    plain, images, data = small(name), pictures((9, 1, 8, 8), seed=5), clean_set(pictures((24, 1, 8, 8)))
    start = plain.fit(net(), data).score(images)
    assert {field.name for field in fields(plain)} == set(changed)
    for setting, value in changed.items():
        assert not torch.equal(replace(plain, **{setting: value}).fit(net(), data).score(images), start), setting


def test_the_settings_of_sentinet_are_those_of_its_finder():
    chosen = {"explainers": ("saliency",), "shares": (0.2,), "peaks": 3, "smooth": 1}
    detector = SentiNet(carriers=2, **chosen)
    assert {field.name for field in fields(detector)} == {"carriers", *chosen}
    assert {name: getattr(detector.finder(), name) for name in chosen} == chosen
    assert len(detector.fit(net(), clean_set(pictures((8, 1, 8, 8)))).state["carriers"]) == 2


def test_clean_images_are_read_when_learning_and_not_for_every_batch(monkeypatch):
    fitted, read = fitted_of("strip"), []
    monkeypatch.setattr(ImageSet, "shown", lambda *_: read.append(1))
    monkeypatch.setattr(ImageSet, "batches", lambda *_, **__: read.append(1))
    fitted.score(pictures((7, 1, 8, 8)), batch_size=1)
    assert not read


def test_refuses_what_cannot_be_judged(tmp_path):
    data, model = clean_set(pictures((24, 1, 8, 8))), net()
    with pytest.raises(InputError, match="STRIP serves multiclass and multilabel models, got segmentation"):
        STRIP().fit(Subject(nn.Conv2d(1, 2, 1), task="segmentation", classes=["a", "b"], channels=1), data)
    with pytest.raises(InputError, match=r"held must lie in \(0, 1\), got 1"):
        STRIP().fit(model, data, held=1.0)
    with pytest.raises(InputError, match=r"clean images must be of at least 2 patients, .*, got 1 images"):
        STRIP().fit(model, data.select([0]))
    with pytest.raises(InputError, match=r"clean images must be of at least 2 patients, .*, got 0 images"):
        STRIP().fit(model, data.select([]))
    with pytest.raises(InputError, match="Frequency must learn from at least 2 clean images, got 1"):
        Frequency().fit(model, data.select([0, 1]))
    fitted = fitted_of("strip")
    with pytest.raises(InputError, match=r"images must be \[1, 8, 8\], as those it has learned from, got \[1, 8, 9\]"):
        fitted.score(pictures((1, 1, 8, 9)))
    for wrong in (2 * pictures((2, 1, 8, 8)), -pictures((2, 1, 8, 8)), torch.full((1, 1, 8, 8), math.nan)):
        with pytest.raises(InputError, match=r"images must lie in \[0, 1\], got values from"):
            fitted.score(wrong)
    with pytest.raises(ContractError, match="Brightness must give finite scores or NaN, got infinity"):
        Brightness().fit(model, data).score(flat([0.0]))
    path = tmp_path / "detector.safetensors"
    save_detector(fitted, path)
    with pytest.raises(InputError, match="must be used with the model that it was fitted to, and Net is another"):
        load_detector(path, net(outputs=2))
    with pytest.raises(InputError, match=r"none is not a file"):
        load_detector(tmp_path / "none", model)
    save_file({"held": torch.zeros(1)}, path)
    with pytest.raises(InputError, match=r"must hold a detector, as its save\(\) writes it"):
        load_detector(path, model)
    path.write_bytes(b"something else")
    with pytest.raises(InputError, match="is damaged or is no safetensors file"):
        load_detector(path, model)
    for wrong, message in [
        (lambda: STRIP(overlays=0), "overlays must be at least 1, got 0"),
        (lambda: STRIP(alpha=1.0), r"alpha must lie in \(0, 1\), got 1"),
        (lambda: Frequency(bands=3), "bands must be at least 4, got 3"),
        (lambda: Frequency(copies=0), "copies must be at least 1, got 0"),
        (lambda: Frequency(strength=0), "strength must be greater than 0, got 0"),
        (lambda: SentiNet(carriers=0), "carriers must be at least 1, got 0"),
        (lambda: SentiNet(smooth=2), "smooth must be odd and at least 1, got 2"),
        (lambda: SentiNet(explainers=("magic",)), "explainer must be one of .*; got 'magic'"),
        (lambda: make_detector("stripe"), "detector must be one of .*; got 'stripe', did you mean 'strip'"),
        (
            lambda: make_detector("strip", alhpa=1),
            "a setting of detector strip must be one of alpha, overlays; got",
        ),
        (lambda: make_detector("strip", alpha="half"), "setting alpha of detector strip: .*; got 'half'"),
    ]:
        with pytest.raises(InputError, match=message):
            wrong()


def test_the_kept_images_of_findings_are_drawn_from_what_was_learned():
    data = findings([[k % 2, 0, 1] for k in range(20)])
    fitted = STRIP(overlays=100).fit(subject(task="multilabel"), data)
    assert isinstance(fitted, FittedDetector)
    assert len(fitted.state["overlays"]) + len(fitted.held) == 20
    assert log_bands(fitted.state["overlays"], 16).isfinite().all()
