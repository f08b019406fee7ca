"""Writes docs/benchmarks/index.md from the measured rows in benchmarks/results."""

import json
from pathlib import Path
from typing import Any

from page_frequency import frequency
from page_parts import share, table
from page_scanners import scanners

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks" / "index.md"
INTRODUCTION = """# Benchmarks and real data

Every number on this page stands in a file under `benchmarks/results/`, which the command above each table writes;
`make bench` runs the benchmarks and writes this page. Times are ratios within one run, unless the machine is named.
"""


def load(name: str) -> Any:  # noqa: ANN401 - JSON
    """Return the rows of one benchmark, or None where it has not been run."""
    path = HERE / "results" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def startup(rows: list[dict[str, Any]]) -> str:
    """Return the section on start-up."""
    body = [[f"`{row['command']}`", f"{row['cpu_seconds']:.2f}", f"{row['of_import_torch']:.2f}"] for row in rows]
    return "## Start-up\n\n`python benchmarks/bench_startup.py`, CPU seconds of the process.\n\n" + table(
        ["command", "seconds", "of `import torch`"], body
    )


def pgd(found: dict[str, Any]) -> str:
    """Return the section on PGD."""
    settings = found["settings"]
    intro = (
        f"## PGD against its floor and its peers\n\n`python benchmarks/bench_pgd.py` on {found['device']}, "
        f"{found['threads']} threads: {settings['model']}, {settings['images']} images, {settings['steps']} steps, "
        f"linf {255 * settings['linf']:.0f}/255. The floor is the same number of forward and backward passes with "
        "respect to the input, nothing else: one step of PGD without stopping costs "
        f"{found['floor']['ratio']:.2f} of it, one of Auto-PGD {found['floor']['apgd_ratio']:.2f} (of a floor that has "
        "its last forward pass too).\n\n"
    )
    body = [
        [name, f"{row['times_ours']:.2f}", f"{row['success']:.3f}", f"{row['same_verdict']:.3f}"]
        for name, row in found["peers"].items()
    ]
    return intro + table(["implementation", "time, ours with stopping = 1", "success", "same verdict as ours"], body)


def evasion(found: dict[str, Any]) -> str:
    """Return the section on many budgets and on AutoAttack."""
    settings, body = found["settings"], []
    for kind, network in found["networks"].items():
        for what in ("curve", "autoattack"):
            for name, row in network[what].items():
                body.append(
                    [
                        f"{kind}, clean {network['clean_accuracy']:.3f}",
                        what if what == "curve" else f"autoattack {255 * network['radius']:.0f}/255",
                        name,
                        f"{row['times_ours']:.2f}",
                        ", ".join(f"{value:.3f}" for value in row["robust_accuracy"]),
                        f"{row['same_verdict']:.3f}",
                    ]
                )
    intro = (
        f"## Many budgets, and AutoAttack\n\n`python benchmarks/bench_evasion.py` on {found['device']}, "
        f"{found['threads']} threads: {settings['model']}, {settings['images']} images, trained plainly and "
        f"trained adversarially. Curve: PGD-{settings['steps']} at linf "
        f"{', '.join(f'{255 * radius:g}' for radius in settings['radii'])} of 255, ours with nested radii "
        "(`strict`: without trusting that a failure within one radius is a failure within smaller ones). "
        f"AutoAttack on {settings['images_autoattack']} of the images: APGD-CE, APGD-T, FAB-T with 100 steps, Square "
        f"with {settings['queries']} questions.\n\n"
    )
    header = ["network", "what", "implementation", "time, ours = 1", "robust accuracy", "same verdict as ours"]
    notes = []
    for kind, network in found["networks"].items():
        climbed, bare = network["curve_backward_passes"], network["autoattack_passes"]["bare_seconds"]
        passes = ", ".join(f"{name} {count / climbed['peers']:.2f}" for name, count in climbed.items())
        times = ", ".join(f"{name} {row['seconds'] / bare:.2f}" for name, row in network["autoattack"].items())
        notes.append(f"- {kind}: backward passes of the curve, the peers' = 1: {passes}.")
        notes.append(f"- {kind}: AutoAttack, the time of the passes that ours makes alone = 1: {times}.")
    return intro + table(header, body) + "\n" + "\n".join(notes) + "\n"


