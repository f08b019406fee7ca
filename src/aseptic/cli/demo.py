"""``aseptic demo``: train, attack, explain and report on embedded phantoms."""

from pathlib import Path
from typing import Annotated

import typer

DATA = "phantom:cxr3?n=1200&size=64&seed=0"
"""Chest radiographs drawn by the project; three classes."""
EPOCHS = 10
TEST_IMAGES = 150
SCANNERS = {"mm-bd": {"starts": 2}}
"""A scan of some seconds; without twins, it shows what there is to see and judges nothing."""
WRITTEN = 8
"""Attacked images that are written to disk."""


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder to write to; what it already holds is reused.")] = Path(
        "demo-report"
    ),
) -> None:
    """Tell the whole story on phantoms: train a small network, audit it, write attacked images, build the report."""
    from aseptic.cli.audit import run_audit  # noqa: PLC0415 - heavy
    from aseptic.cli.watch import TrainingProgress  # noqa: PLC0415 - heavy
    from aseptic.data.splits import sample  # noqa: PLC0415 - heavy
    from aseptic.models.load import load_model  # noqa: PLC0415 - heavy
    from aseptic.models.train_config import TrainConfig  # noqa: PLC0415 - heavy
    from aseptic.studies.audit.settings import AuditSettings  # noqa: PLC0415 - heavy
    from aseptic.studies.scan.settings import ScanSettings  # noqa: PLC0415 - heavy
    from aseptic.studies.train import TrainRequest, open_parts, train_on  # noqa: PLC0415 - heavy
    from aseptic.studies.write_attacked import Request, write_attacked  # noqa: PLC0415 - heavy

    typer.echo(f"1. Train a small network on {DATA}: phantoms drawn by aseptic, not patients.")
    parts = open_parts(DATA)
    request = TrainRequest(arch="aseptic:smallcnn", size=64, channels=None, mean=(0.5,), std=(0.25,))
    progress = TrainingProgress(EPOCHS)
    with progress:
        config = TrainConfig(epochs=EPOCHS, lr=2e-3)
        trained = train_on(parts, request, config, out / "model", resume=True, watch=progress.watch())
    typer.echo("\n".join(trained.summary()))

    typer.echo("2. Audit it: attack, control, explain, measure.")
    subject = load_model(out / "model")
    held_out = parts.test or parts.validation
    images = held_out.select(sample(held_out.items, TEST_IMAGES))
    settings = AuditSettings(explained=32, scan=ScanSettings(scanners=SCANNERS))
    run_audit(
        subject, images, out / "audit", settings, max_bad=None, resume=True, asked={"model": "model", "data": DATA}
    )

    typer.echo("3. Write attacked images, as `aseptic attack` does.")
    few = images.select(range(WRITTEN))
    written = write_attacked(subject, few, Request(attack="pgd", eps=2 / 255), out / "attacked", resume=True)
    typer.echo("\n".join(written.summary()))
    typer.echo(f"The report is at {(out / 'audit' / 'report.html').resolve()}")
