"""What studies taught: PED-ANOVA finds the parameter that decides, and says nothing where there is
too little.
"""

import pytest

from bench.search.studies import importance, write_studies
from bench.spaces import Range
from trials.records.result_file import read_results
from trials.records.run_record import write_run_record

SPACE = {"lr": Range(low=1e-5, high=1e-2, log=True), "gamma": Range(low=0.0, high=5.0)}


def trials(num):
    """The score depends on gamma alone; lr runs through its range in another order."""
    return [
        ({"lr": 1e-5 * 10 ** (3 * (i * 7 % num) / num), "gamma": 5.0 * i / num}, i / num)
        for i in range(num)
    ]


def test_the_parameter_that_decides_is_the_important_one():
    found = importance(trials(24), SPACE)

    assert found["gamma"] > 0.8
    assert sum(found.values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "few",
    [trials(2), trials(9), [(hyper, 0.5) for hyper, _ in trials(24)]],
    ids=["2", "9", "all alike"],
)
def test_too_little_teaches_nothing(few):
    assert importance(few, SPACE) is None


def test_a_default_outside_the_range_is_set_aside():
    assert importance([({"lr": 1.0, "gamma": 2.0}, 0.3), *trials(12)], SPACE) == importance(
        trials(12), SPACE
    )


def test_a_run_folder_without_tuning_gets_no_studies(tmp_path):
    write_run_record(tmp_path, {"studies": []})

    write_studies(tmp_path, read_results(tmp_path).values())

    assert not (tmp_path / "studies.json").exists()


def test_no_run_folder_is_an_error_with_the_way_out(tmp_path):
    with pytest.raises(ValueError, match="name the folder that a run wrote"):
        write_studies(tmp_path, read_results(tmp_path).values())
