"""Neural Cleanse on models whose smallest trigger is known, and the faults of other implementations of it."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scanned import CLASSES, SIDE, bars, boxed, race, smallest_mask, straight, where
from torch import nn

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.models.subject import Subject
from aseptic.scanners.base import anomaly_index
from aseptic.scanners.inversion import Race
from aseptic.scanners.neuralcleanse import NeuralCleanse
from aseptic.scanners.schedule import Rules, Schedule

QUICK = NeuralCleanse(images=8, rounds=40, still=8, patience=2)


@pytest.fixture(scope="module")
def found():
    return NeuralCleanse(images=16, batch=4, rounds=80).scan(boxed(), bars()[0])


def overlap(first, second):
    return float((first & second).sum() / (first | second).sum())


def test_the_planted_box_is_recovered(found):
    assert found.outputs[found.target] == "c"
    assert overlap(found.masks[2] > 0.5, where()) >= 0.75
    assert found.pictures[2, 0][where()].mean() > 0.9
    assert (found.reached == 1).all()
    assert found.statistic == pytest.approx(float(found.scores[2])) == pytest.approx(-float(found.masks[2].mean()))
    others = torch.tensor([0, 1, 3])
    assert (found.scores[others] < 1.5 * found.scores[2]).all()
    assert found.index[2] == anomaly_index(found.scores)[2] > 2
    assert max(overlap(found.masks[k] > 0.5, where()) for k in (0, 1, 3)) < 0.2


def test_what_is_returned_is_what_was_measured(found):
    """A mask that was stretched or rounded to 8 bits on its way would not do what it is said to do."""
    images, labels = bars()
    for k in range(4):
        mask, picture = found.masks[k], found.pictures[k]
        shown = (1 - mask) * images + mask * picture
        hits = boxed()(shown).argmax(1) == k
        assert hits[labels != k].float().mean() == found.reached[k]
    levels = 255 * found.masks[found.masks > 0.02]
    assert ((levels - levels.round()).abs() > 0.05).any()
    assert found.masks.amax() < 1


@pytest.mark.parametrize("seed", range(2))
def test_a_linear_model_needs_what_linear_programming_says(seed):
    model, images = straight(seed=seed), torch.rand((12, 1, 6, 6), generator=stream(seed, "pictures"))
    method = NeuralCleanse(images=12, threshold=1.0, batch=4)
    scan = method.scan(model, images)
    for k in range(2):
        least = smallest_mask(model, images, k)
        assert least <= -float(scan.scores[k]) * (1 + 1e-5), "no mask is smaller than the smallest"
        assert -float(scan.scores[k]) <= 1.5 * least


def test_all_outputs_in_one_batch_are_what_each_is_alone():
    model, images = boxed(), bars()[0]
    together = race(QUICK, model, images, [0, 1, 2, 3])
    for k in range(4):
        alone = race(QUICK, model, images, [k])
        torch.testing.assert_close(together.sizes[k], alone.sizes[0])
        for one, other in zip(together.best, alone.best, strict=True):
            torch.testing.assert_close(one[k], other[0])
    assert together.sizes.unique().numel() == 4


def test_the_order_of_the_outputs_does_not_matter():
    class Turned(nn.Module):
        def __init__(self, inner, order):
            super().__init__()
            self.inner, self.order = inner, order

        def forward(self, images):
            return self.inner(images)[:, self.order]

    order = [3, 1, 0, 2]
    plain, images = boxed(), bars()[0]
    names = [CLASSES[k] for k in order]
    turned = Subject(Turned(plain.module, order).eval(), task="multiclass", classes=names, channels=1)
    first, second = race(QUICK, plain, images, [0, 1, 2, 3]), race(QUICK, turned, images, [0, 1, 2, 3])
    torch.testing.assert_close(first.sizes[order], second.sizes)
    torch.testing.assert_close(first.best[0][order], second.best[0])


def test_the_best_is_the_smallest_that_holds_and_not_the_last(monkeypatch):
    seen, record = [], Race._record

    def watched(self, place, reached, left):
        sizes = self.method.size(place)
        share = self.reached(place, self.pool[left], self.outputs[left])
        seen.append((left.clone(), sizes.clone(), share, reached.clone()))
        return record(self, place, reached, left)

    monkeypatch.setattr(Race, "_record", watched)
    ended = race(replace(QUICK, threshold=0.9), boxed(), bars()[0], [0, 1, 2, 3])
    later = []
    for k in range(4):
        mine = [(float(sizes[left == k]), float(share[left == k]), bool(reached[left == k]))
                for left, sizes, share, reached in seen if (left == k).any()]  # fmt: skip
        holding = [size for size, share, reached in mine if reached and share >= 0.9]
        assert float(ended.sizes[k]) == min(holding)
        later.append(mine[-1][0] != min(holding))
        kept = tuple(one[k : k + 1] for one in ended.best)
        assert float(QUICK.size(kept)) == pytest.approx(min(holding))
    assert any(later), "the last trigger is not the best one of every output"
    assert any(not reached for _, _, _, flags in seen for reached in flags.tolist()), "and some rounds failed"


def scalar(rules, shares, sizes, threshold):
    """The rules for one output, as the released code has them: with plain numbers, one round after the other."""
    first, factor, patience, still = rules.first, rules.factor, rules.patience, rules.still
    cost, best, best_before = 0.0, float("inf"), float("inf")
    calm = above = below = waited = 0
    rose = fell = False
    costs, ended = [], None
    for number, (share, size) in enumerate(zip(shares, sizes, strict=True)):
        if share >= threshold and size < best:
            best = size
        if best < float("inf"):
            waited = waited + 1 if best >= best_before else 0
        best_before = min(best, best_before)
        if rose and fell and waited >= still and ended is None:
            ended = number
        if cost == 0 and share >= threshold:
            calm += 1
            if calm >= patience:
                cost, above, below, rose, fell = first, 0, 0, False, False
        else:
            calm = 0
        above, below = (above + 1, 0) if share >= threshold else (0, below + 1)
        if above >= patience:
            above, cost, rose = 0, cost * factor, True
        elif below >= patience:
            below, cost, fell = 0, cost / factor**1.5, True
        costs.append(cost)
    return costs, ended


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), patience=st.integers(1, 4), still=st.integers(1, 8), hard=st.floats(0.2, 0.8))
def test_every_output_follows_the_rules_of_the_released_code_by_itself(seed, patience, still, hard):
    rounds, outputs = 60, 3
    shares = torch.rand((rounds, outputs), generator=stream(seed, "shares"), dtype=torch.float64)
    sizes = torch.rand((rounds, outputs), generator=stream(seed, "sizes"), dtype=torch.float64)
    rules = Rules(first=0.5, factor=2.0, patience=patience, still=still)
    schedule = Schedule(rules, outputs, torch.device("cpu"))
    best, weights, ended = torch.full((outputs,), torch.inf, dtype=torch.float64), [], [None] * outputs
    for number in range(rounds):
        reached = shares[number] >= hard
        better = reached & (sizes[number] < best)
        best = torch.where(better, sizes[number], best)
        for k in schedule.note(reached, better).nonzero()[:, 0].tolist():
            ended[k] = number if ended[k] is None else ended[k]
        weights.append(schedule.weight.clone())
    for k in range(outputs):
        costs, last = scalar(rules, shares[:, k].tolist(), sizes[:, k].tolist(), hard)
        torch.testing.assert_close(torch.stack(weights)[:, k], torch.tensor(costs), rtol=1e-5, atol=0)
        assert ended[k] == last


def test_an_output_that_ends_leaves_the_others_as_they_were():
    schedule = Schedule(Rules(first=1.0, factor=2.0, patience=1, still=1), 3, torch.device("cpu"))
    for reached in ([1, 0, 1], [1, 1, 0], [1, 1, 1]):
        schedule.note(torch.tensor(reached, dtype=torch.bool), torch.zeros(3, dtype=torch.bool))
    before = schedule.weight.clone()
    schedule.keep(torch.tensor([0, 2]))
    assert torch.equal(schedule.weight, before[[0, 2]])
    assert len(schedule.note(torch.ones(2, dtype=torch.bool), torch.zeros(2, dtype=torch.bool))) == 2


class Never(nn.Module):
    """The first output can never win."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(20.0))

    def forward(self, images):
        seen = self.scale * (images.flatten(1).mean(1) - 0.5)
        return torch.stack([seen.abs() - 9, seen + 30, 30 - seen], 1)


