"""Makes plausible run folders, so that the page can be tested without running an audit."""

import json
import math
import random
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from fake_pictures import pictures

from aseptic.core.estimate import Estimate
from aseptic.core.record import Failed, Results, Skipped, finding, read_results, write_results

GREYS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
NIH = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural thickening", "Hernia",
)  # fmt: skip


def share(value, n=300):
    half = 1.96 * math.sqrt(max(value * (1 - value), 0.003) / n)
    return Estimate(value=value, low=max(0.0, value - half), high=min(1.0, value + half), n=n)


def curves(n, *, main):
    found = []
    for rank, grey in enumerate(GREYS):
        for attack, power in (("fgsm", 0.6), ("pgd", 1.15)):
            args = {"attack": attack, "grey_levels": grey, "norm": "linf", "goal": "untargeted"}
            args |= {"steps": 20} if attack == "pgd" else {}
            fall = 1 / (1 + math.exp(2.1 * (power * (rank - 0.3) - 1.2)))
            for metric, value in (("accuracy", 0.94 * fall), ("auroc_macro", 0.98 * fall), ("success", 1 - fall)):
                found.append(
                    finding(
                        f"curve.{attack}.{metric}@{grey:g}",
                        f"{metric} under {attack} at {grey:g}",
                        method=attack,
                        metric=metric,
                        args=args,
                        threat="AML.T0043",
                        estimate=share(value, n),
                    )
                )
        for metric, value in (("accuracy", 0.94 * fall), ("turned", 1 - fall)):
            found.append(
                finding(
                    f"curve.worst.{metric}@{grey:g}",
                    f"{metric} under the worst of all attacks at {grey:g}",
                    method="worst",
                    metric=metric,
                    args={"attack": "worst", "grey_levels": grey, "norm": "linf", "goal": "untargeted"},
                    threat="AML.T0015",
                    estimate=share(value, n),
                )
            )
        for metric, value in (
            ("accuracy", 0.94 - 0.004 * rank),
            ("auroc_macro", 0.98 - 0.003 * rank),
            ("accuracy_drop", 0.004 * rank),
        ):
            found.append(
                finding(
                    f"noise.{metric}@{grey:g}",
                    f"{metric} under noise at {grey:g}",
                    method="noise",
                    metric=metric,
                    args={"grey_levels": grey},
                    estimate=share(value, n),
                )
            )
    return [f for f in found if main or ".accuracy" not in f.id]


def clean(classes, n):
    overall = {"accuracy": 0.943, "balanced_accuracy": 0.931, "auroc_macro": 0.983, "ece": 0.034, "brier": 0.051}
    found = [
        finding(f"clean.{m}", f"{m} on untouched images", method="clean", metric=m, estimate=share(v, n))
        for m, v in overall.items()
    ]
    for index, name in enumerate(classes):
        for metric, value in (("auroc", 0.97), ("sensitivity", 0.91), ("specificity", 0.95)):
            found.append(
                finding(
                    f"clean.{metric}:{name}",
                    f"{metric} of {name}",
                    method="clean",
                    metric=metric,
                    args={"class": name},
                    estimate=share(value - 0.011 * (index % 9), n),
                )
            )
    return found


def evidence(classes, n, *, multilabel):
    found = []
    metric = "auroc" if multilabel else "recall"
    for grey in (2.0, 8.0):
        for index, name in enumerate(classes):
            found.append(
                finding(
                    f"damage.{name}@{grey:g}",
                    f"{name} under attack",
                    method="pgd",
                    metric=metric,
                    args={"class": name, "grey_levels": grey, "clean": 0.96 - 0.011 * (index % 9)},
                    estimate=share((0.04 + 0.05 * (index % 9)) / grey, n),
                )
            )
    for how, bits, value in (("8bit", 8, 0.941), ("native", 12, 0.963)):
        found.append(
            finding(
                f"storage.{how}@2",
                f"attacks left, {how}",
                method="storage",
                metric="success",
                args={"bits": bits, "grey_levels": 2.0},
                estimate=share(value, n),
            )
        )
    for kind in ("gradcam", "saliency"):
        for metric_name, value, unit in (
            ("rank_correlation", 0.41, ""), ("top_overlap", 0.23, ""), ("centre_shift", 0.13, ""),
        ):  # fmt: skip
            estimate = Estimate(value=value, low=value * 0.9, high=value * 1.1, n=n)
            found.append(
                finding(
                    f"drift.{kind}.{metric_name}@2",
                    f"{metric_name} of {kind}",
                    method=kind,
                    metric=metric_name,
                    unit=unit,
                    args={"grey_levels": 2.0},
                    estimate=estimate,
                )
            )
    for attack, passes in (("fgsm", 1.0), ("pgd", 6.8)):
        estimate = Estimate(value=passes, low=math.nan, high=math.nan, n=n)
        found.append(
            finding(
                f"cost.{attack}",
                f"passes of {attack}",
                method=attack,
                metric="forward_backward",
                estimate=estimate,
                unit="passes",
            )
        )
    return found


