"""One made-up run with every part that prints numbers, and its page, built once for the tests that
recompute them.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from made_up import MadeUp, complete, plausible_quality, write_run
from page_tables import frames

from reports.build import build_report
from trials.records.codec import to_json
from trials.records.result import NATIVE, ExternalPredictions
from trials.records.spec import Cell


@dataclass(frozen=True)
class Printed:
    """A page and what stands beside it: texts and small print of its tables, the Parquet files,
    run.json.
    """

    out: Path
    page: str
    texts: dict[str, pd.DataFrame]
    small: dict[str, pd.DataFrame]
    scores: pd.DataFrame
    surfaces: pd.DataFrame
    trials: pd.DataFrame
    record: dict

    @property
    def cells(self) -> list[tuple[str, str, str]]:
        return [(cell["model"], cell["loss"], cell["sampling"]) for cell in self.record["cells"]]

    @property
    def names(self) -> list[str]:
        return [" / ".join(cell) for cell in self.cells]

    def table(self, name: str, index: str = "configuration") -> tuple[pd.DataFrame, pd.DataFrame]:
        """Texts and small print of a table by its first column, those from outside left out."""
        texts, small = self.texts[name], self.small[name]
        ours = texts[index] != STRANGER
        return texts[ours].set_index(index), small[ours].set_axis(texts[index][ours])

    def section(self, name: str) -> str:
        return self.page.split(f'<section id="{name}"')[1].split("</section>")[0]


STRANGER = "somebody else"
MADE = MadeUp(
    models=("unet3d", "vnet", "segresnet"),
    seeds=(0, 1),
    num_test=16,
    tunings=5,
    ceiling=0.97,
    quality=plausible_quality,
)


def external_name(made: MadeUp) -> ExternalPredictions:
    """Predictions of somebody else, scored as a training of another seed would be."""
    one = complete(made, Cell(model="nobody", loss="knows", sampling="how"), 7)
    scores = tuple(score for score in one.scores if score.split == "test" and score.space == NATIVE)
    return ExternalPredictions(name=STRANGER, scores=scores, surfaces=one.surfaces)


def print_run(out: Path) -> Printed:
    """Write the run into a folder, and its page."""
    write_run(out, MADE)
    (out / "external").mkdir()
    (out / "external" / "one.json").write_text(to_json(external_name(MADE)))
    page = build_report(out, "none").read_text().replace("\N{NO-BREAK SPACE}", " ")
    both = frames(page)
    tables = [pd.read_parquet(out / f"{name}.parquet") for name in ("scores", "surfaces", "trials")]
    return Printed(
        out,
        page,
        {name: texts for name, (texts, _) in both.items()},
        {name: small for name, (_, small) in both.items()},
        *tables,
        json.loads((out / "run.json").read_text()),
    )
