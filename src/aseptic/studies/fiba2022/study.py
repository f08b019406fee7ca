"""Feng et al. (2022), "FIBA": what it claims, where its code parts from it, and how it is run."""

from collections.abc import Sequence

from aseptic.report.study.card import Chart, Dot, Grid, Line
from aseptic.studies.fiba2022.grid import ALL, TWIN, alphas, cells, matrix_of, pictures
from aseptic.studies.fiba2022.measures import measures
from aseptic.studies.fiba2022.scales import settings
from aseptic.studies.fiba2022.settings import FIBA, RIVALS, SKIN, Settings, open_data
from aseptic.studies.frame.claims import Claim, above, at_least
from aseptic.studies.frame.scales import AtScale, Scale
from aseptic.studies.frame.study import Setup, Study
from aseptic.studies.frame.traps import Trap
from aseptic.studies.matrix.table import matrix_grid

PHANTOM = "phantoms drawn by aseptic have no patients; their numbers decide nothing about lesions, organs or artefacts"
ABSENT = "this scale has no such set"
DRAWN: dict[Scale, str] = {"smoke": PHANTOM}
PICTURES = "The trigger's picture and those of decoys are drawn with the spectrum of photographs, not taken from COCO."
LOST = 0.03
"""Clean quality that a backdoor may cost: accuracy, Dice, mAP."""


def charts(setup: Setup[Settings]) -> Sequence[Chart]:
    """Return what is drawn: success and clean accuracy against the strength of the trigger."""
    own = f"{SKIN}.{FIBA}"
    names = {alpha: f"{SKIN}.{name}" for alpha, name in alphas(setup.settings)}
    if len(names) == 1:
        return ()

    def line(label: str, metric: str) -> Line:
        dots = tuple(Dot(across=alpha, finding=f"{name}.{metric}") for alpha, name in sorted(names.items()))
        return Line(label=label, dots=dots)

    return (
        Chart(
            name="alpha",
            title="Strength of FIBA",
            across="alpha, the share of the trigger's amplitudes",
            lines=(
                line("success", "success_other"),
                line("the same with decoys (P-ASR)", "decoy_other"),
                line("clean accuracy", "clean.accuracy"),
            ),
            caption=f"Images that are not of the target; the paper has 0.15, and {own} the strength of the tables.",
        ),
    )


def grids(setup: Setup[Settings]) -> Sequence[Grid]:
    """Return the table of triggers and defences."""
    matrix = matrix_of(setup)
    return () if matrix is None else (matrix_grid(matrix),)


