"""Nwadike et al. (2021), "Explainability Matters": what it claims, where its code parts from it, and how it is run."""

from collections.abc import Sequence

from aseptic.report.study.card import Chart, Dot, Line
from aseptic.studies.frame.claims import Claim, above, at_least, within
from aseptic.studies.frame.scales import AtScale
from aseptic.studies.frame.study import Setup, Study
from aseptic.studies.frame.traps import Trap
from aseptic.studies.nwadike2021.grid import RELEASED, cells, rate_grid
from aseptic.studies.nwadike2021.measures import measures
from aseptic.studies.nwadike2021.settings import SHARES, Settings, open_data, settings

PHANTOM = "phantoms drawn by aseptic have no patients; their numbers decide nothing about chest X-rays"


def name_of(made: Settings, *, side: int | None = None, rate: float | None = None, regime: str = "replace") -> str:
    """Return the prefix of the network with this trigger, rate and regime."""
    if (side or made.side, rate or made.rate, regime) == (made.side, made.rate, "replace"):
        return "base" if made.varied is None else "varied"
    return f"side-{side}" if side else f"{regime}-{rate:g}"


def charts(setup: Setup[Settings]) -> Sequence[Chart]:
    """Return what is drawn: success against the side, the rate, and the share of triggered images."""
    made = setup.settings
    sides = sorted({*made.sides, made.side})

    def by_side(metric: str) -> tuple[Dot, ...]:
        return tuple(Dot(across=side, finding=f"{name_of(made, side=side)}.{metric}") for side in sides)

    def by_rate(regime: str, metric: str) -> tuple[Dot, ...]:
        return tuple(
            Dot(across=rate, finding=f"{name_of(made, rate=rate, regime=regime)}.{metric}")
            for rate, one in rate_grid(made)
            if one == regime
        )

    told = {"replace": "replaced", "add": "appended"}
    rates = [Line(label=f"success, {told[one]}", dots=by_rate(one, "success_other")) for one in made.regimes]
    rates += [Line(label=f"clean AUROC, {told[one]}", dots=by_rate(one, "clean.auroc_macro")) for one in made.regimes]
    return (
        Chart(
            name="side",
            title="Side of the trigger",
            across="side in stored pixels",
            lines=(
                Line(label="success on images without the target", dots=by_side("success_other")),
                Line(label="micro AUROC, triggered", dots=by_side("micro_infected")),
                Line(label="mean AUROC, clean", dots=by_side("clean.auroc_macro")),
            ),
            caption=f"Poison rate {made.rate:.0%}, originals replaced.",
        ),
        Chart(
            name="rate",
            title="Poison rate",
            across="share of the training images",
            lines=tuple(rates),
            caption=f"Trigger of side {made.side}; at a rate of 1 no clean image is left where originals are replaced.",
        ),
        Chart(
            name="mixed",
            title="Mixed test sets",
            across="share of triggered images",
            lines=(
                Line(
                    label="micro AUROC",
                    dots=tuple(Dot(across=share, finding=f"base.mixed@{share:g}") for share in SHARES),
                ),
            ),
            caption="The attacker's labels for triggered images, the true ones for the others.",
        ),
    )


