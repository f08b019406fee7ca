"""What ``aseptic scan`` makes of its options: a scan of a model, or of a training set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from aseptic.cli import options, plans
from aseptic.cli.telling import report_unreadable, tell
from aseptic.core.errors import InputError

if TYPE_CHECKING:
    from aseptic.core.record import Results
    from aseptic.core.registry import Registry
    from aseptic.data.imageset import ImageSet
    from aseptic.models.subject import Subject
    from aseptic.poisoning.plan import PoisonPlan
    from aseptic.scanners.calibration import Null
    from aseptic.studies.scan.settings import ScanSettings

CARD, NETWORKS = "model.yaml", (".safetensors", ".onnx", ".pt", ".pth", ".ckpt", ".bin", ".pkl")
"""What a model folder holds, and how weights files end."""
INFECTED = 10
"""Infected twins, where a trigger is given without a number."""
POISONED = 0.1
"""Share of the images that a trigger poisons, as in `aseptic poison`."""
SPLIT = "test"
"""Split that a model and its twins are scanned with."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A scan that can begin."""

    prepared: Any
    """What the study has prepared: of a model, or of a set."""
    settings: Any
    """Its settings."""
    of_model: bool
    """Whether it is of a model."""


def is_model(what: str, *, data: str | None, model: str | None) -> bool:
    """Return whether the argument is a model; with neither option, a model folder or a weights file is one."""
    if data is not None and model is not None:
        raise InputError("either --data, for a scan of a model, or --model, for one of a training set, must be given")
    if data is not None or model is not None:
        return data is not None
    return (Path(what) / CARD).is_file() or Path(what).suffix.lower() in NETWORKS


def refuse(given: Mapping[str, object], *, needs: str, got: str) -> None:
    """Refuse options that make sense only beside something else.

    Raises:
        InputError: One of them was given.
    """
    if found := " and ".join(f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None):
        raise InputError(f"{found} must come with {needs}, got {got}")


def of_model(  # noqa: PLR0913 - what the options say, by kind
    subject: "Subject",
    source: str,
    data: str | None,
    *,
    scanner: Sequence[str] | None,
    common: Mapping[str, Any],
    twins: Mapping[str, Any],
    poison: Mapping[str, Any],
    reading: Mapping[str, Any],
    max_bad: int | None,
) -> Job:
    """Return the scan of a model."""
    from aseptic.scanners.catalogue import SCANNERS  # noqa: PLC0415 - heavy
    from aseptic.studies.scan.model import prepare_scan  # noqa: PLC0415 - heavy
    from aseptic.studies.scan.nulls import read_nulls  # noqa: PLC0415 - heavy
    from aseptic.studies.scan.settings import ScanSettings  # noqa: PLC0415 - heavy

    many, kinds = twins["twins"], poison_plans(subject.task.name, twins["infected"], poison, seed=common["seed"])
    if many is None:
        alone = {**{name: twins[name] for name in ("training", "infected")}, "trigger": poison["trigger"]}
        refuse({**alone, "plan": poison["plan"]}, needs="--twins", got="none")
    asked = {
        **common,
        "scanners": named(SCANNERS, scanner),
        "split": reading["split"] or SPLIT,
        "twins": many or 0,
        "plans": kinds,
        "infected": (twins["infected"] or INFECTED) if kinds else 0,
    }
    asked |= {} if twins["power"] is None else {"power": twins["power"]}
    asked |= {} if reading["limit"] is None else {"images": reading["limit"]}
    settings = ScanSettings.model_validate(asked)
    prepared = prepare_scan(
        subject,
        None if data is None else _images(data, subject, reading, twins=many is not None, seed=common["seed"]),
        settings,
        training=None if many is None else training(source, twins["training"]),
        nulls=None if twins["null"] is None else read_nulls(twins["null"]),
        max_bad=max_bad,
    )
    return Job(prepared=prepared, settings=settings, of_model=True)


def beside(
    null: Path | None, scanner: Sequence[str] | None, *, scan: bool, seed: int
) -> "tuple[ScanSettings | None, dict[str, Null]]":
    """Return how a model is scanned beside something else, and its twins: none of both where nothing asks for it.

    With twins and nothing else, the model is scanned as they were: same scanners, settings, number of images and seed.

    Raises:
        InputError: A scanner is unknown, or the file is not one of twins.
    """
    from aseptic.scanners.catalogue import SCANNERS  # noqa: PLC0415 - heavy
    from aseptic.studies.scan.nulls import read_nulls, scanned_as  # noqa: PLC0415 - heavy
    from aseptic.studies.scan.settings import ScanSettings  # noqa: PLC0415 - heavy

    if scan and scanner is not None:
        raise InputError("either --scan, for every scanner, or --scanner, for some, must be given, got both")
    if not scan and scanner is None and null is None:
        return None, {}
    nulls = {} if null is None else read_nulls(null)
    asked: dict[str, Any] = {"seed": seed, **scanned_as(nulls)}
    if scan or scanner is not None:
        asked["scanners"] = named(SCANNERS, scanner)
    return ScanSettings.model_validate(asked), nulls