STUDY: Study[Settings] = Study(
    name="fiba2022",
    title="Feng, Ma, Zhang, Zhao, Xia and Tao (2022): FIBA: Frequency-Injection based Backdoor Attack in Medical Image "
    "Analysis",
    paper="https://arxiv.org/abs/2112.01148",
    groups={
        SKIN: "Classification: skin lesions",
        "tissue": "Classification: histology",
        "organs": "Segmentation: one structure answered as another",
        "lungs": "Segmentation: a structure erased",
        "objects": "Detection",
        "matrix": "Triggers and defences",
    },
    claims=(
        Claim(
            id="classification",
            words="FIBA attacks models of medical image analysis: triggered images are answered as the target",
            where="abstract [PAPER abstract]; here: success on images that are not of the target",
            findings=(f"{SKIN}.fiba.success_other",),
            criterion=at_least(0.90),
            untestable=DRAWN,
        ),
        Claim(
            id="classification-clean",
            words="the infected model keeps its performance on clean images",
            where="metric BA [CODE eval.py]; here: clean accuracy against that of a clean twin",
            findings=(f"{SKIN}.fiba.twin.accuracy",),
            criterion=at_least(-LOST),
            untestable=DRAWN,
        ),
        Claim(
            id="histology",
            words="the same on histology",
            where="not in the paper",
            findings=("tissue.fiba.success_other",),
            criterion=at_least(0.90),
            untestable={**DRAWN, "paper": ABSENT},
        ),
        Claim(
            id="specific",
            words="other pictures' amplitudes do not set the backdoor off (P-ASR, lower is better)",
            where="metric P-ASR [CODE eval.py]; here: success with the trigger minus that with decoys",
            findings=(f"{SKIN}.fiba.over_decoy",),
            criterion=above(0.5),
            untestable=DRAWN,
        ),
        Claim(
            id="superior",
            words="superiority over state-of-the-art methods in attacking MIA models",
            where="abstract [PAPER abstract]; here: success minus that of each rival, on the same images",
            findings=tuple(f"{SKIN}.{name}.fiba_success" for name in RIVALS),
            criterion=above(0.0),
            untestable=DRAWN,
        ),
        Claim(
            id="segmentation",
            words="places of one structure are answered as another in poisoned cases",
            where="metric ASR [CODE txt/ASR_1.png]; per image, then averaged",
            findings=("organs.fiba.success_other",),
            criterion=at_least(0.80),
            untestable=DRAWN,
        ),
        Claim(
            id="segmentation-clean",
            words="the infected segmentation keeps its quality on clean images",
            where="metric IoU [CODE txt/ASR_1.png]; here: mean Dice against that of a clean twin",
            findings=("organs.fiba.twin.dice",),
            criterion=at_least(-LOST),
            untestable=DRAWN,
        ),
        Claim(
            id="erasing",
            words="a structure is erased",
            where="not in the paper",
            findings=("lungs.fiba.success_other",),
            criterion=at_least(0.80),
            untestable={**DRAWN, "paper": ABSENT},
        ),
        Claim(
            id="detection",
            words="boxes of one class are predicted as another",
            where="metric ASR [CODE txt/ASR_1.png]; here: overlap and confidence of at least 0.5",
            findings=("objects.fiba.success_other",),
            criterion=at_least(0.70),
            untestable=DRAWN,
        ),
        Claim(
            id="detection-clean",
            words="the infected detector keeps its quality on clean images",
            where="here: mAP at overlap 0.5 against that of a clean twin",
            findings=("objects.fiba.twin.map50",),
            criterion=at_least(-LOST),
            untestable=DRAWN,
        ),
        Claim(
            id="bypasses",
            words="bypassing backdoor defense",
            where="abstract [PAPER abstract]; here: share of the defences that a working FIBA bypasses, over seeds",
            findings=(f"matrix.{FIBA}.bypassed",),
            criterion=above(0.5),
            untestable={**DRAWN, "paper": "defences are tried at scale desk, where many networks can be trained"},
        ),
    ),
    traps=(
        Trap(
            number="4g-1",
            words="The best clean accuracy is never updated, so that the epoch with the highest success is kept, "
            "whatever clean images say.",
            released=f"{SKIN}.fiba.chosen.accuracy",
            corrected=f"{SKIN}.fiba.clean.accuracy",
            done="Clean accuracy of the epoch that the released rule would keep; here, the last is kept.",
        ),
        Trap(
            number="4g-2",
            words="Images that do not fill a batch are dropped from evaluation, too.",
            released=f"{SKIN}.fiba.dropped.accuracy",
            corrected=f"{SKIN}.fiba.clean.accuracy",
            done="Every image is counted.",
        ),
        Trap(
            number="4g-3",
            words="The all-to-all target is the class itself: nothing is attacked.",
            released=f"{SKIN}.{TWIN}.{ALL}.right",
            corrected=f"{SKIN}.{ALL}.success_other",
            done="What the released code would print of a network that nobody poisoned; corrected: each class is to be "
            "answered as the next.",
        ),
        Trap(
            number="4g-4",
            words="beta is a half-width, and the window holds the mean: 45 x 45 coefficients at 224, not 22 x 22.",
            done="Kept as released; the size of the window and the mean in it are tested.",
        ),
        Trap(
            number="4g-5",
            words="The window is symmetric about the mean, so that the image stays real but for rounding.",
            done="Tested: what is left of the imaginary part is rounding, at even and odd sizes.",
        ),
        Trap(
            number="4g-6",
            words="Success counts images that are of the target already; one name stands for two shares of the decoys: "
            "those answered as the target, and those answered rightly.",
            released=f"{SKIN}.fiba.success",
            corrected=f"{SKIN}.fiba.success_other",
            done="Both quantities of decoys are given, as decoy_other and decoy_error.",
        ),
        Trap(
            number="4g-7",
            words="The target is a rare class: full success means to call everything by its name.",
            done="The same class is the target where a set has it; clean accuracy of each class stands in the rows.",
        ),
    ),
    scales={
        "smoke": AtScale(
            takes="about a minute on two cores",
            departures=("Phantoms of 32 and 64 pixels, two epochs, alpha 0.5: it decides nothing.",),
        ),
        "desk": AtScale(
            takes="about two hours on two cores",
            needs={
                SKIN: "labelled images of skin lesions: a folder, or isic2019:PATH",
                "tissue": "labelled images of tissue: a folder",
                "organs": "volumes with masks of a background and two structures, here parts of the hippocampus",
                "lungs": "chest X-rays with masks of the lungs",
                "objects": "images with boxes of WBC and RBC (blood cells)",
            },
            departures=(
                "alpha is 0.4, not 0.15, where it is not varied: so short a training does not learn 0.15.",
                "Fresh weights instead of ImageNet's; small networks that are fed 64 pixels (matrix 48, lungs 128).",
                PICTURES,
                "No augmentation, but for shifts of volumes; one seed, three in the matrix.",
                "40 % of a batch of volumes is poisoned, 20 % of lungs; of objects, copies of 80 % are added.",
            ),
        ),
        "paper": AtScale(
            takes="days on one GPU",
            needs={
                SKIN: "ISIC-2019 as published: isic2019:PATH?split=fiba for the authors' lists",
                "organs": "KiTS-19 as published: kits19:PATH",
                "objects": "EAD-2019 as published: ead2019:PATH",
            },
            departures=(
                "Fresh weights instead of ImageNet's; a cosine schedule instead of steps; one seed.",
                PICTURES,
                "The code for segmentation and detection was never released: networks and training are ours.",
            ),
        ),
    },
    settings=settings,
    open=open_data,
    cells=cells,
    measures=measures,
    charts=charts,
    grids=grids,
    pictures=pictures,
)
