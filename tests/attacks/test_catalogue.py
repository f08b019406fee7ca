"""Attacks by name, and what is said when the name or an option is wrong."""

import subprocess
import sys

import pytest

import aseptic.attacks
from aseptic.attacks.catalogue import ATTACKS, make_attack
from aseptic.attacks.pgd import PGD
from aseptic.core.errors import InputError


def test_makes_an_attack_with_its_options():
    assert make_attack("pgd", steps=3, step=1, stop=False) == PGD(steps=3, step=1, stop=False)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("pdg", {}, "attack must be one of .*fgsm, .*pgd.*; got 'pdg', did you mean 'pgd'?"),
        (
            "pgd",
            {"step_s": 3},
            r"an option of pgd must be one of confidence, loss, random_start, restarts, .*; got 'step_s', did you",
        ),
        ("fgsm", {"steps": 3}, "an option of fgsm is not possible; got 'steps'"),
        ("pgd", {"steps": "many"}, "steps must be a whole number, got 'many'"),
        ("pgd", {"step": "big"}, "step must be a number, got 'big'"),
        ("pgd", {"loss": 3}, "loss must be a word, got 3"),
        ("pgd", {"steps": True}, "steps must be a whole number, got True"),
        ("pgd", {"stop": "no"}, "stop must be true or false, got 'no'"),
    ],
)
def test_refuses_unknown_names_and_options(name, options, message):
    with pytest.raises(InputError, match=message):
        make_attack(name, **options)


def test_everything_public_can_be_reached():
    assert all(getattr(aseptic.attacks, name) is not None for name in aseptic.attacks.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = aseptic.attacks.Nothing
    assert {ATTACKS.load(name).__name__ for name in ATTACKS.names()} <= set(aseptic.attacks.__all__)


def test_listing_attacks_does_not_import_torch():
    code = "import sys, aseptic.attacks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
