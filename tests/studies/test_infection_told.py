"""What is said of a suspected trigger: what follows from the interval, and what stands first in the verdict."""

import pytest
from planted_backdoor import plan

from aseptic.core.record import finding
from aseptic.studies.audit.suspicion import joined, suspected
from aseptic.studies.infection.telling import CARRIES, FEW, LOST, NONE, SWAYS, conclusion, infection_sentences, told


def number(name, value, low=None, high=None, severity="info"):
    told = {"what": "patch", "others": "images", "wanted": "answered wrongly"}
    one = finding(f"infection.{name}", "", method="patch", metric=name, args=told, severity=severity)
    return one.model_copy(update={"value": value, "ci_low": low, "ci_high": high, "n": 40})


@pytest.mark.parametrize(
    ("excess", "vanished", "wanted"),
    [
        (number("excess", 0.9, 0.8, 1.0, "critical"), 0.0, CARRIES),
        (number("excess", 0.4, 0.3, 0.5, "high"), 0.9, CARRIES),
        (number("excess", 0.1, 0.02, 0.2, "medium"), 0.0, SWAYS),
        (number("excess", 0.0, -0.08, 0.08), 0.0, NONE),
        (number("excess", 0.0, -0.2, 0.2), 0.0, FEW),
        (number("excess", 0.0), 0.0, FEW),
        (number("excess", 0.0, -0.08, 0.08), 0.5, LOST),
    ],
)
def test_what_follows_from_the_interval(excess, vanished, wanted):
    assert conclusion(excess, number("vanished", vanished)) == wanted


ATTACKED = finding("verdict", "This model can be fooled.", method="pgd", metric="turned", args={"text": ["Measured."]})


@pytest.mark.parametrize(
    ("attacked", "infected", "severity", "title", "first"),
    [
        ("critical", "critical", "critical", "This model carries the suspected backdoor.", "With the trigger"),
        ("low", "medium", "medium", "The suspected trigger sways this model.", "With the trigger"),
        ("critical", "medium", "critical", "This model can be fooled.", "Measured."),
        ("medium", "info", "medium", "This model can be fooled.", "Measured."),
    ],
)
def test_the_verdict_is_as_severe_as_the_worse_of_both(attacked, infected, severity, title, first):
    numbers = [
        number("excess", 0.6, 0.1, 0.9, infected),
        *(number(name, 0.5) for name in ("success_other", "before_other", "vanished")),
    ]
    found = joined(ATTACKED.model_copy(update={"severity": attacked}), suspected(numbers))
    assert (found.severity, found.title) == (severity, title)
    assert found.args["text"][0].startswith(first)
    assert sum("With the trigger" in one or "with the trigger" in one for one in found.args["text"]) == 1


@pytest.mark.parametrize(
    ("severity", "alike", "said"),
    [
        ("critical", 0.025, ["With a decoy, something alike that is not the trigger, 2.5 % of them are."]),
        ("medium", 1.0, ["With a decoy, something alike that is not the trigger, 100.0 % of them are."]),
        ("info", 0.025, []),
        ("critical", None, []),
    ],
)
def test_what_decoys_do_is_said_of_a_model_that_obeys(severity, alike, said):
    names = ("success_other", "before_other", "vanished")
    numbers = {"excess": number("excess", 0.6, 0.1, 0.9, severity), "decoy_other": number("decoy_other", alike)}
    found = infection_sentences(numbers | {name: number(name, 0.5 * (name != "vanished")) for name in names})
    assert found[1:] == said


@pytest.mark.parametrize(
    ("rule", "target", "labelled", "others", "wanted"),
    [
        ("to", "covid", True, "images that are not covid", "answered as covid"),
        ("to", "covid", False, "images that the model itself does not answer as covid", "answered as covid"),
        ("clear", "covid", True, "images with covid", "answered as having no covid"),
        ("shift", None, True, "images", "answered as the class that the rule makes of theirs"),
        ("random", None, True, "images", "answered wrongly"),
        ("keep", None, False, "images", "answered otherwise than without it"),
    ],
)
def test_what_is_asked_in_words(rule, target, labelled, others, wanted):
    said = told(plan(rule=rule, target=target), labelled=labelled)
    assert said == {"what": "patch of 2 pixels", "others": others, "wanted": wanted}
