"""A training set among sets that are known to be clean: what is drawn, what is poisoned, and what is said."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from planted_backdoor import CLASSES, SIDE, planted

from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream, stream
from aseptic.data.memory import memory_set
from aseptic.poisoning.plan import make_plan
from aseptic.poisoning.poison import poison
from aseptic.scanners.sets import make_set_scanner, widened
from aseptic.studies.scan.clean_sets import clean_like, part, poisoned_evidence
from aseptic.studies.scan.set_comparing import COMPARED, KIND, SEEN, compared_with, errors
from aseptic.studies.scan.sets import dry_run, prepare_set_scan, scan_set
from aseptic.studies.scan.settings import SetScanSettings

SPECTRUM = {"spectrum": {"bands": 16, "at_least": 8}}
WAVE = {"name": "sig", "delta": 0.2, "frequency": 5}
PLAN = make_plan(
    trigger=WAVE, insert="network", label={"rule": "to", "target": CLASSES[1]}, select={"rate": 0.1}, splits=["train"]
)


def noise(count, seed, *, patients=None):
    images = (0.5 + 0.1 * torch.randn(count, 1, SIDE, SIDE, generator=stream(seed, "noise"))).clamp(0, 1)
    labels = torch.arange(count) % 3
    made = memory_set(f"s{seed}", images, labels, classes=CLASSES, task="multiclass", patients=patients)
    return made.fit((SIDE, SIDE), 1)


def settings(**more):
    return SetScanSettings(**{"scanners": SPECTRUM, "draws": 19, "parts": 19, "infected": 5, **more})


def by_id(results):
    return {one.id: one for one in results.findings}


def scanned(out, data, asked, clean, subject=None, **options):
    return scan_set(prepare_set_scan(data, subject, asked, clean=clean), out, settings=asked, **options)


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory):
    out, asked = tmp_path_factory.mktemp("poisoned") / "run", settings(plans={"sig": PLAN})
    data = poison(noise(120, 1), PLAN.model_copy(update={"seed": 3})).data
    return out, data, asked, scanned(out, data, asked, [noise(300, 2)])


def test_a_poisoned_set_is_infected_with_its_rates(poisoned):
    _, _, _, results = poisoned
    found = by_id(results)
    verdict = found["verdict"]
    assert not results.failed
    assert (verdict.args["answer"], verdict.value, verdict.severity) == ("infected", 1, "high")
    assert verdict.title == COMPARED["infected"]
    assert KIND in verdict.args["text"]
    one = found["scan.spectrum.p_value"]
    assert (one.value, one.n, one.args["target"]) == (pytest.approx(1 / 20), 19, CLASSES[1])
    assert one.args["p_permuted"] < 1
    assert any("overlapping parts of fewer ones, each up to " in line for line in one.args["sentences"])
    errs = found["scan.spectrum.false_positives"]
    assert (errs.value, errs.ci_low) == (pytest.approx(1 / 20), None), "parts that overlap tell no interval"
    assert (found["scan.spectrum.power:sig"].value, found["scan.spectrum.power:sig"].n) == (1, 5)
    assert len(found["scan.spectrum.statistic"].args["infected"]["sig"]) == 5


def test_a_clean_set_is_clean_of_what_would_have_been_found(tmp_path):
    asked = settings(plans={"sig": PLAN})
    found = by_id(scanned(tmp_path, noise(120, 3), asked, [noise(300, 2)]))
    p_value = found["scan.spectrum.p_value"].value
    assert found["verdict"].args["answer"] == ("infected" if p_value <= 0.05 else "clean")
    assert p_value > 0.05


def test_without_poison_nothing_is_called_clean(tmp_path):
    found = by_id(scanned(tmp_path, noise(120, 3), settings(), [noise(300, 2)]))
    assert found["verdict"].args["answer"] == "cannot tell"
    assert found["verdict"].title == COMPARED["cannot tell"]
    assert "would have been found was not measured" in found["verdict"].args["text"][0]


def test_nothing_is_computed_twice(poisoned):
    out, data, asked, results = poisoned
    clean = [noise(300, 2)]
    assert {one.stored for one in dry_run(prepare_set_scan(data, None, asked, clean=clean), out)} == {True}
    told = []
    again = scanned(out, data, asked, clean, resume=True, watch=lambda one: told.append(one.state))
    assert set(told) == {"reused"}
    assert again.findings == results.findings


def test_features_decide_nothing(tmp_path):
    asked = settings(scanners={"spectral-signatures": {"at_least": 8}}, plans={"sig": PLAN})
    results = scanned(tmp_path, noise(60, 1), asked, [noise(150, 2)], subject=planted())
    found = by_id(results)
    assert not results.failed
    assert found["verdict"].args["answer"] == "cannot tell"
    assert SEEN in found["scan.spectral-signatures.p_value"].args["sentences"]
    assert not any("power" in name for name in found)


def test_parts_have_the_labels_of_the_suspected_set_and_whole_patients():
    patients = [f"p{number // 6}" for number in range(300)]
    clean = noise(300, 2, patients=patients)
    labels = torch.arange(300) % 3
    kept = [row for row in range(60) if labels[row] != 2 or row < 30]  # 20, 20 and 10 images
    suspected = noise(60, 1).select(kept)
    made = clean_like(suspected, [clean], 19)
    assert made.sizes == {"normal": 20, "pneumonia": 20, "covid": 10}
    assert (made.share, made.overlap) == (1.0, pytest.approx(0.2))
    rows = part(clean, made.sizes, 5)
    assert part(clean, made.sizes, 5) == rows != part(clean, made.sizes, 6)
    counted = Counter(CLASSES[int(labels[row])] for row in rows)
    assert counted == made.sizes
    own = Counter((patients[row], int(labels[row])) for row in rows)
    assert set(own.values()) == {2}, "every image that a patient has of the label"


def test_where_clean_images_are_few_a_part_is_compared(tmp_path):
    made = clean_like(noise(120, 1), [noise(120, 2)], 19)
    assert (made.share, made.overlap) == (0.5, 0.5)
    found = by_id(scanned(tmp_path, noise(120, 1), settings(), [noise(120, 2)]))
    said = " ".join(found["scan.spectrum.p_value"].args["sentences"])
    assert "There are clean images to compare 50 % of the set with" in said
    compared = found["scan.spectrum.statistic"].args["compared"]
    assert compared != found["scan.spectrum.statistic"].value


def test_as_many_sets_as_parts_do_not_overlap():
    made = clean_like(noise(30, 99), [noise(30, seed) for seed in range(19)], 19)
    assert (made.share, made.overlap) == (1.0, 0.0)
    assert [len(part(one, made.sizes, 0)) for one in made.sets] == [30] * 19
    against = {"statistic": 1.0, "clean": [1.0] * 19, "infected": {}, "overlap": 0.0, "share": 1.0}
    one = compared_with({"scanner": {"name": "spectrum"}}, against, 0.05, 0.8, decides=True)
    assert [each.ci_low is None for each in errors("spectrum", one)] == [False]
    assert one.notes == (KIND,)


def test_only_changed_images_are_read_again():
    scanner, data = make_set_scanner("spectrum", bands=16), noise(60, 1)
    for mode in ("replace", "add"):
        made = poison(data, PLAN.model_copy(update={"mode": mode}))
        sizes = []

        def read(part_, sizes=sizes):
            sizes.append(len(part_))
            return scanner.collect(part_)

        found, whole = poisoned_evidence(made, scanner.collect(data), read), scanner.collect(made.data)
        assert torch.equal(found.rows, whole.rows)
        assert torch.equal(found.targets, whole.targets)
        assert sizes == [6]


def test_spread_statistics_keep_the_rate_where_parts_overlap():
    """Means of halves of one set, and of another set: the corrected comparison errs as often as it says."""
    rng, wrong = numpy_stream(0, "law"), {"raw": 0, "spread": 0}
    for _ in range(400):
        pool, other = rng.normal(size=80), rng.normal(size=40).mean()
        parts = [rng.permutation(pool)[:40].mean() for _ in range(39)]
        for name, null in (("raw", parts), ("spread", widened(parts, 0.5))):
            wrong[name] += (1 + sum(np.array(null) >= other)) / 40 <= 0.05
    assert wrong["spread"] / 400 < 0.085  # four standard deviations above 5 %
    assert wrong["raw"] / 400 > 0.1


def test_spreading_keeps_the_mean_and_refuses_a_whole():
    found = widened([1.0, 2.0, 6.0], 0.5)
    assert sum(found) / 3 == pytest.approx(3)
    assert np.std(found) == pytest.approx(math.sqrt(3) * np.std([1.0, 2.0, 6.0]))
    assert widened([], 0.5) == []
    with pytest.raises(InputError, match=r"overlap must lie in \[0, 1\), got 1.0"):
        widened([1.0], 1.0)


@pytest.mark.parametrize(("power", "answer"), [(0.5, "clean"), (0.8, "cannot tell")])
def test_power_is_needed_to_be_clean(power, answer):
    against = {"clean": [1.0] * 19, "infected": {"a": [2.0, 2.0, 0.5, 0.5]}, "overlap": 0.0, "share": 1.0}
    found = {"scanner": {"name": "spectrum"}}
    one = compared_with(found, {**against, "statistic": 0.9}, 0.05, power, decides=True)
    assert one.answer == answer
    assert one.p_value == 1
    assert "Of 4 clean sets that were poisoned with a, 2 are found (50 %" in one.sentences[1]
    assert compared_with(found, {**against, "statistic": 3.0}, 0.05, power, decides=True).answer == "infected"
    assert compared_with(found, {**against, "statistic": 3.0}, 0.05, power, decides=False).answer == "cannot tell"


def test_findings_are_drawn_together():
    data = noise(60, 1)
    table = torch.nn.functional.one_hot(data.targets, 3).float()
    made = memory_set("f", data.images, table, classes=CLASSES, task="multilabel").fit((SIDE, SIDE), 1)
    clean = memory_set("g", noise(150, 2).images, table.repeat(3, 1)[:150], classes=CLASSES, task="multilabel")
    found = clean_like(made, [clean], 19)
    assert found.sizes == {"": 60}
    assert len(part(found.sets[0], found.sizes, 0)) == 60


def test_what_cannot_be_compared_is_refused():
    data, asked = noise(60, 1), settings()
    some = noise(150, 2)
    with pytest.raises(InputError, match="clean sets must have no image of the suspected one, got 60 that it has"):
        prepare_set_scan(data, None, asked, clean=[data])
    only = some.select(row for row, item in enumerate(some.items) if item.label != 1)
    with pytest.raises(InputError, match="clean sets must have images of every label, got none of pneumonia"):
        prepare_set_scan(data, None, asked, clean=[only])
    with pytest.raises(InputError, match="clean sets must be multiclass as the suspected one is, got no labels"):
        prepare_set_scan(data, None, asked, clean=[replace(some, task=None)])
    with pytest.raises(InputError, match="parts must be at least 19 for a rate of 5 %, got 18"):
        prepare_set_scan(data, None, settings(parts=18), clean=[some])
    with pytest.raises(InputError, match=r"poison must come with clean sets that it is put into \(--clean\), got none"):
        prepare_set_scan(data, None, settings(plans={"sig": PLAN}))
    with pytest.raises(InputError, match=r"power must lie in \(0, 1\], got 2.0"):
        settings(power=2.0)
    with pytest.raises(InputError, match="some label must have at least 16 images for spectrum in a part of a clean"):
        prepare_set_scan(data, None, settings(scanners={"spectrum": {"at_least": 16}}), clean=[noise(60, 2)])
