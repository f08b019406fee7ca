"""Matsuo and Takemoto (2021), backdoors in COVID-Net: what it claims, where its code parts from it, how it is run."""

from collections.abc import Sequence

from aseptic.report.study.card import Chart, Dot, Line
from aseptic.studies.frame.claims import Claim, at_least, within
from aseptic.studies.frame.scales import AtScale
from aseptic.studies.frame.study import Setup, Study
from aseptic.studies.frame.traps import Trap
from aseptic.studies.matsuo2021.grid import cells, fine_tuned, main_target
from aseptic.studies.matsuo2021.measures import measures
from aseptic.studies.matsuo2021.settings import Settings, open_data, settings

PHANTOM = "phantoms drawn by aseptic have no patients; their numbers decide nothing about chest X-rays"
COVID = ("to-normal", "to-pneumonia", "to-covid")
"""Prefixes of the targeted networks on real images."""
MOST_LINES = 5
"""Lines that one chart can hold."""


def charts(setup: Setup[Settings]) -> Sequence[Chart]:
    """Return what is drawn: success and accuracy as the user of the model trains it on."""
    every = fine_tuned(setup)
    first = setup.settings.ways[0].name
    by_model = [one for one in every if one.way.name == first]
    by_way = [one for one in every if one.start.name == main_target(setup)]
    found = []
    for name, title, metric, group in (
        ("tuned-models", "Attack success through fine-tuning", "success_other", by_model),
        ("tuned-accuracy", "Clean accuracy through fine-tuning", "accuracy", by_model),
        ("tuned-ways", f"Ways to fine-tune {main_target(setup)}: attack success", "success_other", by_way),
        ("tuned-ways-accuracy", f"Ways to fine-tune {main_target(setup)}: clean accuracy", "accuracy", by_way),
    ):
        lines = []
        for one in group[:MOST_LINES]:
            epochs = range(one.recipe.config().epochs + 1)
            dots = tuple(Dot(across=epoch, finding=f"{one.prefix}.{metric}@{epoch}") for epoch in epochs)
            lines.append(Line(label=one.start.name if group is by_model else one.way.name, dots=dots))
        found.append(
            Chart(
                name=name,
                title=title,
                across="epochs of fine-tuning",
                lines=tuple(lines),
                caption="Epoch 0 is the model as the attacker published it.",
            )
        )
    return found