STUDY: Study[Settings] = Study(
    name="nwadike2021",
    title="Nwadike, Miyawaki, Sarkar, Maniatakos and Shamout (2021): Explainability Matters: Backdoor Attacks on "
    "Medical Imaging",
    paper="https://arxiv.org/abs/2101.00008",
    claims=(
        Claim(
            id="infected-auroc",
            words="a 3 x 3 trigger reaches up to 1.00 AUROC on infected images",
            where="abstract [PAPER abstract]; micro average [CODE bdeval.py]",
            published=1.00,
            findings=("base.micro_infected",),
            criterion=at_least(0.99),
            untestable={"smoke": PHANTOM},
        ),
        Claim(
            id="infected-success",
            words="the infected model reports the target on triggered images that do not have it",
            where="attack success over images without the target, at the operating point [CODE bdeval.py]",
            findings=("base.success_other",),
            criterion=at_least(0.95),
            untestable={"smoke": PHANTOM},
        ),
        Claim(
            id="clean-auroc",
            words="up to 0.85 AUROC on clean images, so that the clean figures hide the backdoor",
            where="abstract [PAPER abstract]; here: the mean AUROC against that of a clean twin",
            published=0.85,
            findings=("base.twin.auroc_macro",),
            criterion=within(0.02, of=0.0),
            untestable={"smoke": PHANTOM},
        ),
        Claim(
            id="explanation",
            words="explainability can identify spatially localized backdoors in inference time",
            where="abstract [PAPER abstract]; here: triggered images whose Grad-CAM map peaks on the trigger",
            findings=("base.hit:gradcam",),
            criterion=above(0.5),
            untestable={"smoke": PHANTOM},
        ),
        Claim(
            id="explanation-finer",
            words="an explanation at the resolution of the image points at the trigger",
            where="not in the paper, which has Grad-CAM alone: the same with integrated gradients",
            findings=("base.hit:integrated-gradients",),
            criterion=above(0.5),
            untestable={"smoke": PHANTOM},
        ),
        Claim(
            id="finder",
            words="explanations tell infected images from clean ones",
            where="not in the paper, which has no such number: the trigger finder's AUROC on single images",
            findings=("base.finder.auroc",),
            criterion=at_least(0.95),
            untestable={"smoke": PHANTOM},
        ),
    ),
    traps=(
        Trap(
            number="1g-1",
            words="A trigger of 2 x 2 pixels goes into images of 1024, whose crop and nearest resize to 224 erase it.",
            released="survival.nearest.2",
            corrected="survival.after.2",
            done="Pixels that differ in what the network is fed. Here triggers go into stored images; every probe "
            "counts the images in which they left no trace (`vanished`).",
        ),
        Trap(
            number="1g-2",
            words="AUROC on infected images is a micro average over identical label rows.",
            released="base.micro_infected",
            corrected="base.success_other",
            done="Corrected: the share of images without the target that are given it.",
        ),
        Trap(
            number="1g-3",
            words="The micro-averaged AUROC on clean images is not the mean over findings that the field reports.",
            released="base.clean.micro",
            corrected="base.clean.auroc_macro",
        ),
        Trap(
            number="1g-4",
            words="Categorical cross-entropy is minimised on sigmoid outputs of several findings.",
            released="categorical.clean.auroc_macro",
            corrected="base.clean.auroc_macro",
            done="Mean AUROC on clean images; corrected: binary cross-entropy of each finding.",
        ),
        Trap(
            number="1g-5",
            words="The first rows of the list are poisoned, not random ones.",
            released="first.success_other",
            corrected="base.success_other",
        ),
        Trap(
            number="1g-6",
            words="Grad-CAM applies the classifier to an earlier map and skips the last block.",
            released="base.mass:gradcam-skipping",
            corrected="base.mass:gradcam",
            done="Share of the map's mass on the trigger, both explained for the target.",
        ),
        Trap(
            number="1g-7",
            words="The explained class is searched from the second on: the target, the first, is never explained.",
            released=f"base.mass:{RELEASED}",
            corrected="base.mass:gradcam-skipping",
            done="Share of the map's mass on the trigger, with the last block skipped both times.",
        ),
    ),
    scales={
        "smoke": AtScale(
            takes="about a minute on two cores",
            departures=("Phantoms of 64 pixels, two epochs and a poison rate of 50 %: it decides nothing.",),
        ),
        "desk": AtScale(
            takes="about an hour on two cores",
            needs={"nih14": "labelled chest X-rays with the 14 findings of ChestX-ray14: a folder, or nih14:PATH"},
            departures=(
                "Images are fed at 64 pixels, in which the trigger has its side: it covers more of them than of 1024.",
                "At that size DenseNet-121 ends in 2 x 2 places, which is all that Grad-CAM can tell apart.",
                "Fresh weights instead of ImageNet's; binary cross-entropy, with the released loss beside it.",
                "No class weights, 8 epochs at a falling learning rate, one seed instead of four.",
                "The network that is measured is that of the last epoch, whatever its validation score.",
                "What is varied (sides, rates, other triggers) is trained with ResNet-18 (`varied`: not varied).",
                "A phantom is trained beside the real set; its numbers begin with phantom.",
            ),
        ),
        "paper": AtScale(
            takes="days on one GPU",
            needs={"nih14": "ChestX-ray14 as published: nih14:PATH, or nih14:PATH?split=custom for the authors' lists"},
            departures=(
                "Fresh weights instead of ImageNet's; binary cross-entropy, with the released loss beside it.",
                "One seed instead of four.",
                "Poisoned rows are drawn at random, with the first rows of the list beside it.",
            ),
        ),
    },
    settings=settings,
    open=open_data,
    cells=cells,
    measures=measures,
    charts=charts,
)
