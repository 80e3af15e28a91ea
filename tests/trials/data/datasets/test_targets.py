"""Which regions a grid trains on, what is refused, and how often each occurs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_jobs import NESTED

from trials.data.batches.occurrence import count_classes
from trials.data.datasets.label_set import Region
from trials.data.datasets.registry import DATASETS, Case, Dataset
from trials.data.datasets.targets import check_regions, target_regions
from trials.data.prepared.cache import open_cache
from trials.records.targets import TargetRegion, Targets, target_names, targets_text


def data_set(regions=(), order=(), name="nnunet", classes=("background", "edema", "core")):
    found = tuple(Region(name=one, labels=of, tolerance_mm=1.0) for one, of in regions)
    case = Case(case="a", image=Path("a"), labels=Path("b"))
    return Dataset(
        name=name,
        root=Path("DATA"),
        classes=classes,
        cases=(case,),
        regions=found,
        class_order=order,
    )


WHOLE, CORE = ("whole", (1, 2)), ("core", (2,))


def test_regions_of_dataset_json_come_before_those_of_the_entry():
    kits = ("background", "kidney", "tumor", "cyst")
    own = data_set((WHOLE, CORE), (1, 2), "kits23", kits)

    assert [one.name for one in target_regions(own, "regions")] == ["whole", "core"]
    assert target_regions(data_set(name="kits23", classes=kits), "regions") == NESTED
    assert target_regions(own, "labels") == ()


@pytest.mark.parametrize(
    ("dataset", "told"),
    [
        (data_set(), "needs regions, and nnunet in DATA has none; give them in dataset.json"),
        (
            data_set((WHOLE, CORE)),
            r"class_order of nnunet must hold a label of each region \(whole, core\), in their "
            "order, since it says which label a region's voxels become; got none",
        ),
        (
            data_set((CORE, WHOLE), (2, 1)),
            r"label 2 \(core\) would be predicted as 1 \(edema\), which lies in other regions; "
            "name each region after those that contain it",
        ),
    ],
    ids=["no regions", "no order", "the outer region last"],
)
def test_regions_that_cannot_be_predicted_are_refused_in_a_sentence(dataset, told):
    with pytest.raises(ValueError, match=told):
        target_regions(dataset, "regions")


def test_a_single_region_may_join_labels_for_good():
    assert target_regions(data_set((WHOLE,), (1,)), "regions") == (
        TargetRegion(name="whole", labels=(1, 2), label=1),
    )


def test_the_order_of_an_entry_must_fit_its_regions():
    with pytest.raises(ValueError, match="class_order of the entry must hold a label of each"):
        check_regions(replace(DATASETS["kits23"], class_order=(1, 1, 2)))
    check_regions(replace(DATASETS["kits23"], class_order=()))


def test_targets_say_what_channels_are_and_what_is_counted():
    targets = Targets(4, NESTED)

    assert (targets.channels, targets.order) == (3, (1, 3, 2))
    assert targets.groups == ((0,), (1, 2, 3), (2, 3), (2,))
    assert Targets(3).groups == ((0,), (1,), (2,))
    assert Targets(4, NESTED[1:]).groups[0] == (0, 1)
    assert target_names(("background", "a", "b", "c"), NESTED[1:]) == (
        *("background", "mass", "tumor"),
    )
    assert targets_text(NESTED[1:]) == "regions mass (2+3), tumor (2), each with a sigmoid"


def test_counts_of_regions_are_those_of_their_masks(small_cache):
    cache = open_cache(small_cache)
    cases = sorted(cache.cases)[:3]

    counts = count_classes(cache, cases, "voxels", NESTED)

    labels = np.stack([cache.labels(case) for case in cases])
    masks = {
        (0,): labels == 0,
        (1,): labels > 0,
        (2,): labels > 1,
        (3,): labels == 2,
    }
    for (number,), mask in masks.items():
        assert counts.voxels[number] == mask.sum()
        assert counts.slices[number] == mask.any((2, 3)).sum()
        assert counts.cases[number] == mask.any((1, 2, 3)).sum()
        if number:
            of_region = counts.regions[number - 1]
            assert of_region.voxels == ((~mask).sum(), mask.sum())
            assert of_region.slices == ((~mask).any((2, 3)).sum(), mask.any((2, 3)).sum())
            assert of_region.is_region
    plain = count_classes(cache, cases)
    assert plain.voxels == tuple((labels == label).sum() for label in range(4))
    assert not plain.regions