def named(registry: "Registry[type[Any]]", texts: Sequence[str] | None) -> dict[str, dict[str, Any]] | None:
    """Return scanners with their settings: names with commas, or one name with settings after a colon.

    Raises:
        InputError: No such scanner, one named twice, or a setting without a value.
    """
    from aseptic.core.making import parse  # noqa: PLC0415 - heavy

    if texts is None:
        return None
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        for part in [text] if ":" in text else options.names(text) or ():
            name, settings = parse(registry, part)
            if name in found:
                raise InputError(f"scanner {name} must be named once, got it twice")
            found[name] = settings
    return found


def training(source: str, file: Path | None) -> dict[str, Any]:
    """Return the settings that twins are trained with: those of a file, or of the model's own card.

    Raises:
        InputError: The file has a setting that there is none of; there is none, and no card either.
    """
    from aseptic.core.documents import read_mapping  # noqa: PLC0415 - heavy
    from aseptic.core.errors import nearest  # noqa: PLC0415 - heavy
    from aseptic.models.train_config import TrainConfig  # noqa: PLC0415 - heavy
    from aseptic.studies.scan.twins import training_of  # noqa: PLC0415 - heavy

    if file is None:
        if not (Path(source) / CARD).is_file():
            raise InputError(f"twins need the settings of the training (--training), and {source} has no card of them")
        return training_of(Path(source))
    found, known = read_mapping(file), [one.name for one in fields(TrainConfig)]
    for name in found:
        if name not in known:
            raise InputError(
                f"a training setting must be one of {', '.join(known)}; got {name!r}{nearest(name, known)}"
            )
    return found


def show_plan(job: Job, out: Path) -> None:
    """Print what would be computed."""
    from aseptic.studies.scan import model, sets  # noqa: PLC0415 - heavy

    total = options.print_plan((model if job.of_model else sets).dry_run(job.prepared, out))
    _warn(job)
    typer.echo(f"at most about {total / 60:.1f} minutes in all" if job.of_model else f"{len(job.prepared.data)} images")


def run(job: Job, out: Path, *, resume: bool, asked: Mapping[str, Any]) -> "Results":
    """Scan with a live table of the cells, build the page, and say what was found and where it is."""
    from aseptic.cli.progress import Progress  # noqa: PLC0415 - heavy
    from aseptic.engine.cells import in_order  # noqa: PLC0415 - heavy
    from aseptic.report.page import build  # noqa: PLC0415 - heavy
    from aseptic.studies.running import Asked  # noqa: PLC0415 - heavy
    from aseptic.studies.scan.model import scan_model  # noqa: PLC0415 - heavy
    from aseptic.studies.scan.sets import scan_set  # noqa: PLC0415 - heavy

    _warn(job)
    if job.prepared.data is not None:
        report_unreadable(job.prepared.data)
    asked_for = Asked(command=options.command_line(), config=asked)
    with Progress(list(in_order(job.prepared.all_cells()))) as progress:
        more: dict[str, Any] = {"settings": job.settings, "resume": resume, "asked": asked_for, "watch": progress}
        results = scan_model(job.prepared, out, **more) if job.of_model else scan_set(job.prepared, out, **more)
    tell(results, build(out))
    return results


def warn(lines: Sequence[str]) -> None:
    """Say what makes sure already that nothing can be told, on the terminal only."""
    for line in lines:
        typer.echo(f"note: {line}", err=True)


def _warn(job: Job) -> None:
    warn(job.prepared.warnings(job.settings) if job.of_model else ())


def _images(data: str, subject: "Subject", reading: Mapping[str, Any], *, twins: bool, seed: int) -> "ImageSet":
    """Return the images that a model is scanned with; with their splits and labels, where twins are to learn them."""
    from aseptic.cli.data import open_data  # noqa: PLC0415 - heavy
    from aseptic.studies.train import open_splits  # noqa: PLC0415 - heavy

    if twins:
        how = options.read_options(reading["window"], reading["slices"])
        return open_splits(data, task=subject.task.name, options=how, seed=seed)
    return open_data(data, subject, **{**reading, "limit": None}, seed=seed)


def poison_plans(
    task: str | None, infected: int | None, poison: Mapping[str, Any], *, seed: int
) -> "dict[str, PoisonPlan]":
    """Return the backdoor of infected twins or sets by the name of its trigger; none where no trigger is given."""
    trigger, plan, rate = poison["trigger"], poison["plan"], poison["poison_rate"]
    words = {name: poison[name] for name in ("target", "rule", "insert")}
    plans.check_options(trigger, plan, needed=False, **words)
    if trigger is None:
        refuse({"poison_rate": rate}, needs="--trigger", got="none")
    if trigger is None and plan is None:
        refuse({"infected": infected}, needs="--trigger or --plan", got="neither")
        return {}
    label = {"rule": poison["rule"], "target": poison["target"], "source": None}
    made = plans.plan_of(
        trigger,
        plan,
        task=task,
        label=label,
        select={"rate": POISONED if rate is None else rate},
        insert=poison["insert"] or "stored",
        seed=seed,
    )
    # It may have been made for a whole set, of which twins learn a part.
    return {str(made.trigger["name"]): made.model_copy(update={"data": None})}
