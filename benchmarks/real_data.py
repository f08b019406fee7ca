"""The commands of the README on real images: trains, audits, and keeps the figures that the documentation shows.

    python benchmarks/real_data.py DATA WORK [NAME ...]

DATA holds the sets (`cxr_kermany`, `fundus_eye4`, ...), WORK keeps models and runs between calls. Takes about an
hour on two cores; what is finished is not computed again.
"""

import csv
import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "real_data.json"
SHOWN = (
    "clean.accuracy", "clean.auroc_macro", "curve.pgd.accuracy@1", "curve.pgd.accuracy@2", "curve.fgsm.accuracy@2",
    "curve.pgd.auroc_macro@2", "curve.worst.turned@2", "noise.accuracy_drop@2", "storage.8bit@2", "storage.native@2",
    "clean.dice", "curve.fgsm.dice@2", "curve.pgd.dice@1", "curve.pgd.dice@2", "curve.pgd.dice@4", "curve.pgd.dice@8",
    "curve.worst.dice@2", "curve.worst.dice@4", "curve.worst.dice@8", "curve.worst.turned@4", "curve.worst.turned@8",
    "clean.map50", "clean.map", "clean.recall", "curve.fgsm.map50@2", "curve.pgd.map50@1", "curve.pgd.map50@2",
    "curve.pgd.map50@4", "curve.worst.map50@2", "noise.map50_drop@2", "curve.worst.lost@2", "noise.dice_drop@2",
    "drift.gradcam.rank_correlation@2", "drift.saliency.rank_correlation@2",
)  # fmt: skip
STRUCTURES = re.compile(
    r"clean\.(dice|missed|invented|ap50):.+|class\.worst\.(dice|missed|invented):.+@2|probe\..+\.(turned|only|queries|dice)@.+"
    r"|class\.(pgd|tog|worst)\.(recall|vanished|renamed|invented):.+@2"
)
"""Numbers of single structures, and of single attacks, that are kept too."""


@dataclass(frozen=True)
class Case:
    """One model on one set."""

    data: str
    """Folder of the images, below DATA."""
    train: tuple[str, ...] = ()
    """Options of ``aseptic train``; empty where the model is given."""
    model: str = ""
    """Case whose model is audited, or a weights file below DATA."""
    facts: tuple[str, ...] = ()
    """Options that describe a weights file."""
    audit: tuple[str, ...] = ()
    """Further options of ``aseptic audit``."""
    limit: int = 300
    note: str = field(default="")
    """What a reader must know."""


UNET = ("--task", "segmentation", "--lr", "3e-3")
RESNET = ("--arch", "timm:resnet18", "--size", "96")
MOBILENET = (
    "--arch", "torchvision:mobilenet_v3_small",
    "--task", "multiclass",
    "--classes", "normal,pneumonia",
    "--size", "224",
    "--mean", "imagenet",
    "--std", "imagenet",
)  # fmt: skip
CASES = {
    "cxr_kermany": Case("cxr_kermany", train=(*RESNET, "--epochs", "12", "--lr", "3e-4", "--no-augment")),
    "fundus_eye4": Case("fundus_eye4", train=(*RESNET, "--epochs", "12", "--patience", "5")),
    "derm_ham10000": Case("derm_ham10000", train=(*RESNET, "--epochs", "20", "--patience", "6")),
    "medmnist_npz": Case(
        "medmnist_npz", train=("--arch", "aseptic:smallcnn", "--size", "28", "--epochs", "12", "--patience", "4")
    ),
    "cxr_nih14_64": Case(
        "cxr_nih14_64",
        train=("--arch", "aseptic:smallcnn", "--size", "64", "--epochs", "15", "--task", "multilabel"),
        note="14 findings, 831 images: the clean AUROC is low because the set is small",
    ),
    "mobilenet_v3_small": Case(
        "cxr_kermany",
        model="weights/mobilenet_v3_small_kermany_pneumonia.pth",
        facts=MOBILENET,
        limit=100,
        note="a ready model from its file; it has seen most of these images, so its clean figures are not honest ones",
    ),
    "mobilenet_v3_small_full": Case(
        "cxr_kermany",
        model="weights/mobilenet_v3_small_kermany_pneumonia.pth",
        facts=MOBILENET,
        audit=("--battery", "full", "--queries", "300", "--reference", "0.5/255"),
        limit=32,
        note="all attacks of the full battery, at half a grey level",
    ),
    "cxr_tb_lungs": Case(
        "cxr_tb_lungs",
        train=(
            *("--arch", "monai:unet?width=8&depth=4", "--size", "128", *UNET, "--classes", "background,lung"),
            *("--epochs", "20", "--batch-size", "16"),
        ),
        audit=("--battery", "standard"),
        note="a segmentation: numbers are Dice",
    ),
    "nifti_hippocampus": Case(
        "nifti_hippocampus",
        train=(
            *("--arch", "monai:unet?width=8&depth=3", "--size", "40x56x40", *UNET),
            *("--classes", "background,anterior,posterior", "--epochs", "40", "--batch-size", "4", "--no-augment"),
        ),
        audit=("--battery", "standard", "--steps", "10"),
        note="a segmentation of volumes: numbers are Dice, the mean of two structures",
    ),
    "blood_bccd": Case(
        "blood_bccd",
        train=(
            *("--arch", "aseptic:smallretina?width=48&anchor=12", "--size", "192x256", "--mean", "0.65"),
            *("--std", "0.2", "--epochs", "24", "--batch-size", "8", "--lr", "2e-3", "--patience", "12"),
        ),
        audit=("--split", "test", "--steps", "10"),
        limit=72,
        note="a detector: numbers are mAP and shares of objects",
    ),
    "dicom_mixed": Case(
        "dicom_mixed",
        model="cxr_kermany",
        note="no labels: a decision counts as wrong when it differs from the clean one; files of every modality",
    ),
}


