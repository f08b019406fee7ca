"""Detection: decisions, outcomes and goals on boxes whose truth is known, and what margins promise."""

import math

import pytest
import torch
from detecting import EDGE, STEEP, cells, detnet, grid, objects
from nets import answers, pictures

from aseptic.core.errors import ContractError, InputError
from aseptic.tasks.detection import FLOOR, MOST, Detection, as_detection, f1, outcome
from aseptic.tasks.detection_goals import Disrupt, Fabricate, Mislabel, Vanish
from aseptic.tasks.make import make_task, parse_goal, untargeted
from aseptic.tasks.multiclass import MultiClass

TASK = make_task("detection", ["cell", "artefact"])
BOXES = [(0, 0, 4, 4), (4, 0, 8, 4), (0, 4, 4, 8), (1, 0, 5, 4)]
"""Three that do not overlap, and a double of the first (and of the second, a little)."""


def logits_of(*images):
    """Return logits of the four candidates: for each image a list of ``(cell, artefact)``."""
    boxes = torch.tensor(BOXES, dtype=torch.float32).T
    return torch.stack([torch.cat([torch.tensor(one, dtype=torch.float32).T, boxes]) for one in images])


SEEN = logits_of(
    [(3, -3), (-2, 1), (-4, -4), (2, -3)],  # a cell (and its double), an artefact
    [(-1, -2), (-3, -3), (-4, -4), (-5, -5)],  # nothing
)


def test_decides_above_the_threshold_and_without_doubles():
    found = TASK.decide(SEEN)
    assert found.shape == (2, MOST, 5)
    assert found[0, :3].tolist() == [[0, 0, 0, 4, 4], [1, 4, 0, 8, 4], [-1, 0, 0, 0, 0]]
    assert (found[1, :, 0] == -1).all()
    TASK.check_targets(found)  # decisions can stand for the truth


def test_the_operating_point_moves_the_threshold_and_not_the_boxes():
    moved = Detection(classes=("cell", "artefact"), offsets=(-1.5, 2.0))
    found = moved.decide(SEEN)
    assert found[0, :2].tolist() == [[0, 0, 0, 4, 4], [-1, 0, 0, 0, 0]]
    assert found[1, 0].tolist() == [0, 0, 0, 4, 4]
    torch.testing.assert_close(moved.shift(SEEN)[:, 2:], SEEN[:, 2:], rtol=0, atol=0)
    torch.testing.assert_close(moved.shift(SEEN)[:, 1], SEEN[:, 1] - 2)


def test_lists_what_is_likely_with_its_score():
    found = TASK.detections(SEEN)
    rows = found[0][found[0, :, 0] >= 0]
    assert rows[:, 0].tolist()[:2] == [0, 1]
    torch.testing.assert_close(rows[:2, 5], torch.tensor([3.0, 1.0]).sigmoid())
    assert (rows[:, 5].diff() <= 0).all(), "the most likely first"
    assert (rows[:, 5] > FLOOR).all()
    assert len(rows) == 6, "a logit for each class of each of three places, and no doubles"
    unlikely = logits_of([(-9, -9)] * 4)
    assert (TASK.detections(unlikely)[..., 0] == -1).all(), "what has a score below the floor is not listed"


def test_outcomes():
    truth = objects([(0, 0, 0, 4, 4), (0, 4, 0, 8, 4), (1, 0, 4, 4, 8)], [(0, 0, 0, 4, 4)])
    told = outcome(TASK.decide(SEEN), truth)
    assert told.found.tolist() == [[True, False, False], [False, False, False]]
    assert told.renamed.tolist() == [[False, True, False], [False, False, False]]
    assert told.vanished.tolist() == [[False, False, True], [True, False, False]]
    assert told.wrong[0, :2].tolist() == [False, True]
    assert not told.invented.any()
    nothing = objects([], [])
    told = outcome(TASK.decide(SEEN), nothing)
    assert told.invented.sum(1).tolist() == [2, 0]
    assert f1(TASK.decide(SEEN), nothing).isnan().tolist() == [False, True]
    # 1 found of 3, 1 wrong: 2 / (1 + 3 + 1)
    torch.testing.assert_close(TASK.agreement(SEEN, truth), torch.tensor([0.4, 0.0]))
    assert TASK.correct(SEEN, truth).tolist() == [False, False]
    assert TASK.correct(SEEN, nothing).tolist() == [False, True]


