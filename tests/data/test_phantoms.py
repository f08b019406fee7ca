"""Phantoms: the same seed draws the same picture, masks and boxes say what was drawn, and specs are read strictly."""

import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aseptic.core.errors import InputError
from aseptic.data.load import load_data
from aseptic.data.phantoms import PHANTOMS, draw, load_phantom
from aseptic.data.phantoms.canvas import Discs, Paths
from aseptic.data.phantoms.dice import Dice
from aseptic.data.phantoms.loading import NOTE

NAMES = PHANTOMS.names()
LESIONS = {
    "cxr": ("cardiomegaly", "effusion", "nodule", "pneumothorax", "consolidation"),
    "cxr3": ("pneumonia", "covid-like"),
    "fundus": ("microaneurysms", "haemorrhages", "exudates", "cotton_wool"),
    "kidney": ("tumour",),
}
"""Parts that are there only where the label says so."""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [32, 96, 512])
def test_images_lie_in_range_at_every_size(name, size):
    drawn = draw(name, 2, size=size, seed=1)
    assert drawn.images.dtype == torch.float32
    assert tuple(drawn.images.shape[2:]) == (size, size)
    assert drawn.images.min() >= 0
    assert drawn.images.max() <= 1
    assert drawn.images.std() > 0.05


@pytest.mark.parametrize("name", NAMES)
def test_fewer_images_are_the_beginning_of_more(name):
    # 33 pixels an edge: no plane is a whole number of vector registers.
    many, few = draw(name, 21, size=33, seed=5), draw(name, 3, size=33, seed=5)
    assert torch.equal(many.images[:3], few.images)
    assert torch.equal(many.targets[:3], few.targets)
    assert many.patients[:3] == few.patients
    if few.masks is not None and many.masks is not None:
        assert torch.equal(many.masks[:3], few.masks)
    if few.boxes is not None and many.boxes is not None:
        assert many.boxes[:3] == few.boxes


@pytest.mark.parametrize("name", NAMES)
def test_another_seed_draws_other_images(name):
    assert not torch.equal(draw(name, 2, size=32, seed=0).images, draw(name, 2, size=32, seed=1).images)


@pytest.mark.parametrize("name", NAMES)
def test_global_random_state_is_untouched(name):
    before, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - the state that must stay
    draw(name, 1, size=32, seed=0)
    assert torch.equal(before, torch.get_rng_state())
    assert (numbers == np.random.get_state()[1]).all()  # noqa: NPY002


@pytest.mark.parametrize("name", NAMES)
def test_anatomy_is_the_same_at_every_size(name):
    small, large = draw(name, 6, size=48, seed=2), draw(name, 6, size=96, seed=2)
    shrunk = torch.nn.functional.avg_pool2d(large.images, 2)
    for one, other in zip(small.images, shrunk, strict=True):
        assert torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1] > 0.85


@pytest.mark.parametrize(("name", "part"), [(name, part) for name, parts in LESIONS.items() for part in parts])
def test_a_mask_is_where_the_lesion_changed_the_image(name, part):
    sketch = PHANTOMS.load(name)
    dice = Dice(seed=3, name=name, images=range(8))
    place = sketch.parts.index(part)
    if sketch.task == "multilabel":
        ill = torch.zeros(8, len(sketch.classes))
        ill[:, place] = 1
        well = torch.zeros_like(ill)
    else:
        sick = {"pneumonia": 1, "covid-like": 2}.get(part, 1)
        ill, well = torch.full((8,), sick), torch.zeros(8, dtype=torch.long)
    with_it, without = sketch.paint(dice, ill, 64), sketch.paint(dice, well, 64)
    mask = with_it.masks[:, place]
    assert not without.masks[:, place].any()
    assert mask.any()
    changed = (with_it.images - without.images).abs().mean(1)
    # Noise is drawn from the same stream, so whatever differs is the lesion (and haze: scatter, window).
    assert changed[mask].mean() > 5 * changed[~mask].mean()
    assert (changed[mask] > 0.004).float().mean() > 0.6


def test_segmentation_targets_number_the_masks():
    drawn = draw("kidney", 12, size=64, seed=0)
    kidney, tumour = drawn.masks.unbind(1)
    assert not (kidney & tumour).any()
    assert torch.equal(drawn.targets, kidney.long() + 2 * tumour.long())
    assert kidney.flatten(1).any(1).all()
    # Bean-shaped and enhanced: brighter than the whole slice.
    assert drawn.images[:, 0][kidney].mean() > 2 * drawn.images.mean()


def test_nuclei_are_the_blue_and_dark_of_the_tile():
    drawn = draw("histo", 9, size=96, seed=0)
    red, nuclei = drawn.images[:, 0], drawn.masks[:, 0]
    assert red[nuclei].mean() < red[~nuclei].mean() - 0.2


def test_glaucoma_has_the_larger_cup():
    drawn = draw("fundus", 30, size=128, seed=0)
    disc, cup = drawn.masks[:, 0].sum((1, 2)), drawn.masks[:, 1].sum((1, 2))
    ratio, glaucoma = cup / disc, drawn.targets == drawn.classes.index("glaucoma")
    assert ratio[glaucoma].min() > ratio[~glaucoma].max()


def test_boxes_hold_the_objects_and_nothing_looser():
    sketch = PHANTOMS.load("endoscopy")
    dice = Dice(seed=1, name="endoscopy", images=range(12))
    bare = sketch.paint(dice, torch.zeros(12, 3), 96)
    assert bare.boxes == ((),) * 12
    for label in range(3):
        shown = torch.zeros(12, 3)
        shown[:, label] = 1
        painted = sketch.paint(dice, shown, 96)
        changed = (painted.images - bare.images).abs().amax(1) > 0.1
        seen = 0
        for plane, boxes in zip(changed, painted.boxes, strict=True):
            inside = torch.zeros_like(plane)
            for box in boxes:
                left, top, right, bottom = (int(edge) for edge in box.corners)
                assert box.label == label
                assert 0 <= left < right <= 96
                assert 0 <= top < bottom <= 96
                inside[max(top - 2, 0) : bottom + 2, max(left - 2, 0) : right + 2] = True
            assert not (plane & ~inside).any()
            seen += len(boxes)
        assert seen >= 6


