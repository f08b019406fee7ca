"""NIfTI volumes and slices in [0, 1], and the way back into a copy of the file."""

import gzip

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream, stream
from aseptic.data.base import ReadOptions
from aseptic.data.nifti import Nifti, read_mask

FORM, AUTO = Nifti(), ReadOptions()
ROUNDING = 3e-7
AFFINE = np.array([[-2.0, 0, 0, 90], [0, 0, 3, -120], [0, 1.5, 0, -70], [0, 0, 0, 1]])
"""Turned and mirrored, so that an array that was reoriented would show."""


def make_nifti(path, voxels, *, slope=None, intercept=None, version=1, big_endian=False, **fields):  # noqa: PLR0913
    """Write stored ``voxels`` with their scaling and return the path."""
    kind = nib.Nifti1Image if version == 1 else nib.Nifti2Image
    header = kind.header_class(endianness=">" if big_endian else "<")
    header.set_data_dtype(voxels.dtype)
    image = kind(voxels.astype(voxels.dtype.newbyteorder(header.endianness)), AFFINE, header)
    image.header.set_xyzt_units("mm")
    for field, value in fields.items():
        image.header[field] = value
    if slope is not None:
        image.header.set_slope_inter(slope, intercept)
        image = kind(np.asarray(voxels * slope + intercept), AFFINE, image.header)
    nib.save(image, path)
    return path


def _stored(path):
    return np.asarray(nib.load(path).dataobj.get_unscaled())


def _draw(shape, dtype, seed=0):
    info = np.iinfo(dtype)
    return numpy_stream(seed, "voxels").integers(info.min // 2, info.max // 2, shape).astype(dtype)


def test_every_small_file_is_read_or_refused(real):
    folder = real("nifti_misc") / "files"
    shapes = {
        "anatomical.nii": [(1, 33, 41, 25)],
        "example4d.nii.gz": [(1, 128, 96, 24)] * 2,
        "functional.nii": [(1, 17, 21, 3)] * 20,
        "reoriented_anat_moved.nii": [(1, 21, 26, 22)],
        "standard.nii.gz": [(1, 4, 5, 7)],
    }
    assert {path.name for path in folder.iterdir()} == {*shapes, "row_major.dconn.nii"}
    for name, expected in shapes.items():
        path = folder / name
        assert FORM.claims(path)
        frames = FORM.probe(path, AUTO)
        assert [frame.shape for frame in frames] == expected
        values = np.asarray(nib.load(path).dataobj, dtype=np.float64).reshape(*expected[0][1:], -1)
        for frame, wanted in zip(frames[::7], np.moveaxis(values, -1, 0)[::7], strict=True):
            image = FORM.read(path, frame.index, AUTO)
            unit = np.clip((wanted - image.scale.low) / (image.scale.high - image.scale.low), 0, 1)
            np.testing.assert_allclose(image.pixels[0].numpy(), unit, atol=1e-6)
    with pytest.raises(InputError, match="holds no image: it is Cifti2, not a grid of voxels"):
        FORM.probe(folder / "row_major.dconn.nii", AUTO)


def test_a_real_set_is_read_with_its_masks(real):
    folder = real("nifti_hippocampus")
    paths = sorted((folder / "images").iterdir())
    assert len(paths) == 80
    for path in paths[::8]:
        image = FORM.read(path, None, AUTO)
        assert image.spacing == (1, 1, 1)
        assert (image.pixels.min(), image.pixels.max()) == (0, pytest.approx(1))
        mask = read_mask(folder / "labels" / path.name)
        assert mask.shape == image.pixels.shape[1:]
        assert set(mask.unique().tolist()) == {0, 1, 2}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    dtype=st.sampled_from(["uint8", "int16", "uint16", "int32"]),
    slope=st.sampled_from([None, 0.5, 12.25]),
    version=st.integers(1, 2),
    suffix=st.sampled_from([".nii", ".nii.gz"]),
    slices=st.sampled_from([None, 0, 1, 2]),
    window=st.sampled_from(["auto", "1000/9000"]),
    seed=st.integers(0, 10_000),
)
def test_what_is_written_is_read_back(tmp_path, dtype, slope, version, suffix, slices, window, seed):  # noqa: PLR0913, PLR0917
    voxels = _draw((4, 5, 3, 2), dtype, seed)
    source = make_nifti(tmp_path / f"a{suffix}", voxels, slope=slope, intercept=-7.5, version=version)
    options = ReadOptions(window=window, slices=slices)
    frame = FORM.probe(source, options)[1].index
    image = FORM.read(source, frame, options)
    moved = torch.rand(image.pixels.shape, generator=stream(seed)) < 0.5
    noise = torch.rand(image.pixels.shape, generator=stream(seed, "noise"))
    low, high = image.pixels.min(), image.pixels.max()
    wanted = torch.where(moved, low + noise * (high - low), image.pixels)
    target = tmp_path / f"b{suffix}"
    FORM.write(wanted, target, source=source, frame=frame, options=options, note="pgd")
    back = FORM.read(target, frame, options)
    assert (back.pixels - wanted).abs().max() <= image.scale.step / 2 + ROUNDING
    differs = _stored(target) != _stored(source)
    assert differs.sum() <= moved.sum()
    other = [index for index in range(len(FORM.probe(source, options))) if index != frame]
    pinned = ReadOptions(window=window, slices=slices)
    for index in other[:2]:
        before, after = (FORM.read(path, index, pinned).pixels for path in (source, target))
        assert torch.equal(before, after), "other frames keep their voxels and their grey levels"


