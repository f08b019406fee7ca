"""What stands against a backdoor, as cells: networks are cured and scanned, their inputs and training sets judged.

What a defender has is the val split: images that are clean, which the attacker, who poisons the training set, does not
control. What is measured is measured on the test split, or on the training images themselves.
"""

from collections.abc import Mapping
from typing import Any

from aseptic.core.making import describe
from aseptic.defences.catalogue import DEFENCES, make_defence
from aseptic.detectors.catalogue import DETECTORS, make_detector
from aseptic.engine.cells import Cell
from aseptic.poisoning.plan import PoisonPlan
from aseptic.scanners.catalogue import make_scanner
from aseptic.scanners.sets.catalogue import SET_SCANNERS, make_set_scanner
from aseptic.studies.backdoors.recipe import Known

FUNCTIONS = "aseptic.studies.backdoors.defending_cells"
SCAN = "aseptic.studies.scan.cells:scan"
CLEAN_IMAGES = 200
"""Clean images that a defender has."""
RATE = 0.05
"""Share of clean images, sets or networks that may be called suspicious."""


def cure(  # noqa: PLR0913 - a network, its data, its trigger, and the cure
    name: str,
    model: Cell,
    data: Known,
    plan: PoisonPlan,
    *,
    defence: str,
    options: Mapping[str, Any] | None = None,
    clean: int = CLEAN_IMAGES,
    seed: int = 0,
) -> Cell:
    """Return the cell that cures a network with clean images and asks the cured one as `recipe.probe` would.

    Args:
        name: Name of the cell.
        model: Cell that trained the network.
        data: The set: clean images are drawn from its val split, the questions are about its test split.
        plan: The trigger, and what the attacker wants.
        defence: Cure by name.
        options: Its settings that differ from the defaults.
        clean: Clean images, at most.
        seed: Of the draw of the clean images and of the cure.

    Raises:
        InputError: No such cure, or it refuses a setting.
    """
    method = describe(DEFENCES, make_defence(defence, **(options or {})))
    more = {"plan": plan.model_dump(mode="json"), "defence": method, "clean": clean, "seed": seed}
    return _about(f"{FUNCTIONS}:cure", name, model, data, more)


def detect(  # noqa: PLR0913 - a network, its data, its trigger, and the detector
    name: str,
    model: Cell,
    data: Known,
    plan: PoisonPlan | None,
    *,
    detector: str,
    options: Mapping[str, Any] | None = None,
    clean: int = CLEAN_IMAGES,
    images: int = CLEAN_IMAGES,
    rate: float = RATE,
    seed: int = 0,
) -> Cell:
    """Return the cell that fits a detector to clean images of the val split and scores images of the test split.

    Args:
        name: Name of the cell.
        model: Cell that trained the network whose inputs are judged.
        data: The set.
        plan: The trigger: images that are not of its target are scored with and without it. None: without, whatever
            they are of.
        detector: Detector by name.
        options: Its settings that differ from the defaults.
        clean: Clean images that it is fitted to, at most.
        images: Test images that are scored, at most.
        rate: Share of clean images that may be flagged.
        seed: Of the draw of the clean images and of the detector.

    Raises:
        InputError: No such detector, or it refuses a setting.
    """
    method = describe(DETECTORS, make_detector(detector, **(options or {})))
    settings = None if plan is None else plan.model_dump(mode="json")
    more = {"plan": settings, "detector": method, "clean": clean, "images": images, "rate": rate, "seed": seed}
    return _about(f"{FUNCTIONS}:detect", name, model, data, more)


def inspect(  # noqa: PLR0913 - a network, its data, and the scanner
    name: str,
    model: Cell,
    data: Known,
    *,
    scanner: str,
    options: Mapping[str, Any] | None = None,
    draws: int = 19,
    seed: int = 0,
) -> Cell:
    """Return the cell that scans the training set that a network learned, poisoned as its cell says.

    Of a plan that poisons every batch anew, no image is poisoned for good: the set is then one that is poisoned once,
    at the same rate, as who publishes a poisoned set would have to.

    Args:
        name: Name of the cell.
        model: Cell that trained the network.
        data: The set that it learned.
        scanner: Scanner of training sets by name.
        options: Its settings that differ from the defaults.
        draws: Permutations of the labels that the set is compared with.
        seed: Of the scanner and of the permutations.

    Raises:
        InputError: No such scanner, or it refuses a setting.
    """
    method = describe(SET_SCANNERS, make_set_scanner(scanner, **(options or {})))
    learned = {"plan": model.config["plan"], "share": model.config["share"]}
    more = {**learned, "scanner": method, "draws": draws, "seed": seed}
    return _about(f"{FUNCTIONS}:inspect", name, model, data, more)


def scan(  # noqa: PLR0913 - a network, its data, and the scanner
    name: str,
    model: Cell,
    data: Known,
    *,
    scanner: str,
    options: Mapping[str, Any] | None = None,
    images: int = 64,
    split: str = "val",
    seed: int = 0,
    seconds: float | None = None,
) -> Cell:
    """Return the cell that scans a network for a backdoor; networks that are compared need the same seed.

    Args:
        name: Name of the cell.
        model: Cell that trained the network.
        data: The set.
        scanner: Scanner of models by name.
        options: Its settings that differ from the defaults.
        images: Clean images that it is scanned with, at most.
        split: Where these are from.
        seed: Of the draw of the images and of the scanner.
        seconds: Expected time.

    Raises:
        InputError: No such scanner, or it refuses a setting.
    """
    method = make_scanner(scanner, **(options or {})).describe()
    return _about(SCAN, name, model, data, {"scanner": method, "split": split, "images": images, "seed": seed}, seconds)


def _about(  # noqa: PLR0913, PLR0917 - what every question about a network needs
    function: str, name: str, model: Cell, data: Known, more: Mapping[str, Any], seconds: float | None = None
) -> Cell:
    config = {"data": data[0], "content": data[1], "recipe": model.config["recipe"], **more}
    return Cell(name=name, function=function, config=config, inputs={"model": model}, estimate=seconds)
