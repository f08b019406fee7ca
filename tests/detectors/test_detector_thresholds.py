"""The threshold of a detector keeps what it promises, and patients are on one side of it."""

import math

import pytest
import torch
from bright import Brightness, clean_set, flat
from nets import net

from aseptic.core.errors import InputError
from aseptic.core.rng import stream


def test_the_threshold_is_the_score_that_few_enough_clean_images_reach():
    values = torch.linspace(0.1, 0.9, 38)
    fitted = Brightness().fit(net(), clean_set(flat(values)))
    held = fitted.held.tolist()
    assert len(held) == 19
    assert held == sorted(held)
    assert fitted.state["seen"] == 19
    assert fitted.threshold(0.05) == held[-1]
    assert fitted.threshold(0.149) == held[-2]
    assert fitted.threshold(0.15) == held[-3], "0.15 times 20 is 3, whatever floats make of it"
    assert fitted.flags(flat([held[-1], held[-1] + 0.01]), false_positive_rate=0.05).tolist() == [False, True]
    with pytest.raises(
        InputError, match=r"false_positive_rate must be at least 0\.05 with 19 held-out clean images, got 0\.04"
    ):
        fitted.threshold(0.04)
    for wrong in (0, 1, -0.1):
        with pytest.raises(InputError, match=r"false_positive_rate must lie in \(0, 1\), got"):
            fitted.threshold(wrong)


def test_clean_images_are_called_suspicious_as_often_as_promised():
    """Over many splits of images drawn alike, the rate is at most the one asked for, and not far below."""
    rates = []
    for seed in range(60):
        values = torch.rand(80, generator=stream(seed, "brightness")) * 0.8 + 0.1
        fitted = Brightness().fit(net(), clean_set(flat(values[:38])), seed=seed)
        rates.append(float(fitted.flags(flat(values[38:]), false_positive_rate=0.2).float().mean()))
    assert 0.15 < sum(rates) / 60 < 0.2 + 3 * 0.09 / 60**0.5


def test_patients_are_on_one_side_and_what_cannot_be_judged_is_not_counted():
    values = torch.linspace(0.1, 0.9, 40)
    values[::8] = 1.0
    patients = [f"p{i // 4}" for i in range(40)]
    fitted = Brightness().fit(net(), clean_set(flat(values), patients=patients))
    known = fitted.held[~fitted.held.isnan()]
    own = {patients[int((values - one).abs().argmin())] for one in known}
    assert len(own) == 5
    assert len(known) < 20
    assert fitted.threshold(0.2) == known[-math.floor(0.2 * (len(known) + 1))]
    assert fitted.flags(flat([1.0]), false_positive_rate=0.2).tolist() == [False]
