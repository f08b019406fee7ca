"""Batteries of attacks in an audit: what each reached, what only it reached, and what gradients hide."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from aseptic.attacks.catalogue import ATTACKS
from aseptic.core.errors import InputError
from aseptic.models.subject import Subject
from aseptic.report.page import build
from aseptic.studies.audit.battery import battery_of
from aseptic.studies.audit.run import audit, prepare
from aseptic.studies.audit.settings import AuditSettings
from aseptic.studies.yardsticks.catalogue import kind_of

SETTINGS = AuditSettings(
    probes=("square", "cw-linf", "apgd-dlr"), queries=60, grey_levels=(2.0, 8.0), reference=8.0, steps=5, explained=4,
    examples=1,
)  # fmt: skip


def run(learnt, out, subject=None, settings=SETTINGS):
    return audit(prepare(subject or learnt.subject, learnt.data, settings), out, settings=settings)


def values(results):
    return {one.id: one for one in results.findings}


@pytest.fixture(scope="module")
def probed(multiclass, tmp_path_factory):
    out = tmp_path_factory.mktemp("audit")
    return run(multiclass, out), out


def test_what_each_attack_reached_is_that_of_the_rows(probed):
    results, out = probed
    assert results.failed == []
    rows = pq.read_table(out / "rows" / "images.parquet").to_pandas()
    clean = rows[rows.condition == "clean"].set_index("id").correct
    after = {
        name: part.set_index("id").correct.loc[clean.index]
        for name, part in rows[
            (rows.condition == "attack") & (rows.grey_levels == 8) & (rows.storage == "float")
        ].groupby("method")
    }
    assert set(after) == {"fgsm", "pgd", "square", "cw-linf", "apgd-dlr"}
    found = values(results)
    for name, right in after.items():
        assert found[f"probe.{name}.turned@8"].value == pytest.approx(1 - (clean & right).sum() / clean.sum())
        others = np.logical_and.reduce([one for other, one in after.items() if other != name])
        only = (clean & others & ~right).sum() / clean.sum()
        assert found[f"probe.{name}.only@8"].value == pytest.approx(only)
    worst = np.logical_and.reduce([clean, *after.values()])
    assert found["curve.worst.accuracy@8"].value <= worst.mean()
    assert "curve.square.accuracy@8" not in found, "a probe has no curve"


def test_questions_are_counted_and_bounded(probed):
    results, out = probed
    rows = pq.read_table(out / "rows" / "images.parquet").to_pandas()
    asked = rows[rows.method == "square"].queries
    assert not asked.isna().any()
    assert asked[np.isfinite(asked)].between(1, 60).all()
    assert rows[rows.method == "pgd"].queries.isna().all()
    found = values(results)
    assert found["probe.square.queries@8"].value == pytest.approx(asked[np.isfinite(asked)].mean())
    assert "probe.pgd.queries@8" not in found
    assert found["doubt.masked@8"].severity == "info"
    assert "query" not in {one.id for one in results.skipped}


def test_the_survival_curve_is_that_of_the_rows(probed):
    results, out = probed
    rows = pq.read_table(out / "rows" / "images.parquet").to_pandas()
    clean = rows[rows.condition == "clean"].set_index("id")
    asked = rows[rows.method == "square"].set_index("id").queries.loc[clean.index][clean.eligible & ~clean.success]
    found = values(results)
    standing = [found[f"survival.square@{after}"] for after in (1, 2, 5, 10, 20, 50, 60)]
    for one in standing:
        assert one.value == pytest.approx((asked > one.args["queries"]).mean())
        assert one.n == len(asked)
    assert standing[0].value > standing[-1].value, "some fell"
    assert not [name for name in found if name.startswith("survival.") and "square" not in name]
    assert "survival.square@100" not in found, "what more questions would do is not known"


def test_a_goal_about_one_finding_tells_what_else_changed(multilabel, tmp_path):
    aim, *others = multilabel.subject.task.classes
    settings = AuditSettings(goal=f"suppress:{aim}", grey_levels=(16.0,), reference=16.0, explained=0, examples=0)
    results = run(multilabel, tmp_path, settings=settings)
    rows = pq.read_table(tmp_path / "rows" / "images.parquet").to_pandas()
    clean = rows[rows.condition == "clean"].set_index("id")
    after = rows[(rows.condition == "attack") & (rows.method == "pgd") & (rows.storage == "float")].set_index("id")
    after = after.loc[clean.index]
    brought = clean.eligible & ~clean.success & after.success
    assert brought.any()
    found = {name: one for name, one in values(results).items() if name.startswith("collateral.")}
    assert sorted(found) == sorted(f"collateral.{name}@16" for name in others)
    for name in others:
        changed = (clean[f"decision:{name}"] != after[f"decision:{name}"])[brought]
        assert found[f"collateral.{name}@16"].value == pytest.approx(changed.mean())
        assert found[f"collateral.{name}@16"].n == brought.sum()
    page = build(tmp_path).read_text()
    assert "What else changes?" in page


def test_the_page_compares_the_attacks(probed):
    page = build(probed[1]).read_text()
    assert "Attack by attack" in page
    assert "Square (at most 60 questions)" in page
    assert "CW-Linf, APGD-DLR" in page
    assert "How many questions does it take?" in page
    assert "After 60 questions: Square" in page


def test_an_attack_that_does_not_fit_is_named_with_its_reason(multilabel, tmp_path):
    results = run(multilabel, tmp_path / "run")
    absent = {one.id: one.reason for one in results.skipped}
    assert absent["attack.apgd-dlr"] == "it serves multiclass models, got multilabel"
    with pytest.raises(InputError, match="apgd-dlr serves multiclass models"):
        prepare(multilabel.subject, multilabel.data, SETTINGS.model_copy(update={"attacks": ("apgd-dlr",)}))


class Steps(nn.Module):
    """Levels of the input too coarse for a gradient: the network is as weak as before."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network((images * 255).round() / 255 + 0 * images)


def test_masked_gradients_are_doubted(multiclass, tmp_path):
    kept = multiclass.subject
    module = Steps(kept.module).eval()
    subject = Subject(module, task="multiclass", classes=kept.task.classes, channels=1, size=16)
    wide = SETTINGS.model_copy(
        update={"probes": ("square",), "queries": 400, "grey_levels": (16.0,), "reference": 16.0, "explained": 0}
    )
    found = values(run(multiclass, tmp_path / "run", subject, wide))
    assert found["probe.pgd.turned@16"].value < 0.2, "the gradients are zero"
    assert found["probe.square.turned@16"].value > 0.5
    assert found["doubt.masked@16"].severity == "medium"
    assert any("probably masked" in one for one in found["verdict"].args["text"])
    assert "status" in found["doubt.masked@16"].args


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_every_battery_names_attacks_that_serve_its_task(task):
    for one in kind_of(task).batteries.values():
        assert all(task in ATTACKS.load(name).tasks for name in one.attacks)
        assert {*one.probes} <= set(ATTACKS.names())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: battery_of("ful"), "battery must be one of quick, standard, full; got 'ful', did you mean 'full'"),
        (lambda: AuditSettings(probes=("pgd",)), "attacks must be named once each, got fgsm, pgd, pgd"),
    ],
)
def test_wrong_names_are_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_random_numbers_are_left_alone(multiclass, tmp_path):
    state = torch.get_rng_state()
    run(multiclass, tmp_path / "run", settings=SETTINGS.model_copy(update={"examples": 0, "explained": 0}))
    assert torch.equal(state, torch.get_rng_state())
