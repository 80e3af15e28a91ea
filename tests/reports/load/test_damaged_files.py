"""What a page says of files in the run folder that are damaged, or lead elsewhere: left out and
named, or an error by name.
"""

import dataclasses
import re

import pytest
from made_up import MadeUp, all_results, write_run

from reports.build import build_report
from reports.figures.slices import picture_case
from reports.load.stored import describe_damage, has_volumes, read_volumes
from trials.storage.checksum import check_byte_checksum

MADE = MadeUp(models=("unet3d",), losses=("focal",), seeds=(0,), num_val=1, num_test=3, edge=16)
VICTIM = "case_00002"
DAMAGE = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "junk": lambda content: b"junk" * 100,
    "flipped": lambda content: content[:100] + bytes([content[100] ^ 1]) + content[101:],
    "start alone": lambda content: b"PK\x03\x04" + b"x" * 100,
}


@pytest.fixture(scope="module")
def page_and_run(tmp_path_factory):
    """The page of a sound run with pictures, and its folder."""
    out = write_run(tmp_path_factory.mktemp("pictured"), MADE)
    return build_report(out).read_text(), out


def pictures_of(out, case):
    """Both files of a patient."""
    (predicted,) = out.glob(f"trials/*/cases/{case}.npz")
    return out / "cases" / f"{case}.npz", predicted


def spoil(path, change, with_seal=True):
    content = path.read_bytes()
    path.write_bytes(change(content if with_seal else check_byte_checksum(content)))
    return content


@pytest.mark.parametrize("with_seal", [True, False], ids=["add_checksum", "of an older run"])
@pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_picture_is_none_and_is_named(page_and_run, change, with_seal):
    _, out = page_and_run
    both = pictures_of(out, VICTIM)
    trial = both[1].parents[1].name
    for path in both:
        content = spoil(path, change, with_seal)

        told = describe_damage(out, trial, VICTIM)

        assert told.startswith(f"{path.relative_to(out)} is damaged (")
        assert not has_volumes(out, trial, VICTIM)
        assert read_volumes(out, trial, VICTIM) is None
        assert picture_case(out, trial, VICTIM, "ct", MADE.classes) is None
        path.write_bytes(content)
        assert describe_damage(out, trial, VICTIM) == ""


def test_a_page_leaves_damaged_pictures_out_names_them_and_is_whole_again_without_the_damage(
    page_and_run,
):
    page, out = page_and_run
    path, _ = pictures_of(out, VICTIM)
    content = spoil(path, DAMAGE["flipped"])

    spoilt = build_report(out).read_text()
    path.write_bytes(content)

    for section in ("worst", "figures"):
        text = re.search(rf'<section id="{section}".*?</section>', spoilt, re.DOTALL)[0]
        assert f"Left out: cases/{VICTIM}.npz is damaged (" in text
        assert str(out) not in text
    assert spoilt.count("data:image") < page.count("data:image")
    assert build_report(out).read_text() == page


def test_f42_cubes_that_were_made_again_during_the_run_are_a_warning_on_page_one(tmp_path):
    results = all_results(MADE)
    again = {"cases_prepared_again": ["case_00001-0a1b.image.npy"]}
    results[0] = dataclasses.replace(results[0], facts=results[0].facts | again)

    page = build_report(write_run(tmp_path, MADE, results), "none").read_text()

    first_page = page.split('<section id="leaderboard"')[0]
    assert "1 prepared cube had changed on disk and was prepared again" in first_page
    assert "case_00001-0a1b.image.npy" in first_page
    assert (
        "prepared cube"
        not in build_report(write_run(tmp_path, MADE), "none")
        .read_text()
        .split('<section id="leaderboard"')[0]
    )


def test_f34_a_case_name_in_a_result_leads_to_no_picture_outside_the_run(page_and_run, tmp_path):
    _, out = page_and_run
    source, predicted = pictures_of(out, VICTIM)
    trial = predicted.parents[1].name
    for path in (source, predicted):
        (tmp_path / path.name).write_bytes(path.read_bytes())

    for name in (
        f"../../../{tmp_path.name}/{VICTIM}",
        str(tmp_path / VICTIM),
        f"x/../{VICTIM}",
        f"{VICTIM}\0",
    ):
        assert not has_volumes(out, trial, name)
        assert picture_case(out, trial, name, "ct", MADE.classes) is None
    assert has_volumes(out, trial, VICTIM)