def test_the_loss_is_that_of_the_formula():
    truth = objects([(1, 0, 0, 4, 4)], [])
    z = SEEN[:, :2].double()
    wanted = torch.zeros_like(z)
    wanted[0, 1, [0, 3]] = 1  # the candidate itself, and its double: they share 12 of 20 pixels
    p = z.sigmoid()
    focal = torch.where(wanted == 1, -((1 - p) ** 2) * p.log(), -(p**2) * (1 - p).log()).flatten(1).sum(1)
    torch.testing.assert_close(TASK.loss(SEEN, truth), focal.float())  # the best box fits exactly
    wider = objects([(1, 0, 0, 5, 4)], [])  # of whose 20 pixels the best box has 16
    torch.testing.assert_close(TASK.loss(SEEN, wider) - TASK.loss(SEEN, truth), torch.tensor([0.2, 0.0]))


GOALS = [Vanish(), Vanish(name="b"), Mislabel(name="b", to="a"), Fabricate(count=2), Disrupt()]


def before_and_after(model, seed):
    """Return answers to pictures and to what is left of them when another picture shines through more and more.

    In some of the latter, two classes change places.
    """
    share = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)[seed]
    images, other = (pictures((16, 1, 8, 8), seed=s) for s in (seed, seed + 50))
    clean, after = answers(model, images), answers(model, (1 - share) * images + share * other)
    after[::3, :2] = after[::3, :2].flip(1)
    return clean, after


@pytest.mark.parametrize("goal", GOALS, ids=repr)
@pytest.mark.parametrize("seed", range(6))
def test_a_margin_is_positive_exactly_where_the_goal_is_reached(goal, seed):
    """The margin is a formula on candidates; what is decided for says whether it is right."""
    model = detnet()
    task, (clean, other) = model.task, before_and_after(model, seed)
    truth, decided = task.decide(clean), task.decide(other)
    told = outcome(decided, truth)
    if isinstance(goal, Vanish):
        mine = truth[..., 0] == 1 if goal.name else truth[..., 0] >= 0
        reached = ~(mine & ~told.vanished).any(1)
    elif isinstance(goal, Mislabel):
        mine = truth[..., 0] == 1
        as_a = outcome(decided[:, :, :].where(decided[..., :1] == 0, torch.tensor(-1.0)), truth)
        seen_as_a = ~as_a.vanished
        reached = (~mine | (seen_as_a & ~told.found)).all(1)
    elif isinstance(goal, Fabricate):
        reached = told.invented.sum(1) >= 2
    else:
        reached = f1(decided, truth).nan_to_num(1.0) < 0.5
    eligible = goal.applies(task, truth)
    margin = goal.margin(task, other, truth)
    assert torch.equal((margin > 0)[eligible], reached[eligible])
    assert eligible.any()
    assert not goal.margin(task, clean, truth).isnan().any()


def test_every_goal_is_reached_somewhere_and_missed_elsewhere():
    """Otherwise the law above would be empty."""
    model, seen = detnet(), {}
    for seed in range(6):
        clean, other = before_and_after(model, seed)
        truth = model.task.decide(clean)
        for goal in GOALS:
            won = goal.margin(model.task, other, truth)[goal.applies(model.task, truth)] > 0
            seen.setdefault(repr(goal), set()).update(won.tolist())
    assert all(seen[repr(goal)] == {True, False} for goal in GOALS), seen


def test_margins_of_single_cells():
    model, images = cells(), torch.full((1, 2, 8, 8), EDGE - 0.05)
    images[0, 0, :4, :4], images[0, 1, 4:, 4:] = EDGE + 0.2, EDGE + 0.1
    images[0, 0, 4:, :4] = EDGE - 0.1
    logits, boxes = answers(model, images), grid(2, 2)
    truth = objects([(0, *boxes[0].tolist()), (1, *boxes[3].tolist())])
    task = model.task
    assert task.decide(logits)[0, :2, 0].tolist() == [0, 1]

    def margin(goal):
        return float(goal.margin(task, logits, truth))

    assert margin(Vanish()) == pytest.approx(-0.2 * STEEP, abs=1e-5)
    assert margin(Vanish(name="artefact")) == pytest.approx(-0.1 * STEEP, abs=1e-5)
    assert margin(Mislabel(name="cell", to="artefact")) == pytest.approx(-0.2 * STEEP, abs=1e-5)
    # free are the cells 1 and 2: three logits are 0.05 below the edge, one is 0.1 below it
    assert margin(Fabricate(count=3)) == pytest.approx(-0.05 * STEEP, abs=1e-5)
    assert margin(Fabricate(count=4)) == pytest.approx(-0.1 * STEEP, abs=1e-5)
    assert margin(Fabricate(count=5)) == -math.inf
    assert margin(Disrupt()) == pytest.approx(-0.5)


