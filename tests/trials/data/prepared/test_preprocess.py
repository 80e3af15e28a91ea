"""One case through the door: what is refused, and what the numbers are when it is not."""

import gzip
from dataclasses import replace

import numpy as np
import pytest
from nifti_toys import CLASSES, IPL, asymmetric, blocks, save

from trials.data.datasets.registry import Case
from trials.data.nifti.header import read_header
from trials.data.prepared.case_checks import Rules, examine_case
from trials.data.prepared.preprocess import (
    Moments,
    Statistics,
    foreground_moments,
    joined,
    prepare_case,
    train_statistics,
)
from trials.records.spec import Cube

SMALL = Cube(edge=8)
RULES = Rules(classes=CLASSES)


def made(tmp_path, image=None, labels=None, affine=IPL):
    image_path = save(tmp_path / "imaging.nii.gz", asymmetric() if image is None else image)
    labels_path = save(
        tmp_path / "segmentation.nii.gz", blocks() if labels is None else labels, affine
    )
    return Case(case="case_00000", image=image_path, labels=labels_path)


def test_a_prepared_image_has_mean_zero_and_deviation_one(tmp_path):
    prepared = prepare_case(made(tmp_path), RULES, SMALL)

    assert (prepared.image.dtype, prepared.image.shape) == (np.float16, (1, 8, 8, 8))
    assert prepared.image.astype(np.float64).mean() == pytest.approx(0, abs=1e-3)
    assert prepared.image.astype(np.float64).std() == pytest.approx(1, abs=1e-3)
    assert prepared.image.astype(np.float64) * prepared.sd[0] + prepared.mean[0] == pytest.approx(
        prepare_case(made(tmp_path), RULES, SMALL, (Statistics(mean=0, sd=1),)).image.astype(
            np.float64
        ),
        abs=1,
    )


def test_prepared_labels_are_bytes_and_a_subset_of_the_masks_labels(tmp_path):
    labels = np.where(blocks() == 3, 1, blocks())

    prepared = prepare_case(made(tmp_path, labels=labels), RULES, SMALL)

    assert prepared.labels.dtype == np.uint8
    assert set(np.unique(prepared.labels)) <= {0, 1, 2}
    assert prepared.class_voxels.tolist() == np.bincount(labels.ravel(), minlength=4).tolist()


def test_a_case_of_one_slice_can_be_prepared(tmp_path):
    prepared = prepare_case(
        made(tmp_path, asymmetric((1, 14, 9)), blocks((1, 14, 9))), RULES, SMALL
    )

    assert np.isfinite(prepared.image).all()


def test_given_statistics_are_used_as_they_are(tmp_path):
    image = np.where(np.arange(11)[:, None, None] < 6, 150, 50) * np.ones((11, 14, 9), np.int16)

    prepared = prepare_case(
        made(tmp_path, image=image.astype(np.int16)), RULES, SMALL, (Statistics(mean=100, sd=25),)
    )

    assert (prepared.image.max(), prepared.image.min()) == (2, -2)


def test_intensities_beyond_float16_ask_for_a_window(tmp_path):
    image = asymmetric().astype(np.float32) * 1e6

    with pytest.raises(ValueError, match=r"imaging.nii.gz: intensities leave float16.*clip_hu"):
        prepare_case(made(tmp_path, image=image), RULES, SMALL, (Statistics(mean=0, sd=1),))


def test_a_mask_of_another_shape_is_named_with_both_shapes(tmp_path):
    with pytest.raises(
        ValueError, match=r"segmentation.nii.gz: has shape 10x14x9, its image 11x14x9"
    ):
        prepare_case(made(tmp_path, labels=blocks((10, 14, 9))), RULES, SMALL)


def in_three_channels(tmp_path, is_one_file):
    """A CT, a map from 0 to 1 and counts; the third lies as it is in the world in files alone."""
    channels = [asymmetric(), asymmetric(seed=1) / 2000, asymmetric(seed=2) % 7]
    labels = save(tmp_path / "labels.nii.gz", blocks())
    if is_one_file:
        stacked = np.stack(channels, -1).astype(np.float32)
        return Case(case="one", image=save(tmp_path / "all.nii.gz", stacked), labels=labels)
    image, *others = (
        save(tmp_path / f"{number}.nii.gz", channel.astype(np.float32))
        for number, channel in enumerate(channels)
    )
    return Case(case="one", image=image, labels=labels, other_images=tuple(others))


def test_each_channel_is_normalised_by_its_name_and_one_file_of_all_gives_the_same(tmp_path):
    rules = Rules(classes=CLASSES, channels=("t1", " ct", "PET"))
    clipped = Cube(edge=8, clip_hu=(0.2, 0.4))

    files, whole = (
        prepare_case(in_three_channels(tmp_path, one), rules, clipped, (None, given, None))
        for one, given in ((False, Statistics(mean=0, sd=1)), (True, Statistics(mean=0, sd=1)))
    )
    alone = prepare_case(made(tmp_path), Rules(classes=CLASSES, channels=("MR",)), clipped)

    assert np.array_equal(files.image, whole.image)
    assert len(files.digests) == 4
    assert len(whole.digests) == 2
    # The second is a CT: clipped, and normalised by what was given; the others by their own.
    assert (files.image[1].min(), files.image[1].max()) == pytest.approx((0.2, 0.4), abs=1e-3)
    assert files.mean[1:2] + files.sd[1:2] == (0, 1)
    assert np.array_equal(files.image[0], alone.image[0])
    assert files.image[2].astype(np.float64).std() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("is_packed", "word"),
    [(True, "4 bytes of its last channels are missing"), (False, "more than a file of")],
)
def test_a_file_of_channels_that_is_cut_is_refused(tmp_path, is_packed, word):
    case = in_three_channels(tmp_path, True)
    cut = gzip.decompress(case.image.read_bytes())[:-4]
    path = case.image if is_packed else case.image.with_suffix("")
    path.write_bytes(gzip.compress(cut) if is_packed else cut)
    rules = Rules(classes=CLASSES, channels=("T1", "T2", "PET"))

    faults = examine_case(rules, replace(case, image=path)).faults

    assert word in faults[0].message
    # The first channels say the same; the last one may name the plane.
    assert len(faults) == 1 + is_packed


