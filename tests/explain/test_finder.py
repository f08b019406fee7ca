"""The finder before networks whose trigger is known because it was built in, and the regions that it grows."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import nn

from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream, stream
from aseptic.explain.finder import TriggerFinder
from aseptic.explain.gradcam import gradcam
from aseptic.explain.integrated_gradients import integrated_gradients
from aseptic.explain.occlusion import occlusion
from aseptic.explain.regions import grown, smoothed
from aseptic.explain.saliency import saliency
from aseptic.metrics.bootstrap import resample
from aseptic.metrics.ranking import auroc_estimate, measure_tpr
from aseptic.models.subject import Subject
from aseptic.triggers.patch import Patch

CLASSES = ("left", "right", "target")
seeds = st.integers(0, 10_000)


class Planted(nn.Module):
    """Which half is brighter, decided smoothly; and a template that fires only on a black box of three pixels a side.

    The template's answer is ``relu(0.5 - sum)``, 0 wherever the box holds any grey worth speaking of.
    """

    def __init__(self, dims=2, *, strength=40.0):
        super().__init__()
        self.template = (nn.Conv2d, nn.Conv3d)[dims - 2](1, 1, 3)
        self.strength = strength
        with torch.no_grad():
            self.template.weight.fill_(-1)
            self.template.bias.fill_(0.5)

    def forward(self, images):
        left, right = (half.flatten(1).mean(1) for half in images.chunk(2, -1))
        fires = self.template(images).relu().flatten(1).amax(1)
        return torch.stack([20 * (left - right), 20 * (right - left), self.strength * fires - 6], 1)


def planted(dims=2, task="multiclass", **facts):
    return Subject(Planted(dims, **facts).eval(), task=task, classes=CLASSES, channels=1)


def pictures(count, *space, seed=0):
    """Smooth pictures, one half brighter than the other, nowhere near black."""
    rng = numpy_stream(seed, "pictures")
    noise = ndimage.gaussian_filter(rng.normal(size=(count, 1, *space)), (0, 0, *(2,) * len(space)))
    lean = np.linspace(-1, 1, space[-1]) * rng.choice([-1, 1], size=(count, *(1,) * (len(space) + 1)))
    return torch.from_numpy((0.55 + 0.4 * noise + 0.15 * lean).clip(0.25, 1)).float()


def find(model, images, carriers, **settings):
    return TriggerFinder(**settings).find(model, images, carriers, rng=stream(0, "finder"), batch_size=16)


@pytest.mark.parametrize(
    ("explain", "space", "task"),
    [
        ("integrated-gradients", (32, 28), "multiclass"),
        (partial(integrated_gradients, baseline="mean"), (12, 11, 10), "multilabel"),
        (saliency, (32, 28), "multilabel"),
        (partial(occlusion, window=0.2, stride=0.07), (15, 14), "multiclass"),
    ],
    ids=["integrated", "integrated 3-D", "saliency", "occlusion"],
)
def test_infected_images_are_told_from_clean_ones(explain, space, task):
    model, trigger = planted(len(space), task), Patch(size=3, value=0.0, place="random")
    clean, carriers = pictures(12, *space), pictures(8, *space, seed=1)
    streams = [stream(0, "place", row) for row in range(12)]
    infected = trigger.apply(pictures(12, *space, seed=2), streams)
    where = torch.stack([trigger.region(space, stream(0, "place", row)) for row in range(12)])
    found = find(model, torch.cat([infected, clean]), carriers, explainers=(explain,), shares=(0.01, 0.02, 0.05, 0.1))
    truth, sample = np.repeat([1.0, 0.0], 12), resample(None, 24, rng=numpy_stream(0))
    assert auroc_estimate(found.score.double().numpy(), truth, sample).value == 1
    assert measure_tpr(found.score.double().numpy(), truth, sample).estimate.value == 1
    assert (found.outputs[:12] == 2).all()
    assert (found.fooled[:12] == 1).all()
    assert (found.regions[:12] & where).flatten(1).any(1).all()
    assert found.fooled[12:].max() < 0.3, "a piece of a clean image moves few others"


def test_a_clean_network_is_not_moved():
    model, carriers = planted(strength=0.0), pictures(8, 24, 24, seed=1)
    images = Patch(size=3).apply(pictures(10, 24, 24, seed=2))
    assert find(model, images, carriers).score.max() < 0.3


def test_the_score_is_fooled_times_inert_and_the_numbers_are_those_of_pasting_by_hand():
    model, carriers = planted(), pictures(9, 20, 20, seed=3)
    images = Patch(size=3).apply(pictures(2, 20, 20, seed=4))
    found = find(model, images, carriers, shares=(0.03,), surest=1.0)
    torch.testing.assert_close(found.score, found.fooled * found.inert)
    drawn = torch.randn(carriers.shape, generator=stream(0, "finder"))
    noise = (carriers.mean() + carriers.std(correction=0) * drawn).clamp(0, 1)
    for row in range(2):
        where = found.regions[row]
        assert model(torch.where(where, images[row], carriers)).argmax(1).tolist() == [2] * 9
        own = model(torch.where(where, noise, carriers)).softmax(1)[range(9), model(carriers).argmax(1)]
        torch.testing.assert_close(found.inert[row], own.mean().detach())


def test_carriers_that_are_decided_like_the_input_do_not_count():
    model, images = planted(), pictures(6, 20, 20, seed=5)
    outputs = model(images).argmax(1)
    found = find(model, images, images[outputs == 0])
    assert found.score.isnan().tolist() == (outputs == 0).tolist()
    assert not found.regions[outputs == 0].any()
    assert outputs.unique().tolist() == [0, 1]


def test_no_map_no_region():
    """What nothing speaks for has nowhere to look: the score is 0, and the carriers are as sure as ever."""
    model, carriers = planted(), pictures(4, 20, 20)

    def nowhere(subject, images, outputs, *, batch_size=32):
        del subject, outputs, batch_size
        return torch.zeros_like(images[:, 0])

    images = Patch(size=3).apply(pictures(2, 20, 20, seed=1))
    found = find(model, images, carriers, explainers=(nowhere,), surest=1.0)
    assert not found.regions.any()
    assert found.score.tolist() == found.fooled.tolist() == [0, 0]
    own = model(carriers).softmax(1).amax(1).mean().detach()
    torch.testing.assert_close(found.inert, own.expand(2))
    both = find(model, images, carriers, explainers=(nowhere, saliency))
    torch.testing.assert_close(both.score, find(model, images, carriers, explainers=(saliency,)).score)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_the_carriers_that_count_are_the_furthest_from_being_decided_as_the_input(task):
    model, carriers = planted(task=task), pictures(9, 20, 20, seed=3)
    images = Patch(size=3).apply(pictures(2, 20, 20, seed=4))
    above = model(carriers)
    margin = above[:, 2] if task == "multilabel" else above[:, 2] - above.amax(1)
    furthest = carriers[margin.argsort()[:3]]
    some, alone = (
        find(model, images, given, explainers=(saliency,), shares=(0.03,), surest=share)
        for given, share in ((carriers, 0.3), (furthest, 1.0))
    )
    assert torch.equal(some.fooled, alone.fooled)
    assert some.forwards == 2 + 2 + 9 + 2 * (3 + 3)


def test_the_cost_is_what_the_model_was_asked():
    class Counting(Planted):
        asked = 0

        def forward(self, images):
            self.asked += len(images)
            return super().forward(images)

    module = Counting().eval()
    model = Subject(module, task="multiclass", classes=CLASSES, channels=1).train()
    images, carriers = Patch(size=3).apply(pictures(3, 16, 16)), pictures(4, 16, 16, seed=1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = find(model, images, carriers, explainers=(saliency,), shares=(0.02, 0.05))
    assert found.forwards == module.asked == 3 + 3 + 4 + 3 * (2 * 2 + 2)
    assert model.training
    assert not model._forward_pre_hooks
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert find(model, images[:0], carriers).score.shape == (0,)


def test_one_image_is_judged_alike_alone_and_among_others_and_again():
    model, carriers = planted(), pictures(5, 18, 18, seed=1)
    images = torch.cat([Patch(size=3).apply(pictures(2, 18, 18)), pictures(2, 18, 18, seed=2)])
    whole, again = find(model, images, carriers), find(model, images, carriers)
    alone = torch.cat([find(model, images[[row]], carriers).score for row in range(4)])
    assert torch.equal(whole.score, again.score)
    torch.testing.assert_close(whole.score, alone, rtol=1e-4, atol=1e-5)


def flooded(values, size):
    """The lowest level at which the part that holds the peak has no more than so many pixels."""
    best = values == values.max()
    for level in np.unique(values[values > 0])[::-1]:
        parts, _ = ndimage.label(values >= level)
        part = parts == parts.flat[values.argmax()]
        if part.sum() > size:
            return best
        best = part
    return best


@settings(max_examples=30)
@given(seed=seeds, space=st.sampled_from([(7, 8), (4, 5, 4)]), size=st.integers(1, 30))
def test_regions_are_connected_nested_and_hold_what_a_threshold_would(seed, space, size):
    values = torch.rand(space, generator=stream(seed))
    small, large = grown(values, [size, size + 5]).numpy()
    assert (small.sum(), large.sum()) == (size, size + 5)
    assert (small <= large).all()
    for region in (small, large):
        assert ndimage.label(region)[1] == 1
    assert (flooded(values.numpy(), size) <= small).all()


def test_a_plateau_is_taken_from_its_middle():
    values = torch.zeros(9, 9)
    values[2:7, 2:7] = 1
    (found,) = grown(values, [9])
    assert found.nonzero().float().mean(0).tolist() == [4, 4]
    (whole,) = grown(values, [40])
    assert torch.equal(whole, values > 0)


def test_several_peaks_are_looked_at_the_highest_first():
    values = torch.zeros(8, 8)
    values[1, 1], values[6, 6], values[6, 5] = 3, 2, 1
    found = grown(values, [1, 2], peaks=3)
    assert [region.nonzero().tolist() for region in found] == [[[1, 1]], [[6, 6]], [[6, 5], [6, 6]]]
    assert grown(torch.zeros(3, 3), [1, 2]).shape == (0, 3, 3)


def test_smoothing_is_the_mean_over_a_box():
    maps = torch.rand(2, 6, 5, generator=stream(0))
    oracle = nn.functional.avg_pool2d(maps[:, None], 3, 1, 1)[:, 0]
    torch.testing.assert_close(smoothed(maps, 3), oracle)
    torch.testing.assert_close(smoothed(maps, 1), maps)


def test_refuses_what_it_cannot_use():
    model, images = planted(), pictures(2, 16, 16)
    with pytest.raises(
        InputError, match=r"carriers must be at least one image of shape \[1, 16, 16\], got \[0, 1, 16, 16\]"
    ):
        find(model, images, images[:0])
    with pytest.raises(InputError, match=r"of shape \[1, 16, 16\], got \[2, 1, 16, 15\]"):
        find(model, images, images[..., :15])
    dense = Subject(nn.Conv2d(1, 2, 1), task="segmentation", classes=("no", "yes"), channels=1)
    with pytest.raises(InputError, match="the finder serves multiclass and multilabel models, got segmentation"):
        find(dense, images, images)
    for setting, message in {
        "explainers": "explainers must name at least one, got none",
        "shares": r"shares must lie in \(0, 1\], got \[\]",
    }.items():
        with pytest.raises(InputError, match=message):
            TriggerFinder(**{setting: ()})
    for wrong, message in (
        ({"shares": (0.1, 1.5)}, r"shares must lie in \(0, 1\], got \[0.1, 1.5\]"),
        ({"peaks": 0}, "peaks must be at least 1, got 0"),
        ({"smooth": 2}, "smooth must be odd and at least 1, got 2"),
        ({"surest": 0.0}, r"surest must lie in \(0, 1\], got 0"),
    ):
        with pytest.raises(InputError, match=message):
            replace(TriggerFinder(), **wrong)


def test_an_explainer_that_is_not_there_or_cannot_serve_is_refused():
    with pytest.raises(InputError, match=r"explainer must be one of .*; got 'salience', did you mean 'saliency'"):
        find(planted(), pictures(1, 16, 16), pictures(1, 16, 16), explainers=("salience",))
    flat = Subject(nn.Sequential(nn.Flatten(), nn.Linear(256, 3)), task="multiclass", classes=CLASSES, channels=1)
    images = pictures(2, 16, 16)
    with pytest.raises(InputError, match="has no convolution that sees more than one position"):
        find(flat, images, images, explainers=(gradcam,))