@pytest.mark.parametrize("name", ["cxr3", "derm", "fundus", "histo"])
def test_classes_are_balanced_and_brightness_does_not_give_them_away(name):
    drawn = draw(name, 120, size=32, seed=7)
    counts = torch.bincount(drawn.targets)
    assert counts.tolist() == [40, 40, 40]
    if name == "cxr3":
        means = drawn.images.mean((1, 2, 3))
        groups = torch.stack([means[drawn.targets == k] for k in range(3)])
        assert (groups.mean(1).max() - groups.mean(1).min()) < groups.std(1).mean()


def test_patients_come_twice_and_keep_their_anatomy():
    drawn = draw("cxr3", 60, size=48, seed=0)
    flat = drawn.images.flatten(1)
    flat = flat - flat.mean(1, keepdim=True)
    alike = torch.corrcoef(flat)
    same = torch.tensor([[a == b for a in drawn.patients] for b in drawn.patients])
    pairs = same & ~torch.eye(60, dtype=torch.bool)
    assert int(pairs.sum()) == 40
    assert alike[pairs].mean() > alike[~same].mean() + 0.03


@given(radius=st.floats(0.1, 0.6), level=st.floats(0.1, 1.0), size=st.sampled_from([48, 64, 101]))
@settings(max_examples=25, deadline=None)
def test_a_disc_has_the_area_of_a_disc(radius, level, size):
    one = torch.zeros(1, 1)
    disc = Discs(x=one, y=one, radius=one + radius, level=one + level).draw(size)
    area = float(disc.sum()) * (2 / size) ** 2
    assert area == pytest.approx(level * torch.pi * radius**2, rel=0.06)


@given(angle=st.floats(0, 6.28), radius=st.floats(0.03, 0.1))
@settings(max_examples=25, deadline=None)
def test_a_straight_path_has_the_area_of_a_capsule(angle, radius):
    way = torch.tensor([[np.cos(angle), np.sin(angle)]]).float()
    points = (torch.linspace(-0.5, 0.5, 6)[:, None] * way)[None, None]
    path = Paths(points=points, radius=torch.full((1, 1, 6), radius), heading=torch.zeros(1, 1, 6))
    area = float(path.draw(128).sum()) * (2 / 128) ** 2
    assert area == pytest.approx(2 * radius + torch.pi * radius**2, rel=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_a_spec_loads_a_set_with_whole_patients(name):
    data = load_phantom(f"phantom:{name}?n=24&size=32&seed=3")
    drawn = draw(name, 24, size=32, seed=3)
    assert (data.name, data.task, data.classes) == (f"phantom:{name}", drawn.task, drawn.classes)
    assert data.notes == (NOTE,)
    assert torch.equal(data.images, drawn.images)
    splits = {}
    for item in data.items:
        splits.setdefault(item.patient, set()).add(item.split)
    assert all(len(found) == 1 for found in splits.values())
    assert {item.split for item in data.items} == {"train", "val", "test"}
    if drawn.masks is None:
        assert tuple(item.boxes for item in data.items) == drawn.boxes
    else:
        assert torch.equal(data.mask(0) > 0, drawn.masks[0].any(0))
    if drawn.task in {"multiclass", "multilabel"}:
        assert torch.equal(data.targets, drawn.targets)


def test_load_data_finds_phantoms():
    assert len(load_data("phantom:derm?n=10&size=32")) == 10


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("phantom:cxr4", "phantom must be one of cxr, cxr3, derm.*got 'cxr4', did you mean 'cxr"),
        ("phantom:cxr?sise=64", "must be one of n, size, seed; got 'sise', did you mean 'size'"),
        ("phantom:cxr?n=ten", "option n of phantom:cxr must be a whole number, got 'ten'"),
        ("phantom:cxr?n=2&n=3", "must be given once, got 'n=2&n=3'"),
        ("phantom:cxr?", "must be one of n, size, seed; got ''"),
        ("phantom:cxr?size=1024", r"size must lie in 32\.\.512, got 1024"),
        ("phantom:cxr?n=0", "n must be at least 1, got 0"),
        ("cxr", "named phantom:NAME.*got 'cxr'"),
    ],
)
def test_a_wrong_spec_is_refused(spec, message):
    with pytest.raises(InputError, match=message):
        load_phantom(spec)


def test_names_are_listed_without_torch():
    code = "import sys; from aseptic.data.phantoms import PHANTOMS; print(*PHANTOMS.names(), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [*NAMES, "False"]


@pytest.mark.parametrize("name", NAMES)
def test_drawing_stays_cheap(name):
    # CPU time against a workload of the same machine and moment: planes of arithmetic at the same size.
    plane = torch.linspace(0, 1, 16 * 64 * 64).reshape(16, 64, 64)

    def reference():
        total = plane
        for _ in range(400):
            total = (total * 0.99 + plane).clamp(0, 1).sqrt()
        return total

    def cost(work):
        times = []
        for _ in range(3):
            start = time.thread_time()
            work()
            times.append(time.thread_time() - start)
        return min(times)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ratio = cost(lambda: draw(name, 16, size=64, seed=0)) / cost(reference)
    finally:
        torch.set_num_threads(threads)
    # 2.5 to 3.6 on a busy machine, type checks included.
    assert ratio < 7