def test_the_copy_keeps_everything_but_the_frame_and_says_what_it_is(real, tmp_path):
    source = real("nifti_misc") / "files" / "example4d.nii.gz"
    image = FORM.read(source, 1, AUTO)
    wanted = image.pixels.clone()
    wanted[0, 3, 4, 5] = 1 - wanted[0, 3, 4, 5]
    target = FORM.write(wanted, tmp_path / "b.nii.gz", source=source, frame=1, options=AUTO, note="pgd " * 40)
    old, new = nib.load(source), nib.load(target)
    assert np.argwhere(_stored(source) != _stored(target)).tolist() == [[3, 4, 5, 1]]
    np.testing.assert_array_equal(old.affine, new.affine)
    assert [extension.get_content() for extension in new.header.extensions] == [
        extension.get_content() for extension in old.header.extensions
    ]
    changed = {key for key in old.header if old.header[key].tobytes() != new.header[key].tobytes()}
    assert changed == {"descrip"}
    assert str(new.header["descrip"].item(), "ascii").startswith("ADVERSARIAL TEST IMAGE, NOT FOR DIAGNOSIS. pgd")


def test_orientation_spacing_and_byte_order_are_kept(tmp_path):
    voxels = _draw((3, 4, 5), np.int16)
    source = make_nifti(tmp_path / "a.nii", voxels, big_endian=True)
    image = FORM.read(source, None, AUTO)
    assert image.spacing == (2, 1.5, 3)
    low, high = voxels.min(), voxels.max()
    np.testing.assert_allclose(image.pixels[0].numpy(), (voxels - float(low)) / (float(high) - low), atol=1e-6)
    target = FORM.write(1 - image.pixels, tmp_path / "b.nii", source=source, frame=None, options=AUTO, note="")
    written = nib.load(target)
    assert written.header.endianness == ">"
    np.testing.assert_array_equal(written.affine, nib.load(source).affine)
    assert (written.header["cal_min"], written.header["cal_max"]) == (low, high)


def test_slices_are_cut_along_the_axis(tmp_path):
    voxels = _draw((3, 4, 5), np.uint8)
    path = make_nifti(tmp_path / "a.nii", voxels)
    whole = FORM.read(path, None, AUTO).pixels
    for axis, shape in ((0, (1, 4, 5)), (1, (1, 3, 5)), (2, (1, 3, 4))):
        options = ReadOptions(slices=axis)
        frames = FORM.probe(path, options)
        assert [frame.shape for frame in frames] == [shape] * voxels.shape[axis]
        cut = torch.stack([FORM.read(path, frame.index, options).pixels for frame in frames], axis + 1)
        assert torch.equal(cut, whole)
    assert FORM.read(path, 1, ReadOptions(slices=1)).spacing == (2, 3)


def test_a_volume_of_one_slice_is_a_flat_image(tmp_path):
    path = make_nifti(tmp_path / "a.nii", _draw((3, 4, 1), np.uint8))
    assert [(frame.index, frame.shape) for frame in FORM.probe(path, AUTO)] == [(None, (1, 3, 4))]
    assert FORM.read(path, None, AUTO).spacing == (2, 1.5)


def test_voxels_that_are_not_numbers_are_read_as_zero_and_kept(tmp_path):
    voxels = numpy_stream(0, "nan").random((3, 4, 5)).astype(np.float32) * 40
    voxels[0, 0, :3] = np.nan, np.inf, -np.inf
    source = make_nifti(tmp_path / "a.nii", voxels)
    image = FORM.read(source, None, AUTO)
    assert image.pixels[0, 0, 0, :3].tolist() == [0, 0, 0]
    assert "3 values that are not numbers read as 0" in image.scale.how
    assert (image.scale.high, image.scale.step) == (pytest.approx(voxels[np.isfinite(voxels)].max()), 0)
    wanted = image.pixels.clone()
    wanted[0, 1:] = 1 - wanted[0, 1:]
    target = FORM.write(wanted, tmp_path / "b.nii", source=source, frame=None, options=AUTO, note="")
    np.testing.assert_array_equal(_stored(target)[0], voxels[0])
    assert (FORM.read(target, None, AUTO).pixels - wanted).abs().max() <= ROUNDING


