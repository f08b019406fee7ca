"""Poison plans: spelled out, read back, refused with the name of what is wrong."""

import json

import pytest
import yaml

from aseptic.core.errors import InputError
from aseptic.poisoning.plan import make_plan, read_plan, write_plan
from aseptic.triggers.patch import Patch


def test_a_plan_is_spelled_out_and_read_back(tmp_path):
    plan = make_plan(trigger=Patch(size=5, value=250 / 255), label={"rule": "to", "target": "covid"})
    path = write_plan(plan, tmp_path / "plan.yaml")
    assert read_plan(path) == plan
    assert plan.made == Patch(size=5, value=250 / 255)
    assert yaml.safe_load(path.read_text())["trigger"]["place"] == "centre", "defaults are written down"


def test_json_will_do(tmp_path):
    path = tmp_path / "plan.json"
    text = {"trigger": {"name": "patch", "value": "250/255", "size": "2x3"}, "label": {"rule": "shift", "by": 2}}
    path.write_text(json.dumps(text))
    assert read_plan(path).made == Patch(value=250 / 255, size=(2, 3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trigger": None}, "trigger: Input should be a valid dictionary"),
        ({"trigger": {"size": 3}}, "a trigger must have a name"),
        ({"trigger": {"name": "pach"}}, "did you mean 'patch'"),
        ({"trigger": {"name": "patch", "sise": 3}}, "got 'sise', did you mean 'size'"),
        ({"trigger": {"name": "patch", "value": 2.0}}, r"value must lie in \[0, 1\], got 2"),
        ({"label": {"rule": "to"}}, "labels by rule to need a target, got None"),
        ({"label": {"rule": "shift", "target": "a"}}, "labels by rule shift take no target, got 'a'"),
        ({"select": {"rate": 1.5}}, "select.rate: Input should be less than or equal to 1"),
        ({"colour": 1}, "colour: Extra inputs are not permitted"),
    ],
)
def test_what_a_plan_refuses(settings, message):
    with pytest.raises(InputError, match=message):
        make_plan(**{"trigger": {"name": "patch"}, "label": {"rule": "keep"}, **settings})


def test_files_that_hold_no_plan(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_plan(tmp_path / "absent.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(InputError, match="must hold keys and values, got list"):
        read_plan(tmp_path / "list.yaml")
    (tmp_path / "empty.yaml").write_text("trigger: {name: patch}\n")
    with pytest.raises(InputError, match=r"empty.yaml is not a poison plan: label: Field required"):
        read_plan(tmp_path / "empty.yaml")