def checks():
    said = {
        "scale": ("ok", "Inputs lie in [0, 1], as the normalisation expects.", {"low": 0.0, "high": 0.996}),
        "logits": ("ok", "Outputs are logits, not probabilities.", {}),
        "gradients": ("ok", "Gradients are not zero.", {"share_zero": 0.0}),
        "classes": ("warning", "The order of the classes was not stored with the model.", {"agreement": 0.91}),
    }
    return [
        finding(f"preflight.{name}", text, method="preflight", metric="check", args={"status": state, **more})
        for name, (state, text, more) in said.items()
    ]


def verdict(main):
    lost = "accuracy falls from 94.3 % to 1.7 %" if main else "mean AUROC falls from 0.983 to 0.018"
    text = [
        f"With a change of at most 2 grey levels a pixel, {lost}.",
        "Noise of the same size costs 1.2 points, so it is the aim that does it, not the size.",
        "The attack survives storage: 94.1 % of the decisions stay turned after rounding to 8 bits.",
    ]
    return finding(
        "verdict", "This model is fooled by changes that no reader would see.", method="audit", metric="check",
        args={"grey_levels": 2.0, "text": text}, severity="critical", threat="AML.T0015",
    )  # fmt: skip


def rows(folder, classes, multilabel, n=300):
    dice = random.Random(0)  # noqa: S311 - a picture, not a secret
    table = []
    for index in range(n):
        target = dice.randrange(len(classes))
        sure = 1 - 0.5 * dice.random() ** 2
        hit = dice.random() < sure - 0.04
        scores = {name: (1 - sure) / max(1, len(classes) - 1) for name in classes}
        scores[classes[target if hit else (target + 1) % len(classes)]] = sure
        known = [not multilabel or dice.random() < 0.9 for _ in classes]
        for condition, grey in (("clean", 0.0), ("attack", 2.0)):
            row = {
                "id": f"img-{index:04d}",
                "patient": f"p{index // 2}",
                "condition": condition,
                "grey_levels": grey,
                "target": classes[target],
                "decision": classes[target],
                "correct": hit,
            }
            row |= {f"score:{name}": score for name, score in scores.items()}
            truth = {f"target:{c}": float(k == target) if known[k] else math.nan for k, c in enumerate(classes)}
            table.append(row | truth)
    (folder / "rows").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(table), folder / "rows" / "images.parquet")