def memory(found: dict[str, Any]) -> str:
    """Return the section on memory."""
    body = [
        [str(row["images"]), f"{row['cache_mib']:.0f}", f"{row['peak_mib']:.0f}", f"{row['images_per_second']:.0f}"]
        for row in found["rows"]
    ]
    return (
        f"## Memory as a data set grows\n\n`python benchmarks/bench_memory.py`: one pass over generated PNGs of "
        f"{found['side']} x {found['side']} pixels; peak resident memory of the process.\n\n"
        + table(["images", "cache, MiB", "peak, MiB", "images a second"], body)
    )


def phantoms(found: dict[str, Any]) -> str:
    """Return the section on phantoms."""
    sizes = list(found["images"]["cxr"])
    body = [[name, *(f"{row[size]['per_second']:.0f}" for size in sizes)] for name, row in found["images"].items()]
    return (
        f"## Phantoms\n\n`python benchmarks/bench_phantoms.py`: images a second on one core ({found['machine']}).\n\n"
        + table(["phantom", *(f"at {size} x {size} pixels" for size in sizes)], body)
    )


def poisoning(found: dict[str, Any]) -> str:
    """Return the section on triggers."""
    batch, channels, *sides = found["shape"]
    body = [
        [f"`{name}`", f"{row['per_second']:.0f}", f"{row['times_copy']:.1f}"] for name, row in found["triggers"].items()
    ]
    return (
        f"## Triggers\n\n`python benchmarks/bench_poisoning.py`: batches of {batch} images of "
        f"{' x '.join(map(str, sides))} pixels and {channels} channels, {found['threads']} threads "
        f"({found['machine']}).\n\n" + table(["trigger", "images a second", "time, plain copy = 1"], body)
    )


def universal(found: dict[str, Any]) -> str:
    """Return the section on what is learned once for all images."""
    body = [
        [row["goal"], row["kind"], row["size"], row["source"], share(row["learned"]), share(row["random"])]
        for row in found["rows"]
    ]
    return (
        "## One perturbation for all images\n\n`python benchmarks/real_universal.py DATA` on "
        f"{found['device']}: learned from {found['learned_from']} chest X-rays of `cxr_kermany` (same source) or of "
        f"`cxr_tb_lungs`, at {found['side']} px, with the ready MobileNetV3; share of the test images of `cxr_kermany` "
        "brought to the goal, and by random signs or pixels of the same size.\n\n"
        + table(["goal", "kind", "size", "learned from", "brought to the goal", "at random"], body)
    )


COLUMNS = {
    "clean accuracy": "clean.accuracy",
    "clean AUROC": "clean.auroc_macro",
    "accuracy, PGD 1 grey level": "curve.pgd.accuracy@1",
    "accuracy, PGD 2": "curve.pgd.accuracy@2",
    "accuracy, FGSM 2": "curve.fgsm.accuracy@2",
    "lost to control noise 2": "noise.accuracy_drop@2",
    "left after 8 bits": "storage.8bit@2",
}


DICE = {
    "clean Dice": "clean.dice",
    "Dice, PGD 1 grey level": "curve.pgd.dice@1",
    "PGD 2": "curve.pgd.dice@2",
    "PGD 4": "curve.pgd.dice@4",
    "PGD 8": "curve.pgd.dice@8",
    "Dice below 0.5, worst case 4": "curve.worst.turned@4",
    "lost to control noise 2": "noise.dice_drop@2",
    "of the lost Dice left after 8 bits": "storage.8bit@2",
}
"""Columns of segmentations."""


def structures(row: dict[str, Any]) -> list[list[str]]:
    """Return one line for each structure of a segmentation."""
    found = row["findings"]
    names = [key.partition(":")[2] for key in found if key.startswith("clean.dice:")]
    kinds = ("dice", "missed", "invented")
    return [
        [row["name"], name, *(share(found.get(f"clean.{kind}:{name}")) for kind in kinds)]
        + [share(found.get(f"class.worst.{kind}:{name}@2")) for kind in kinds]
        for name in names
    ]


