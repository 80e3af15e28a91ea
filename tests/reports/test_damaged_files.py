"""What a page says of files in the run folder that are damaged, or lead elsewhere: left out and named, or an error by name."""

import re

import pytest
from made_up import MadeUp, write_run

from reports.build import build_report
from reports.pictures import damage, has_volumes, picture_case, read_volumes
from trials.records import unsealed_bytes

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
    path.write_bytes(change(content if with_seal else unsealed_bytes(content)))
    return content


@pytest.mark.parametrize("with_seal", [True, False], ids=["sealed", "of an older run"])
@pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_picture_is_none_and_is_named(page_and_run, change, with_seal):
    _, out = page_and_run
    both = pictures_of(out, VICTIM)
    trial = both[1].parents[1].name
    for path in both:
        content = spoil(path, change, with_seal)

        told = damage(out, trial, VICTIM)

        assert told.startswith(f"{path.relative_to(out)} is damaged (")
        assert not has_volumes(out, trial, VICTIM)
        assert read_volumes(out, trial, VICTIM) is None
        assert picture_case(out, trial, VICTIM, "ct", MADE.classes) is None
        path.write_bytes(content)
        assert damage(out, trial, VICTIM) == ""


def test_a_page_leaves_damaged_pictures_out_names_them_and_is_whole_again_without_the_damage(page_and_run):
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
