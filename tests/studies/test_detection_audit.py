"""A detector from end to end: measured, attacked, audited, reported and written, on cells whose answers are known."""

import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from detecting import CELL, EDGE, cells, grid
from torch.nn import functional as F

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.data.base import Box
from aseptic.data.load import load_data
from aseptic.data.memory import memory_set
from aseptic.models.subject import Subject
from aseptic.models.train_config import TrainConfig
from aseptic.report import build
from aseptic.studies.audit.run import audit, prepare
from aseptic.studies.audit.settings import AuditSettings
from aseptic.studies.train import Parts, TrainRequest, train_on
from aseptic.studies.write_attacked import Request, write_attacked

COUNT = 14
SETTINGS = AuditSettings(
    grey_levels=(4.0, 16.0), reference=16.0, steps=4, chunk=5, examples=2, probes=("tog", "dag"), draws=100
)


def pictures_of_cells():
    """Return colour pictures of 4 x 4 cells, each dark, or lit in red or in green, and boxes about the lit ones."""
    rng = stream(0, "cells")
    kinds = torch.randint(0, 3, (COUNT, 16), generator=rng)
    level = torch.full((COUNT, 3, 16), EDGE - 0.12)
    heights = 0.02 + 0.1 * torch.rand((COUNT, 16), generator=rng)
    for label in range(2):
        level[:, label][kinds == label] = (EDGE + heights)[kinds == label]
    grain = 0.1 * torch.rand((COUNT, 3, 16, 16), generator=rng)
    grain = grain - F.interpolate(F.avg_pool2d(grain, CELL), scale_factor=CELL)
    images = F.interpolate(level.reshape(COUNT, 3, 4, 4), scale_factor=CELL) + grain
    boxes = [
        [Box(corners=tuple(grid(4, 4)[k].tolist()), label=int(kind)) for k, kind in enumerate(row) if kind < 2]
        for row in kinds
    ]
    return images, boxes, kinds, heights


@pytest.fixture(scope="module")
def data():
    images, boxes, _, _ = pictures_of_cells()
    patients = [f"p{row // 2}" for row in range(COUNT)]
    return memory_set(
        "cells", images, classes=["artefact", "cell"], task="detection", patients=patients,
        boxes=[[Box(corners=one.corners, label=1 - one.label) for one in row] for row in boxes],
    )  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return Subject(cells().module, task="detection", classes=["cell", "artefact", "third"], channels=3).eval()