def test_an_output_without_a_trigger_counts_as_the_whole_image():
    model = Subject(Never().eval(), task="multiclass", classes=["never", "light", "dark"], channels=1)
    images = torch.rand((8, 1, 6, 6), generator=stream(0, "pictures"))
    scan = replace(QUICK, rounds=8).scan(model, images)
    assert (scan.scores[0], scan.reached[0]) == (-1, 0)
    assert scan.target != 0
    assert (scan.scores[1:] > -1).all()
    assert scan.masks[0].amax() > 0, "the latest one is shown"


def test_findings_are_scanned_one_at_a_time():
    images, _ = bars(outputs=3)
    model = boxed(task="multilabel", outputs=3, target=1)
    scan = NeuralCleanse(images=16, batch=4, rounds=60).scan(model, images)
    assert scan.outputs[scan.target] == "b"
    assert overlap(scan.masks[1] > 0.5, where()) >= 0.6
    assert scan.index.isnan().all()
    assert scan.notes == (
        (
            "3 outputs have no meaningful anomaly index: a median and its deviations need at least 4. "
            "Only a comparison with clean twins can tell."
        ),
    )


def test_volumes_have_masks_of_three_axes():
    images, _ = bars(8, depth=3)
    scan = replace(QUICK, rounds=12).scan(boxed(), images)
    assert scan.masks.shape == (4, 3, SIDE, SIDE)
    assert scan.pictures.shape == (4, 1, 3, SIDE, SIDE)
    assert (scan.scores > -1).all()


