"""What ``aseptic scan`` makes of its options for a training set."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aseptic.cli import options, scanning

if TYPE_CHECKING:
    from aseptic.data.imageset import ImageSet
    from aseptic.models.subject import Subject


def of_set(  # noqa: PLR0913 - what the options say, by kind
    source: str,
    subject: "Subject | None",
    *,
    scanner: Sequence[str] | None,
    settings: Mapping[str, Any],
    facts: Mapping[str, Any],
    clean: Sequence[str],
    poison: Mapping[str, Any],
    infected: int | None,
    reading: Mapping[str, Any],
    max_bad: int | None,
) -> scanning.Job:
    """Return the scan of a training set: of its train split, where it has one, as of clean sets."""
    from aseptic.data.splits import sample  # noqa: PLC0415 - heavy
    from aseptic.scanners.sets.catalogue import SET_SCANNERS  # noqa: PLC0415 - heavy
    from aseptic.studies.scan.sets import prepare_set_scan  # noqa: PLC0415 - heavy
    from aseptic.studies.scan.settings import SetScanSettings  # noqa: PLC0415 - heavy

    given = {name: facts[name] for name in ("arch", "mean", "std", "outputs")}
    size = options.space(facts["size"])
    if subject is None:
        scanning.refuse(given, needs="a model (--model)", got="none")
    data = _labelled(source, subject, facts, reading, seed=settings["seed"])
    kinds = scanning.poison_plans(data.task, infected, poison, seed=settings["seed"])
    chosen = {name: value for name, value in settings.items() if value is not None}
    chosen |= {"scanners": scanning.named(SET_SCANNERS, scanner), "plans": kinds}
    asked = SetScanSettings.model_validate(chosen | ({} if infected is None else {"infected": infected}))
    if reading["limit"] is not None:
        data = data.select(sample(data.items, reading["limit"], seed=settings["seed"]))
    if subject is None:
        data = data.fit((size, size) if isinstance(size, int) else size, facts["channels"])
    sets = [_labelled(one, subject, facts, reading, seed=settings["seed"]) for one in clean]
    return scanning.Job(
        prepared=prepare_set_scan(data, subject, asked, clean=sets, max_bad=max_bad), settings=asked, of_model=False
    )


def _labelled(
    source: str, subject: "Subject | None", facts: Mapping[str, Any], reading: Mapping[str, Any], *, seed: int
) -> "ImageSet":
    """Return a labelled set: the split that is asked for, or its train split, where it has one."""
    from aseptic.data.load import load_data  # noqa: PLC0415 - heavy

    data = load_data(
        source,
        split=reading["split"],
        task=facts["task"] if subject is None else subject.task.name,
        classes=options.names(facts["classes"]) if subject is None else None,
        options=options.read_options(reading["window"], reading["slices"]),
        seed=seed,
    )
    trained = reading["split"] is None and any(item.split == "train" for item in data.items)
    return data.split("train") if trained else data