@pytest.fixture(scope="module")
def audited(model, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("audit")
    return audit(prepare(model, data, SETTINGS), out, settings=SETTINGS), out


def values(results):
    return {one.id: one for one in results.findings}


def test_every_image_has_its_rows(audited):
    results, out = audited
    assert results.failed == []
    rows = pq.read_table(out / "rows" / "images.parquet").to_pandas()
    counts = rows.groupby(["condition", "method", "grey_levels", "storage"])["id"].nunique()
    assert (counts == COUNT).all()
    assert len(counts) == 1 + 2 + 2 * 3 + 2 + 2  # clean; FGSM; PGD by storage; TOG and DAG; noise
    clean = rows[rows.condition == "clean"]
    assert (clean["found:cell"] == clean["objects:cell"]).all()
    assert (np.array([len(one) for one in clean.objects]) == 5 * clean.filter(like="objects:").sum(axis=1)).all()
    for name in ("cell", "artefact"):
        parts = rows[f"found:{name}"] + rows[f"vanished:{name}"] + rows[f"renamed:{name}"]
        assert (parts == rows[f"objects:{name}"]).all(), "something becomes of every object"


def test_numbers_are_those_of_the_pictures(audited):
    """A cell falls by the radius: what is lit by less than that vanishes, and nothing else is lost to the attacks."""
    _, _, kinds, heights = pictures_of_cells()
    found = values(audited[0])
    assert found["clean.map50"].value == found["clean.map"].value == found["clean.recall"].value == 1
    assert found["clean.ap50:third"].value is None, "a class without objects is not measured"
    assert found["clean.invented:cell"].value == 0
    for grey in (4.0, 16.0):
        expected = (heights[kinds == 0] < grey / 255).float().mean()
        assert found[f"class.fgsm.vanished:cell@{grey:g}"].value == pytest.approx(float(expected), abs=0.03)
        assert found[f"class.fgsm.recall:cell@{grey:g}"].value == pytest.approx(float(1 - expected), abs=0.03)
    assert 0.3 < found["curve.worst.lost@16"].value < 0.8
    assert found["curve.worst.map50@16"].value <= min(found[f"curve.{one}.map50@16"].value for one in ("fgsm", "pgd"))
    assert found["curve.worst.turned@16"].value >= found["curve.pgd.success@16"].value
    assert found["noise.map50_drop@16"].value < 0.2
    assert found["verdict"].severity in {"medium", "high", "critical"}
    text = " ".join(found["verdict"].args["text"])
    assert "brings the F1 of the objects below 0.5" in text
    assert "The mAP at overlap 0.5 falls from 1.000 unattacked to" in text


def test_checks_find_nothing_wrong(audited):
    checks = [one for one in audited[0].findings if one.id.startswith("preflight.")]
    assert len(checks) == 9
    assert {one.severity for one in checks} == {"info"}, [one.title for one in checks]


def test_the_page_shows_objects_and_boxes(audited):
    page = build(audited[1]).read_text()
    said = ("mAP at overlap 0.5", "Objects vanished", "Taken for another class", "Invented, an image", "TOG", "DAG")
    for one in (*said, "Truth: cell orange, artefact blue", "Objects found"):
        assert one.lower() in page.lower(), one
    for other in ("AUROC", "Calibration", "lesion", "Right decisions"):
        assert other not in page, other
    told = json.loads((audited[1] / "figures" / "examples.json").read_text())
    assert len(told) == 2
    assert "objects found" in told[0]["clean"]["decision"]
    assert (audited[1] / "figures" / "ex0_more_truth.png").is_file()
    absent = {one.id: one.reason for one in audited[0].skipped}
    assert "a detector has as many as it has candidates" in absent["explain"]


@pytest.mark.parametrize("goal", ["vanish", "vanish:cell", "relabel:cell:artefact", "fabricate:3"])
def test_every_goal_can_be_audited(model, data, tmp_path, goal):
    settings = AuditSettings(
        grey_levels=(16.0,), reference=16.0, steps=3, chunk=5, examples=1, probes=("tog",), goal=goal, draws=100
    )
    found = values(audit(prepare(model, data.select(range(5)), settings), tmp_path, settings=settings))
    assert found["curve.pgd.success@16"].value is not None
    text = " ".join(found["verdict"].args["text"])
    assert "has the effect that" in text
    build(tmp_path)


def test_without_boxes_the_clean_detections_are_the_truth(model, data, tmp_path):
    bare = memory_set("bare", data.images, task=None)
    results = audit(prepare(model, bare, SETTINGS), tmp_path, settings=SETTINGS)
    found = values(results)
    assert "clean.map50" not in found
    assert "The data has no boxes" in " ".join(found["verdict"].args["text"])
    assert found["curve.worst.lost@16"].value > 0.3


def test_attacked_images_are_a_data_set_of_their_own(model, data, tmp_path):
    written = write_attacked(model, data, Request(attack="tog", eps=16 / 255, goal="vanish:cell"), tmp_path)
    assert len(written.rows) == COUNT
    with (tmp_path / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["truth"] == rows[0]["clean_decision"]
    assert any(row["attacked_decision"] != row["clean_decision"] for row in rows)
    again = load_data(tmp_path)
    assert again.task == "detection"
    assert torch.equal(again.targets, data.targets)


def test_refuses_what_does_not_fit(model, data):
    other = memory_set("o", data.images, classes=["mite"], task="detection", boxes=[[]] * COUNT)
    with pytest.raises(InputError, match="labels must be among the model's classes cell, artefact, third; got mite"):
        prepare(model, other, SETTINGS)
    with pytest.raises(InputError, match="data must be detection as the model is, got multiclass"):
        prepare(
            model,
            memory_set("o", data.images, torch.zeros(COUNT, dtype=torch.long), classes=["cell"], task="multiclass"),
            SETTINGS,
        )
    outside = [[Box(corners=(0.0, 0.0, 40.0, 4.0), label=0)], *[[]] * (COUNT - 1)]
    strange = memory_set("o", data.images, classes=["cell"], task="detection", boxes=outside)
    made, _ = prepare(model, strange, SETTINGS)
    assert "must lie inside the image" in made.data.unreadable[0].reason
    with pytest.raises(InputError, match=r"apgd-t serves .* models, got detection"):
        prepare(model, data, AuditSettings(attacks=("fgsm", "apgd-t")))


def test_training_states_the_average_precision(data, tmp_path):
    parts = Parts(training=data, validation=data, test=data, notes=())
    request = TrainRequest(
        arch="aseptic:smallretina?width=8&anchor=4", size=(16, 16), channels=None, mean=(0.5,), std=(0.25,)
    )
    config = TrainConfig(epochs=2, batch_size=7, accelerator="cpu")
    found = train_on(parts, request, config, tmp_path)
    assert "validation mAP@0.5" in found.summary()[0]
    assert any(line.startswith("test map50: ") for line in found.summary())
    assert found.test["ap50:cell"].n == COUNT
