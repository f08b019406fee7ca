"""An audit that is given a suspected trigger, on a network whose backdoor is made by hand."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from planted_backdoor import CLASSES, TRIGGER, findings, plan, planted, scans
from torch import nn

from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream
from aseptic.data.memory import memory_set
from aseptic.engine.runner import run_cells
from aseptic.engine.store import Store
from aseptic.metrics.bootstrap import SHARE, mean, resample
from aseptic.models.subject import Subject
from aseptic.report.load import read_run
from aseptic.report.page import build
from aseptic.studies.audit import cells, infecting
from aseptic.studies.audit.run import audit, dry_run, prepare
from aseptic.studies.audit.settings import AuditSettings
from aseptic.studies.audit.suspicion import infection_of
from aseptic.studies.infection.telling import infection_sentences

QUICK = AuditSettings(
    attacks=("fgsm",), grey_levels=(2.0,), reference=2.0, chunk=25, explained=0, examples=2, plan=plan()
)
BARE = QUICK.model_copy(update={"examples": 0})


def run(subject, data, out, settings=BARE, **options):
    return audit(prepare(subject, data, settings), out, settings=settings, **options)


def asking(**settings):
    return BARE.model_copy(update={"plan": plan(**settings)})


def ask(subject, data, settings, out):
    """Return the findings on the trigger alone, without attacks."""
    made, grid = prepare(subject, data, settings)
    context = {"model": made.subject, "data": made.data, "targets": made.targets}
    outcomes = run_cells(grid.infected, Store(out / "cells"), context=context)
    assert {one.state for one in outcomes.values()} == {"done"}
    return {one.metric: one for one in infection_of(made, grid, settings, outcomes, out)}


def values(results):
    return {one.id: one for one in results.findings}


def rows(out):
    found = pd.read_parquet(out / "rows" / "infection.parquet")
    return (found[found.condition == name].reset_index(drop=True) for name in ("clean", "triggered"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("infected")
    results = run(planted(), scans(patients=[f"p{i // 2}" for i in range(60)]), out, QUICK)
    return results, out


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    return run(planted(0.0), scans(), tmp_path_factory.mktemp("honest"))


def test_an_infected_network_is_found_out(whole):
    results, _ = whole
    found = values(results)
    assert results.failed == []
    assert (found["infection.excess"].value, found["infection.excess"].severity) == (1, "critical")
    assert (found["infection.success"].value, found["infection.success_other"].value) == (1, 1)
    assert found["infection.changed"].value == 4
    verdict = found["verdict"]
    assert (verdict.severity, verdict.threat) == ("critical", "AML.T0018")
    assert verdict.title == "This model carries the suspected backdoor."
    assert verdict.args["text"][0] == (
        "With the trigger (patch of 2 pixels), 100.0 % of the 40 images that are not covid are answered as covid, "
        "0.0 % without it, a difference of 100.0 points (95 % interval "
        f"{100 * found['infection.excess'].ci_low:.1f} to 100.0): the model carries this backdoor."
    )
    assert verdict.args["text"][1] == "With a decoy, something alike that is not the trigger, 100.0 % of them are."
    assert verdict.args["text"][2].startswith("Apart from it: ")


def test_a_template_takes_the_trigger_elsewhere_for_the_trigger(whole):
    """The decoy of a box is the box elsewhere: this network asks for the box, not for its place."""
    found = values(whole[0])
    assert (found["infection.decoy"].value, found["infection.decoy_other"].value) == (1, 1)
    assert (found["infection.over_decoy"].value, found["infection.over_decoy"].n) == (0, 40)
    assert 0.8 < found["infection.decoy_other"].ci_low < found["infection.decoy_other"].ci_high == 1
    assert found["infection.decoy_error"].value == pytest.approx(2 / 3)
    page = build(whole[1]).read_text("utf-8")
    assert "(P-ASR)" in page


def test_images_of_the_target_do_not_mislead(whole):
    """PROTOCOLS 2g-4: of 20/20/20 images a third is answered as covid without any trigger."""
    found = values(whole[0])
    assert found["infection.before"].value == pytest.approx(1 / 3)
    assert found["infection.before_other"].value == 0


def test_numbers_are_those_of_the_rows_with_the_draws_of_the_audit(whole):
    results, out = whole
    clean, triggered = rows(out)
    assert list(clean.id) == list(triggered.id) == list(scans().ids)
    assert (clean.already == (clean.target == "covid")).all()
    moved = triggered.reached.astype(float) - clean.reached.astype(float)
    found = values(results)
    assert found["infection.excess"].value == pytest.approx(moved[~clean.already].mean())
    assert found["infection.error"].value == pytest.approx((triggered.decision != triggered.target).mean())
    draws = resample(list(clean.patient), len(clean), draws=QUICK.draws, rng=numpy_stream(QUICK.seed, "bootstrap"))
    wanted = mean((triggered.decision != triggered.target).to_numpy(dtype=float), draws, SHARE).estimate
    assert (found["infection.error"].ci_low, found["infection.error"].ci_high) == (wanted.low, wanted.high)


def test_clean_rows_are_counted_once(whole):
    _, out = whole
    assert len(read_run(out).clean_rows) == 60


def test_pictures_show_what_the_trigger_turned(whole):
    _, out = whole
    told = json.loads((out / "figures" / "infected.json").read_text())
    assert len(told) == 2
    assert {one["truth"] for one in told} == {"normal", "pneumonia"}, "spread over the classes, none of the target"
    for one in told:
        assert one["clean"]["decision"] == one["truth"]
        assert one["attacked"]["decision"] == "covid"
        difference, clean, after = (
            np.asarray(Image.open(out / name)).astype(int)
            for name in (one["difference"]["image"], one["clean"]["image"], one["attacked"]["image"])
        )
        changed = (after != clean).any(2)
        assert changed[:2, :2].all()
        assert changed.sum() == 4
        assert ((difference[..., 0] > 200) == changed).all()
        assert (out / one["attacked"]["map"]).is_file()


def test_a_page_tells_of_the_infection(whole):
    page = build(whole[1]).read_text()
    assert page.index('id="attack"') < page.index('id="infection"') < page.index('id="clean"')
    assert "AML.T0018 (Manipulate AI Model)" in page


def test_an_honest_network_is_not_accused(honest):
    found = values(honest)
    assert (found["infection.excess"].value, found["infection.excess"].severity) == (0, "info")
    assert found["infection.separation"].value == 0.5
    verdict = found["verdict"]
    assert (verdict.threat, verdict.severity) == ("AML.T0015", "low")
    assert "rarely fool this model" in verdict.title
    assert verdict.args["text"][-1].startswith("The suspected backdoor: with the trigger (patch of 2 pixels), 0.0 %")
    assert verdict.args["text"][-1].endswith(": no sign of this backdoor.")


def test_what_is_still_not_looked_at(honest):
    said = next(one for one in honest.skipped if one.id == "backdoor")
    assert said.title == "Is the model infected with another trigger?"


def test_a_handful_of_images_is_too_few(tmp_path):
    (said,) = infection_sentences(ask(planted(0.0), scans(9), BARE, tmp_path))
    assert said.endswith("too few images to tell whether the model carries this backdoor.")


def test_a_trigger_that_is_lost_says_nothing(tmp_path):
    found = ask(planted(), scans(), asking(trigger={"name": "blend", "ratio": 0.0}), tmp_path)
    assert found["vanished"].value == 1
    text = infection_sentences(found)
    assert text[-2].endswith("because the trigger is lost before it reaches the network.")
    assert text[-1] == "In 100.0 % of the images the trigger leaves no trace in what the network is fed."


def test_without_labels_the_clean_answers_are_the_truth(tmp_path):
    data = scans()
    items = tuple(replace(item, label=None) for item in data.items)
    found = ask(planted(), replace(data, task=None, classes=(), items=items), BARE, tmp_path)
    assert (found["excess"].value, found["excess"].n) == (1, 40)
    assert found["excess"].args["labelled"] is False
    assert "of the 40 images that the model itself does not answer as covid are" in infection_sentences(found)[0]


def test_classes_are_those_of_the_model(tmp_path):
    """The data is in another order, and has no image of the target."""
    data = scans()
    rest = data.select(i for i, item in enumerate(data.items) if item.label < 2)
    turned = tuple(replace(item, label=1 - item.label) for item in rest.items)
    found = ask(planted(), replace(rest, classes=("pneumonia", "normal"), items=turned), BARE, tmp_path)
    assert (found["success_other"].value, found["success_other"].n) == (1, 40)
    assert found["before"].value == 0
    assert found["error"].value == 1


def test_images_without_a_split_carry_the_trigger_too(tmp_path):
    data = scans()
    items = tuple(replace(item, split="test" if i % 2 else None) for i, item in enumerate(data.items))
    assert ask(planted(), replace(data, items=items), BARE, tmp_path)["vanished"].value == 0


@pytest.mark.parametrize(
    ("rule", "n", "wanted"), [("set", 40, 1.0), ("overwrite", 40, 1.0), ("clear", 20, 0.0), ("clean-label", 40, 1.0)]
)
def test_findings(tmp_path, rule, n, wanted):
    """Of 60 images 20 have the finding; what is unknown of nine is taken from the clean answers."""
    found = ask(planted(task="multilabel"), findings(), asking(rule=rule), tmp_path)
    excess = found["excess"]
    assert (excess.value, excess.n, excess.args["unknown"]) == (wanted, n, 9)
    assert found["micro_clean"].value == 1


@pytest.mark.parametrize("rule", ["shift", "all-to-all", "random", "keep"])
def test_rules_without_a_target(tmp_path, rule):
    found = ask(planted(), scans(), asking(rule=rule, target=None), tmp_path)
    turned = {"shift": 1 / 3, "all-to-all": 1 / 3}.get(rule, 2 / 3)  # pneumonia is before covid; normal is not
    assert found["success"].value == found["success_other"].value == pytest.approx(turned)
    assert "separation" not in found


def test_a_trigger_may_go_into_what_the_network_is_fed(tmp_path):
    large = scans().fit((32, 32)).images
    data = memory_set("large", large, scans().targets, classes=CLASSES, task="multiclass")
    stored = ask(planted(), data, BARE, tmp_path / "stored")
    fed = ask(planted(), data, asking(insert="network"), tmp_path / "fed")
    assert (fed["changed"].value, fed["excess"].value) == (4, 1)
    assert stored["excess"].value == 0, "two pixels of 32 are one of 16, and blurred"


def keys(settings, subject, data):
    return [one.key for one in prepare(subject, data, settings)[1].infected]


def test_cells_depend_on_what_is_asked_and_on_nothing_else(tmp_path):
    subject, data = planted(), scans()
    same = keys(BARE, subject, data)
    picture = tmp_path / "picture.png"
    others = [asking(target="normal"), asking(insert="network"), asking(seed=3), asking(trigger={**TRIGGER, "size": 3})]
    blend = asking(trigger={"name": "blend", "image": str(picture)})
    found = [keys(one, subject, data)[0] for one in others]
    for level in (50, 60):
        Image.new("L", (8, 8), level).save(picture)
        found.append(keys(blend, subject, data)[0])
    assert len({same[0], *found}) == 1 + len(found)
    kept = asking(select={"rate": 0.3}, splits=["val"], mode="add", data={"name": "x", "images": 1, "fingerprint": "0"})
    assert keys(kept, subject, data) == same


def test_the_plan_of_cells_names_them(tmp_path):
    lines = dry_run(prepare(planted(), scans(), QUICK)[1], tmp_path)
    names = [line.cell.name for line in lines]
    assert names.index("clean/50") < names.index("infected/0") < names.index("fgsm/0")
    assert names[-1] == "infected-examples"


def test_a_killed_run_goes_on(whole, tmp_path, monkeypatch):
    make, calls = infecting.infection_rows, []

    def killed(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return make(*args)

    monkeypatch.setattr(infecting, "infection_rows", killed)
    data, out = scans(patients=[f"p{i // 2}" for i in range(60)]), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        run(planted(), data, out, QUICK)
    states = {}
    results = run(
        planted(), data, out, QUICK, resume=True, watch=lambda one: states.setdefault(one.cell.name, one.state)
    )
    assert (states["infected/0"], states["infected/25"]) == ("reused", "running")
    assert len(calls) == 4
    assert results.findings == whole[0].findings


def broken(*_args, **_options):
    raise RuntimeError("out of memory")


def test_attacks_that_fail_do_not_hide_an_infection(tmp_path, monkeypatch):
    monkeypatch.setattr(cells, "make_attack", broken)
    results = run(planted(), scans(), tmp_path / "run")
    verdict = values(results)["verdict"]
    assert (verdict.severity, verdict.title) == ("critical", "This model carries the suspected backdoor.")
    assert "was not measured" in verdict.args["text"][-1]


def test_an_infection_that_could_not_be_measured_is_failed(tmp_path, monkeypatch):
    monkeypatch.setattr(infecting, "infection_rows", broken)
    results = run(planted(), scans(), tmp_path / "run")
    assert {one.id for one in results.failed} == {"infected/0", "infected/25", "infected/50"}
    assert not any(one.id.startswith("infection.") for one in results.findings)
    assert "fool this model" in values(results)["verdict"].title


def segmenting():
    network = nn.Conv2d(1, 3, 1).eval()
    return Subject(network, task="segmentation", classes=CLASSES, channels=1, size=16)


@pytest.mark.parametrize(
    ("subject", "given", "message"),
    [
        (
            planted,
            {"target": "covd"},
            "class must be one of normal, pneumonia, covid; got 'covd', did you mean 'covid'",
        ),
        (planted, {"rule": "set"}, "the label rule of a multiclass set must be one of to, .*; got 'set'"),
        (planted, {"trigger": {"name": "patch", "size": 20}}, r"size must be at most the image's \[16, 16\]"),
        (planted, {"trigger": {"name": "blend", "image": "absent.png"}}, "image must be a file that can be read"),
        (segmenting, {}, "the label rule of a segmentation set must be one of relabel, erase; got 'to'"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_runs(subject, given, message):
    with pytest.raises(InputError, match=message):
        prepare(subject(), scans(), asking(**given))


def test_only_images_of_the_target_leave_nothing_to_say(tmp_path):
    data = scans()
    only = data.select(i for i, item in enumerate(data.items) if item.label == 2)
    results = run(planted(), only, tmp_path, QUICK)
    assert results.failed == []
    assert "no images that are not covid are in the data" in values(results)["verdict"].args["text"][-1]
    assert json.loads((tmp_path / "figures" / "infected.json").read_text()) == []
