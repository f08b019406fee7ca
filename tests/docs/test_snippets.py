"""Every snippet of the pages is executed, page by page, in a folder that holds what the pages assume."""

import csv
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

import aseptic
from aseptic.data.splits import make_splits
from aseptic.models.archs import build

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if "/_build/" not in page and "/generated/" not in page]
FENCE = re.compile(r"(?P<skip><!-- not run: \S[^>]*-->\n)?```(?P<kind>python|console)\n(?P<text>.*?)\n```", re.DOTALL)
SKIPPED_PAGES = {"README.md": "its commands are the demo and the tests themselves, and need a folder of the reader's"}


@dataclass(frozen=True, kw_only=True)
class Snippet:
    """One block of a page that is meant to be copied."""

    kind: str
    text: str
    line: int


def snippets(page):
    text = (ROOT / page).read_text("utf-8")
    return [
        Snippet(kind=found["kind"], text=found["text"], line=text.count("\n", 0, found.start("kind")) + 1)
        for found in FENCE.finditer(text)
        if not found["skip"]
    ]


@pytest.fixture(scope="session")
def assumed(tmp_path_factory):
    """Return a folder with a model, labelled PNGs and labelled DICOM files, as the how-to pages assume."""
    folder = tmp_path_factory.mktemp("assumed")
    drawn = aseptic.load_data("phantom:derm?n=60&size=48")
    network = build("aseptic:smallcnn", outputs=3, channels=3, size=(32, 32))
    norm = {"mean": 0.5, "std": 0.25, "size": 32, "architecture": "aseptic:smallcnn"}
    subject = aseptic.Subject(network.eval(), task="multiclass", classes=drawn.classes, **norm)
    aseptic.save_model(subject, folder / "model")
    _write_scans(drawn, folder / "scans")
    _write_dicom(drawn, folder / "dicom")
    return folder


def _write_scans(drawn, folder):
    rows = []
    for i, item in enumerate(make_splits(drawn.items[:24])):
        path = drawn.write(i, drawn.read(i).pixels, folder, "a phantom")
        rows.append([path.relative_to(folder).as_posix(), drawn.classes[item.label], item.split, f"p{item.patient}"])
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "label", "split", "patient_id"], *rows])


def _write_dicom(drawn, folder):
    folder.mkdir()
    rows = [["file", "label", "patient_id"]]
    for i in range(3):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(i)])
        dataset.StudyInstanceUID = dataset.SeriesInstanceUID = generate_uid(entropy_srcs=["study"])
        dataset.Modality, dataset.PatientName, dataset.PatientID = "CT", "Doe^Jane", f"secret-{i}"
        dataset.Rows = dataset.Columns = 48
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
        dataset.WindowCenter, dataset.WindowWidth = 40, 400
        grey = drawn.read(i).pixels.mean(0).numpy()
        dataset.PixelData = (900 + 300 * grey).astype(np.uint16).tobytes()
        dataset.save_as(folder / f"slice{i}.dcm", enforce_file_format=True)
        rows.append([f"slice{i}.dcm", drawn.classes[drawn.items[i].label], f"secret-{i}"])
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def run_console(snippet, page, folder):
    """Run the lines after ``$`` in one shell; everything else is what they print."""
    lines = [line.removeprefix("$ ") for line in snippet.text.splitlines() if line.startswith("$ ")]
    assert lines, f"{page}:{snippet.line}: a console block needs a line that begins with '$ '"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    one = {"OMP_NUM_THREADS": "1"}  # small tensors: two threads wait for each other longer than they work
    env = {**os.environ, **one, "PATH": path, "ASEPTIC_PSEUDONYM_KEY": "of the tests"}
    script = "set -euo pipefail\n" + "\n".join(lines)
    done = subprocess.run(["bash", "-c", script], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{page}:{snippet.line}\n{script}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", [page for page in PAGES if page not in SKIPPED_PAGES and snippets(page)])
def test_the_snippets_of_a_page_run(page, assumed, tmp_path, monkeypatch):
    shutil.copytree(assumed, tmp_path, dirs_exist_ok=True)
    if page.startswith("docs/tutorial"):
        shutil.rmtree(tmp_path / "model")  # the tutorial makes its own
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASEPTIC_PSEUDONYM_KEY", "of the tests")
    names = {"__name__": "snippet"}
    for snippet in snippets(page):
        if snippet.kind == "console":
            run_console(snippet, page, tmp_path)
        else:
            lines = "\n" * snippet.line + snippet.text  # so that a traceback names the line of the page
            exec(compile(lines, str(ROOT / page), "exec"), names)  # noqa: S102 - our own pages


def test_blocks_are_marked_so_that_this_file_sees_them():
    """A block in another language name would be copied by readers and run by nobody."""
    for page in PAGES:
        kinds = set(re.findall(r"^```(\w+)$", (ROOT / page).read_text("utf-8"), re.MULTILINE))
        assert kinds <= {"python", "console", "text", "yaml", "json", "csv"}, page
