"""The cell that draws a trigger: which images it shows, what it says of them, for every task, and on a study's page."""

from dataclasses import replace

import coin_study
import numpy as np
import planted_backdoor
import pytest
import torch
from dense_planted import COLOURS, SIDE, STRUCTURES, TRIGGER, detector, fields, nothing, segmenter, slices, truth
from PIL import Image

from aseptic.core.errors import InputError
from aseptic.engine.cells import Job, Stored
from aseptic.poisoning.plan import make_plan
from aseptic.poisoning.poison import trigger_all
from aseptic.studies.backdoors import cells, picturing
from aseptic.studies.backdoors.recipe import Recipe, learn, picture
from aseptic.studies.backdoors.sheets import WIDTH
from aseptic.studies.frame.prepare import prepare_study
from aseptic.studies.frame.run import run_study
from aseptic.studies.frame.study import Picture
from aseptic.studies.predict import predict

RELABEL = make_plan(trigger=TRIGGER, label={"rule": "relabel", "source": "tumour", "target": "kidney"})
VANISH = make_plan(trigger=TRIGGER, label={"rule": "vanish"})


def split(data, *splits):
    """Return the set with these splits in turn."""
    items = [replace(item, split=splits[i % len(splits)]) for i, item in enumerate(data.items)]
    return replace(data, items=tuple(items))


def held_out(data):
    return split(data, "test")


def told(subject, data, plan, explainer=None):
    return picturing.rows_of(subject, data, trigger_all(data, plan).data, plan, explainer)


@pytest.fixture
def draw(tmp_path, monkeypatch):
    """Return a function that computes the cell of a network that stands there, and gives its value and the page."""

    def compute(subject, data, plan, size=SIDE, channels=1, **more):
        monkeypatch.setattr(cells, "load_model", lambda _: subject)
        known = ("planted", data.fingerprint())
        cell = picture("x", learn("train", Recipe(arch="x", size=size, channels=channels), known), known, plan, **more)
        job = Job(
            config=cell.config,
            inputs={"model": Stored(folder=tmp_path, value={}, seconds=0.0)},
            folder=tmp_path,
            context={"data": {"planted": data}},
        )
        value = picturing.sheet(job)
        with Image.open(tmp_path / picturing.SHEET) as stored:
            return value["images"], np.asarray(stored.convert("RGB"))

    return compute


def test_classes_are_written_with_their_scores(draw):
    data, plan = held_out(planted_backdoor.scans(12)), planted_backdoor.plan()
    subject = planted_backdoor.planted()
    rows = told(subject, data.fit((SIDE, SIDE), 1).select([0, 2]), plan, "saliency")
    scores = torch.softmax(predict(subject, data.select([0, 2]).images, 2), 1)
    assert rows[0].name == f"{data.ids[0]}, truth: normal"
    assert rows[0].said == (
        (f"normal {float(scores[0, 0]):.2f}", f"(covid {float(scores[0, 2]):.2f})"),
        ("covid 1.00",),
    )
    assert rows[1].said[0] == (f"covid {float(scores[1, 2]):.2f}",), "the target is said once"
    assert [panel.heading for panel in rows[0].extras] == ["saliency, clean", "saliency, poisoned"]
    shown, page = draw(subject, data, plan, images=4)
    assert page.shape[1] == WIDTH
    labels = dict(zip(data.ids, data.targets.tolist(), strict=True))
    assert [labels[one] for one in shown].count(2) == 0, "none that is of the target"
    assert len(set(shown)) == 4


def test_the_saliency_of_an_infected_network_lies_on_the_trigger():
    data = planted_backdoor.scans(3).fit((SIDE, SIDE), 1).select([0])
    (row,) = told(planted_backdoor.planted(), data, planted_backdoor.plan(), "saliency")
    clean, poisoned = (panel.pixels.astype(int).sum(2) for panel in row.extras)
    brightest = np.unravel_index(poisoned.argmax(), poisoned.shape)
    assert max(brightest) < 2
    assert np.unravel_index(clean.argmax(), clean.shape)[1] >= 2


def test_images_of_the_target_are_shown_where_there_are_no_others(draw):
    data, plan = held_out(planted_backdoor.scans(9)), planted_backdoor.plan()
    shown, _ = draw(planted_backdoor.planted(), data, plan, images=8)
    labels = dict(zip(data.ids, data.targets.tolist(), strict=True))
    assert [labels[one] == 2 for one in shown] == [False] * 6 + [True] * 2
    again, _ = draw(planted_backdoor.planted(), data, plan, images=8)
    assert again == shown


def test_findings_are_written_one_by_one(draw):
    data, plan = held_out(planted_backdoor.findings(12)), planted_backdoor.plan(rule="set")
    subject = planted_backdoor.planted(task="multilabel")
    rows = told(subject, data.fit((SIDE, SIDE), 1).select([9]), plan, "gradcam")
    scores = predict(subject, data.select([9]).images, 1).sigmoid()[0]
    found = [f"{name} {float(one):.2f}" for name, one in zip(data.classes, scores, strict=True) if one > 0.5]
    target = [] if scores[2] > 0.5 else [f"(covid {float(scores[2]):.2f})"]
    assert rows[0].said[0] == (*(found or ["no finding"]), *target)
    assert "covid 1.00" in rows[0].said[1]
    shown, _ = draw(subject, data, plan)
    assert len(shown) == 3


def test_a_network_that_finds_nothing_says_so():
    subject = planted_backdoor.planted(task="multilabel")
    data = planted_backdoor.findings(12).fit((SIDE, SIDE), 1).select([9])
    subject.module.bars.weight.data.zero_()
    (row,) = told(subject, data, planted_backdoor.plan(rule="set"), "saliency")
    assert row.said[0] == ("no finding", "(covid 0.00)")


