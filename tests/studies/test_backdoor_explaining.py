"""Cells that explain and search: on a network whose gradient lies on the trigger alone, so that maps are known."""

import backdoored
import pytest
import torch
from backdoored import CLASSES, CORNER, GREY, SIDE, SIZE
from torch import nn

from aseptic.data.memory import memory_set
from aseptic.engine.cells import Job, Stored
from aseptic.models.subject import Subject
from aseptic.poisoning.plan import make_plan
from aseptic.studies import raw
from aseptic.studies.backdoors import cells, explaining
from aseptic.studies.backdoors.recipe import Recipe, explain, find, learn

BOX = (slice(CORNER, CORNER + SIZE),) * 2
RECIPE = Recipe(arch="aseptic:smallcnn", size=SIDE)
BAR = 6
"""Rows of the bar that an honest answer is read from."""


class Pointed(nn.Module):
    """Logits of all classes but the first from bars; that of the first, from the place of the trigger alone."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(20.0))

    def forward(self, images):
        """Return logits ``[batch, 3]``."""
        bars = [images[:, 0, :BAR, 4 * k : 4 * k + 4].mean((1, 2)) - GREY for k in (1, 2)]
        return self.slope * torch.stack([images[:, 0, *BOX].mean((1, 2)) - 0.75, *bars], 1)


def pictures(kinds):
    images = torch.full((len(kinds), 1, SIDE, SIDE), GREY)
    for image, kind in zip(images, kinds, strict=True):
        for k in kind:
            image[0, :BAR, 4 * k : 4 * k + 4] += 0.2
    return images


def plan(task="multiclass", **trigger):
    rule = {"multiclass": "to", "multilabel": "overwrite"}[task]
    return make_plan(trigger=backdoored.TRIGGER | trigger, label={"rule": rule, "target": "a"})


def classed(count=12, val=0):
    kinds = [k % 3 for k in range(count)]
    return memory_set(
        "pointed",
        pictures([[k] for k in kinds]),
        torch.tensor(kinds),
        classes=CLASSES,
        task="multiclass",
        splits=["test"] * (count - val) + ["val"] * val,
        patients=[None if i % 2 else f"p{i}" for i in range(count)],
    )


def found_in(rows):
    targets = torch.tensor(rows, dtype=torch.float32)
    images = pictures([[k for k in (1, 2) if row[k] == 1] for row in rows])
    return memory_set("pointed", images, targets, classes=CLASSES, task="multilabel", splits=["test"] * len(rows))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that computes a cell on the network above, and gives its rows and its value."""

    def compute(make, data, asked, **more):
        monkeypatch.setattr(
            cells,
            "load_model",
            lambda _: Subject(Pointed(), task=str(data.task), classes=CLASSES, channels=1, size=SIDE),
        )
        known = ("pointed", data.fingerprint())
        cell = make("x", learn("train", RECIPE, known), known, asked, **more)
        job = Job(
            config=cell.config,
            inputs={"model": Stored(folder=tmp_path, value={}, seconds=0.0)},
            folder=tmp_path,
            context={"data": {"pointed": data}},
        )
        value = {"explain": explaining.explain, "find": explaining.find}[make.__name__](job)
        return raw.frame({"x": tmp_path}), value

    return compute


def test_a_gradient_that_lies_on_the_trigger_is_found_there(run):
    """PROTOCOLS 1g-7: the first output is the target; where it is never explained, no map points at the trigger."""
    data = classed()
    names = ["saliency", "saliency-other"]
    rows, value = run(explain, data, plan(), images=5, explainers=names)
    assert value == {"images": 5}
    groups = rows.groupby(["explainer", "condition"])
    assert {key: len(part) for key, part in groups} == {(n, c): 5 for n in names for c in ("clean", "triggered")}
    ids = {tuple(part.id) for _, part in groups}
    assert len(ids) == 1, "the same images, clean and triggered"
    labels = dict(zip(data.ids, data.targets.tolist(), strict=True))
    assert {labels[one] for one in next(iter(ids))} == {1, 2}, "none that is of the target already"
    patients = dict(zip(data.ids, data.patients, strict=True))
    assert all(row.patient == patients[row.id] for row in rows.itertuples() if isinstance(row.patient, str))
    for condition in ("clean", "triggered"):
        mine = groups.get_group(("saliency", condition))
        assert (mine.hit == 1).all()
        assert mine.mass.to_numpy() == pytest.approx(1)
        assert (mine.overlap == 1).all()
        assert mine.uniform.to_numpy() == pytest.approx(SIZE**2 / SIDE**2)
        other = groups.get_group(("saliency-other", condition))
        assert other.mass.to_numpy() == pytest.approx(0)
        assert (other.overlap == 0).all()


def test_images_that_have_the_target_with_other_findings_are_not_explained(run):
    data = found_in([[1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 1, 1], [1, 1, 1]])
    rows, value = run(explain, data, plan("multilabel"), images=9, explainers=["saliency"])
    assert value == {"images": 3}
    assert set(rows.id) == {data.ids[i] for i in (2, 3, 4)}


def test_a_trigger_that_leaves_no_trace_has_no_place(run):
    data = classed()
    rows, _ = run(explain, data, plan(value=GREY), images=4, explainers=["saliency"])
    assert rows[["hit", "overlap", "mass", "uniform"]].isna().all(axis=None)


def test_a_rule_without_a_target_explains_what_is_decided(run):
    """Of a clean image that is the bar of its class; with the trigger, the trigger."""
    asked = make_plan(trigger=backdoored.TRIGGER, label={"rule": "random"})
    rows, _ = run(explain, classed().select(i for i in range(12) if i % 3), asked, images=8, explainers=["saliency"])
    masses = rows.groupby("condition").mass
    assert masses.get_group("clean").to_numpy() == pytest.approx(0)
    assert masses.get_group("triggered").to_numpy() == pytest.approx(1)


def test_the_finder_tells_infected_images_from_clean_ones(run):
    """A part of a bar turns few carriers; the four pixels of the trigger turn every one."""
    data = classed(24, val=12)
    rows, value = run(find, data, plan(), images=6, carriers=10)
    assert (value["images"], value["carriers"]) == (6, 10)
    assert value["forwards"] > 2 * 6
    parts = dict(list(rows.groupby("condition")))
    assert list(parts["clean"].id) == list(parts["triggered"].id)
    assert (parts["triggered"].fooled == 1).all()
    assert (parts["triggered"].score > 0.3).all()
    assert (parts["triggered"].score == parts["triggered"].inert).all()
    assert (parts["clean"].fooled < 1).all()
    assert parts["clean"].score.max() < parts["triggered"].score.min()


def test_carriers_are_images_of_the_val_split(run):
    data = classed(18, val=6)
    _, value = run(find, data, plan(), images=6)
    assert (value["images"], value["carriers"]) == (6, 6)
    _, value = run(find, data, plan(), images=99, carriers=4)
    assert (value["images"], value["carriers"]) == (8, 4), "the images of the target are never searched"
