"""The whole page from a made-up run folder: same bytes, unfinished runs, any classes, hostile
names.
"""

import csv
import dataclasses
import json
import re

import pytest
from made_up import MODELS, MadeUp, all_results, complete, failure, plausible_quality, write_run
from plotly.offline import get_plotlyjs

from reports.build import build_report
from reports.figures.cells import NEVER_FOUND
from reports.manuscript.write import write_manuscript
from reports.page import digest, plotly
from reports.sections.registry import SECTIONS
from trials.records.spec import FINAL, PRETRAIN, TUNE, Cell

# Markup, a spreadsheet's formula, quotes, a mark that turns the line around, and far more letters
# than any name has.
HOSTILE = "=cmd|<script>alert('x')</script>&\"\u202e" + "n" * 10_000


def page_of(folder, made: MadeUp, results=None) -> str:
    return build_report(write_run(folder, made, results)).read_text()


def section_ids(page: str) -> list[str]:
    return re.findall(r'<section id="(\w+)"', page)


def words_of(page: str) -> str:
    return re.sub(
        r"\s+",
        " ",
        re.sub(r"<[^>]+>", " ", page.split("</style>")[1].split('<script type="text/plain"')[0]),
    )


def test_the_same_run_gives_the_same_bytes(tmp_path):
    made = MadeUp(tunings=1, edge=16, quality=plausible_quality)

    assert page_of(tmp_path / "a", made) == page_of(tmp_path / "b", made)


def test_a_finished_run_has_every_section_but_the_papers(tmp_path):
    page = page_of(tmp_path, MadeUp(tunings=1, edge=16, ceiling=0.95))

    assert section_ids(page) == [name for name in SECTIONS if name not in ("paper", "folds")]
    assert "Unfinished" not in words_of(page)


def test_a_run_on_the_papers_data_has_its_section(tmp_path):
    assert "paper" in section_ids(page_of(tmp_path, MadeUp(dataset="kits23")))


@pytest.fixture(scope="module")
def never_found(tmp_path_factory):
    """A run on own data in which no training of one model finds the lesion."""
    made = MadeUp(
        seeds=(0, 1, 2),
        tunings=1,
        edge=16,
        ceiling=0.95,
        quality=plausible_quality,
        classes=("background", "liver", "spleen", "lesion"),
        dataset="mine",
    )
    results = [
        without(result, 3, "lesion") if result.spec.cell.model == "vnet" else result
        for result in all_results(made)
    ]
    out = write_run(tmp_path_factory.mktemp("mine"), made, results)
    build_report(out)
    return write_manuscript(out).parent


def without(result, label, region):
    """The result as if the class had never been predicted."""
    none = dict.fromkeys(("pred_voxels", "overlap_voxels", "pred_mm2", "pred_within_mm2"), 0)
    scores = tuple(
        dataclasses.replace(one, pred_voxels=0, overlap_voxels=0) if one.label == label else one
        for one in result.scores
    )
    surfaces = tuple(
        dataclasses.replace(one, **none, true_within_mm2=0, hd95_mm=None)
        if one.region == region
        else one
        for one in result.surfaces
    )
    return dataclasses.replace(result, scores=scores, surfaces=surfaces)


def test_words_of_kits_and_of_the_paper_stand_on_that_data_alone(never_found):
    page = (never_found / "report.html").read_text()
    page = re.sub(r"(?s)<(script|style).*?</\1>| id=\"[^\"]*\"", "", page)
    names = ("paper/paper.md", "paper/paper.tex", "leaderboard.tex")
    texts = [page, *((never_found / name).read_text() for name in names)]

    foreign = re.compile("(?i).{30}(?:kits|kidney|tumor|challenge|the paper|the study|published)")
    assert foreign.findall(" ".join(texts)) == []
    # Figures 1 to 3 are those of the paper.
    assert "A patient in 3D" in page
    assert not re.search(r"Figure \d", page)


def test_an_interval_of_a_class_never_found_is_explained_below_it(never_found):
    page = (never_found / "report.html").read_text()

    # Every table and figure with such a score explains its mark.
    blocks = re.split(r"<(?=table id=|figure class=\"block plot|details class=\"block fold)", page)
    scores = r"<td[^>]*>0\.000 <small>\[0\.00\d*, 0\.[0-9]*[1-9][0-9]*\]( \N{DAGGER})?</small>"
    marked = [block for block in blocks if re.search(scores, block)]
    assert len(marked) >= 5
    for block in marked:
        assert set(re.findall(scores, block)) == {" \N{DAGGER}"}
    notes = re.findall(r'<p class="note">(.*?)</p>', page)
    assert len(notes) >= len(marked)
    assert set(notes) == {NEVER_FOUND}
    assert NEVER_FOUND in (never_found / "paper" / "paper.md").read_text()
    assert r"]$^\dagger$" in (never_found / "leaderboard.tex").read_text()


