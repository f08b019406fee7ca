"""Small valid DICOM files, made for tests."""

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)


def make_dicom(  # noqa: PLR0913 - every argument is one element of the header
    path,
    pixels,
    *,
    bits=None,
    signed=False,
    photometric=None,
    slope=None,
    intercept=None,
    window=None,
    function=None,
    patient_name="DOE^JANE",
    patient_id="12345",
    syntax=ExplicitVRLittleEndian,
    extra=None,
):
    """Write ``pixels`` (``[row, column]``, ``[frame, row, column]`` or RGB ``[row, column, 3]``) and return ``path``.

    ``window`` is ``(centre, width)``; ``extra`` maps keywords to values, set last (None removes the element).
    """
    pixels = np.asarray(pixels)
    colour = photometric in {"RGB", "YBR_FULL"}
    width = 8 if pixels.dtype.itemsize == 1 else pixels.dtype.itemsize * 8
    frames = pixels.shape[0] if pixels.ndim == 3 and not colour else 1
    sop_class = SecondaryCaptureImageStorage if colour else CTImageStorage
    if frames > 1:
        sop_class = MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, generate_uid(entropy_srcs=["instance", str(path)])
    ds.StudyInstanceUID = generate_uid(entropy_srcs=["study", patient_id])
    ds.SeriesInstanceUID = generate_uid(entropy_srcs=["series", patient_id])
    ds.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame", patient_id])
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.StudyDate, ds.StudyTime, ds.AccessionNumber, ds.StudyID = "20200102", "101010", "A1", "1"
    ds.Modality, ds.Manufacturer, ds.ReferringPhysicianName = "CT", "test", ""
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = patient_name, patient_id, "19500101", "F"
    ds.SeriesNumber, ds.InstanceNumber = 1, 1
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [1.5, -2, 3], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness = [0.5, 0.75], 2
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 3 if colour else 1, photometric or "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape[:2] if colour else pixels.shape[-2:]
    ds.BitsAllocated, ds.BitsStored = width, bits or width
    ds.HighBit, ds.PixelRepresentation = ds.BitsStored - 1, int(signed)
    if colour:
        ds.PlanarConfiguration = 0
    if frames > 1:
        ds.NumberOfFrames, ds.FrameIncrementPointer, ds.FrameTime = frames, 0x00181063, 40
    if slope is not None:
        ds.RescaleSlope, ds.RescaleIntercept = slope, intercept or 0
    if window is not None:
        ds.WindowCenter, ds.WindowWidth = window
    if function is not None:
        ds.VOILUTFunction = function
    data = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("<"))).tobytes()
    ds.add_new("PixelData", "OW" if width > 8 else "OB", data + b"\0" * (len(data) % 2))
    for keyword, value in (extra or {}).items():
        if value is None:
            del ds[keyword]
        else:
            setattr(ds, keyword, value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = syntax
    ds.save_as(path, enforce_file_format=True)
    return path


def make_lut(first, entries, *, bits=16, packed=False):
    """Return the item of a Modality or VOI LUT Sequence, its entries as numbers or packed into words."""
    item = Dataset()
    item.LUTDescriptor = [len(entries) % 65536, first, bits]
    words = np.asarray(entries).astype("<u2")
    item.add_new("LUTData", "OW" if packed else "US", words.tobytes() if packed else words.tolist())
    return item
