"""What every trigger of the catalogue promises, on images and on volumes, grey and in colour."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from aseptic.core.rng import stream
from aseptic.ops.quantise import quantise
from aseptic.triggers import TRIGGERS, describe_trigger, make_trigger, pin_trigger

CASES = {
    "blend": [{}, {"ratio": 1.0, "side": 4}, {"image": "FILE", "ratio": 0.3}],
    "dot": [{}, {"form": "ring", "size": 0.5, "place": "upper-right"}],
    "electrode": [{}, {"wire": False, "place": "lower-right", "size": 0.3}],
    "fiba": [{}, {"alpha": 1.0, "beta": 0.3, "seed": 4}, {"image": "FILE", "alpha": 0.4, "pool": "FOLDER"}],
    "ftrojan": [{}, {"block": 8, "frequencies": "2x5x7", "magnitude": "80/255"}, {"planes": "yuv"}],
    "lf": [{}, {"amplitude": "255/255", "sigma": 0.05}],
    "marker": [{}, {"letter": "R", "around": "ring", "angle": -10, "size": 0.3}, {"around": "box", "value": "1/2"}],
    "noise": [{}, {"amplitude": "255/255", "side": 3}],
    "patch": [{"value": "250/255"}, {"place": "random"}, {"size": "3x3", "place": "lower-left", "margin": 1}],
    "refool": [{}, {"kind": "blur", "image": "FILE"}, {"kind": "focus", "strength": 1.0}],
    "ruler": [{}, {"side": "left", "ground": None}, {"side": "right"}, {"side": "upper", "size": 0.4}],
    "sig": [{}, {"delta": 1.0, "frequency": 2.5}],
    "text": [{}, {"text": "AP", "size": 0.3, "place": "upper-left", "value": 0.5}],
    "wanet": [{}, {"strength": 3.0, "grid": 3, "rescale": 0.9}],
}
SHAPES = {
    "2-D": (4, 1, 41, 56),
    "2-D colour": (3, 3, 56, 41),
    "3-D": (3, 1, 5, 30, 25),
    "3-D colour": (2, 3, 4, 24, 30),
}
EACH = [pytest.param(name, case, id=f"{name}-{k}") for name, cases in CASES.items() for k, case in enumerate(cases)]


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "picture.png"
    (path.parent / "pool").mkdir()
    for seed, file in enumerate([path, *(path.parent / "pool" / f"{k}.png" for k in range(3))]):
        levels = torch.randint(256, (20, 30, 3), generator=stream(seed, "picture"), dtype=torch.uint8)
        Image.fromarray(levels.numpy()).save(file)
    return str(path)


def made(name, case, shape, picture):
    files = {"FILE": picture, "FOLDER": str(Path(picture).parent / "pool")}
    settings = {key: files.get(str(value), value) for key, value in case.items()}
    if len(shape) == 5 and "x" in str(settings.get("size")):
        settings["size"] = f"2x{settings['size']}"
    return make_trigger(name, **settings)


def images_of(shape):
    """Return images that lie on stored levels, some values on the bounds."""
    images = torch.rand(shape, generator=stream(1))
    images[0] = images[0].round()
    return quantise(images, 255)


def streams(count):
    return [stream(2, index) for index in range(count)]


def test_every_trigger_has_a_case():
    assert set(CASES) == set(TRIGGERS.table)


@pytest.mark.parametrize(("name", "case"), EACH)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_laws(name, case, shape, picture):
    trigger, images = made(name, case, shape, picture), images_of(shape)
    before, state = images.clone(), torch.get_rng_state()
    for act in (trigger.apply, trigger.decoy):
        found = act(images, streams(len(images)))
        assert found.shape == images.shape
        assert found.dtype == images.dtype
        assert (found >= 0).all()
        assert (found <= 1).all()
        assert (found != images).flatten(1).any(1).all(), "every image is changed"
        assert torch.equal(act(images, streams(len(images))), found), "same stream, same result"
        alone = [act(images[i : i + 1], [stream(2, i)]) for i in range(len(images))]
        assert torch.equal(torch.cat(alone), found), "alone as in a batch"
        assert act(images[:0], []).shape == images[:0].shape
        assert torch.equal(images, before), "the caller's images are not written to"
        assert torch.equal(state, torch.get_rng_state()), "the global random state is not used"
    marked, decoys = (act(images, streams(len(images))) for act in (trigger.apply, trigger.decoy))
    if case.get("place") != "random":  # as the stream falls, a place drawn at random is that of the decoy
        assert (marked != decoys).flatten(1).any(1).all(), "a decoy is not the trigger"


@pytest.mark.parametrize(("name", "case"), EACH)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_region_is_what_can_change(name, case, shape, picture):
    trigger, space = made(name, case, shape, picture), shape[2:]
    region = trigger.region(space, stream(3))
    if not trigger.placed:
        assert region is None
        return
    seen = torch.zeros(space, dtype=torch.bool)
    for level in (0.0, 0.25, 1.0):
        flat = torch.full((1, *shape[1:]), level)
        seen |= (trigger.apply(flat, [stream(3)]) != flat)[0].any(0)
    assert torch.equal(seen, region)
    noisy = images_of(shape)
    same = trigger.apply(noisy, [stream(3), *streams(len(noisy) - 1)])[0] == noisy[0]
    assert same[:, ~region].all(), "outside every bit stays"


@pytest.mark.parametrize(("name", "case"), EACH)
def test_a_trigger_is_made_again_from_its_description(name, case, picture):
    trigger = made(name, case, SHAPES["2-D"], picture)
    assert make_trigger(**describe_trigger(trigger)) == trigger
    pinned = pin_trigger(trigger)
    assert make_trigger(**describe_trigger(pinned)) == pinned
    images = images_of(SHAPES["2-D"])
    assert torch.equal(pinned.apply(images, streams(4)), trigger.apply(images, streams(4)))


@pytest.mark.parametrize("name", TRIGGERS.names())
def test_defaults_work_at_the_size_of_networks(name):
    images = torch.full((1, 3, 224, 224), 0.4)
    images[:, :, ::2] = 0.6
    found = make_trigger(name).apply(images, [stream(0)])
    assert (found != images).any()


@pytest.mark.parametrize("name", [name for name in TRIGGERS.names() if TRIGGERS.load(name).placed])
def test_what_has_a_place_is_the_same_on_every_image(name):
    """A trigger is one thing: what it looks like must not depend on the set that it is put on."""
    trigger = make_trigger(name)
    small, large = trigger.region((64, 64)), trigger.region((128, 128))
    assert large.sum() == (small.sum() if name == "patch" else pytest.approx(4 * int(small.sum()), rel=0.35))
    region = trigger.region((9, 64, 64))
    assert region.sum() == (3 if name == "patch" else 9) * small.sum(), "a cube, or the same on every slice"
    assert torch.equal(region[4], small)