def test_goals_apply_where_there_is_something_to_do():
    truth = objects([(0, 0, 0, 4, 4)], [], [(1, 0, 0, 4, 4)])
    assert Vanish().applies(TASK, truth).tolist() == [True, False, True]
    assert Vanish(name="artefact").applies(TASK, truth).tolist() == [False, False, True]
    assert Mislabel(name="cell", to="artefact").applies(TASK, truth).tolist() == [True, False, False]
    assert Fabricate().applies(TASK, truth).tolist() == [True, True, True]
    assert Disrupt().applies(TASK, truth).tolist() == [True, False, True]
    for goal in (Vanish(), Mislabel(name="cell", to="artefact")):
        assert goal.margin(TASK, logits_of(*[[(0.0, 0.0)] * 4] * 3), truth)[1] == -math.inf


@pytest.mark.parametrize(
    ("text", "goal", "words"),
    [
        ("untargeted", Disrupt(), "F1 of the objects below 0.5"),
        ("vanish", Vanish(), "no object is detected"),
        ("vanish:cell", Vanish(name="cell"), "no 'cell' is detected"),
        ("relabel:cell:artefact", Mislabel(name="cell", to="artefact"), "every 'cell' is detected as 'artefact'"),
        ("fabricate", Fabricate(), "at least 5 objects are detected where none is"),
        ("fabricate:12", Fabricate(count=12), "at least 12 objects are detected where none is"),
    ],
)
def test_goals_in_words(text, goal, words):
    assert parse_goal(text, TASK) == goal
    assert goal.describe() == words
    assert untargeted(TASK) == Disrupt()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("avoid", r"goal of a detection model must be one of untargeted, vanish, .*fabricate:COUNT; got 'avoid'"),
        ("erase:cell", "goal of a detection model must be one of"),
        ("vanish:cells", "class must be one of cell, artefact; got 'cells'"),
        ("vanish:", "class must be one of cell, artefact; got ''"),
        ("relabel:cell:cell", "to must be another class than 'cell'"),
        ("relabel:cell", "class must be one of cell, artefact; got ''"),
        ("fabricate:", "fabricate must be followed by a whole number of objects, as fabricate:5; got 'fabricate:'"),
        ("fabricate:many", "got 'fabricate:many'"),
        ("fabricate:0", r"count must lie in 1..100, the most detections in one image; got 0"),
        ("fabricate:101", "got 101"),
    ],
)
def test_refuses_goals(text, match):
    with pytest.raises(InputError, match=match):
        parse_goal(text, TASK)


@pytest.mark.parametrize(
    ("targets", "match"),
    [
        (torch.zeros((2, 5)), r"must be numbers \[N, object, 5\] with at least one row for each image"),
        (torch.zeros((2, 3, 5), dtype=torch.long), "got torch.int64"),
        (torch.zeros((2, 0, 5)), r"got torch.float32 \[2, 0, 5\]"),
        (objects([(2, 0, 0, 4, 4)]), r"labels must be whole numbers in 0..1, or -1 for no object; got 2"),
        (objects([(0.5, 0, 0, 4, 4)]), "got 0.5"),
        (objects([(0, 0, 0, math.nan, 4)]), "must be finite"),
        (objects([], [(0, 3, 0, 3, 4)]), r"must have an area \(left < right.*got \[3.0, 0.0, 3.0, 4.0\] in image 1"),
        (objects([(0, 3, 4, 5, 1)]), "must have an area"),
    ],
)
def test_refuses_targets(targets, match):
    with pytest.raises(InputError, match=match):
        TASK.check_targets(targets)


def test_refuses_what_is_no_detection():
    with pytest.raises(InputError, match="a detection task needs at least 1 classes"):
        make_task("detection", [])
    with pytest.raises(InputError, match=r"below must lie in \(0, 1\], got 0"):
        Disrupt(below=0)
    with pytest.raises(ContractError, match="the task must be detection, got multiclass"):
        as_detection(MultiClass(classes=("a", "b")))
    with pytest.raises(InputError, match=r"must give 2 logits and 4 corners .*\[1, 6, any\], got \[1, 5, 7\]"):
        TASK.check_shape(torch.zeros((1, 1, 8, 8)), torch.zeros((1, 5, 7)))
    TASK.check_shape(torch.zeros((1, 1, 8, 8)), torch.zeros((1, 6, 7)))
