"""Headers of derived DICOM instances: whose they are, what was done, and nothing that describes the old pixels."""

from datetime import datetime

import numpy as np
from pydicom import DataElement, Dataset
from pydicom.charset import convert_encodings
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr, write_data_element
from pydicom.uid import (
    JPEG2000,
    UID,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    PositronEmissionTomographyImageStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from aseptic.data.dicom_header import Header
from aseptic.data.dicom_values import BAD_VALUE, items, numbers, text

WARNING = "Adversarial test image made with aseptic from the referenced image; not for diagnosis."
SERIES = "ADVERSARIAL TEST IMAGE, NOT FOR DIAGNOSIS"
STALE = (
    *("SmallestImagePixelValue", "LargestImagePixelValue", "SmallestPixelValueInSeries", "LargestPixelValueInSeries"),
    *("SmallestImagePixelValueInPlane", "LargestImagePixelValueInPlane", "IconImageSequence"),
    *("DigitalSignaturesSequence", "MACParametersSequence", "EncryptedAttributesSequence", "PixelDataProviderURL"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "InstanceCreatorUID", "SOPInstanceStatus"),
    *("SOPAuthorizationDateTime", "SOPAuthorizationComment", "AuthorizationEquipmentCertificationNumber"),
    *("BitsGrouped", "PixelDataAreaOriginRelativeToFOV", "HistogramSequence"),
)
"""Describe or certify the old pixels."""
LIFTED = (
    *("PixelMeasuresSequence", "PlanePositionSequence", "PlaneOrientationSequence"),
    *("PixelValueTransformationSequence", "FrameVOILUTSequence"),
)
"""Functional groups whose attributes a single frame holds itself: its geometry and its grey scale."""
MULTI_FRAME = (
    *("NumberOfFrames", "FrameIncrementPointer", "FrameTime", "FrameTimeVector", "FrameDelay", "StartTrim", "StopTrim"),
    *("RecommendedDisplayFrameRate", "CineRate", "PreferredPlaybackSequencing", "RepresentativeFrameNumber"),
    *("EffectiveDuration", "ActualFrameDuration", "MultiplexedAudioChannelsDescriptionCodeSequence"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "DimensionIndexSequence"),
    *("TotalPixelMatrixRows", "TotalPixelMatrixColumns", "TotalPixelMatrixOriginSequence", "DimensionOrganizationType"),
)
"""Mean nothing in a single frame."""
LOSSY = {
    JPEGBaseline8Bit: "ISO_10918_1",
    JPEGExtended12Bit: "ISO_10918_1",
    JPEGLSNearLossless: "ISO_14495_1",
    JPEG2000: "ISO_15444_1",
}
"""Transfer syntaxes that lose detail, and the method's name in Lossy Image Compression Method."""
DEEP_COLOUR = {SecondaryCaptureImageStorage, MultiFrameTrueColorSecondaryCaptureImageStorage}
"""Classes that allow colour of more than 8 bits."""
OVERLAYS, CURVES = range(0x6000, 0x60FF), range(0x5000, 0x50FF)
"""Groups of elements that are drawn over the image."""
SWAPPED = {"OW": "u2", "OF": "u4", "OL": "u4", "OD": "u8", "OV": "u8"}
"""Values that are kept as bytes, whose order depends on the transfer syntax."""


def derive(header: Header, frame: int, note: str, *, fingerprint: str, deep_colour: bool) -> Dataset:
    """Turn the header of a source into that of a derived instance with one frame, and return it.

    The classic multi-frame classes tie their frames to vectors of times and angles, a tiled slide ties them to its
    matrix, and most classes allow colour of 8 bits only: there the instance becomes a Secondary Capture, which takes
    any modality and depth. An enhanced instance stays what it is, with one frame.

    The instance is new, in a new series of the same study and frame of reference; the same source, frame, note and
    pixels give the same identifiers. Changes ``header.dataset``.
    """
    dataset = header.dataset
    enhanced = bool(items(dataset, "PerFrameFunctionalGroupsSequence")[frame : frame + 1])
    reference = _reference(dataset, frame if header.frames > 1 else None)
    evidence = _evidence(dataset, reference)
    _settle(dataset, swap=not header.little_endian)
    _drop_stale(dataset, several=header.frames > 1)
    if enhanced and "TotalPixelMatrixRows" not in dataset:
        _keep_frame(dataset, frame)
    elif header.frames > 1 or enhanced or (deep_colour and dataset.get("SOPClassUID") not in DEEP_COLOUR):
        for sequence in LIFTED:
            if (item := header.group(frame, sequence)) is not dataset:
                dataset.update(item)
        _as_secondary_capture(dataset, frame if header.frames > 1 else None)
    _identify(dataset, note, fingerprint)
    _describe(dataset, reference, note)
    if evidence is not None and "PerFrameFunctionalGroupsSequence" in dataset:
        dataset.SourceImageEvidenceSequence = [evidence]
    _keep_lossy_history(dataset, header)
    return dataset


def derivation(reference: Dataset | None, note: str) -> Dataset:
    """Return what was done to which image, as attributes that fit the data set or a functional group."""
    done = Dataset()
    # ST holds 1024 characters; ASCII fits every character set
    done.DerivationDescription = f"{WARNING} {note}".encode("ascii", "replace").decode()[:1024]
    done.DerivationCodeSequence = [_code("113042", "Pixel by pixel addition")]
    if reference is not None:
        done.SourceImageSequence = [reference]
    return done


def _reference(dataset: Dataset, frame: int | None) -> Dataset | None:
    """Return a reference to the source, None where it has no identifier of its own."""
    kind, instance = text(dataset, "SOPClassUID"), text(dataset, "SOPInstanceUID")
    if not (UID(kind).is_valid and UID(instance).is_valid and kind and instance):
        return None
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = kind, instance
    if frame is not None:
        item.ReferencedFrameNumber = frame + 1
    item.PurposeOfReferenceCodeSequence = [_code("121322", "Source image for image processing operation")]
    return item


def _evidence(dataset: Dataset, reference: Dataset | None) -> Dataset | None:
    """Return where in the hierarchy of studies and series the source lies, as enhanced classes want it."""
    study, series = text(dataset, "StudyInstanceUID"), text(dataset, "SeriesInstanceUID")
    if reference is None or not study or not series:
        return None
    instance, inside, item = Dataset(), Dataset(), Dataset()
    instance.ReferencedSOPClassUID = reference.ReferencedSOPClassUID
    instance.ReferencedSOPInstanceUID = reference.ReferencedSOPInstanceUID
    inside.SeriesInstanceUID, inside.ReferencedSOPSequence = series, [instance]
    item.StudyInstanceUID, item.ReferencedSeriesSequence = study, [inside]
    return item


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def _settle(dataset: Dataset, *, swap: bool) -> None:
    """Bring every element into memory in little-endian order; leave out what cannot be written again."""
    correct_ambiguous_vr(dataset, not swap)
    if swap:
        dataset.walk(_swap_bytes)
    encodings = convert_encodings(dataset.get("SpecificCharacterSet") or "ISO_IR 6")
    for tag in list(dataset.keys()):
        try:
            buffer = DicomBytesIO()
            buffer.is_little_endian, buffer.is_implicit_VR = True, False
            write_data_element(buffer, dataset[tag], encodings)
        except BAD_VALUE:
            del dataset[tag]


def _swap_bytes(_: Dataset, element: DataElement) -> None:
    if element.VR in SWAPPED and isinstance(element.value, bytes):
        size = np.dtype(SWAPPED[element.VR]).itemsize
        whole = len(element.value) // size * size
        element.value = np.frombuffer(element.value[:whole], SWAPPED[element.VR]).byteswap().tobytes()


def _drop_stale(dataset: Dataset, *, several: bool) -> None:
    """Remove what describes the old pixels; private elements may, and their meaning is not known."""
    for keyword in STALE:
        if keyword in dataset:
            del dataset[keyword]
    for tag in list(dataset.keys()):
        group, element = tag >> 16, tag & 0xFFFF
        # an overlay without data of its own lies in unused bits of the old pixels
        overlay = group in OVERLAYS
        embedded = overlay and (group << 16 | 0x3000) not in dataset
        if group % 2 or group in CURVES or embedded or (overlay and several) or element == 0:
            del dataset[tag]


def _keep_frame(dataset: Dataset, frame: int) -> None:
    """Keep an enhanced instance what it is, with the shared functional groups and those of one frame."""
    dataset.PerFrameFunctionalGroupsSequence = [dataset.PerFrameFunctionalGroupsSequence[frame]]
    dataset.NumberOfFrames = 1
    for place in (*items(dataset, "SharedFunctionalGroupsSequence"), *dataset.PerFrameFunctionalGroupsSequence):
        for element in place:
            for item in element.value if element.VR == "SQ" else ():
                if (kind := list(item.get("FrameType") or ())) and len(kind) > 1:
                    item.FrameType = ["DERIVED", *kind[1:]]


def _as_secondary_capture(dataset: Dataset, frame: int | None) -> None:
    if frame is not None:
        dataset.InstanceNumber = frame + 1
    pointed = dataset.get("FrameIncrementPointer") or ()
    for tag in pointed if isinstance(pointed, list) else [pointed] if pointed else []:
        if tag in dataset:
            del dataset[tag]
    for keyword in MULTI_FRAME:
        if keyword in dataset:
            del dataset[keyword]
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.ConversionType = "WSD"
    if not text(dataset, "Modality"):
        dataset.Modality = "OT"


def _identify(dataset: Dataset, note: str, fingerprint: str) -> None:
    """Give the instance and its series identifiers of their own, and the time of writing."""
    if not text(dataset, "SOPClassUID"):
        dataset.SOPClassUID = SecondaryCaptureImageStorage
        dataset.ConversionType = "WSD"
    instance, series = text(dataset, "SOPInstanceUID"), text(dataset, "SeriesInstanceUID")
    kind = str(dataset.SOPClassUID)
    if not text(dataset, "StudyInstanceUID"):
        dataset.StudyInstanceUID = generate_uid(entropy_srcs=["study", instance, series])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=["series", series, kind, note])
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["instance", instance, note, fingerprint])
    dataset.SeriesDescription = SERIES
    now = datetime.now().astimezone()
    date, time = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    for keyword in ("InstanceCreationDate", "ContentDate", "SeriesDate"):
        dataset[keyword] = DataElement(keyword, "DA", date)
    for keyword in ("InstanceCreationTime", "ContentTime", "SeriesTime"):
        dataset[keyword] = DataElement(keyword, "TM", time)