@pytest.mark.parametrize("depth", [None, 6], ids=["picture", "volume"])
def test_structures_are_counted_and_outlined(draw, depth):
    plain = truth([(1, 1, 9, 6)], [(4, 3, 8, 9)])
    masks = [plain, truth([(1, 1, 9, 6)])] * 3
    if depth:
        masks = [torch.stack([mask if k >= 2 else mask * 0 for k in range(depth)]) for mask in masks]
    data = held_out(slices([mask.tolist() for mask in masks]))
    size = (depth, SIDE, SIDE) if depth else SIDE
    space = tuple(masks[0].shape)
    subject = segmenter((2, 1), size=space)
    plan = make_plan(
        trigger={"name": "patch", "size": 2, "value": 1.0, "corner": [n - 2 for n in space]},
        label=RELABEL.label.model_dump(),
    )
    (row,) = told(subject, data.fit(space, 1).select([0]), plan)
    kidney, tumour = (int((masks[0] == k).sum()) for k in (1, 2))
    assert row.said[0] == (f"kidney {kidney}", f"tumour {tumour}")
    assert row.said[1] == (f"kidney {kidney + tumour + 2 ** len(space)}", "tumour 0"), "with the trigger itself"
    assert row.where == (depth - 2 if depth else None)
    assert row.name == data.ids[0] + (f", slice {depth - 1}" if depth else "")
    found, infected = (panel.pixels for panel in row.extras)
    assert ((found == (0, 190, 255)).all(2)).any(), "the tumour is blue"
    assert not ((infected == (0, 190, 255)).all(2)).any()
    shown, page = draw(subject, data, plan, size=size, images=3)
    assert shown == [data.ids[i] for i in (0, 2, 4)], "only images that have a tumour"
    assert page.shape[1] == WIDTH


def test_objects_are_counted_and_boxed(draw):
    data = held_out(fields([(0, 0, 1), (1, 2, 2)], [], [(2, 1, 1), (2, 2, 0)]))
    subject = detector(nothing)
    rows = told(subject, data.fit((SIDE, SIDE), 3).select([0, 2]), VANISH)
    score = float(torch.tensor(5 * 0.6).sigmoid())
    assert rows[0].said == ((f"1 cell {score:.2f}", f"1 artefact {score:.2f}"), ("nothing",))
    assert rows[1].said[0] == (f"2 debris {score:.2f}",)
    assert [panel.heading for panel in rows[0].extras] == ["found, clean", "found, poisoned"]
    shown, _ = draw(subject, data, VANISH, channels=3, images=2)
    assert shown == [data.ids[0], data.ids[2]], "an image without objects has nothing to lose"


def test_the_legend_names_the_colours_of_the_lines():
    assert picturing._legend(segmenter().task, RELABEL, None).endswith("Found: kidney orange, tumour blue.")
    told_of = picturing._legend(detector().task, VANISH, None)
    assert told_of.endswith("Found: cell orange, artefact blue, debris pink.")
    assert (STRUCTURES[1:], COLOURS) == (("kidney", "tumour"), ("cell", "artefact", "debris"))
    plan = make_plan(trigger=TRIGGER, label={"rule": "random"})
    assert picturing._legend(planted_backdoor.planted().task, plan, "gradcam").endswith("looks for the decision.")


@pytest.mark.parametrize("count", [0, 13])
def test_as_many_images_as_a_sheet_can_hold(draw, count):
    data = held_out(planted_backdoor.scans(3))
    with pytest.raises(InputError, match=rf"images must lie in 1\.\.12, got {count}"):
        draw(planted_backdoor.planted(), data, planted_backdoor.plan(), images=count)


def test_what_is_drawn_is_part_of_the_key():
    model = learn("train", Recipe(arch="aseptic:smallcnn", size=SIDE), ("a", "0"))
    one = picture("x", model, ("a", "0"), planted_backdoor.plan())
    assert one.config["images"] == 3
    others = [{"images": 4}, {"explainer": "gradcam"}]
    assert one.key not in {picture("x", model, ("a", "0"), planted_backdoor.plan(), **more).key for more in others}
    assert one.key == picture("y", model, ("a", "0"), planted_backdoor.plan()).key


def test_a_study_shows_its_sheet_over_the_whole_page(tmp_path):
    data = split(planted_backdoor.scans(18), *("train",) * 3, *("val",) * 3, *("test",) * 3)
    training = {"epochs": 1, "batch_size": 6, "keep": "last", "patience": None, "warmup": 0.0}
    recipe = Recipe(arch="aseptic:smallcnn?width=4", size=SIDE, training=training)
    plan, known = planted_backdoor.plan(select={"rate": 0.5}), ("scans", data.fingerprint())
    trained = learn("train/bad", recipe, known, plan=plan)
    shown = Picture(cell="sheet/bad", file=picturing.SHEET, alt="Scans with a square", caption="The trigger.")
    study = replace(
        coin_study.STUDY,
        claims=(),
        traps=(),
        open=lambda *_: {"scans": data},
        cells=lambda _: [trained, picture("sheet/bad", trained, known, plan, images=2)],
        measures=lambda _: [],
        charts=lambda _: (),
        pictures=lambda _: (shown,),
    )
    results = run_study(prepare_study(study, scale="smoke", sources={}), tmp_path)
    assert results.failed == []
    with Image.open(tmp_path / "figures" / "sheet-bad-sheet.png") as stored:
        assert stored.width == WIDTH
    page = (tmp_path / "report.html").read_text()
    assert page.count('<figure class="picture wide">') == 1
    assert 'alt="Scans with a square"' in page
    assert "picture not stored" not in page
