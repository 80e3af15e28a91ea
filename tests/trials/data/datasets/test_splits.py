"""Splits: every case once, the paper's as printed, ours balanced and never shifting."""

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from nifti_toys import blocks, dataset_of, save

from trials.data.datasets.kits23 import CASE_IDS, case_name
from trials.data.datasets.registry import DATASETS, Case, Dataset, Split, split_cases
from trials.data.datasets.splits import STRATIFIED, deal, groups_digest, read_groups

CLASSES = ("background", "kidney", "tumor", "cyst")


def named(names, dataset="kits23", class_voxels=None):
    cases = tuple(Case(case=name, image=Path(name), labels=Path(name)) for name in names)
    return Dataset(
        name=dataset, root=Path(), classes=CLASSES, cases=cases, class_voxels=class_voxels
    )


ALL_KITS = named([case_name(number) for number in CASE_IDS])


def numbers(names):
    return {int(name[-5:]) for name in names}


def test_the_papers_split_is_the_one_it_prints():
    split = split_cases(ALL_KITS, "paper", 0)

    assert numbers(split.train) == {*range(300), *range(400, 437)}
    assert numbers(split.val) == set(range(437, 507))
    assert numbers(split.test) == set(range(507, 588))
    assert (len(split.train), len(split.val), len(split.test)) == (337, 70, 81)
    assert list(split.excluded) == ["case_00588"]
    assert "paper" in split.excluded["case_00588"]


def test_the_five_test_groups_are_every_case_of_kits23_once():
    splits = [split_cases(ALL_KITS, "stratified", fold) for fold in range(5)]

    assert sorted(case for split in splits for case in split.test) == [
        case.case for case in ALL_KITS.cases
    ]
    assert all(split.val == splits[(fold + 1) % 5].test for fold, split in enumerate(splits))
    assert all(len(split.train) + len(split.val) + len(split.test) == 489 for split in splits)


def test_the_stratified_groups_are_the_published_ones():
    assert (
        groups_digest(read_groups(STRATIFIED))
        == "cead2a0af6d57db612559b6371c99099bed299f68350e26bcb927b58e57a7dd0"
    )


def test_altered_groups_are_refused(tmp_path):
    content = json.loads(STRATIFIED.read_text())
    content["groups"][0][0], content["groups"][1][0] = (
        content["groups"][1][0],
        content["groups"][0][0],
    )
    (tmp_path / "groups.json").write_text(json.dumps(content))

    with pytest.raises(ValueError, match=r"groups.json: the groups do not match their digest"):
        read_groups(tmp_path / "groups.json")