def test_a_channel_that_is_a_copy_of_another_is_noted(tmp_path):
    rules = Rules(classes=CLASSES, channels=("T1", "T2", "PET"))
    case = in_three_channels(tmp_path, False)
    save(case.other_images[1], asymmetric().astype(np.float32), descrip=b"a copy")

    for notes in (examine_case(rules, case).faults, prepare_case(case, rules, SMALL).notes):
        (note,) = notes
        assert note.message == "channel 2, PET, has the voxels of channel 0, T1"


def test_raw_values_of_a_ct_are_noted_where_no_rule_is_known(tmp_path):
    case = made(tmp_path)
    save(case.image, asymmetric() + 1024)

    (note,) = examine_case(Rules(classes=CLASSES), case).faults

    assert note.message.endswith("from 1031 to 2204; a CT in HU holds air, near -1000")


def test_a_channel_on_another_grid_or_too_many_are_refused(tmp_path):
    rules = Rules(classes=CLASSES, channels=("T1", "T2", "PET"))
    case, whole = in_three_channels(tmp_path, False), in_three_channels(tmp_path, True)
    moved = IPL.copy()
    moved[0, 3] += 5
    save(case.other_images[1], asymmetric(), moved)

    with pytest.raises(ValueError, match=r"2.nii.gz: has another affine than its first channel"):
        prepare_case(case, rules, SMALL)
    assert [fault.code for fault in examine_case(rules, case).faults] == ["grids_differ"]
    two = Rules(classes=CLASSES, channels=("T1", "T2"))
    with pytest.raises(ValueError, match=r"must hold 2 channels in axis 4; its shape is .*, 3\]"):
        prepare_case(whole, two, SMALL)
    with pytest.raises(ValueError, match=r"2 channels lies in 2 files or in one.*; got 3 files"):
        prepare_case(case, two, SMALL)


@pytest.mark.parametrize(("shift", "is_refused"), [(0.04, False), (0.06, True), (5, True)])
def test_a_mask_may_lie_a_twentieth_of_a_millimetre_off_and_no_more(tmp_path, shift, is_refused):
    affine = IPL.copy()
    affine[0, 3] += shift
    case = made(tmp_path, affine=affine)

    if is_refused:
        with pytest.raises(
            ValueError, match=rf"segmentation.nii.gz: has another affine .* {shift:.3g} mm off"
        ):
            prepare_case(case, RULES, SMALL)
    else:
        prepare_case(case, RULES, SMALL)


def test_foreground_moments_are_those_of_the_clipped_voxels_under_the_mask(tmp_path):
    case = made(tmp_path)

    moments = foreground_moments(
        read_header(case.image), read_header(case.labels), RULES.labels, (300, 900)
    )

    voxels = asymmetric().clip(300, 900)[blocks() > 0].astype(np.float64)
    assert moments.count == voxels.size
    assert moments.mean == pytest.approx(voxels.mean(), rel=1e-12)
    assert moments.squares == pytest.approx(voxels.var() * voxels.size, rel=1e-12)


def test_ignored_voxels_are_no_foreground(tmp_path):
    case, rules = made(tmp_path), Rules(classes=CLASSES[:3], has_ignore=True)

    moments = foreground_moments(read_header(case.image), read_header(case.labels), rules.labels)
    prepared = prepare_case(case, rules, SMALL)

    voxels = np.bincount(blocks().ravel())
    assert moments.count == voxels[1] + voxels[2]
    assert [*prepared.class_voxels, prepared.ignored_voxels] == voxels.tolist()
    assert prepared.labels.max() == 3


def test_joined_moments_are_those_of_the_whole():
    voxels = np.random.default_rng(0).normal(100, 30, 1000)
    whole = Moments()
    for part in (voxels[:1], voxels[1:700], voxels[:0], voxels[700:]):
        mean = float(part.mean()) if part.size else 0.0
        whole = joined(
            whole, Moments(count=part.size, mean=mean, squares=float(((part - mean) ** 2).sum()))
        )

    statistics = train_statistics(whole)

    assert statistics.mean == pytest.approx(voxels.mean(), rel=1e-5)
    assert statistics.sd == pytest.approx(voxels.std(), rel=1e-5)


@pytest.mark.parametrize("moments", [Moments(), Moments(count=10, mean=40.0)])
def test_statistics_of_nothing_or_of_a_constant_are_refused(moments):
    with pytest.raises(ValueError, match="foreground of varying intensity"):
        train_statistics(moments)