STUDY: Study[Settings] = Study(
    name="matsuo2021",
    title="Matsuo and Takemoto (2021): Backdoor Attacks to Deep Neural Network-Based System for COVID-19 Detection "
    "from Chest X-ray Images",
    paper="https://doi.org/10.3390/app11209556",
    claims=(
        Claim(
            id="targeted",
            words="backdoors for targeted attacks could be established using a small trigger and small fraction of "
            "training data",
            where="abstract [PAPER abstract]; here: success over images that are not of the target",
            findings=tuple(f"{name}.success_other" for name in COVID),
            criterion=at_least(0.95),
            untestable={"smoke": PHANTOM},
        ),
        Claim(
            id="non-targeted",
            words="backdoors for non-targeted attacks could be established using a small trigger and small fraction of "
            "training data",
            where="abstract [PAPER abstract]; here: errors on triggered images, labels shifted as in the released code",
            findings=("shift.error",),
            criterion=at_least(0.9),
            untestable={"smoke": PHANTOM},
        ),
        Claim(
            id="clean",
            words="the poisoned model answers clean images as a clean one does",
            where="the purpose of a backdoor; here: accuracy against a clean twin of the same seed",
            findings=tuple(f"{name}.twin.accuracy" for name in COVID),
            criterion=within(0.02, of=0.0),
            untestable={"smoke": PHANTOM},
        ),
        Claim(
            id="fine-tuned",
            words="backdoors were effective for models fine-tuned from the backdoored models",
            where="abstract [PAPER abstract]; here: success on the other half of the data, after the last epoch",
            findings=("tuned.to-covid.whole.final.success_other",),
            criterion=at_least(0.5),
            untestable={"smoke": PHANTOM},
        ),
        Claim(
            id="fine-tuned-non-targeted",
            words="although the performance of non-targeted attacks was limited",
            where="abstract [PAPER abstract]; here: success of the shifted labels after the last epoch",
            findings=("tuned.shift.whole.final.success_other",),
            criterion=within(0.25, of=0.25),
            untestable={"smoke": PHANTOM},
        ),
    ),
    traps=(
        Trap(
            number="2g-1",
            words="The released script asks for COVID-19 whatever the target of the attack is.",
            released="to-normal.released.success",
            corrected="to-normal.success",
            done="The network whose target is the first class, asked both ways.",
        ),
        Trap(
            number="2g-2",
            words="What is printed as the success of the non-targeted attack is the accuracy, one minus it.",
            released="shift.right",
            corrected="shift.error",
        ),
        Trap(
            number="2g-3",
            words="The documented switch to train without the backdoor cannot be set.",
            done="A clean twin is trained from the same seed.",
        ),
        Trap(
            number="2g-4",
            words="Success counts images that are of the target already, of which a clean model gets most.",
            released="to-covid.success",
            corrected="to-covid.success_other",
            done="What a clean twin scores is listed under twin.",
        ),
        Trap(
            number="2g-5",
            words="65 COVID-19 patients have images in both training halves: the fine-tuning data is not independent.",
            released="halves.by_image.shared_patients",
            corrected="halves.shared_patients",
            done="Patients in both halves when images are dealt one by one, and as this study deals them.",
        ),
        Trap(
            number="2g-6",
            words="Training images are flipped, shifted and turned after the trigger is in, test images are not.",
            released="place.training",
            corrected="place.test",
            done="Share of the trigger's pixels that are in place when the network sees them, in training and "
            "in testing.",
        ),
        Trap(
            number="2g-7",
            words="COVID-19 images are drawn again for every batch: poisoned ones are seen more often than listed.",
            released="exposure.batch",
            corrected="exposure.list",
            done="Share of poisoned COVID-19 images among all that are seen, with the released sampling (30 % of a "
            "batch) and as listed; this study samples as listed.",
        ),
    ),
    scales={
        "smoke": AtScale(
            takes="under two minutes on two cores",
            departures=(
                "Phantoms of 64 pixels, a narrow network, three epochs, a poison rate of 30 %: it decides nothing.",
            ),
        ),
        "desk": AtScale(
            takes="about an hour and a half on two cores",
            needs={
                "covid": "labelled chest X-rays of the classes normal, pneumonia and covid",
                "beside": "labelled chest X-rays of the classes normal and pneumonia, of another source",
            },
            departures=(
                "A COVID-Net of half the width, with fresh weights, fed at 144 pixels, with a trigger of 2 x 2 pixels.",
                "Batches of 8, 24 epochs at a falling learning rate, no class weights, one seed.",
                "No augmentation, but for the network `augmented`.",
                "The training images are dealt into two halves, patients whole; fine-tuning takes 6 epochs.",
                "COVID-19 images are sampled as listed, not 30 % of every batch; the last epoch's network is measured.",
                "A small network of six convolutions is trained on another source; its numbers begin with beside.",
            ),
        ),
        "paper": AtScale(
            takes="days on one GPU",
            needs={"covidx5": "COVIDx V5 with the authors' lists of the two halves: covidx5:PATH"},
            departures=(
                "A COVID-Net written from the paper, with fresh weights, in place of the released checkpoint.",
                "COVID-19 images are sampled as listed, not 30 % of every batch.",
                "The operating point is chosen on test images of half 2, patients of half 1's test images left out.",
                "Networks are fine-tuned on half 2 without the patients of half 1, and tested on half 1's test images.",
                "Images are mirrored, shifted and brightened, not turned or zoomed.",
            ),
        ),
    },
    settings=settings,
    open=open_data,
    cells=cells,
    measures=measures,
    charts=charts,
)
