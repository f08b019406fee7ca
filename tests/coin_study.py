"""A study in closed form: coins whose flips are counted, not drawn, so that every number is known beforehand."""

from pathlib import Path

import pyarrow as pa
import torch
from PIL import Image
from pydantic import BaseModel

from aseptic.core.estimate import Estimate
from aseptic.core.record import finding
from aseptic.data.load import load_data
from aseptic.data.memory import memory_set
from aseptic.engine.cells import Cell
from aseptic.metrics.intervals import wilson
from aseptic.report.study.card import Chart, Dot, Line
from aseptic.studies import raw
from aseptic.studies.frame.claims import Claim, at_least, greater_than, within
from aseptic.studies.frame.measuring import Measure
from aseptic.studies.frame.scales import AtScale
from aseptic.studies.frame.study import Picture, Study
from aseptic.studies.frame.traps import Trap

BIASES = (0.1, 0.5, 0.9)
EDGES = 10
"""Flips of each coin that land on the edge; the released code takes them for heads."""


class Settings(BaseModel):
    seed: int
    flips: int = 100


def open_data(scale, _settings, sources):
    if scale == "desk":
        return {"coins": load_data(sources["coins"])}
    images = torch.zeros(2, 1, 8, 8)
    return {"coins": memory_set("phantom:coins", images, None, classes=(), task=None, notes=("phantom coins",))}


def flip(job):
    """Cell: so many heads first, then tails; the last ones on the edge."""
    if job.config["flips"] < 1:
        raise ValueError("no flips")
    if job.config["log"]:
        with Path(job.config["log"]).open("a") as seen:
            seen.write(f"{job.config['bias']}\n")
    count, heads = job.config["flips"], round(job.config["flips"] * job.config["bias"])
    sides = ["heads"] * heads + ["tails"] * (count - heads) + ["edge"] * EDGES
    raw.save([pa.table({"id": [f"flip-{i}" for i in range(len(sides))], "side": sides})], job.folder)
    Image.new("L", (200, 200), round(255 * job.config["bias"])).save(job.folder / "coin.png")
    return {"flips": count, "images": len(job.context["data"]["coins"])}


def cells(setup, log=""):
    basis = {"coins": setup.fingerprints["coins"], "flips": setup.settings.flips, "seed": setup.settings.seed}
    return [
        Cell(
            name=f"flips/{bias:g}",
            function="coin_study:flip",
            config={**basis, "bias": bias, "log": log},
            estimate=6.0,
        )
        for bias in BIASES
    ]


def share(name, title, heads, count):
    low, high = wilson(heads / count, count)
    estimate = Estimate(value=heads / count, low=low, high=high, n=count)
    return finding(name, title, method="counting", metric="success", estimate=estimate)


def measure(bias):
    def read(computed):
        rows = computed.rows()
        heads, edges = int((rows.side == "heads").sum()), int((rows.side == "edge").sum())
        flips = len(rows) - edges
        yield share(f"heads.{bias:g}", f"Share of heads of the coin of {bias:g}", heads, flips)
        yield share(f"released.{bias:g}", f"The same with edges as heads, coin of {bias:g}", heads + edges, len(rows))

    names = (f"heads.{bias:g}", f"released.{bias:g}")
    return Measure(title=f"Heads of the coin of {bias:g}", gives=names, cells=(f"flips/{bias:g}",), read=read)


CHART = Chart(
    name="heads-by-bias",
    title="Heads by bias",
    across="bias of the coin",
    lines=tuple(
        Line(label=label, dots=tuple(Dot(across=b, finding=f"{kind}.{b:g}") for b in BIASES))
        for label, kind in (("Corrected", "heads"), ("As released", "released"))
    ),
    caption="Edges lift every coin.",
)
CLAIMS = (
    Claim(
        id="biased",
        words="The biased coin lands heads almost always",
        where="abstract [PAPER abstract]",
        published=0.9,
        findings=("heads.0.9",),
        criterion=at_least(0.8),
    ),
    Claim(
        id="unfair",
        words="Every coin is unfair",
        where="section 2",
        findings=("heads.0.9", "heads.0.1"),
        criterion=at_least(0.7),
    ),
    Claim(id="fair", words="One is fair", where="section 2", findings=("heads.0.5",), criterion=within(0.05, of=0.5)),
    Claim(
        id="order",
        words="Bias shows",
        where="section 3",
        findings=("heads.0.9",),
        criterion=greater_than("heads.0.5"),
        untestable={"smoke": "phantom coins have no bias of their own"},
    ),
)
STUDY = Study(
    name="coins1654",
    title="Pascal and Fermat, “On the division of stakes” (1654)",
    paper="https://example.org/coins",
    claims=CLAIMS,
    traps=(
        Trap(
            number="1g-1",
            words="The released code counts edges as heads",
            released="released.0.5",
            corrected="heads.0.5",
        ),
        Trap(number="1g-2", words="Coins are flipped in the order of the table", done="The order is kept."),
    ),
    scales={
        "smoke": AtScale(takes="a second", departures=("The coins are phantoms.",)),
        "desk": AtScale(takes="a second", departures=(), needs={"coins": "a folder of pictures of coins"}),
    },
    settings=lambda _scale, seed: Settings(seed=seed),
    open=open_data,
    cells=cells,
    measures=lambda _: [measure(bias) for bias in BIASES],
    groups={"heads": "Heads", "released": "As released"},
    charts=lambda _: (CHART,),
    pictures=lambda _: (Picture(cell="flips/0.9", file="coin.png", alt="A light square", caption="The biased coin."),),
)