def _describe(dataset: Dataset, reference: Dataset | None, note: str) -> None:
    """Mark the instance as derived, and say how."""
    per_frame = items(dataset, "PerFrameFunctionalGroupsSequence")
    kinds = dataset.get("ImageType") or ()
    kinds = [str(kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)]
    # enhanced classes and PET allow only PRIMARY as the second value
    primary = per_frame or dataset.SOPClassUID == PositronEmissionTomographyImageStorage
    dataset.ImageType = ["DERIVED", "PRIMARY" if primary else "SECONDARY", *kinds[2:]]
    done = derivation(reference, note)
    if not per_frame:
        dataset.update(done)
        return
    # there the whole story belongs to the frame; the sentence is repeated where every viewer shows it
    dataset.DerivationDescription = done.DerivationDescription
    per_frame[0].DerivationImageSequence = [done]


def _keep_lossy_history(dataset: Dataset, header: Header) -> None:
    """Say that detail was lost before, where the transfer syntax of the source proves it and the header is silent."""
    if text(dataset, "LossyImageCompression") or header.syntax not in LOSSY:
        return
    _, rows, columns = header.shape
    size = rows * columns * header.samples * header.frames * (numbers(dataset, "BitsAllocated") or [8])[0] / 8
    dataset.LossyImageCompression = "01"
    dataset.LossyImageCompressionRatio = f"{size / header.length:.4g}"
    dataset.LossyImageCompressionMethod = LOSSY[header.syntax]
