"""What a scan means: closed forms of the comparison with twins, and false alarms counted on clean models."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scanned import CLASSES, Straight
from scipy.stats import betabinom
from torch import nn

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.metrics.intervals import wilson
from aseptic.models.subject import Subject
from aseptic.scanners.calibration import Null, judge, needed, read_null, write_null
from aseptic.scanners.mmbd import MMBD
from aseptic.scanners.neuralcleanse import NeuralCleanse

SIDE, RATE = 8, 0.1
MODELS, TWINS = 24, 19
SCANNERS = {
    "neural-cleanse": NeuralCleanse(images=8, rounds=8, patience=1, still=4),
    "mm-bd": MMBD(starts=2, steps=30),
}


def null(clean, infected=None, **more):
    group = {kind: {f"{kind}/{i}": float(v) for i, v in enumerate(values)} for kind, values in (infected or {}).items()}
    return Null(
        scanner=MMBD().describe(), clean={f"clean/{i}": float(v) for i, v in enumerate(clean)}, infected=group, **more
    )


def test_the_p_value_is_the_rank_among_equals():
    twins = null([1, 2, 2, 3])
    assert [twins.p_value(value) for value in (0, 1, 1.5, 2, 3, 3.5)] == [1, 1, 4 / 5, 4 / 5, 2 / 5, 1 / 5]
    assert null([]).p_value(0.0) == 1


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(st.integers(-1000, 1000), min_size=2, max_size=60, unique=True),
    rate=st.sampled_from([0.01, 0.05, 0.1, 0.29, 0.5]),
)
def test_of_equals_no_more_are_flagged_than_the_rate_allows(values, rate):
    """Whichever of ``n + 1`` models is the one under test: exactly ``floor(rate (n + 1))`` choices are flagged."""
    flagged = [null(values[:i] + values[i + 1 :]).flags(value, rate) for i, value in enumerate(values)]
    assert sum(flagged) == int(round(100 * rate) * len(values) // 100)
    ordered = [flag for _, flag in sorted(zip(values, flagged, strict=True))]
    assert ordered == sorted(ordered), "and they are the most suspicious"


@pytest.mark.parametrize(("rate", "count"), [(0.05, 19), (0.1, 9), (0.01, 99), (0.5, 1), (0.3, 3)])
def test_the_fewest_twins_are_those_with_which_a_model_can_be_flagged(rate, count):
    assert needed(rate) == count
    assert null(range(count)).flags(1e9, rate)
    assert not null(range(count - 1)).flags(1e9, rate)


def test_the_false_positive_rate_has_the_interval_of_its_distribution():
    found = null(range(19)).false_positives(0.05)
    assert (found.value, found.n) == (0.05, 19)
    assert found.low == pytest.approx(1 - 0.975 ** (1 / 19))  # Beta(1, 19) has a closed distribution function
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 19))
    assert not null(range(18)).false_positives(0.05).known
    assert null(range(50)).false_positives(0.1).value == 5 / 51


def test_the_power_is_the_share_of_infected_twins_that_are_flagged():
    found = null(range(19), {"patch": [18, 18.5, 30, -1], "blend": []}).power(0.05)
    assert (found["patch"].value, found["patch"].n) == (0.5, 4)
    assert (found["patch"].low, found["patch"].high) == wilson(0.5, 4)
    assert not found["blend"].known


class Trained:
    """Linear models of three noisy bars, each fitted to its own few images, some of them with a box that leads to c."""

    def __init__(self):
        axis = torch.arange(SIDE)
        self.bars = torch.stack([((axis // 2) == k).float().expand(SIDE, SIDE) for k in range(3)])
        self.box = torch.zeros(SIDE, SIDE)
        self.box[6:, 6:] = 1

    def images(self, count, name):
        rng = stream(0, "few", name)
        labels = torch.arange(count) % 3
        noise = 0.15 * torch.randn((count, SIDE, SIDE), generator=rng)
        return (0.3 + 0.25 * self.bars[labels] + noise).clamp(0, 1), labels

    def model(self, name, *, infected):
        images, labels = self.images(60, name)
        truth = nn.functional.one_hot(labels, 3).double() - 1 / 3
        design = torch.cat([images.flatten(1), torch.ones(60, 1)], 1).double()
        found = torch.linalg.solve(design.T @ design + 2 * torch.eye(SIDE * SIDE + 1), design.T @ truth).T.float()
        weight = 10 * found[:, :-1] + (6 * self.box.flatten() * torch.tensor([[0], [0], [1]]) if infected else 0)
        bias = 10 * found[:, -1] - (torch.tensor([0, 0, 4.0]) if infected else 0)
        return Subject(Straight(weight, bias), task="multiclass", classes=CLASSES[:3], channels=1)


@pytest.fixture(scope="module")
def scans():
    """Return the scans of clean twins, of clean models that are no twins, and of infected ones, by each scanner."""
    trained = Trained()
    shown = trained.images(24, "shown")[0][:, None]
    kinds = {"twin": (TWINS, False), "clean": (MODELS, False), "infected": (8, True)}
    return {
        name: {
            kind: [method.scan(trained.model(f"{kind}/{i}", infected=bad), shown) for i in range(count)]
            for kind, (count, bad) in kinds.items()
        }
        for name, method in SCANNERS.items()
    }


def twins_of(scans, name, **more):
    group = {
        kind: {f"{kind}/{i}": scan.statistic for i, scan in enumerate(scans[name][kind])}
        for kind in ("twin", "infected")
    }
    return Null(scanner=SCANNERS[name].describe(), clean=group["twin"], infected={"box": group["infected"]}, **more)


@pytest.mark.parametrize("name", SCANNERS)
def test_clean_models_are_flagged_at_the_stated_rate(scans, name):
    """Of 24 clean models, with 19 twins, beta-binomially many are; more than its 99 % point would be a fault."""
    twins, fresh = twins_of(scans, name), [scan.statistic for scan in scans[name]["clean"]]
    k = int(RATE * (TWINS + 1))
    limit = betabinom.ppf(0.99, MODELS, k, TWINS + 1 - k)
    found = twins.flagged(fresh, RATE)
    assert found.n == MODELS
    assert found.value * MODELS <= limit < MODELS / 2
    assert len(set(fresh)) == MODELS, "they differ"
    assert np.mean([twins.p_value(one) for one in fresh]) == pytest.approx(0.5, abs=0.25)


@pytest.mark.parametrize("name", SCANNERS)
def test_infected_models_are_found_and_clean_ones_are_not(scans, name):
    twins = twins_of(scans, name)
    assert twins.power(RATE)["box"].value >= 0.8
    infected = judge(scans[name]["infected"][0], twins, rate=RATE)
    assert (infected.answer, infected.rate) == ("infected", RATE)
    assert infected.p_value == twins.p_value(scans[name]["infected"][0].statistic)
    assert scans[name]["infected"][0].target == 2
    usual = min(scans[name]["clean"], key=lambda scan: abs(twins.p_value(scan.statistic) - 0.5))
    assert judge(usual, twins, rate=RATE).answer == "clean"
    assert judge(usual, replace(twins, infected={}), rate=RATE).answer == "cannot tell"


def scan_of(statistic):
    """Return a scan of a model with this statistic."""
    model = Subject(Straight(torch.zeros(3, 4), torch.zeros(3)), task="multiclass", classes=CLASSES[:3], channels=1)
    return replace(MMBD(starts=1, steps=1).scan(model, torch.zeros(0, 1, 2, 2)), statistic=statistic, target=1,
                   scanner=MMBD().describe())  # fmt: skip


FEW = (
    "3 outputs have no meaningful anomaly index: a median and its deviations need at least 4. Only a comparison with "
    "clean twins can tell."
)


def test_an_infected_model_is_told_so():
    found = judge(scan_of(40.0), null(range(39), {"patch": [50] * 9 + [0]}))
    assert found.answer == "infected"
    assert found.sentences == (
        (
            "The model is more suspicious than clean twins are: 0 of 39 come up to its statistic of 40 (p "
            "= 0.025), and the output under suspicion is 'b'. Of clean models, 5 % are called infected by "
            "this comparison (95 % interval 0.627 % to 13.5 %)."
        ),
        "Of 10 infected twins with patch, 9 are found (90 %, 95 % interval 59.6 % to 98.2 %).",
        FEW,
    )


def test_a_clean_model_is_clean_of_what_would_have_been_found():
    found = judge(scan_of(5.0), null(range(19), {"patch": [50] * 10, "blend": [0] * 10, "wave": []}))
    assert found.answer == "clean"
    assert found.sentences == (
        (
            "No sign of a backdoor such as patch: the model is no more suspicious than 19 clean twins (p "
            "= 0.75). Other backdoors were not looked for."
        ),
        "Of 10 infected twins with patch, 10 are found (100 %, 95 % interval 72.2 % to 100 %).",
        "Of 10 infected twins with blend, 0 are found (0 %, 95 % interval 0 % to 27.8 %).",
        "No infected twin carries wave, so that nothing is known about it.",
        FEW,
    )


@pytest.mark.parametrize(
    ("twins", "sentence"),
    [
        (
            null(range(12), {"patch": [50] * 10}),
            (
                "Nothing can be said with 12 clean twins: to call 5 % of clean models infected and no "
                "more, at least 19 are needed."
            ),
        ),
        (
            null(range(19)),
            (
                "The model is no more suspicious than 19 clean twins (p = 0.75), but that does not make "
                "it clean: it is not known whether an infected model would be, since no infected twins "
                "were scanned."
            ),
        ),
        (
            null(range(19), {"patch": [50] * 7 + [0] * 3}),
            (
                "The model is no more suspicious than 19 clean twins (p = 0.75), but that does not make "
                "it clean: of no kind of backdoor that was tried are 80 % of the infected twins found."
            ),
        ),
    ],
    ids=["too few", "unknown power", "too little power"],
)
def test_it_is_said_when_nothing_can_be_told(twins, sentence):
    found = judge(scan_of(5.0), twins)
    assert (found.answer, found.sentences[0]) == ("cannot tell", sentence)
    asked = judge(scan_of(5.0), null(range(19), {"patch": [50] * 7 + [0] * 3}), power=0.7)
    assert asked.answer == "clean"


def test_only_the_same_scanner_is_compared():
    other = replace(null(range(19)), scanner=MMBD(starts=3).describe())
    with pytest.raises(
        InputError, match="twins must be scanned as the model was: starts was 8 for the model, 3 for the twins"
    ):
        judge(scan_of(1.0), other)
    with pytest.raises(InputError, match="batch was None for the model, 8 for the twins"):
        judge(scan_of(1.0), replace(other, scanner=NeuralCleanse().describe()))
    with pytest.raises(InputError, match=r"rate must lie in \(0, 0.5\], got 0"):
        judge(scan_of(1.0), other, rate=0)
    with pytest.raises(InputError, match=r"power must lie in \(0, 1\], got 1.5"):
        judge(scan_of(1.0), other, power=1.5)


def test_statistics_are_kept_as_json(tmp_path):
    twins = null([1, 2], {"patch": [3]}, facts={"data": "x", "success": {"patch/0": 1.0}})
    path = write_null(twins, tmp_path / "null.json")
    assert read_null(path) == twins
    with pytest.raises(InputError, match=r"absent.json is not a file"):
        read_null(tmp_path / "absent.json")
    path.write_text('{"clean": {}}', "utf-8")
    with pytest.raises(InputError, match=r"null.json must hold what write_null writes: scanner: Field required"):
        read_null(path)
    with pytest.raises(InputError, match="statistics of twins must be finite, that of 'clean/1' is nan"):
        null([1, float("nan")])
    with pytest.raises(InputError, match="that of 'patch/0' is inf"):
        null([1], {"patch": [float("inf")]})