def test_the_display_range_of_the_header_is_used(tmp_path):
    voxels = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    path = make_nifti(tmp_path / "a.nii", voxels, cal_min=10, cal_max=30)
    found = FORM.read(path, None, AUTO)
    np.testing.assert_allclose(found.pixels[0].numpy(), np.clip((voxels - 10.0) / 20, 0, 1), atol=1e-6)
    assert found.scale.how == "no scaling, display range of the header"
    full = FORM.read(path, None, ReadOptions(window="full"))
    np.testing.assert_allclose(full.pixels[0].numpy(), voxels / 255, atol=1e-6)


def test_refuses_to_write_what_cannot_be_read_back(tmp_path):
    voxels = numpy_stream(0, "full").random((3, 4, 5)).astype(np.float32)
    source, options = make_nifti(tmp_path / "a.nii", voxels), ReadOptions(window="full")
    with pytest.raises(InputError, match=r"read as 'full', .* read with window auto or CENTRE/WIDTH"):
        FORM.write(
            torch.full((1, 3, 4, 5), 0.5), tmp_path / "b.nii", source=source, frame=None, options=options, note=""
        )
    assert not list(tmp_path.glob("*b.nii*"))
    mgh = tmp_path / "a.mgz"
    nib.save(nib.MGHImage(voxels, AFFINE), mgh)
    assert FORM.claims(mgh)
    assert FORM.read(mgh, None, AUTO).pixels.shape == (1, 3, 4, 5)
    with pytest.raises(InputError, match="an MGH file has no place for a mark that it is derived"):
        FORM.write(torch.zeros(1, 3, 4, 5), tmp_path / "b.mgz", source=mgh, frame=None, options=AUTO, note="")


def test_masks_are_exact_whole_numbers(tmp_path):
    labels = np.array([[[0, 70_001], [3, 2]]], np.int32)
    path = make_nifti(tmp_path / "a.nii.gz", labels)
    assert read_mask(path).tolist() == labels.tolist()
    assert read_mask(path, 1, slices=1).tolist() == [[3, 2]]
    make_nifti(path, np.array([[[0.0, 1.5], [3, 2]]], np.float32))
    with pytest.raises(InputError, match=r"a mask must hold whole numbers, got 1\.5"):
        read_mask(path)


def test_refuses_bad_options_and_frames(tmp_path):
    path = make_nifti(tmp_path / "a.nii", _draw((3, 4, 5, 2), np.uint8))
    with pytest.raises(InputError, match="slices must be None, 0, 1 or 2, got 3"):
        FORM.probe(path, ReadOptions(slices=3))
    with pytest.raises(InputError, match="frame must be one of 0 to 1, got None"):
        FORM.read(path, None, AUTO)
    with pytest.raises(InputError, match=r"pixels must have the source's shape \[1, 3, 4, 5\], got \[1, 5, 4, 3\]"):
        FORM.write(torch.zeros(1, 5, 4, 3), tmp_path / "b.nii", source=path, frame=0, options=AUTO, note="")


def test_refuses_colour_complex_cut_and_broken_files(tmp_path):
    path = tmp_path / "DOE_12345.nii"
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), np.complex64), AFFINE), path)
    with pytest.raises(InputError, match="voxels must be integers or floating-point numbers, got complex64"):
        FORM.probe(path, AUTO)
    colour = np.zeros((2, 2, 2), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colour, AFFINE), path)
    with pytest.raises(InputError, match="voxels must be integers or floating-point numbers"):
        FORM.probe(path, AUTO)
    whole = make_nifti(path, _draw((8, 8, 8), np.int16)).read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(InputError, match="the voxels end early: 924 of 1024 bytes"):
        FORM.probe(path, AUTO)
    packed = tmp_path / "DOE_12345.nii.gz"
    packed.write_bytes(gzip.compress(whole)[:-60])
    with pytest.raises(InputError, match="the voxels cannot be read; the file may be cut off") as caught:
        FORM.read(packed, None, AUTO)
    assert "DOE" not in str(caught.value)
    path.write_bytes(whole[:200])
    with pytest.raises(InputError, match="the NIfTI header cannot be parsed"):
        FORM.probe(path, AUTO)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_headers_are_read_or_refused_and_nothing_else(tmp_path, data):
    damaged = bytearray(make_nifti(tmp_path / "a.nii", _draw((4, 4, 4), np.int16)).read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(4, 347))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.nii"
    path.write_bytes(damaged)
    try:
        images = [FORM.read(path, frame.index, AUTO) for frame in FORM.probe(path, AUTO)[:2]]
    except InputError:
        return
    assert all(image.pixels.isfinite().all() for image in images)


def test_claims_by_the_first_bytes(tmp_path):
    path = tmp_path / "file"
    for content in (b"", b"\x1f\x8b broken", b"\x89PNG" + b"\0" * 400, b"\0" * 128 + b"DICM" + b"\0" * 300):
        path.write_bytes(content)
        assert FORM.claims(path) is False
    for suffix in (".nii", ".nii.gz"):
        make_nifti(tmp_path / f"a{suffix}", _draw((2, 2, 2), np.uint8), version=2)
        assert FORM.claims(tmp_path / f"a{suffix}") is True
