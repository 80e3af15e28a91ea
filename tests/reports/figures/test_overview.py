"""The first screen shows every configuration, marks the selected one, and shows one patient."""

from made_up import MadeUp, write_run

from reports.analysis.context import build_context
from reports.figures.overview import MOST_ROWS, overview_figure, patient_sheet
from reports.load.run_folder import read_run
from reports.table import scores_table, trials_table


def context_of(tmp_path, made, images="masks"):
    run = read_run(write_run(tmp_path, made))
    return build_context(run, scores_table(run), trials_table(run), images)


def best_vnet(cell, seed, case, label):
    return (0.9 if cell.model == "vnet" else 0.5) - 0.01 * (int(case[-1]) % 7)


def test_every_configuration_is_a_row_and_the_selected_one_is_bold(tmp_path):
    context = context_of(tmp_path, MadeUp(quality=best_vnet))

    figure = overview_figure(context, context.selection)

    rows = figure.layout["yaxis"]["categoryarray"]
    assert len(rows) == len(context.run.cells) <= MOST_ROWS
    (bold,) = [name for name in rows if name.startswith("<b>")]
    assert "vnet" in bold
    band = figure.layout["shapes"][0]
    assert (band["y0"] + band["y1"]) / 2 == rows.index(bold)
    assert sum(len(trace["x"]) for trace in figure.data) == len(rows)


def test_the_patient_is_the_one_in_the_middle_by_mean_dice(tmp_path):
    context = context_of(tmp_path, MadeUp(seeds=(0,), edge=16, quality=best_vnet))

    sheet = patient_sheet(context, context.selection)

    assert "Mean Dice 0.8" in sheet.caption
    assert len(sheet.pictures) == 1
    looks = {shape.look for shape in sheet.pictures[0].shapes}
    assert looks == {"solid", "dashed"}


def test_without_pictures_there_is_no_patient(tmp_path):
    context = context_of(tmp_path, MadeUp(seeds=(0,), edge=16), images="none")

    assert patient_sheet(context, context.selection) is None