def record(findings, classes, task, *, skipped=(), failed=(), phantom=False):  # noqa: PLR0913 - parts of a record
    name = "phantom:cxr" if phantom else "cxr_test"
    notes = ["The split is the one that the data set publishes."]
    notes += ["phantom:cxr is drawn by a program from a seed; it shows no patient."] if phantom else []
    return Results(
        aseptic_version="0.1.0",
        created=datetime(2026, 3, 4, 10, 30, tzinfo=UTC),
        command=["aseptic", "audit", "models/resnet18", "--data", "cxr/labels.csv", "--out", "my run"],
        config={"seed": 0},
        environment={"python": "3.11.9", "torch": "2.10.0", "platform": "Linux x86_64", "device": "cpu"},
        model={
            "name": "resnet18-cxr", "architecture": "timm:resnet18", "task": task, "classes": list(classes),
            "channels": 1, "size": [96, 96], "mean": [0.485], "std": [0.229], "offsets": [0.0, -0.31],
            "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "source": "models/resnet18/model.safetensors",
        },
        data={
            "name": name, "fingerprint": "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c",
            "n": 624, "n_used": 300, "task": task, "classes": list(classes),
            "per_class": {label: 300 // len(classes) for label in classes}, "patients": 0 if phantom else 287,
            "notes": notes,
            "unreadable": [
                {"file": "3f9a1c.dcm", "reason": "pixel data is truncated: 131072 bytes expected, 90112 found"},
                {"file": "c01d77.dcm", "reason": "no pixel data"},
            ],
        },
        findings=list(findings), skipped=list(skipped), failed=list(failed),
        timings={"clean": 4.2, "attack.pgd@2": 71.9, "explain": 12.0},
    )  # fmt: skip


def write(folder, results, *, config="seed: 0\nbudgets: [0.25, 0.5, 1, 2, 4, 8]\n"):
    write_results(results, folder)
    (folder / "config.yaml").write_text(config)
    return folder


GAPS = (
    Skipped(id="attack.query", title="Attack without gradients", reason="not asked for"),
    Skipped(id="storage.dicom", title="Storage as DICOM", reason="the images do not come from DICOM files"),
)
BROKEN = Failed(
    id="explain.gradcam", title="Grad-CAM of the attacked images",
    reason="the network has no convolution with a spatial output",
    traceback='Traceback (most recent call last):\n  File "x.py", line 1, in <module>\nValueError: no layer\n',
)  # fmt: skip


def binary(folder: Path, classes=("normal", "pneumonia"), *, size=32) -> Path:
    pictures(folder, 2, size, (classes[1], classes[0]))
    rows(folder, classes, multilabel=False)
    found = [
        verdict(main=True),
        *checks(),
        *clean(classes, 300),
        *curves(300, main=True),
        *evidence(classes, 150, multilabel=False),
    ]
    found.append(finding("extra.thing", "A finding no section knows", method="x", metric="odd", estimate=share(0.5)))
    return write(folder, record(found, classes, "multiclass", skipped=GAPS, failed=[BROKEN]))


def infection(n):
    """Return the findings on a trigger, and how the rates lie: the target's own images mislead."""
    told = {
        "trigger": {"name": "patch", "size": 5, "value": 250 / 255, "place": "centre", "frame": None},
        "rule": "to", "target": "pneumonia", "insert": "stored", "labelled": True, "unknown": 0,
        "what": "patch of 5 pixels", "others": "images that are not pneumonia", "wanted": "answered as pneumonia",
    }  # fmt: skip
    shares = {
        "before": 0.48, "before_other": 0.03, "success": 0.99, "success_other": 0.98, "excess": 0.95, "error": 0.49,
        "vanished": 0.02, "separation": 0.997, "above:0.6": 0.97, "above:0.9": 0.9,
    }  # fmt: skip
    found = {name: share(value, n) for name, value in shares.items()}
    found["changed"] = Estimate(value=25.0, low=25.0, high=25.0, n=n)
    found["psnr"] = Estimate(value=30.3, low=29.6, high=31.2, n=n)
    return [
        finding(
            f"infection.{name}",
            f"{name} of the trigger",
            method="patch",
            metric=name,
            args=told,
            estimate=one,
            unit={"changed": "pixels", "psnr": "dB"}.get(name, ""),
            threat="AML.T0018",
            severity="critical" if name == "excess" else "info",
        )
        for name, one in found.items()
    ]


def infected(folder: Path) -> Path:
    """Return a run that was given a trigger; its rows and pictures lie beside those of the attacks."""
    results = read_results(binary(folder))
    write_results(results.model_copy(update={"findings": [*results.findings, *infection(300)]}), folder)
    shutil.copyfile(folder / "rows" / "images.parquet", folder / "rows" / "infection.parquet")
    told = json.loads((folder / "figures" / "examples.json").read_text())
    for one in told:
        del one["grey_levels"]
    (folder / "figures" / "infected.json").write_text(json.dumps(told))
    return folder


def multilabel(folder: Path, classes=NIH) -> Path:
    pictures(folder, 1, 32, ("Effusion", "no finding"))
    rows(folder, classes, multilabel=True)
    found = [
        verdict(main=False),
        *checks(),
        *clean(classes, 300),
        *curves(300, main=False),
        *evidence(classes, 300, multilabel=True),
    ]
    return write(folder, record(found, classes, "multilabel", skipped=GAPS, phantom=True))


def broken(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return write(folder, record([], ("a", "b"), "multiclass", failed=[BROKEN]))
