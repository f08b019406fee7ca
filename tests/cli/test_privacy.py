"""Nothing that names a patient reaches the run folder."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from calling import CLASSES, call
from dicom_builder import make_dicom

from aseptic.core.rng import numpy_stream
from aseptic.models.save import save_model
from aseptic.models.training import new_subject

NAME, NUMBER = "ZWETSCHGE^PETRONELLA", "MRN-7755331"
SECRETS = ("ZWETSCHGE", "PETRONELLA", "7755331", "zwetschge", "19500101")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A DICOM folder with a patient's name in headers and file names, and a model for it."""
    root = tmp_path_factory.mktemp("privacy")
    rng = numpy_stream(0, "privacy")
    for i in range(12):
        pixels = rng.integers(900, 1100, (24, 24)).astype(np.uint16)
        pixels[:12] += 400 * (i % 2)
        folder = root / "scans" / CLASSES[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        make_dicom(folder / f"{NAME}_{i}.dcm", pixels, bits=12, patient_name=NAME, patient_id=f"{NUMBER}-{i // 2}")
    broken = root / "scans" / CLASSES[0] / f"{NAME}_broken.dcm"
    broken.write_bytes((root / "scans" / CLASSES[0] / f"{NAME}_0.dcm").read_bytes()[:900])
    subject = new_subject("aseptic:smallcnn", task="multiclass", classes=CLASSES, size=24, channels=1).eval()
    with torch.no_grad():
        subject.module.head.weight.mul_(30)
    save_model(subject, root / "model")
    return root


def texts(run):
    """Yield every file of the run as text; tables by their values, because parquet packs them."""
    for path in sorted(run.rglob("*")):
        if path.suffix == ".parquet":
            yield path, repr(pq.read_table(path).to_pydict())
        elif path.is_file():
            yield path, path.read_bytes().decode("latin-1")
        yield path, path.name


def test_no_identifier_reaches_the_run_folder(folders):
    run = folders / "run"
    trigger = ("--trigger", "patch", "--target", CLASSES[0])
    found = call("audit", folders / "model", "--data", folders / "scans", "--out", run, "--steps", "3", *trigger)
    assert f"{NAME}_broken.dcm" in found.stderr, "the user at the terminal is told which file it is"
    read = list(texts(run))
    assert {path.name for path, _ in read} >= {
        "results.json", "report.html", "log.txt", "images.parquet", "infection.parquet", "infected.json",
    }  # fmt: skip
    leaks = [(path.name, secret) for path, text in read for secret in SECRETS if secret in text]
    assert leaks == []
    table = pq.read_table(run / "rows" / "images.parquet")
    assert len(set(table["patient"].to_pylist())) == 6, "patients are told apart by pseudonym"
    assert all(name.startswith("dcm-") for name in table["id"].to_pylist())


def test_attacked_dicom_is_a_derived_instance_that_reads_back(folders):
    out = folders / "attacked"
    call("attack", folders / "model", "--data", folders / "scans", "--eps", "8/255", "--steps", "3", "--out", out)
    rows = [line.split(",") for line in (out / "manifest.csv").read_text().splitlines()]
    error = [float(row[rows[0].index("stored_error_levels")]) for row in rows[1:]]
    assert len(error) == 12
    assert max(error) <= 0.5 + 1e-3
    assert not any(secret in (out / "manifest.csv").read_text() for secret in SECRETS)
    call("audit", folders / "model", "--data", out, "--out", folders / "run of attacked", "--steps", "2")
