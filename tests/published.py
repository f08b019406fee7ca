"""Small folders in the layout of public data sets: real names, labels and patients where the lists are at hand."""

import csv
import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from aseptic.core.rng import numpy_stream

HEADERS = {
    "Data_Entry_2017_v2020.csv": (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    ),
    "Data_Entry_2017.csv": (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Sex,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
    ),
}
"""First lines of the two versions; the older one ends every line in a comma."""


def write_png(path: Path, *, side: int = 16, mode: str = "L") -> None:
    """Write noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    levels = numpy_stream(0, path.name).integers(0, 256, (side, side, *channels), dtype=np.uint8)
    if mode == "RGBA":
        levels[..., 3] = 255
    Image.fromarray(levels).save(path, format="PNG")  # whatever the ending says


def write_table(folder: Path, rows: list[tuple[str, str, str]], version: str = "Data_Entry_2017_v2020.csv") -> Path:
    """Write the table of NIH ChestX-ray14 from image, findings and patient."""
    folder.mkdir(parents=True, exist_ok=True)
    end = "," if HEADERS[version].endswith(",") else ""
    lines = [f"{image},{found},0,{patient},57,M,PA,2682,2749,0.143,0.143{end}" for image, found, patient in rows]
    (folder / version).write_text("\n".join([HEADERS[version], *lines]) + "\n", "utf-8")
    return folder


def write_lists(folder: Path, train: list[str], test: list[str]) -> None:
    """Write the publishers' lists of NIH ChestX-ray14."""
    (folder / "train_val_list.txt").write_text("\n".join(train), "utf-8")
    (folder / "test_list.txt").write_text("\n".join(test) + "\n", "utf-8")