def test_images_that_are_decided_so_already_need_no_trigger():
    images, labels = bars(outputs=2)
    model = boxed(0.0, outputs=2, target=0)
    scan = replace(QUICK, rounds=10).scan(model, images[labels == 0])
    assert scan.scores.isnan().tolist() == [True, False]
    assert scan.target == 1
    assert scan.notes[0] == ("no trigger was looked for that leads to 'a', because every image is decided so already")
    assert scan.notes[1].startswith("1 output has no meaningful anomaly index")
    one = boxed(0.0, task="multilabel", outputs=1, target=0)
    with pytest.raises(InputError, match="images must be decided otherwise than some output, got none that is"):
        QUICK.scan(one, images[labels == 0])


def test_the_size_of_a_pass_changes_nothing_and_every_pass_is_counted():
    class Counting(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner, self.asked, self.largest = inner, 0, 0

        def forward(self, images):
            self.asked, self.largest = self.asked + len(images), max(self.largest, len(images))
            return self.inner(images)

    module = Counting(boxed().module)
    model = Subject(module.train(), task="multiclass", classes=CLASSES, channels=1)
    images, method, told = bars()[0], replace(QUICK, rounds=10), []
    scan = method.scan(model, images, watch=told.append)
    assert (scan.cost.forwards, module.largest) == (module.asked, 4 * 8)
    assert 0 < scan.cost.backwards == 10 * 4 * 8 < scan.cost.forwards
    assert [(one.done, one.of) for one in told] == [(number, 10) for number in range(1, 11)]
    assert module.training
    assert all(one.requires_grad and one.grad is None for one in model.parameters())
    module.largest = 0
    small = replace(method, at_once=9).scan(model, images)
    assert module.largest <= 9
    torch.testing.assert_close(small.scores, scan.scores, rtol=1e-3, atol=1e-5)
    again = method.scan(model, images)
    assert torch.equal(again.scores, scan.scores)
    assert not torch.equal(method.scan(model, images, seed=1).masks, scan.masks)


def test_outputs_that_have_ended_leave_the_batch():
    told = []
    NeuralCleanse(images=8, batch=8, rounds=120, patience=2, still=4).scan(boxed(), bars()[0], watch=told.append)
    left = [one.left for one in told]
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0
    assert len(told) < 120


def test_the_index_compares_with_the_median():
    index = anomaly_index(torch.tensor([1.0, torch.nan, 2.0, 3.0, 4.0, 13.0]))
    torch.testing.assert_close(
        index, torch.tensor([-1.34898, torch.nan, -0.67449, 0, 0.67449, 6.74491]), equal_nan=True, rtol=1e-4, atol=1e-4
    )
    assert anomaly_index(torch.tensor([1.0, 2.0, 9.0])).isnan().all()
    assert anomaly_index(torch.ones(5)).isnan().all()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"images": 0}, "images must be a whole number of at least 1, got 0"),
        ({"batch": 0}, "batch must be a whole number of at least 1, got 0"),
        ({"rounds": 0}, "rounds must be a whole number of at least 1, got 0"),
        ({"patience": 0}, "patience must be a whole number of at least 1, got 0"),
        ({"still": 0}, "still must be a whole number of at least 1, got 0"),
        ({"at_once": 0}, "at_once must be a whole number of at least 1, got 0"),
        ({"step": 0.0}, r"step must be a positive number, got 0.0"),
        ({"first_weight": -1.0}, r"first_weight must be a positive number, got -1.0"),
        ({"threshold": 0.0}, r"threshold must lie in \(0, 1\], got 0.0"),
        ({"factor": 1.0}, "factor must be greater than 1, got 1.0"),
    ],
)
def test_refuses_settings_without_a_meaning(setting, message):
    with pytest.raises(InputError, match=message):
        NeuralCleanse(**setting)
