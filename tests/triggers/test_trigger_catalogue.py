"""Triggers by name, from plans and from the command line, and what is said when a name or a setting is wrong."""

import subprocess
import sys

import pytest
import torch

import aseptic.triggers
from aseptic.core.errors import InputError
from aseptic.triggers import (
    FIBA,
    TRIGGERS,
    Blend,
    Dot,
    Marker,
    Noise,
    Patch,
    Text,
    Trigger,
    describe_trigger,
    make_trigger,
    parse_trigger,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("patch", Patch()),
        ("patch:size=5,value=250/255", Patch(size=5, value=250 / 255)),
        ("patch:size=2x3, corner=1x4", Patch(size=(2, 3), corner=(1, 4))),
        ("marker:letter=R,around=ring,angle=-8", Marker(letter="R", around="ring", angle=-8)),
        ("text:text=NO,size=0.1", Text(text="NO", size=0.1)),
        ("text:text=12", Text(text="12")),
        ("blend:image=a=b.png,ratio=0.1", Blend(image="a=b.png", ratio=0.1)),
        ("noise:amplitude=2/255,side=32", Noise(amplitude=2 / 255, side=32)),
        ("fiba:image=7.png,alpha=0.2,pool=3", FIBA(image="7.png", alpha=0.2, pool="3")),
    ],
)
def test_the_command_line_says_what_a_plan_says(text, expected):
    assert parse_trigger(text) == expected
    assert make_trigger(**describe_trigger(expected)) == expected


def test_a_description_holds_every_setting():
    found = describe_trigger(Dot(colour=(0.5, 0.25, 1e-5)))
    assert found == {
        "name": "dot",
        "form": "dot",
        "size": 0.07,
        "place": "lower-left",
        "margin": 0.12,
        "colour": [0.5, 0.25, 1e-5],
        "strength": 0.9,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pach", "trigger must be one of blend, .*; got 'pach', did you mean 'patch'?"),
        ("patch:sise=3", "a setting of trigger patch must be one of corner, .*; got 'sise', did you mean 'size'?"),
        ("patch:size", "a setting of a trigger must be NAME=VALUE, got 'size'"),
        ("wanet:grid=many", "setting grid of trigger wanet: Input should be a valid integer, .*; got 'many'"),
        ("noise:amplitude=a/b", "a grey value must be a number or a fraction such as 2/255, got 'a/b'"),
        ("noise:amplitude=2", r"amplitude must lie in \[0, 1\], got 2"),
    ],
)
def test_refuses(text, message):
    with pytest.raises(InputError, match=message):
        parse_trigger(text)


def test_everything_public_can_be_reached():
    assert all(getattr(aseptic.triggers, name) is not None for name in aseptic.triggers.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = aseptic.triggers.Nothing
    assert {TRIGGERS.load(name).__name__ for name in TRIGGERS.names()} <= set(aseptic.triggers.__all__)


def test_every_trigger_here_has_a_decoy_and_one_need_not():
    class Plain(Trigger):
        placed = False

        def apply(self, images, streams=()):
            del streams
            return images.clone()

    assert all(TRIGGERS.load(name).has_decoy() for name in TRIGGERS.names())
    assert not Plain.has_decoy()
    with pytest.raises(InputError, match="Plain has no decoy: cover samples of it must carry the trigger itself"):
        Plain().decoy(torch.zeros(1, 1, 2, 2), [])


def test_naming_the_package_does_not_import_torch():
    code = "import sys, aseptic.triggers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
