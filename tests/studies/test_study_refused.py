"""What a study refuses: data that is not there, and a declaration that contradicts itself."""

from dataclasses import replace

import coin_study
import pytest

from aseptic.core.errors import ContractError, InputError
from aseptic.report.study.card import Chart, Column, Dot, Grid, GridRow, Line, Square
from aseptic.studies.frame.prepare import prepare_study
from aseptic.studies.frame.study import Picture
from aseptic.studies.frame.traps import Trap

COINS = coin_study.STUDY


@pytest.mark.parametrize(
    ("scale", "sources", "message"),
    [
        ("paper", {}, r"scale of coins1654 must be one of smoke, desk; got 'paper'"),
        ("desk", {}, r"coins1654 at scale desk needs --data coins=PATH, a folder of pictures of coins; got none"),
        ("desk", {"coin": "/"}, r"data of coins1654 at scale desk must be one of coins; got 'coin', did you mean"),
        ("desk", {"coins": "/no/such"}, r"data coins must be a folder or file that is there, got '/no/such'"),
        (
            "desk",
            {"coins": "nih14:/no/such"},
            r"nih14 must be given the folder that holds it, as nih14:PATH; got '/no/such'",
        ),
        ("smoke", {"coins": "/"}, r"data of coins1654 at scale smoke must not be given; got 'coins'"),
    ],
)
def test_data_that_is_missing_or_unknown_is_refused(scale, sources, message):
    with pytest.raises(InputError, match=message):
        prepare_study(COINS, scale=scale, sources=sources)


def renamed(name):
    return replace(coin_study.measure(0.5), gives=(name,))


def chart_of(name):
    return Chart(name="odd", title="t", across="x", lines=(Line(label="l", dots=(Dot(across=1, finding=name),)),))


def grid_of(name, needs=None):
    rows = (GridRow(label="r", squares=(Square(finding=name, needs=needs),)),)
    columns = (Column(label="c", group="g"),)
    return Grid(name="odd", title="t", columns=columns, rows=rows, good="good", bad="bad")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"claims": (COINS.claims[0],) * 2}, r"claims of study coins1654 must have distinct names, got 'biased' twice"),
        ({"traps": (COINS.traps[1],) * 2}, r"traps of study coins1654 must have distinct names, got '1g-2' twice"),
        ({"scales": {}}, r"study coins1654 must have at least one scale, got none"),
        (
            {"measures": lambda _: [coin_study.measure(0.3)]},
            r"cells of the measure of 'Heads of the coin of 0.3' must exist, got 'flips/0.3'",
        ),
        (
            {"measures": lambda _: [coin_study.measure(0.1), coin_study.measure(0.1)]},
            r"findings of study coins1654 must have distinct names, got 'heads.0.1' twice",
        ),
        (
            {"measures": lambda s: [renamed("claim.x"), *COINS.measures(s)]},
            r"ids of findings must not begin with claim\. or trap\., got 'claim\.x'",
        ),
        (
            {"measures": lambda _: [coin_study.measure(0.1), coin_study.measure(0.5)]},
            r"findings of claim biased at scale smoke must exist, got 'heads.0.9'",
        ),
        (
            {"traps": (Trap(number="1", words="w", released="heads.0.5", corrected="heads.0.6"),)},
            r"findings of trap 1 at scale smoke must exist, got 'heads.0.6'",
        ),
        ({"charts": lambda _: (chart_of("heads"),)}, r"findings of chart odd must exist, got 'heads'"),
        (
            {"charts": lambda _: (chart_of("heads.0.1"),) * 2},
            r"charts of study coins1654 must have distinct names, got 'odd' twice",
        ),
        ({"grids": lambda _: (grid_of("heads"),)}, r"findings of grid odd must exist, got 'heads'"),
        ({"grids": lambda _: (grid_of("heads.0.1", "tails"),)}, r"findings of grid odd must exist, got 'tails'"),
        (
            {"grids": lambda _: (grid_of("heads.0.1"),) * 2},
            r"grids of study coins1654 must have distinct names, got 'odd' twice",
        ),
        (
            {"pictures": lambda _: (Picture(cell="flips", file="a.png", alt="a", caption="c"),)},
            r"cells of pictures must exist, got 'flips'",
        ),
        (
            {"cells": lambda s: [replace(one, name="same") for one in coin_study.cells(s)]},
            r"cells of study coins1654 must have distinct names, got 'same' twice",
        ),
    ],
)
def test_a_study_that_contradicts_itself_is_refused(change, message):
    with pytest.raises(ContractError, match=message):
        prepare_study(replace(COINS, **change), scale="smoke", sources={})