def call(log: Path, *words: str) -> float:
    """Run the command line and return its seconds."""
    begun = time.perf_counter()
    with log.open("a") as file:
        file.write(f"$ aseptic {' '.join(words)}\n")
        file.flush()
        subprocess.run([sys.executable, "-m", "aseptic", *words], check=True, stdout=file, stderr=subprocess.STDOUT)
    return round(time.perf_counter() - begun, 1)


def measure(name: str, case: Case, data: Path, work: Path) -> dict[str, Any]:
    """Train and audit one case; return its figures."""
    work.mkdir(parents=True, exist_ok=True)
    log, model = work / f"{name}.log", str(work / f"{case.model or name}-model")
    row: dict[str, Any] = {"name": name, "note": case.note}
    if case.train:
        command = ("train", str(data / case.data), *case.train, "--out", model, "--resume")
        row["train"] = " ".join(("aseptic train", case.data, *case.train))
        call(log, *command)
        with (Path(model) / "history.csv").open(newline="") as file:  # also of a call that went on with an earlier one
            row["train_seconds"] = round(sum(float(epoch["seconds"]) for epoch in csv.DictReader(file)), 1)
    elif "/" in case.model:
        model = str(data / case.model)
    run = work / f"{name}-run"
    words = (*case.facts, *case.audit, "--limit", str(case.limit))
    row["audit"] = " ".join(("aseptic audit MODEL --data", case.data, *words))
    row["audit_seconds"] = call(
        log, "audit", model, "--data", str(data / case.data), "--out", str(run), *words, "--resume"
    )
    record = json.loads((run / "results.json").read_text(encoding="utf-8"))
    found = {one["id"]: one for one in record["findings"]}
    row |= {
        "images": record["data"]["n_used"],
        "unreadable": len(record["data"]["unreadable"]),
        "failed": len(record["failed"]),
        "computed_seconds": round(sum(record["timings"].values()), 1),
        "verdict": [found["verdict"]["title"], *found["verdict"]["args"]["text"]],
        "checks": [
            one["title"] for one in record["findings"] if one["metric"] == "check" and one["severity"] != "info"
        ],
        "findings": {
            key: {part: found[key][part] for part in ("value", "ci_low", "ci_high", "n")}
            for key in (*SHOWN, *(one for one in found if STRUCTURES.match(one)))
            if key in found
        },
    }
    return row


def main() -> None:
    """Measure the cases named, and keep the others as they were."""
    data, work, names = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve(), sys.argv[3:] or list(CASES)
    for name in names:
        row = measure(name, CASES[name], data, work)
        rows = {old["name"]: old for old in json.loads(RESULTS.read_text())} if RESULTS.exists() else {}
        rows[name] = row
        ordered = [rows[one] for one in CASES if one in rows]
        RESULTS.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
        print(name, json.dumps(rows[name]["findings"]), flush=True)


if __name__ == "__main__":
    main()