def test_no_winner_is_crowned_under_one_seed(tmp_path):
    made = MadeUp(
        seeds=(0,), quality=lambda cell, seed, case, label: 0.9 if cell.model == "vnet" else 0.5
    )

    words = words_of(page_of(tmp_path, made))

    assert "No winner among 4 configurations" in words
    assert " leads " not in words.partition("A configuration leads if")[0]
    assert "a second seed or several folds are needed" in words


def test_a_run_without_final_trials_says_so_and_shows_its_tuning(tmp_path):
    made = MadeUp(tunings=2)
    tuned = [result for result in all_results(made) if result.spec.phase == TUNE]

    page = page_of(tmp_path, made, tuned)

    assert "No answer yet" in page
    assert "8 of 8 final trials have no complete result" in page
    assert "Unfinished: 8 final trials have no result yet." in words_of(page)
    assert section_ids(page) == [
        *(
            "answer",
            "data",
            "validity",
            "grid",
            "curves",
            "pareto",
            "hpo",
            "trials",
            "provenance",
            "downloads",
        )
    ]
    assert "These are tuning trials" in page


def test_f83_a_run_that_only_began_says_so(tmp_path):
    page = page_of(tmp_path, MadeUp(), [])

    assert section_ids(page) == [
        "answer",
        "data",
        "validity",
        "grid",
        "trials",
        "provenance",
        "downloads",
    ]
    assert "No trial has ended" in page


def test_holes_in_the_grid_say_why(tmp_path):
    made = MadeUp(seeds=(0,))
    results = [*all_results(made)[1:-1], failure(made, made.cells[0], 0, "oom", "out of memory")]

    page = page_of(tmp_path, made, results)

    assert page.count("failed: oom") >= 3
    assert page.count(">not run<") >= 3
    assert "No winner yet among 4 configurations" in page


@pytest.mark.parametrize(
    "made",
    [
        MadeUp(models=("vnet",), losses=("focal",), seeds=(0,)),
        MadeUp(models=("vnet",), losses=("focal",), seeds=(0, 1, 2, 3, 4), num_test=1, num_val=1),
        MadeUp(classes=("background", "liver", "lesion"), dataset="mine"),
        MadeUp(classes=("air", "lung"), dataset="mine", num_test=2),
        MadeUp(num_val=0),
    ],
    ids=["one cell", "one case", "three classes", "two classes", "no validation"],
)
def test_small_and_odd_runs_have_a_page(tmp_path, made):
    page = page_of(tmp_path, made)

    assert section_ids(page)[:2] == ["answer", "leaderboard"]
    assert not re.search(r"\bnan\b", words_of(page))


def test_a_run_without_validation_chooses_nothing(tmp_path):
    assert "none can be selected" in page_of(tmp_path, MadeUp(num_val=0))


def test_f85_names_of_every_kind_are_escaped(tmp_path):
    made = MadeUp(
        models=(HOSTILE, "vnet"),
        losses=("focal", HOSTILE),
        samplings=(HOSTILE,),
        seeds=(0,),
        classes=("b", HOSTILE, "c"),
    )
    made = dataclasses.replace(
        made,
        dataset=HOSTILE,
        record={"weights_notes": [HOSTILE], "command": HOSTILE, "commit": HOSTILE},
    )
    results = [*all_results(made)[:-1], failure(made, made.cells[-1], 0, HOSTILE, HOSTILE)]
    results[0] = dataclasses.replace(
        results[0], facts={HOSTILE: HOSTILE, "host": HOSTILE, "device": HOSTILE}
    )

    page = page_of(tmp_path, made, results)

    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert") > 20
    data_scripts = len(re.findall(r'<script type="(?:application/json|text/plain)">', page))
    assert len(re.findall(r"<script[ >]", page)) == 2 + data_scripts
    for table in ("scores", "trials"):
        cells = [
            cell
            for row in csv.reader((tmp_path / f"{table}.csv").read_text().splitlines())
            for cell in row
        ]
        assert not [cell for cell in cells if cell.startswith("=")]


