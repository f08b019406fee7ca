"""What the verdict says of the control noise: harmless, fragile, or not enough images to tell."""

import pytest

from aseptic.core.record import finding
from aseptic.studies.audit.verdict import noise_sentence
from aseptic.studies.yardsticks.decisions import Decisions


@pytest.mark.parametrize(
    ("value", "low", "high", "words"),
    [
        (-0.004, -0.016, 0.0, "costs no accuracy (95 % interval -1.6 to 0.0 points)."),
        (0.01, 0.0, 0.02, "costs 1.0 points of accuracy (95 % interval 0.0 to 2.0 points)."),
        (0.2, 0.1, 0.3, "(95 % interval 10.0 to 30.0 points) too: the model is fragile, not only attackable."),
        (0.2, -0.1, 0.5, "(95 % interval -10.0 to 50.0 points): too few images to call it harmless."),
        (0.01, None, None, "costs 1.0 points of accuracy."),
        (None, None, None, "could not be measured."),
    ],
)
def test_the_noise_sentence_says_what_the_interval_allows(value, low, high, words):
    noise = finding("noise.accuracy_drop@2", "", method="control noise", metric="accuracy_drop")
    noise = noise.model_copy(update={"value": value, "ci_low": low, "ci_high": high})
    assert noise_sentence(noise, Decisions.words).endswith(words)
