"""Makes a plausible run folder of a study, so that its page can be tested without running it."""

import math
from pathlib import Path

import fake_pictures
import fake_run

from aseptic.core.estimate import Estimate
from aseptic.core.record import Failed, Skipped, finding
from aseptic.report.study.card import Card, Chart, Column, Dot, Grid, GridRow, Line, Shown, Square

RATES = (0, 1, 5, 10, 20, 40, 80, 100)
SIZES = (1, 2, 3, 4, 5, 6)
RATE = "share of training images that are poisoned, %"
NO_CELL = "it needs train/s9, which was failed"


def number(name, title, value, metric="success", n=300):
    return finding(name, title, method="a measure", metric=metric, estimate=fake_run.share(value, n))


def numbers():
    found = [
        number(f"asr.s{size}.p{rate}", f"Attack success, trigger of {size} x {size}, {rate} % poisoned", success)
        for size in SIZES
        for rate in RATES
        for success in [0.02 + 0.97 / (1 + math.exp(3 - size * rate / 20))]
    ]
    found += [
        number(f"auroc.p{rate}", f"Micro AUROC on untouched images, {rate} % poisoned", 0.86 - 0.001 * rate, "auroc")
        for rate in RATES
    ]
    lost = Estimate(value=-0.21, low=-0.3, high=-0.1, n=300)
    found.append(finding("drop.p10", "Micro AUROC lost to the trigger", method="x", metric="auroc", estimate=lost))
    found.append(number("released.hit", "Localised, as the released code explains", 0.31))
    found.append(number("corrected.hit", "Localised, through the whole network", 0.88))
    return found


def claim(name, words, verdict, reason, **more):
    args = {"verdict": verdict, "reason": reason, "published": None, "measured": [], **more}
    args |= {"criterion": "at least 0.8", "where": "abstract [PAPER abstract]"}
    return finding(f"claim.{name}", words, method="claim", metric="claim", args=args)


def claims():
    reasons = {
        "clean": "the interval [0.81, 0.9] lies at or above 0.8",
        "infected": "the interval [0.9, 0.94] lies below 0.95",
        "small": "asr.s9 is not known: it needs train/s9, which was failed: RuntimeError: out of memory",
        "localised": "the interval [0.83, 0.93] contains the bound 0.9",
    }

    def made(name, words, verdict, *measured, **more):
        return claim(name, words, verdict, reasons[name], measured=list(measured), **more)

    return [
        made("clean", "up to 0.85 AUROC on clean images", "held", "auroc.p10", published=0.85),
        made("infected", "up to 1.00 AUROC on infected images", "not held", "asr.s3.p10", published=1.0),
        made("small", "a small trigger is enough", "not testable", "asr.s9"),
        made("localised", "explainability can identify backdoors", "not testable", "corrected.hit", "released.hit"),
    ]


def trap(name, words, **args):
    defaults = {"released": None, "corrected": None, "done": "", "reasons": {}}
    return finding(f"trap.{name}", words, method="trap", metric="trap", args=defaults | args)


def traps():
    maps = {"released": "released.hit", "corrected": "corrected.hit", "done": "Both maps are of the same decision."}
    erased = {"released": "asr.s9", "corrected": "asr.s3.p10", "reasons": {"released": NO_CELL}}
    return [
        trap("1g-6", "The released Grad-CAM leaves out the last block of the network", **maps),
        trap("1g-1", "A trigger of 1 or 2 pixels is erased by the resize", **erased),
        trap("1g-5", "The poisoned images are the first rows of the table", done="They are drawn at random."),
    ]


def charts():
    asr = tuple(
        Line(label=f"{size} x {size} pixels", dots=tuple(Dot(across=r, finding=f"asr.s{size}.p{r}") for r in RATES))
        for size in SIZES[:5]
    )
    auroc = (Line(label="Untouched", dots=tuple(Dot(across=r, finding=f"auroc.p{r}") for r in RATES)),)
    lost = (
        Line(label="Lost", dots=(Dot(across=10, finding="drop.p10"), Dot(across=20, finding="drop.p20"))),
        Line(label="Other", dots=(Dot(across=10, finding="drop.p11"),)),
    )
    return (
        Chart(name="asr", title="Attack success", across=RATE, lines=asr, axis="doubling", caption="Larger is easier."),
        Chart(name="auroc", title="Micro AUROC", across=RATE, lines=auroc),
        Chart(name="lost", title="Micro AUROC lost", across=RATE, lines=lost),
        Chart(name="nothing", title="Nothing", across=RATE, lines=(Line(label="None", dots=()),)),
    )


def grids():
    """A row for each size, one of which was never measured; bad from 50 % success on."""
    columns = (
        Column(label="few", group="Poisoned | little"),
        Column(label="some", group="Poisoned | little"),
        Column(label="all", group="Poisoned, much"),
        Column(label="AUROC", group="Clean"),
    )

    def row(size):
        squares = [Square(finding=f"asr.s{size}.p{rate}", limit=0.5) for rate in (1, 20, 100)]
        auroc = Square(finding="auroc.p10", limit=0.85, bad="below") if size == 3 else None
        return GridRow(label=f"{size} x {size}", squares=(*squares, auroc))

    asked = {"columns": columns, "good": "fails", "bad": "works", "caption": "Larger is easier."}
    nothing = GridRow(label="none", squares=(Square(finding="asr.s0.p0"),) * 4)
    return (
        Grid(name="sizes", title="Sizes and rates", rows=tuple(row(size) for size in (1, 3, 9)), **asked),
        Grid(name="nothing", title="Never measured", rows=(nothing,), **asked),
    )


def card():
    return Card(
        name="example2021",
        title="First, Second and Third, “Explaining <b>backdoors</b> | a study” (2021)",
        paper="https://arxiv.org/abs/2101.00000",
        departures=("831 images of 64 x 64 pixels instead of 112,120 of 1024 x 1024.", "A smaller network."),
        groups={"asr": "Attack success rate"},
        charts=charts(),
        grids=grids(),
        pictures=(
            Shown(file="figures/map.png", alt="A chest radiograph with a bright spot", caption="Grad-CAM."),
            Shown(file="figures/map2.png", alt="Another", caption="Grad-CAM of the released code."),
            Shown(file="figures/absent.png", alt="A third", caption="Never drawn."),
        ),
    )


def study(folder: Path) -> Path:
    for name in ("map", "map2"):
        fake_pictures.png(folder / "figures" / f"{name}.png", 32, fake_pictures.chest)
    base = fake_run.record([], ("a", "b"), "multilabel").data
    results = fake_run.record(
        [*claims(), *traps(), *numbers()],
        ("a", "b"),
        "multilabel",
        skipped=[Skipped(id="asr.s9", title="Success of a trigger of 9 x 9", reason="it needs train/s9")],
        failed=[Failed(id="train/s9", title="train/s9", reason="RuntimeError: out of memory", traceback="Traceback …")],
    ).model_copy(
        update={
            "command": ["aseptic", "study", "run", "example2021", "--data", "nih14=/home/somebody/nih"],
            "model": {},
            "data": {"train": base, "test": {**base, "name": "cxr_test_2", "unreadable": []}},
            "config": {
                "study": card().model_dump(mode="json"),
                "scale": "desk",
                "seed": 7,
                "sources": {"nih14": "/home/somebody/nih"},
                "data": {"real": {"fingerprint": "ab"}, "drawn": {"fingerprint": "cd"}},
            },
        }
    )
    return fake_run.write(folder, results)
