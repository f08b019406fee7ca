"""The words of the page that depend on the task of the model."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aseptic.report import words


@dataclass(frozen=True, kw_only=True)
class Wording:
    """How the page speaks of a model of one task."""

    noun: str = "class"
    """What the model's outputs are called."""
    order: tuple[str, ...] = ("accuracy", "auroc_macro")
    """Metrics that may head the page, the first that was measured wins; curves come in this order too."""
    metrics: Mapping[str, str] = field(default_factory=dict)
    """Metric to its name, where the task gives it another than `aseptic.report.words`."""
    fooled: str = "Decisions turned"
    """Label of what the worst case brought about."""
    kept: str = "Share of turned decisions still turned once stored"
    """What storage leaves; the way of storing follows."""
    stored: str = (
        "An attack is computed in floating point; a file holds whole numbers. Of the decisions that the attack turned, "
        "this share is still turned once the image has been stored and read again."
    )
    """Lead of the section on storage."""
    left: str = "Share of turned decisions that are left after storage"
    """Caption of its table."""
    compared: str = (
        "Every attack on the same images at the size that the verdict is about. A decision that one attack alone "
        "turned shows why several are needed; questions are counted for the attacks that see no gradients."
    )
    """Lead of the comparison of attacks."""
    examples: str = "Bright in a map is what the decision depends on most."
    """What the lead of the examples adds."""
    decision: str = "Decision"
    """Heading of what the model says of an image."""
    score: str = "Score"
    """Heading of its number."""
    by_class: str = ", at the operating point"
    """What the caption of the clean numbers by class adds."""
    calibration: str = "most probable class"
    """What the reliability diagram counts; empty where there is none."""
    repeated: str = ""
    """Metric that says of one attack what another says too, and is left out of the comparison of attacks."""
    aim: str = "any wrong decision"
    """What an untargeted attacker wants."""
    worst: str = (
        "The worst case: an image counts as turned as soon as any of the attacks turns it, within any budget up to the "
        "one that is named."
    )
    """How the worst case is counted."""

    def metric(self, name: str) -> str:
        """Return the name of a metric."""
        return self.metrics.get(name) or words.metric_name(name)


WORDINGS: Mapping[str, Wording] = {
    "multiclass": Wording(),
    "multilabel": Wording(noun="finding", order=("auroc_macro", "accuracy"), calibration="all findings that are known"),
    "segmentation": Wording(
        noun="structure",
        order=("dice",),
        metrics={
            "turned": "Images brought to the goal by any attack",
            "only": "Brought there by this attack alone",
            "success": "Images brought to the goal",
            "lost": "Share of the mean Dice that is lost",
        },
        repeated="turned",
        fooled="Goal reached",
        kept="Share of the lost Dice that stays lost once stored",
        stored="An attack is computed in floating point; a file holds whole numbers. Of the Dice that the attack "
        "took, this share is still lost once the image has been stored and read again.",
        left="Share of the lost Dice that is still lost after storage",
        compared="Every attack on the same images at the size that the verdict is about. A segmentation that one "
        "attack alone brought to the goal shows why several are needed.",
        examples="The outlines are what the model finds.",
        decision="Dice by structure",
        score="Mean Dice",
        by_class=": Dice, and lesions (connected parts) of which nothing is found, or that are invented, an image",
        calibration="",
        aim="a useless segmentation: a mean Dice of the structures below 0.5",
        worst="The worst case: each image counts with the lowest Dice that any of the attacks left, within any budget "
        "up to the one that is named.",
    ),
    "detection": Wording(
        order=("map50",),
        metrics={
            "turned": "Images brought to the goal by any attack",
            "only": "Brought there by this attack alone",
            "success": "Images brought to the goal",
            "lost": "Found objects that are lost",
            "recall": "Objects found",
            "vanished": "Objects vanished",
            "invented": "Invented, an image",
        },
        repeated="turned",
        fooled="Goal reached",
        kept="Share of the lost objects that stay lost once stored",
        stored="An attack is computed in floating point; a file holds whole numbers. Of the objects that the attack "
        "took, this share is still lost once the image has been stored and read again.",
        left="Share of the lost objects that are still lost after storage",
        compared="Every attack on the same images at the size that the verdict is about. An image that one attack "
        "alone brought to the goal shows why several are needed.",
        examples="The boxes are what the model detects at its operating point.",
        decision="Detected",
        score="Objects found",
        by_class=": average precision; objects found, and detections that cover none, an image, at the operating point",
        calibration="",
        aim="useless detections: an F1 of the objects below 0.5",
        worst="The worst case: each image counts with the answer in which the fewest objects were found and the most "
        "invented under any of the attacks, within any budget up to the one that is named; the mAP is that of these "
        "answers, or of the attack that leaves least where that is less.",
    ),
}
"""Task to its words."""


def wording_of(task: str) -> Wording:
    """Return the words for a task; those of one class out of several where the task is not known."""
    return WORDINGS.get(task, Wording())