def real_rows(lists: Path) -> list[tuple[str, str, str]]:
    """Return image, findings and patient of every row of the published table."""
    with gzip.open(lists / "nih_Data_Entry_2017_v2020.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return [(row["Image Index"], row["Finding Labels"], row["Patient ID"]) for row in csv.DictReader(file)]


def real_shares(path: Path) -> dict[str, list[str]]:
    """Return the names in a file of Bortsova et al., read line by line."""
    found: dict[str, list[str]] = {}
    names: list[str] = []
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("- "):
            names.append(line[2:].strip("'") + ".png")
        else:
            names = found.setdefault(line.rstrip(":"), [])
    return found


def write_covidx(folder: Path, name: str, lines: list[str], *, images: str | None = None, side: int = 16) -> Path:
    """Write a list of COVID-Net's, and an image for each of its lines where ``images`` names the folder for them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n", "utf-8")
    for line in lines if images else ():
        write_png(folder / str(images) / line.split()[1], side=side)
    return folder


def write_isic_tables(folder: Path, rows: list[tuple[str, int, str]]) -> Path:
    """Write the two tables of ISIC 2019 from image, class (8: unknown) and lesion (empty: not published)."""
    folder.mkdir(parents=True, exist_ok=True)
    truth, metadata = (
        ["image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK"],
        ["image,age_approx,anatom_site_general,lesion_id,sex"],
    )
    for image, label, lesion in rows:
        truth.append(",".join([image, *("1.0" if i == label else "0.0" for i in range(9))]))
        metadata.append(f"{image},55.0,anterior torso,{lesion},female")
    (folder / "ISIC_2019_Training_GroundTruth.csv").write_text("\n".join(truth) + "\n", "utf-8")
    (folder / "ISIC_2019_Training_Metadata.csv").write_text("\n".join(metadata) + "\n", "utf-8")
    return folder


def write_fiba_lists(folder: Path, splits: dict[str, list[str]], labels: dict[str, int] | None = None) -> None:
    """Write the lists of the FIBA paper (``train``, ``validation`` and ``test``), and its labels where given."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, images in splits.items():
        (folder / f"{name}0.txt").write_text("\n".join(images) + "\n", "utf-8")
    if labels is not None:
        lines = ["image,label", *(f"{image},{label}" for image, label in labels.items())]
        (folder / "ISIC2019_grandtruethlabels.csv").write_text("\n".join(lines) + "\n", "utf-8")


def write_isic2019(folder: Path, n: int = 80, *, side: int = 16) -> Path:
    """Write a miniature ISIC 2019 with the lists of the FIBA paper: two images a lesion, each class of its own colour.

    The lists part images at random (seven, one and two in ten), and so tear lesions; every ninth has no lesion.
    """
    rows = [(f"ISIC_{i:07d}{'_downsampled' * (i % 5 == 0)}", i // 2 % 8, f"IL_{i // 2:07d}") for i in range(n)]
    write_isic_tables(folder, [(image, label, lesion * (i % 9 != 8)) for i, (image, label, lesion) in enumerate(rows)])
    images = folder / "ISIC_2019_Training_Input"
    images.mkdir(exist_ok=True)
    rng = numpy_stream(0, "isic2019")
    for image, label, _ in rows:
        colour = np.array([60 + 120 * (label >> bit & 1) for bit in range(3)])
        levels = (colour + rng.normal(0, 12, (side, side, 3))).clip(0, 255).astype(np.uint8)
        Image.fromarray(levels).save(images / f"{image}.jpg", quality=95)
    names = [rows[i][0] for i in rng.permutation(n)]
    ends = round(0.7 * n), round(0.8 * n)
    lists = {"train": names[: ends[0]], "validation": names[ends[0] : ends[1]], "test": names[ends[1] :]}
    write_fiba_lists(folder, lists, {image: label for image, label, _ in rows})
    return folder


def write_case(folder: Path, voxels: np.ndarray, mask: np.ndarray | None = None) -> None:
    """Write a case of KiTS19: Hounsfield units ``[slice, row, column]``, and what is in each place."""
    folder.mkdir(parents=True, exist_ok=True)
    affine = np.array([[0, 0, -0.8, 0], [0, -0.8, 0, 0], [-3.0, 0, 0, 0], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(voxels.astype(np.float32), affine), folder / "imaging.nii.gz")
    if mask is not None:
        nib.save(nib.Nifti1Image(mask.astype(np.uint8), affine), folder / "segmentation.nii.gz")


def write_kits19(
    folder: Path, labelled: int = 10, unlabelled: int = 2, *, shape: tuple[int, int, int] = (6, 16, 16)
) -> Path:
    """Write a miniature KiTS19: a bright kidney with a darker tumour in each case, at a place of its own."""
    depth, rows, columns = shape
    z, y, x = np.indices(shape)
    for i, number in enumerate([*range(labelled), *range(210, 210 + unlabelled)]):
        rng = numpy_stream(0, "kits19", str(number))
        cy, cx = rows * rng.uniform(0.4, 0.6), columns * rng.uniform(0.35, 0.65)
        away = np.hypot(y - cy, x - cx) / min(rows, columns) + np.abs(z - (depth - 1) / 2) / (4 * depth)
        mask = np.where(away < 0.3, 1, 0)
        mask[(mask == 1) & (x > cx)] = 2
        voxels = np.array([-60.0, 200.0, 80.0])[mask] + rng.normal(0, 15, shape)
        voxels[:, 0] = -1000  # air
        write_case(folder / f"case_{number:05d}", voxels, mask if i < labelled else None)
    return folder


def write_frame(path: Path, lines: list[str] | None, *, space: tuple[int, int] = (40, 48), boxes: Path | None = None):
    """Write a grey frame of EAD 2019, bright or dark where its first lines draw boxes, and its lines beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = np.full((*space, 3), 120, np.uint8)
    for line in lines or ():
        label, x, y, wide, high = (float(word) for word in line.split())
        top, bottom = (max(round((y + end * high / 2) * space[0]), 0) for end in (-1, 1))
        left, right = (max(round((x + end * wide / 2) * space[1]), 0) for end in (-1, 1))
        levels[top:bottom, left:right] = [30 * label, 255 - 30 * label, 40 * (label % 2)]
    Image.fromarray(levels).save(path, format="JPEG", quality=95)
    if lines is not None:
        (boxes or path.parent).mkdir(parents=True, exist_ok=True)
        ((boxes or path.parent) / f"{path.stem}.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")


def write_ead2019(folder: Path, n: int = 24, *, space: tuple[int, int] = (40, 48), apart: bool = False) -> Path:
    """Write a miniature EAD 2019: two boxes a frame, one of them artifact or instrument; the last frame has none.

    Every fourth frame is of one of two videos; ``apart`` puts images and texts into folders of their own.
    """
    rng = numpy_stream(0, "ead2019")
    for i in range(n):
        name = f"{('1772_A_M62', 'AN12')[i // 4 % 2]}_{i:05d}" if i % 4 == 3 else f"{i:05d}"
        x, y = rng.uniform(0.25, 0.3, 2)
        lines = [f"{i % 7} {x:.4f} {y:.4f} 0.3 0.35", f"{(2, 6)[i % 2]} {x + 0.4:.4f} {y + 0.4:.4f} 0.35 0.3"]
        image = folder / ("images" if apart else ".") / f"{name}.jpg"
        boxes = folder / "bbox" if apart else None
        write_frame(image, lines if i < n - 1 else [], space=space, boxes=boxes)
    return folder
