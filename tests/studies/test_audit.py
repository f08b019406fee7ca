"""The audit from end to end on a network of one second."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

import aseptic
from aseptic.core.errors import InputError
from aseptic.core.record import read_results
from aseptic.models.subject import Subject
from aseptic.studies.audit import cells
from aseptic.studies.audit.run import audit, dry_run, prepare
from aseptic.studies.audit.settings import AuditSettings

QUICK = AuditSettings(grey_levels=(1.0, 4.0, 8.0), reference=8.0, steps=5, chunk=20, explained=24, examples=2)


def run(learnt, out, settings=QUICK, **options):
    return audit(prepare(learnt.subject, learnt.data, settings), out, settings=settings, **options)


@pytest.fixture(scope="module")
def whole(multiclass, tmp_path_factory):
    out = tmp_path_factory.mktemp("audit")
    return run(multiclass, out), out


def values(results):
    return {one.id: one for one in results.findings}


def test_results_obey_the_schema_in_the_package(whole):
    _, out = whole
    schema = json.loads((Path(aseptic.__file__).parent / "core" / "results.schema.json").read_text())
    jsonschema.validate(json.loads((out / "results.json").read_text()), schema)


def test_the_run_folder_is_complete(whole):
    results, out = whole
    assert read_results(out) == results
    assert {path.name for path in out.iterdir()} >= {"results.json", "rows", "figures", "config.yaml", "log.txt"}
    assert results.failed == []
    assert len(json.loads((out / "figures" / "examples.json").read_text())) == 2


def test_raw_rows_hold_every_image_under_every_condition(whole, multiclass):
    _, out = whole
    rows = pq.read_table(out / "rows" / "images.parquet").to_pandas()
    counts = rows.groupby(["condition", "method", "grey_levels", "storage"])["id"].nunique()
    assert (counts == len(multiclass.data)).all()
    assert len(counts) == 1 + 3 + 3 * 3 + 3  # clean; FGSM; PGD by storage; noise
    attacked = rows[rows.condition == "attack"]
    assert (attacked.distance <= attacked.grey_levels * (1 + 1e-4)).all()


def test_numbers_are_those_of_the_rows(whole):
    results, out = whole
    rows = pq.read_table(out / "rows" / "images.parquet").to_pandas()
    part = rows[
        (rows.method == "pgd") & (rows.grey_levels == 4.0) & (rows.storage == "float") & (rows.condition == "attack")
    ]
    found = values(results)["curve.pgd.accuracy@4"]
    assert found.value == pytest.approx(part.correct.mean())
    assert found.n == len(part)
    assert found.ci_low <= found.value <= found.ci_high
    clean = rows[rows.condition == "clean"].set_index("id").correct
    fell = clean.copy()
    for method in ("fgsm", "pgd"):
        for grey in (1.0, 4.0):
            one = rows[(rows.method == method) & (rows.grey_levels == grey) & (rows.condition == "attack")]
            fell &= one[one.storage == "float"].set_index("id").correct
    assert values(results)["curve.worst.accuracy@4"].value == pytest.approx(fell.mean())
    turned = values(results)["curve.worst.turned@4"]
    assert turned.value == pytest.approx(1 - fell.sum() / clean.sum())


def test_the_attack_does_more_than_its_shuffled_self(whole):
    found = values(whole[0])
    assert found["clean.accuracy"].value == 1.0
    assert found["curve.worst.turned@8"].value > 0.5
    assert found["noise.accuracy_drop@8"].value < 0.1
    assert found["verdict"].severity in {"high", "critical"}
    assert any("Random noise of the same size" in one for one in found["verdict"].args["text"])


def test_accuracy_only_falls_with_the_budget(whole):
    found = values(whole[0])
    curve = [found[f"curve.worst.accuracy@{grey}"].value for grey in (1, 4, 8)]
    assert curve == sorted(curve, reverse=True)


def test_the_model_is_left_as_it_was(multiclass, tmp_path):
    module = multiclass.subject.module
    before = {name: value.clone() for name, value in module.state_dict().items()}
    flags = [parameter.requires_grad for parameter in module.parameters()]
    run(multiclass, tmp_path / "run")
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert [parameter.requires_grad for parameter in module.parameters()] == flags
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in module.parameters())


def test_the_same_seed_gives_the_same_findings(multiclass, whole, tmp_path):
    assert run(multiclass, tmp_path / "again").findings == whole[0].findings


def test_a_folder_with_a_run_is_not_overwritten(multiclass, whole):
    with pytest.raises(InputError, match="already holds a run"):
        run(multiclass, whole[1])


def test_resume_computes_nothing_twice(multiclass, whole):
    results, out = whole
    states = []
    again = run(multiclass, out, resume=True, watch=lambda one: states.append(one.state))
    assert set(states) == {"reused"}
    assert again.findings == results.findings
    assert "reused" in (out / "log.txt").read_text()


def test_the_plan_names_every_cell_and_computes_none(multiclass, tmp_path):
    lines = dry_run(prepare(multiclass.subject, multiclass.data, QUICK)[1], tmp_path)
    assert {line.cell.name.partition("/")[0] for line in lines} == {
        "preflight", "clean", "fgsm", "pgd", "explain", "examples",
    }  # fmt: skip
    assert not any(line.stored for line in lines)
    assert all(line.cell.estimate > 0 for line in lines)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_attack_is_named_and_the_rest_goes_on(multiclass, tmp_path, monkeypatch):
    def refuse(name, **options):
        if name == "pgd":
            raise RuntimeError("out of memory")
        return make(name, **options)

    make = cells.make_attack
    monkeypatch.setattr(cells, "make_attack", refuse)
    results = run(multiclass, tmp_path / "run")
    assert {one.id for one in results.failed} == {"pgd/0", "pgd/20", "pgd/40"}
    assert all("out of memory" in one.reason and "Traceback" in one.traceback for one in results.failed)
    assert {one.id for one in results.skipped} >= {"explain/0", "examples"}
    found = values(results)
    assert "curve.fgsm.accuracy@8" in found
    assert not any(name.startswith("curve.pgd") for name in found)
    assert found["verdict"].method == "worst case over fgsm"


def test_images_without_labels_are_audited_against_the_clean_decision(multiclass, tmp_path):
    bare = replace(
        multiclass.data, task=None, classes=(), items=tuple(replace(one, label=None) for one in multiclass.data.items)
    )
    results = run(replace(multiclass, data=bare), tmp_path / "run")
    found = values(results)
    assert not any(name.startswith("clean.") for name in found)
    assert "no labels" in " ".join(found["verdict"].args["text"])
    assert {one.id for one in results.skipped} >= {"clean"}
    assert found["curve.worst.turned@8"].value > 0.5


def test_multilabel_with_unknown_findings(multilabel, tmp_path):
    results = run(multilabel, tmp_path / "run")
    found = values(results)
    assert results.failed == []
    assert found["clean.auroc_macro"].value > 0.95
    assert found["curve.worst.turned@8"].value > 0.3
    assert found["clean.sensitivity:left"].n < found["clean.sensitivity:middle"].n + found["clean.sensitivity:right"].n
    unknown = int(np.isnan(multilabel.data.targets.numpy()).sum())
    rows = pq.read_table(tmp_path / "run" / "rows" / "images.parquet").to_pandas()
    assert rows[rows.condition == "clean"]["target:left"].isna().sum() == unknown


@pytest.mark.parametrize("goal", ["suppress:middle", "inject:right"])
def test_goals_on_one_finding(multilabel, tmp_path, goal):
    settings = QUICK.model_copy(update={"goal": goal, "examples": 0, "explained": 0})
    results = run(multilabel, tmp_path / "run", settings)
    found = values(results)["curve.pgd.success@8"]
    assert results.failed == []
    assert found.value > 0.3
    assert found.n < len(multilabel.data)


def test_one_image_of_one_class(multiclass, tmp_path):
    results = run(replace(multiclass, data=multiclass.data.select([0])), tmp_path / "run")
    found = values(results)
    assert results.failed == []
    assert found["clean.accuracy"].n == 1
    assert found["clean.auroc_macro"].value is None
    assert found["clean.sensitivity:middle"].value is None
    assert found["clean.sensitivity:middle"].n == 0


def test_classes_are_matched_by_name(multiclass):
    turned = replace(
        multiclass.data,
        classes=("right", "left", "middle"),
        items=tuple(replace(one, label=(one.label + 1) % 3) for one in multiclass.data.items),
    )
    made, _ = prepare(multiclass.subject, turned, QUICK)
    assert torch.equal(made.targets, multiclass.data.targets)


def test_a_class_that_the_model_lacks_is_refused(multiclass):
    other = replace(multiclass.data, classes=("left", "middle", "bottom"))
    with pytest.raises(InputError, match="labels must be among the model's classes left, middle, right; got bottom"):
        prepare(multiclass.subject, other, QUICK)


def test_another_task_is_refused(multiclass, multilabel):
    with pytest.raises(InputError, match="data must be multiclass as the model is, got multilabel"):
        prepare(multiclass.subject, multilabel.data, QUICK)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"goal": "suppress:left"}, "goal of a multiclass model must be one of untargeted, reach:NAME"),
        ({"goal": "reach:top"}, "class must be one of left, middle, right; got 'top'"),
        ({"attacks": ("pdg",)}, "attack must be one of .* did you mean 'pgd'"),
    ],
)
def test_what_the_model_cannot_be_asked_is_refused_before_anything_runs(multiclass, given, message):
    with pytest.raises(InputError, match=message):
        prepare(multiclass.subject, multiclass.data, QUICK.model_copy(update=given))


def test_a_model_that_cannot_be_fed_is_refused(multiclass, tmp_path):
    class Wrong(nn.Module):
        def forward(self, images):
            return images.flatten(1)[:, :2]

    wrong = Subject(Wrong().eval(), task="multiclass", classes=("left", "middle", "right"), channels=1, size=16)
    with pytest.raises(InputError, match="the model cannot be audited: The network must return one number"):
        run(replace(multiclass, subject=wrong), tmp_path / "run")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"grey_levels": (2.0, 1.0)}, r"eps must be distinct, rising and above 0, got \[2.0, 1.0\]"),
        ({"grey_levels": (0.0, 2.0)}, "above 0"),
        ({"reference": 3.0}, "the reference budget must be one of"),
        ({"attacks": ()}, "attacks must name at least one attack"),
    ],
)
def test_settings_that_mean_nothing_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        AuditSettings(**given)


def test_cells_depend_on_the_weights(multiclass):
    _, grid = prepare(multiclass.subject, multiclass.data, QUICK)
    module = nn.Sequential(*multiclass.subject.module)
    other = Subject(module, task=multiclass.subject.task, channels=1, size=16)
    same = prepare(other, multiclass.data, QUICK)[1]
    with torch.no_grad():
        module[0].bias += 0.01
    try:
        changed = prepare(other, multiclass.data, QUICK)[1]
    finally:
        with torch.no_grad():
            module[0].bias -= 0.01
    assert same.clean[0].key == grid.clean[0].key != changed.clean[0].key
