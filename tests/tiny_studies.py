"""Studies of backdoors at the size of a test: data in folders, a network that is nothing, and what every page needs."""

import csv
from contextlib import contextmanager

import pytest
from PIL import Image
from torch import nn

from aseptic.models import archs


class Blocks(nn.Module):
    """Two maps of eight channels, the second half as fine, so that Grad-CAM can skip a block, and a linear layer."""

    def __init__(self, outputs, channels):
        super().__init__()
        self.early = nn.Sequential(nn.Conv2d(channels, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.late = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(8, outputs)

    def forward(self, images):
        return self.head(self.late(self.early(images)).mean((2, 3)))


@contextmanager
def blocks():
    """Make ``aseptic:blocks`` a network, as long as the block runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(archs.ASEPTIC, "blocks", lambda request: Blocks(request.outputs, request.channels))
        archs._known.cache_clear()
        yield
    archs._known.cache_clear()


def write_folder(folder, data, *, splits=True, names=None):
    """Write images of a set as PNG with a ``labels.csv``: a label or a column for each finding, split and patient."""
    folder.mkdir(parents=True)
    classes = names or data.classes
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        columns = ["label"] if data.task == "multiclass" else list(classes)
        table.writerow(["file", *columns, *(["split"] if splits else []), "patient_id"])
        for i, item in enumerate(data.items):
            pixels = (data.read(i).pixels[0] * 255).round().byte().numpy()
            Image.fromarray(pixels).save(folder / f"{i:03d}.png")
            label = [classes[item.label]] if isinstance(item.label, int) else [f"{value:g}" for value in item.label]
            table.writerow([f"{i:03d}.png", *label, *([item.split] if splits else []), item.patient or f"p{i}"])
    return folder


def complete(prepared, traps):
    """Check that every claim, trap and chart leads to numbers that are measured, and that every trap is there."""
    study = prepared.study
    given = {name for measure in prepared.measures for name in measure.gives}
    for claim in study.claims:
        assert set(claim.needs()) <= given, claim.id
    assert [trap.number for trap in study.traps] == traps
    for trap in study.traps:
        pair = {trap.released, trap.corrected} - {""}
        assert pair <= given, trap.number
        assert len(pair) == 2 or trap.done, trap.number
    for chart in prepared.charts:
        assert 1 <= len(chart.lines) <= 5, chart.name
        for line in chart.lines:
            assert line.dots, (chart.name, line.label)
            assert {dot.finding for dot in line.dots} <= given, (chart.name, line.label)
    computed = {cell.name for cell in prepared.cells}
    asked = {name for measure in prepared.measures for name in measure.cells}
    assert asked <= computed
    assert {name for name in computed - asked if not name.startswith("train/")} == set(), "nothing is asked in vain"
    return given


def whole(results, prepared):
    """Check that a run is without gaps, and that every trap has both its numbers; return findings by id."""
    assert [(one.id, one.reason) for one in (*results.failed, *results.skipped)] == []
    found = {one.id: one for one in results.findings}
    assert {name for measure in prepared.measures for name in measure.gives} <= set(found)
    assert {f"claim.{claim.id}" for claim in prepared.study.claims} <= set(found)
    for trap in prepared.study.traps:
        args = found[f"trap.{trap.number}"].args
        assert args["reasons"] == {}
        for name in filter(None, (args["released"], args["corrected"])):
            assert name in found
    return found


def page_rows(out):
    """Return the cells of the table of traps in ``study.md`` by the number of the trap."""
    lines = (out / "study.md").read_text("utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| trap | what it is | as released | corrected"))
    rows = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        rows[cells[0]] = cells[2:4]
    return rows
