"""Patients as pictures: on which grid, with or without the CT, in which proportions, and how much
of a page they take.
"""

import json
import re

import numpy as np
import pytest
from made_up import MadeUp, write_run
from made_up_pictures import write_arrays

from reports.build import build_report
from reports.figures.slices import (
    PATIENT_BYTES,
    ct_uris,
    image_notes,
    picture_case,
    shown_channels,
)
from reports.load.stored import read_slices

MADE = MadeUp(models=("unet3d",), losses=("focal",), seeds=(0,), num_val=1, num_test=3, edge=16)
CLASSES = MADE.classes
CASE = "case_00002"


def write_patient(out, image, reference, prediction, index, **more):
    """One patient under trial "t": slices uint8 [n, H, W]."""
    stored = {
        "image": image,
        "reference": reference,
        "index": index,
        "pixel_mm": np.array([1.0, 1.0]),
    } | more
    for path, arrays in (
        (out / "cases" / "one.npz", stored),
        (out / "trials" / "t" / "cases" / "one.npz", {"prediction": prediction, "index": index}),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_arrays(path, arrays)


def square(edge=32, first=8, last=24):
    labels = np.zeros((1, edge, edge), np.uint8)
    labels[:, first:last, first:last] = 1
    return labels


def arrays_of(path):
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def as_older_versions_wrote(path):
    """Slices of the cube, without what tells the patient's own grid."""
    arrays = arrays_of(path)
    write_arrays(
        path,
        {
            name: array
            for name, array in arrays.items()
            if name not in ("pixel_mm", "sheet_reference")
        },
    )
    if "prediction" in arrays:
        write_arrays(path, {name: arrays[name] for name in ("prediction", "volume")})


def gallery_of(page):
    return re.search(r'<figure class="block gallery">.*?</figure>', page, re.DOTALL)[0]


@pytest.mark.parametrize(
    ("dataset", "has_ct"), [("phantoms", True), ("kits23", False), ("mine", False)]
)
def test_the_ct_is_shown_without_being_asked_for_phantoms_alone(tmp_path, dataset, has_ct):
    out = write_run(tmp_path, MadeUp(seeds=(0,), edge=16, dataset=dataset))

    gallery = gallery_of(build_report(out).read_text())

    assert ("data:image/webp" in gallery) == has_ct
    assert ("segbench report RUN --images ct" in gallery) != has_ct


def test_a_run_that_does_not_say_whether_images_may_be_shown_shows_masks(tmp_path):
    out = write_run(tmp_path, MADE)
    record = json.loads((out / "run.json").read_text())
    del record["data"]["shows_images"]
    (out / "run.json").write_text(json.dumps(record))

    assert "data:image/webp" not in gallery_of(build_report(out).read_text())


def test_the_reference_is_solid_the_prediction_dashed_and_an_error_filled(tmp_path):
    write_patient(tmp_path, 200 * square(), square(), np.roll(square(), 4, 2), np.array([7]))

    (slice_,) = picture_case(tmp_path, "t", "one", "ct", CLASSES).slices

    looks = [
        (name, [(shape.look, shape.colour) for shape in shapes]) for name, shapes in slice_.panels
    ]
    blue = "rgb(86, 180, 233)"
    assert looks == [
        ("CT", []),
        ("reference and prediction", [("solid", blue), ("dashed", blue)]),
        ("errors", [("filled", "rgb(255, 90, 54)"), ("filled", "rgb(178, 140, 255)")]),
    ]
    assert (slice_.index, slice_.text) == (7, "64 missed, 64 false, 0 of another class")


def test_masks_alone_are_shown_with_their_surroundings_and_without_the_image(tmp_path):
    write_patient(
        tmp_path, 200 * square(96, 0, 96), square(96, 40, 60), square(96, 40, 60), np.array([7])
    )

    case = picture_case(tmp_path, "t", "one", "masks", CLASSES)

    assert case.slices[0].images == ()
    # 20 pixels and a tenth of them on each side, in tenths.
    assert (case.frame.width, case.frame.height) == (240, 240)


def test_every_stored_channel_is_drawn_within_the_bytes_of_a_patient(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (3, 4, 240, 240)).astype(np.uint8)
    disks = np.repeat(square(240, 80, 160), 4, 0)
    write_patient(tmp_path, noise[0], disks, disks, np.arange(4), other_images=noise[1:])

    case = picture_case(tmp_path, "t", "one", "ct", CLASSES, "image")

    images = [slice_.images for slice_ in case.slices]
    assert [len(set(of)) for of in images] == [3] * 4
    assert sum(len(uri) for of in images for uri in of) <= PATIENT_BYTES
    assert case.slices[0].panels[0] == ("image", ())


def test_channels_of_other_slices_are_an_error_by_name(tmp_path):
    write_patient(
        tmp_path, square(), square(), square(), np.array([7]), other_images=square()[None, :, 1:]
    )

    with pytest.raises(ValueError, match=r"one\.npz: slices of further channels \(1, 1, 31, 32\)"):
        read_slices(tmp_path, "t", "one")


@pytest.mark.parametrize(
    ("channels", "stored", "shown", "told"),
    [
        (["CT"], 1, (), ""),
        (["T1", "T2"], 2, ("T1", "T2"), ""),
        (["T1", "T2"], 1, (), " Of 2 channels the first is shown, T1."),
        (list("abcdef"), 4, tuple("abcd"), " Of 6 channels the first 4 can be chosen."),
    ],
)
def test_a_page_says_which_channels_it_shows(channels, stored, shown, told):
    record = {"data": {"channels": channels}}

    found = shown_channels(record, [("uri",) * stored])

    assert (found, image_notes(record, found)) == (shown, told)


def test_of_a_ct_the_body_is_shown_without_the_air_in_true_proportions(tmp_path):
    image = np.zeros((1, 200, 200), np.uint8)
    image[:, 60:140, 20:180] = 120
    write_patient(
        tmp_path,
        image,
        square(200, 80, 90),
        square(200, 80, 90),
        np.array([7]),
        pixel_mm=np.array([2.0, 0.5]),
    )

    frame = picture_case(tmp_path, "t", "one", "ct", CLASSES).frame

    # The body and 2 % of the picture's edge on each side; its pixels are four times as high as
    # wide.
    assert (frame.width, frame.height) == (1680, 880)
    assert frame.aspect == pytest.approx(168 / 88 / 4, abs=1e-3)


@pytest.mark.parametrize("images", ["ct", "masks"])
def test_a_patient_without_anything_is_shown_whole(tmp_path, images):
    nothing = np.zeros((1, 12, 20), np.uint8)
    write_patient(tmp_path, nothing, nothing, nothing, np.array([0]))

    case = picture_case(tmp_path, "t", "one", images, CLASSES)

    assert (case.frame.width, case.frame.height, len(case.slices)) == (200, 120, 1)


def test_slices_of_the_cube_that_an_older_version_left_are_drawn_and_named(tmp_path):
    out = write_run(tmp_path, MADE)
    for path in out.rglob("cases/*.npz"):
        as_older_versions_wrote(path)

    page = build_report(out).read_text()

    gallery = gallery_of(page)
    (named,) = re.findall(
        r"Axial slices of the cube, as older versions stored them \(([^)]*)\)", gallery
    )
    assert set(re.findall(r"case_\d+", named)) == set(MADE.splits["test"])
    assert gallery.count("<article>") == 3
    assert 'id="figure-2"' in page


@pytest.mark.parametrize("older", ["cases", "trials"])
def test_slices_of_two_versions_are_left_out_and_named(tmp_path, older):
    out = write_run(tmp_path, MADE)
    for path in (out / older).rglob(f"{CASE}.npz"):
        as_older_versions_wrote(path)

    page = build_report(out).read_text()

    assert f"No slices are shown of {CASE}. Left out: {older}/" in page
    assert "holds slices of the cube, as older versions stored them" in page
    assert gallery_of(page).count("<article>") == 2


def test_predictions_of_other_slices_are_an_error_by_name(tmp_path):
    write_patient(tmp_path, square(), square(), square(), np.array([7]))
    write_arrays(
        tmp_path / "trials" / "t" / "cases" / "one.npz",
        {"prediction": square(), "index": np.array([8])},
    )

    with pytest.raises(
        ValueError, match=r"one\.npz: index names other slices than .*one\.npz; delete both"
    ):
        read_slices(tmp_path, "t", "one")


def test_full_cts_of_noise_leave_a_page_of_sixteen_patients_within_eight_megabytes(tmp_path):
    made = MadeUp(
        models=("unet3d",), losses=("focal",), seeds=(0,), num_test=3, edge=32, dataset="kits23"
    )
    out = write_run(tmp_path, made)
    rng = np.random.default_rng(0)
    image = rng.normal(120, 30, (8, 512, 512)).clip(0, 255).astype(np.uint8)
    disks = np.repeat(square(512, 100, 300), 8, 0)
    for path in sorted(out.rglob("cases/*.npz")):
        noisy = (
            {"prediction": np.roll(disks, 9, 2)}
            if "prediction" in arrays_of(path)
            else {"image": image, "reference": disks}
        )
        sheet = (
            {}
            if "prediction" in noisy
            else {"sheet": image[:, :256, :256], "sheet_reference": disks[:, :256, :256]}
        )
        write_arrays(
            path,
            arrays_of(path)
            | noisy
            | {"index": np.arange(8)}
            | sheet
            | {"sheet_index": np.arange(8)},
        )

    page = build_report(out, "ct").read_text()

    gallery = gallery_of(page)
    pictures = re.findall(r"data:image/webp;base64,[\w+/=]+", gallery)
    assert gallery.count("<article>") == 3
    assert len(pictures) == 3 * 8
    assert sum(map(len, pictures)) <= 3 * PATIENT_BYTES
    assert len(page.encode()) + 13 * (len(gallery.encode()) / 3) < 8e6


def test_borders_that_would_fill_a_page_are_of_the_slices_with_most_wrong_voxels(tmp_path):
    speckled = np.zeros((4, 160, 160), np.uint8)
    speckled[:, ::2, ::2] = 1
    speckled[0, ::4] = speckled[3, ::4] = 0
    write_patient(tmp_path, speckled, np.zeros_like(speckled), speckled, np.arange(4))

    case = picture_case(tmp_path, "t", "one", "ct", CLASSES)

    assert [slice_.index for slice_ in case.slices] == [1]
    assert case.num_left_out == 3


def test_a_ct_becomes_coarser_until_it_fits():
    noise = np.random.default_rng(0).integers(0, 256, (512, 512)).astype(np.uint8)

    (fine,), coarse = ct_uris([noise], 10_000_000), ct_uris([noise, noise], PATIENT_BYTES // 8)

    assert len(fine) > 100_000
    assert [len(uri) <= PATIENT_BYTES // 8 for uri in coarse] == [True, True]
