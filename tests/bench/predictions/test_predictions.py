"""segbench report --add: somebody else's predictions beside the run's own, or an error that says
why not.
"""

import json
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from bench.cli import main
from trials.storage.checksum import check_checksum

sys.path.append(str(Path(__file__).parents[2] / "reports"))
from made_up import CLASSES, VOXELS, MadeUp, holds, write_run

HOSTILE = "<b>nnU-Net</b> & co"
MADE = MadeUp(seeds=(0,), losses=("focal",), num_test=4)


def volume(case):
    """1000 voxels of every label that the case holds, as the made-up run counts them."""
    labels = [label for label in range(len(CLASSES)) if label == 0 or holds(case, label)]
    return np.repeat(np.array(labels, np.uint8), VOXELS).reshape(10, 10, -1)


def save(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(labels, np.diag([1.0, 1.0, 2.0, 1.0])), path)


@pytest.fixture
def run(tmp_path):
    """A made-up run whose data are really there, and a folder of perfect predictions."""
    for case in MADE.splits["test"]:
        save(tmp_path / "data" / case / "segmentation.nii.gz", volume(case))
        save(tmp_path / "data" / case / "imaging.nii.gz", volume(case))
        save(tmp_path / "perfect" / f"{case}.nii.gz", volume(case))
        save(tmp_path / "nothing" / f"{case}.nii.gz", np.zeros_like(volume(case)))
    out = write_run(tmp_path / "run", MADE)
    record = json.loads((out / "run.json").read_text())
    record["data"]["root"] = str(tmp_path / "data")
    (out / "run.json").write_text(json.dumps(record))
    return out


def add(run, *pairs):
    return main(["report", str(run), *[word for pair in pairs for word in ("--add", pair)]])


def rows_of(page, table):
    body = page.split(f'<table id="{table}"')[1].split("<tbody>")[1].split("</table>")[0]
    return [row for row in body.split("</tr>") if "<td" in row]


def test_outsiders_stand_where_their_scores_put_them_escaped_and_stay_in_the_folder(run, capsys):
    assert add(run, f"{HOSTILE}={run.parent / 'perfect'}", f"nothing={run.parent / 'nothing'}") == 0

    page = (run / "report.html").read_text()
    assert HOSTILE not in page
    for table in (
        "leaderboard-table",
        "forest-table",
        "leaderboard-class-1",
        "convention-positives",
        "convention-ranks",
    ):
        first, *_, last = rows_of(page, table)
        assert "&lt;b&gt;nnU-Net&lt;/b&gt; &amp; co" in first, table
        assert ">nothing" in last, table
    first, *_, last = rows_of(page, "leaderboard-table")
    # One training, with the variance between seeds of the run's own.
    assert "1.000 <small>[0." in first or "1.000 <small>[1.000, 1.000]" in first
    assert ">selected<" not in first + last
    assert "0.000 <small>[0.000, 0.000]" in last
    assert "of external predictions (crosses)" in page
    assert main(["report", str(run)]) == 0
    assert (run / "report.html").read_text() == page


def test_an_outsider_is_compared_with_the_answer_and_never_selected(run, capsys):
    main(["report", str(run)])
    before = rows_of((run / "report.html").read_text(), "answer-overview-table")

    add(run, f"better than all={run.parent / 'perfect'}")

    page = (run / "report.html").read_text()
    after = rows_of(page, "answer-overview-table")
    assert len(after) == len(before) + 1
    assert "better than all" in after[0]
    (selected,), (was,) = ([row for row in rows if ">selected<" in row] for rows in (after, before))
    assert selected.split("<td")[0] == was.split("<td")[0]
    assert "The external predictions better than all reach 1.000" in page
    assert "Highest test Dice: kidney better than all (external) (1.000)" in page
    assert any("better than all" in row for row in rows_of(page, "pairs-table"))
    assert r"better than all & external & --" in (run / "leaderboard.tex").read_text()


def test_counts_are_those_of_the_masks_with_the_background(run, capsys):
    odd = run.parent / "nothing" / f"{MADE.splits['test'][0]}.nii.gz"
    image = nibabel.load(odd)
    image.set_qform(np.diag([1.0, 1.0, 2.0, 1.0]) + np.eye(4, k=3) * 20, 1)
    image.set_sform(image.affine, 1)
    nibabel.save(nibabel.Nifti1Image(np.asanyarray(image.dataobj), None, image.header), odd)

    add(run, f"x={run.parent / 'nothing'}")

    warned = capsys.readouterr().err
    assert f"warning: --add x: {odd}: sform and qform place a corner 20 mm apart" in warned
    (file,) = (run / "external").iterdir()
    kept = json.loads(file.read_text())
    assert [row["case"] for row in kept["scores"][::4]] == MADE.splits["test"]
    for row in kept["scores"]:
        total = volume(row["case"]).size
        if row["label"] == 0:
            assert (row["true_voxels"], row["pred_voxels"], row["overlap_voxels"]) == (
                VOXELS,
                total,
                VOXELS,
            )
        else:
            assert (row["pred_voxels"], row["overlap_voxels"]) == (0, 0)
    assert {row["region"] for row in kept["surfaces"]} == {
        "kidney_and_mass",
        "mass",
        "tumor",
        "kidney",
        "cyst",
    }


@pytest.mark.parametrize("fault", ["missing", "moved", "no name", "taken", "twice", "no data"])
def test_what_cannot_be_added_is_an_error_exit_code_2_and_nothing_kept(run, fault, capsys):
    folder, case = run.parent / "perfect", MADE.splits["test"][1]
    pairs, line = [f"x={folder}"], ""
    if fault == "missing":
        (folder / f"{case}.nii.gz").unlink()
        line = f"1 case: {case}; add one for every test case"
    elif fault == "moved":
        nibabel.save(nibabel.Nifti1Image(volume(case), np.eye(4)), folder / f"{case}.nii.gz")
        line = f"{case}.nii.gz: has another affine"
    elif fault == "no name":
        pairs, line = [str(folder)], "write NAME=DIR"
    elif fault == "taken":
        pairs, line = (
            [f"vnet / focal / none={folder}"],
            "the run has a configuration with this name",
        )
    elif fault == "twice":
        pairs, line = [f"x={folder}", f"x={folder}"], "must be unique"
    else:
        (run.parent / "data").rename(run.parent / "elsewhere")
        line = "give their folder with --data DIR"

    assert add(run, *pairs) == 2

    error = capsys.readouterr().err
    assert line in error
    assert "Traceback" not in error
    assert not (run / "external").exists()


def test_an_outsider_scored_against_other_references_is_refused(run, capsys):
    add(run, f"x={run.parent / 'perfect'}")
    (file,) = (run / "external").iterdir()
    kept = json.loads(check_checksum(file.read_text()))
    kept["scores"][1]["true_voxels"] += 1
    file.write_text(json.dumps(kept))

    assert main(["report", str(run)]) == 2

    assert (
        "has 1001 reference voxels of label 1, but 1000 in the run; add" in capsys.readouterr().err
    )


def test_a_changed_count_of_an_outsider_is_seen_by_its_digest(run, capsys):
    add(run, f"x={run.parent / 'perfect'}")
    (file,) = (run / "external").iterdir()
    file.write_text(file.read_text().replace('"pred_voxels": 1000', '"pred_voxels": 1001', 1))

    assert main(["report", str(run)]) == 2

    error = capsys.readouterr().err
    assert str(file) in error
    assert "its content does not match its checksum" in error
    assert "delete it and add the predictions again" in error