def test_hostile_case_names_are_escaped(tmp_path):
    made = MadeUp(seeds=(0,))

    def renamed(result):
        scores = tuple(
            dataclasses.replace(s, case=s.case.replace("case_00007", HOSTILE))
            for s in result.scores
        )
        return dataclasses.replace(result, scores=scores)

    page = page_of(tmp_path, made, [renamed(result) for result in all_results(made)])

    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_the_policy_lets_two_scripts_run_and_nothing_out(tmp_path):
    page = page_of(tmp_path, MadeUp())

    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert policy.startswith("default-src 'none'")
    assert f"'{digest(script)}'" in policy
    assert "script-src 'sha256-" in policy
    assert "unsafe-eval" not in policy
    outside = re.findall(r"(?:src|href)=\"(?!#|data:)([^\"]+)\"", page)
    tables = [
        f"{name}.{ending}"
        for name in ("scores", "surfaces", "trials")
        for ending in ("csv", "parquet")
    ]
    assert outside == [*tables, "run.json", "leaderboard.tex"]


def test_the_page_holds_the_installed_plotly_with_its_factory_in_parentheses():
    given, held = get_plotlyjs(), plotly()

    opens, closes = held.index("(() => {"), held.rindex("})));") + 1
    assert held[:opens] + held[opens + 1 : closes] + held[closes + 1 :] == given


def test_every_figure_has_a_caption_and_a_table_of_its_numbers(tmp_path):
    page = page_of(tmp_path, MadeUp(tunings=1))

    figures = re.findall(r'<figure class="block plot".*?</figure>', page, re.DOTALL)
    assert len(figures) >= 6
    for figure in figures:
        assert re.search(r"<figcaption>\S.{30,}</figcaption>", figure)
        assert "<table" in figure
        content = json.loads(
            re.search(r'<script type="application/json">(.*?)</script>', figure, re.DOTALL)[1]
        )
        assert content["data"] or all(view["data"] for view in content["views"])


def test_no_path_of_the_machine_is_shown(tmp_path):
    assert "/home/someone" not in page_of(tmp_path, MadeUp())


def test_pictures_can_be_left_out_or_shown_without_ct(tmp_path):
    out = write_run(tmp_path, MadeUp(seeds=(0,), edge=16))

    sizes = {}
    for images in ("ct", "masks", "none"):
        page = build_report(out, images).read_text()
        sizes[images] = (
            page.count("data:image/webp"),
            page.count('class="layers'),
            page.count("RUN --images ct"),
        )

    # One slice on the first screen, 8 slices in a sheet, 3 results of 2 masks, 3 views of the
    # solid, and the gallery: 8 x 3 slices of 2 panels, with CT of 3.
    assert sizes == {
        "ct": (24 + 1 + 8 + 6 + 3, 72 + 1 + 8 + 6 + 3, 0),
        "masks": (3, 48 + 1 + 8 + 6 + 3, 1),
        "none": (0, 0, 0),
    }
    with pytest.raises(ValueError, match="unknown images 'all'"):
        build_report(out, "all")


def test_pictures_bring_their_licence(tmp_path):
    out = write_run(tmp_path, MadeUp(seeds=(0,), edge=16))

    assert "Licence: made by this project, free to use" in build_report(out).read_text()


def test_a_prediction_that_does_not_fit_its_image_is_an_error_by_name(tmp_path):
    out = write_run(tmp_path, MadeUp(seeds=(0,), edge=16))
    other = write_run(tmp_path / "other", MadeUp(seeds=(0,), edge=8))
    for path in other.glob("trials/*/cases/*.npz"):
        (out / path.relative_to(other)).write_bytes(path.read_bytes())

    with pytest.raises(ValueError, match=r"case_\d+\.npz: prediction .* does not fit"):
        build_report(out)


def test_pretraining_of_a_model_outside_the_cells_is_shown(tmp_path):
    made = MadeUp(seeds=(0,))
    pretrained = complete(
        made, Cell(model="segresnet", loss="restoration", sampling="none"), 0, PRETRAIN
    )

    page = page_of(tmp_path, made, [*all_results(made), pretrained])

    assert "Pretraining by restoring masked blocks" in page


def test_the_failed_come_first_among_the_trials(tmp_path):
    made = MadeUp(models=MODELS, seeds=(0,))
    results = all_results(made)
    results[5] = failure(made, results[5].spec.cell, 0, "diverged", "loss became NaN in epoch 3")
    assert results[5].spec.phase == FINAL

    page = page_of(tmp_path, made, results)

    body = page.split('<table id="trials-final"')[1].split("<tbody>")[1]
    assert "loss became NaN in epoch 3" in body.split("</tr>")[0]


def test_the_background_is_shown_and_enters_no_mean(tmp_path):
    words = words_of(page_of(tmp_path, MadeUp()))

    assert "background: mean over all" in words
    assert "is in no other number here" in words
