"""The spacing of a data set, from its headers alone."""

import csv

import pytest

from trials.data.spacing.plan import NativeGrid, at_spacing, case_bytes, median_size, resized
from trials.records.spec import Spacing


@pytest.fixture(scope="module")
def kits23(fixtures):
    """The grids of all 489 cases, and their numbers."""
    with (fixtures / "data" / "kits23_cases.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {
        int(row["case"][5:]): NativeGrid(
            shape=tuple(int(row[name]) for name in ("slices", "height", "width")),
            spacing_mm=tuple(float(row[name]) for name in ("slice_mm", "row_mm", "column_mm")),
        )
        for row in rows
    }


@pytest.mark.parametrize(
    ("rule", "mm", "median", "gigabytes"),
    [
        ("fullres", (1.0, 0.78125, 0.78125), (417, 512, 512), 164.6),
        ("lowres", (2.35657, 1.84107, 1.84107), (177, 217, 217), 12.7),
    ],
)
def test_kits23_is_planned_as_nnunet_plans_it(kits23, rule, mm, median, gigabytes):
    grids = list(kits23.values())

    planned = at_spacing(Spacing(mm=rule), grids)

    assert planned == Spacing(mm=mm)
    assert tuple(median_size(grids, planned.mm)) == median
    total = sum(case_bytes(planned, 1, resized(grid, planned.mm)) for grid in grids)
    assert total / 1e9 == pytest.approx(gigabytes, abs=0.05)


def test_other_cases_would_give_another_spacing(kits23):
    of_the_paper = [grid for number, grid in kits23.items() if number < 437]

    assert at_spacing(Spacing(mm="fullres"), of_the_paper).mm == (0.78125, 0.78125, 0.78125)
    assert at_spacing(Spacing(mm="lowres"), of_the_paper).mm == pytest.approx((2.01,) * 3, abs=5e-3)


def test_a_spacing_in_millimetres_stays_and_small_volumes_are_not_made_coarser():
    grids = [NativeGrid((40, 100, 100), (2.0, 1.0, 1.0))] * 3

    assert at_spacing(Spacing(mm=(4.0, 3.0, 3.0)), []).mm == (4.0, 3.0, 3.0)
    assert at_spacing(Spacing(mm="lowres"), grids).mm == (2.0, 1.0, 1.0)
    with pytest.raises(ValueError, match=r"Spacing\(mm='lowres'\) needs the headers"):
        at_spacing(Spacing(mm="lowres"), [])


def test_the_finer_axes_grow_first_where_one_is_more_than_twice_as_coarse():
    grids = [NativeGrid((200, 800, 800), (5.0, 2.0, 2.0))]

    depth, height, width = at_spacing(Spacing(mm="lowres"), grids).mm

    assert depth > 5
    assert height == width
    # From 2 to half of 5 they grow alone, then all grow together.
    assert 2 / 1.03 < depth / height <= 2