def strata_of(facts):
    """The rule of kits23_stratified.json in code: cohort, cyst, third of tumour volume, slice
    thickness.
    """
    by_tumour = sorted(facts, key=lambda row: (float(row["tumor_ml"]), row["case"]))
    third = {row["case"]: 3 * place // len(facts) for place, row in enumerate(by_tumour)}
    return {
        row["case"]: (
            row["cohort"],
            int(row["cyst_voxels"]) > 0,
            third[row["case"]],
            sum(float(row["slice_mm"]) >= bound for bound in (2, 5)),
        )
        for row in facts
    }


@pytest.fixture
def facts(fixtures):
    with (fixtures / "data" / "kits23_cases.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_stratified_groups_follow_from_the_measured_facts(facts):
    assert deal(strata_of(facts), 5) == read_groups(STRATIFIED)


def test_the_stratified_groups_are_alike(facts):
    strata = strata_of(facts)
    groups = read_groups(STRATIFIED)

    assert [len(group) for group in groups] == [98, 98, 98, 98, 97]
    for part, allowed in ((0, 1), (1, 2), (2, 2), (3, 5)):
        counts = [Counter(strata[case][part] for case in group) for group in groups]
        for value in counts[0]:
            found = [count[value] for count in counts]
            assert max(found) - min(found) <= allowed


@pytest.mark.parametrize("splits", ["paper", "stratified"])
def test_a_folder_with_some_cases_keeps_each_in_its_part(splits):
    some = named([case_name(number) for number in (*range(0, 300, 12), *range(400, 589, 8))])

    whole, part = split_cases(ALL_KITS, splits, 0), split_cases(some, splits, 0)

    for name in ("train", "val", "test"):
        assert set(getattr(part, name)) == set(getattr(whole, name)) & {
            case.case for case in some.cases
        }


@pytest.mark.parametrize(
    ("count", "parts"),
    [(88, (64, 8, 16)), (11, (8, 1, 2)), (12, (9, 1, 2)), (4, (2, 1, 1)), (3, (1, 1, 1))],
)
def test_phantoms_are_split_in_their_order(count, parts):
    names = [case_name(number) for number in range(count)]

    split = split_cases(named(names, "phantoms"), "sequential", 0)

    assert (len(split.train), len(split.val), len(split.test)) == parts
    assert [*split.train, *split.val, *split.test] == names


@pytest.mark.parametrize(
    ("dataset", "splits", "names", "counts"),
    [
        ("kits23", "paper", ["case_00000", "case_00588"], "1 train, 0 validation and 0 test"),
        (
            "phantoms",
            "sequential",
            ["case_00000", "case_00001"],
            "0 train, 1 validation and 1 test",
        ),
    ],
)
def test_a_part_without_cases_is_refused_with_the_counts(dataset, splits, names, counts):
    with pytest.raises(ValueError, match=f"2 cases give {counts}"):
        split_cases(named(names, dataset), splits, 0)


@pytest.mark.parametrize(
    ("splits", "fold", "word"),
    [
        ("papr", 0, "did you mean 'paper'"),
        ("paper", 1, r"folds 0\.\.0; got 1"),
        ("stratified", 5, "got 5"),
    ],
)
def test_an_unknown_split_or_fold_is_refused(splits, fold, word):
    with pytest.raises(ValueError, match=word):
        split_cases(ALL_KITS, splits, fold)


def test_dealt_groups_differ_by_one_case_at_most_in_each_stratum():
    strata = {f"case_{number:05d}": (number % 2, number % 3 == 0) for number in range(103)}

    groups = deal(strata, 5)

    assert sorted(case for group in groups for case in group) == sorted(strata)
    for stratum in set(strata.values()):
        sizes = [sum(strata[case] == stratum for case in group) for group in groups]
        assert max(sizes) - min(sizes) <= 1
    assert deal(dict(reversed(strata.items())), 5) == groups


def test_a_seeded_split_spreads_a_rare_class_and_reads_the_masks_once(tmp_path):
    dataset = replace(dataset_of(tmp_path, 20), name="nnunet")
    for index, case in enumerate(dataset.cases):
        save(case.labels, blocks(seed=index) % (4 if index % 4 == 0 else 3))

    splits = [split_cases(dataset, "seeded", fold) for fold in range(5)]
    for case in dataset.cases:
        case.labels.unlink()
    again = [split_cases(dataset, "seeded", fold) for fold in range(5)]

    rare = {case.case for case in dataset.cases[::4]}
    assert [len(rare.intersection(split.test)) for split in splits] == [1] * 5
    assert sorted(case for split in splits for case in split.test) == [
        case.case for case in dataset.cases
    ]
    assert again == splits


def test_counted_masks_give_the_split_that_the_files_give(tmp_path):
    dataset = replace(dataset_of(tmp_path, 10), name="nnunet")
    for index, case in enumerate(dataset.cases):
        save(case.labels, blocks(seed=index) % (2 + index % 3))
    counted = {
        case.case: tuple(int(index % 3 + 2 > label) for label in range(4))
        for index, case in enumerate(dataset.cases)
    }

    from_files = split_cases(dataset, "seeded", 2)

    assert split_cases(replace(dataset, class_voxels=counted), "seeded", 2) == from_files


def test_every_split_of_every_data_set_names_each_case_once():
    for name, part in DATASETS.items():
        names = [case.case for case in ALL_KITS.cases]
        dataset = named(names, name, {case: (1, 1, 1, int(case[-1]) % 2) for case in names})
        own = (Split(train=tuple(names[:300]), val=(), test=tuple(names[300:400])),)
        dataset = replace(dataset, own_splits=own)
        for splits, folds in part.folds.items():
            for fold in range(folds):
                split = split_cases(dataset, splits, fold)
                assert sorted([*split.train, *split.val, *split.test, *split.excluded]) == names
