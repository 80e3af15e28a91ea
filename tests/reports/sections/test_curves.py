"""The curves of trainings: what is drawn of one validation and of several."""

import pytest
from made_up import MadeUp, write_run

from reports.analysis.context import build_context
from reports.load.run_folder import read_run
from reports.sections.curves import curves
from reports.table import write_tables


@pytest.mark.parametrize(("epochs", "mode"), [(1, "markers"), (2, "lines")])
def test_a_single_validation_is_a_point_of_the_models_colour(tmp_path, epochs, mode):
    made = MadeUp(models=("unet3d",), losses=("combined",), seeds=(0,), epochs=epochs)
    run = read_run(write_run(tmp_path, made))

    (figure,) = curves(build_context(run, *write_tables(run), "none")).blocks

    assert [len(trace["x"]) for trace in figure.data] == [epochs] * 4
    assert {trace["mode"] for trace in figure.data} == {mode}
    assert all(trace["marker"]["color"] == trace["line"]["color"] for trace in figure.data)