def segmentations(rows: list[dict[str, Any]]) -> str:
    """Return the tables of the segmentations."""
    if not rows:
        return ""
    body = [
        [row["name"], str(row["images"]), *(share(row["findings"].get(key)) for key in DICE.values())] for row in rows
    ]
    parts = ("Dice", "missed lesions", "invented lesions, an image")
    header = ["set", "structure", *(f"clean: {part}" for part in parts), *(f"worst case 2: {part}" for part in parts)]
    return (
        "\nSegmentations; Dice is the mean of the structures of an image, at the network's size.\n\n"
        + table(["set", "images", *DICE], body)
        + "\n"
        + table(header, [line for row in rows for line in structures(row)])
    )


BOXES = {
    "clean mAP@0.5": "clean.map50",
    "mAP@0.5, FGSM 2": "curve.fgsm.map50@2",
    "PGD 1 grey level": "curve.pgd.map50@1",
    "PGD 2": "curve.pgd.map50@2",
    "PGD 4": "curve.pgd.map50@4",
    "found objects lost, worst case 2": "curve.worst.lost@2",
    "lost to control noise 2": "noise.map50_drop@2",
    "of the lost objects lost after 8 bits": "storage.8bit@2",
}
"""Columns of detectors."""


def detections(rows: list[dict[str, Any]]) -> str:
    """Return the table of the detectors."""
    if not rows:
        return ""
    body = [
        [row["name"], str(row["images"]), *(share(row["findings"].get(key)) for key in BOXES.values())] for row in rows
    ]
    return "\nDetectors; mAP is COCO's, at overlap 0.5.\n\n" + table(["set", "images", *BOXES], body)


def attack_by_attack(rows: list[dict[str, Any]]) -> str:
    """Return what each attack of the full battery turned, and what it alone turned."""
    body = []
    for row in rows:
        if "full" not in row["audit"]:
            continue
        found = row["findings"]
        for key in (key for key in found if key.startswith("probe.") and ".turned@" in key):
            name, level = key.removeprefix("probe.").split(".turned@")
            asked = found.get(f"probe.{name}.queries@{level}")
            questions = f"{asked['value']:.0f}" if asked and asked["value"] is not None else "-"
            alone = share(found.get(f"probe.{name}.only@{level}"))
            body.append([row["name"], name, level, share(found[key]), alone, questions])
    if not body:
        return ""
    header = ["set", "attack", "grey levels", "right decisions turned", "by it alone", "questions where it succeeded"]
    return "\nAttack by attack.\n\n" + table(header, body)


def real_data(rows: list[dict[str, Any]]) -> str:
    """Return the section on real images."""
    body = [
        [row["name"], str(row["images"]), *(share(row["findings"].get(key)) for key in COLUMNS.values())]
        for row in rows
        if not {"clean.dice", "clean.map50"} & set(row["findings"])
    ]
    commands = [
        line
        for row in rows
        for line in (row.get("train"), f"{row['audit']}   # {row['computed_seconds']:.0f} s of cells, two cores")
        if line
    ]
    notes = [f"- `{row['name']}`: {row['note']}." for row in rows if row["note"]]
    notes += [
        f"- `{row['name']}`: {row['unreadable']} files were kept out, each with its reason."
        for row in rows
        if row["unreadable"]
    ]
    notes += [f"- `{row['name']}`: pre-flight: {check}" for row in rows for check in row["checks"]]
    return (
        "## Real images\n\n`python benchmarks/real_data.py DATA WORK`: the commands below on real images, with 95 % "
        "intervals (by patient where patients are known). Budgets are linf, in grey levels of 255.\n\n"
        + table(["set", "images", *COLUMNS], body)
        + attack_by_attack(rows)
        + segmentations([row for row in rows if "clean.dice" in row["findings"]])
        + detections([row for row in rows if "clean.map50" in row["findings"]])
        + "\n```text\n"
        + "\n".join(commands)
        + "\n```\n\n"
        + "\n".join(notes)
        + "\n"
    )


def main() -> None:
    """Write the page from whatever has been measured."""
    sections = {
        "startup": startup,
        "pgd": pgd,
        "evasion": evasion,
        "memory": memory,
        "phantoms": phantoms,
        "poisoning": poisoning,
        "frequency": frequency,
        "universal": universal,
        "scanners": scanners,
        "real_data": real_data,
    }
    parts = [INTRODUCTION, *(write(found) for name, write in sections.items() if (found := load(name)) is not None)]
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
