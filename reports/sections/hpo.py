"""Results of the tuning: the gain over the default, the importance of each hyperparameter, and
plots of every study.
"""

from collections.abc import Sequence
from typing import Any

from reports.analysis.context import Context
from reports.elements import Block, Column, Figure, Section, Table, TableCell
from reports.figures.importance import (
    Study,
    importance_figure,
    importance_words,
    many_studies,
    study_cells,
    study_columns,
)
from reports.figures.study_plots import searched, study_view
from reports.formatting import many, number, plain, signed, span
from reports.load.run_folder import read_studies
from trials.records.result import COMPLETE, TrialResult
from trials.records.spec import TUNE

# Studies with fewer trials than this are not plotted.
LEAST = 5
Studies = dict[Study, list[TrialResult]]


def hpo(context: Context) -> Section | None:
    """Gain, importance and studies; None for a run without tuning."""
    studies = _studies(context)
    if not studies:
        return None
    folds = _folds(context)
    known = {fold: read_studies(context.run.out, number) for number, fold in folds.items()}
    importance = {
        study: known[study.fold][study.cell] for study in studies if study.cell in known[study.fold]
    }
    large = {
        study: trials
        for study, trials in studies.items()
        if len(trials) >= LEAST and searched(trials)
    }
    blocks: list[Block] = []
    if gained := _gain(context, studies):
        blocks.append(gained)
    if importance:
        sizes = [len(studies[study]) for study in importance]
        blocks.append(importance_figure(context, importance, sizes))
    if large:
        blocks.append(_views(large))
    return Section(
        id="hpo",
        title="Tuning",
        question="How much did tuning improve the score, and which hyperparameters mattered?",
        finding=f"{_gain_words(studies, first_setting(context))} "
        f"{importance_words(importance, max(map(len, studies.values())))}"
        + (" Each fold was tuned on its own." if len(folds) > 1 else ""),
        blocks=tuple(blocks),
    )


def first_setting(context: Context) -> str:
    """The word for the setting of a study's first trial: settings of the demo on other data are
    inherited.
    """
    return "inherited" if context.run.record.get("inherited") else "default"


def _folds(context: Context) -> dict[int, int | None]:
    """The folds of the run, and how Study names each."""
    folds = context.run.folds
    return {fold: fold if len(folds) > 1 else None for fold in folds}


def _studies(context: Context) -> Studies:
    """The complete tuning trials of each configuration in each fold, in the order of the study."""
    studies: Studies = {
        Study(cell, fold): [] for cell in context.run.cells for fold in _folds(context).values()
    }
    for result in sorted(context.run.results, key=lambda result: result.spec.number):
        if (result.spec.phase, result.state) == (TUNE, COMPLETE):
            fold = _folds(context)[result.spec.fold]
            studies[Study(result.spec.cell, fold)].append(result)
    return {study: trials for study, trials in studies.items() if trials}


def _score(trial: TrialResult) -> float:
    return float(trial.val_score or 0.0)


def _best(trials: Sequence[TrialResult]) -> TrialResult:
    return max(trials, key=lambda trial: (_score(trial), -trial.spec.number))


def _gains(studies: Studies) -> dict[Study, float]:
    """The best score of each study minus the score of its default; only studies whose default trial
    is complete.
    """
    return {
        study: _score(_best(trials)) - _score(trials[0])
        for study, trials in studies.items()
        if trials[0].spec.number == 0
    }


def _gain_words(studies: Studies, first: str) -> str:
    gains = _gains(studies)
    if not gains:
        return f"No study has a completed {first} trial, so the gain of tuning is unknown."
    sizes = sorted({len(trials) for trials in studies.values()})
    kept = sum(gain == 0 for gain in gains.values())
    budget = many(sizes[0], "setting") if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} settings"
    better = len(gains) - kept
    of_each = "configuration" if next(iter(gains)).fold is None else "configuration and fold"
    text = (
        f"With {budget} per {of_each}, tuning improved the validation score over the {first} "
        f"setting in {better} of {many_studies(gains)}"
    )
    return (
        f"{text} (by {span([gain for gain in gains.values() if gain > 0])} Dice)."
        if better
        else f"{text}."
    )


def _gain(context: Context, studies: Studies) -> Figure | None:
    gains = _gains(studies)
    if not gains:
        return None
    places = {study: place for place, study in enumerate(studies)}
    order = sorted(gains, key=lambda study: (-gains[study], places[study]))
    names = [plain(str(study)) for study in order]
    caption = (
        f"Validation Dice of the {first_setting(context)} setting (the first trial of each study) "
        "and of the best setting, trained for the same number of epochs. The best score of several "
        "is biased upwards, because it was selected on these validation cases. Validation Dice on "
        "the cube, one seed."
    )
    layout = {
        "margin": {"l": 10, "r": 10, "t": 40, "b": 44},
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        "xaxis": {"title": {"text": "validation Dice"}},
        "yaxis": {
            "type": "category",
            "categoryorder": "array",
            "categoryarray": names[::-1],
            "range": [-0.6, len(names) - 0.4],
        },
    }
    return Figure(
        id="gain",
        caption=caption,
        data=_gain_traces(names, [studies[study] for study in order], first_setting(context)),
        layout=layout,
        table=_gain_table(context, studies, order),
        height=110 + 24 * len(order),
        least_width=640,
    )


def _gain_traces(
    names: list[str], studies: list[list[TrialResult]], first: str
) -> tuple[dict[str, Any], ...]:
    """One line per configuration from the default to the best score, with markers at both ends."""
    defaults = [round(_score(trials[0]), 4) for trials in studies]
    bests = [round(_score(_best(trials)), 4) for trials in studies]
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [value for pair in zip(defaults, bests, strict=True) for value in (*pair, None)],
            "y": [name for name in names for _ in range(3)],
            "line": {"color": "var(--muted)", "width": 2},
            "hoverinfo": "skip",
            "showlegend": False,
        }
    ]
    for title, values, symbol in (
        (first, defaults, "circle-open"),
        ("best of its study", bests, "circle"),
    ):
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": title,
                "x": values,
                "y": names,
                "marker": {
                    "size": 9,
                    "symbol": symbol,
                    "color": "var(--m0)",
                    "line": {"width": 1.5, "color": "var(--m0)"},
                },
                "hovertemplate": "%{y}<br>%{x:.3f}<extra>%{fullData.name}</extra>",
            }
        )
    return tuple(data)


def _gain_table(context: Context, studies: Studies, order: list[Study]) -> Table:
    columns = (
        *study_columns(order),
        *(
            Column(name, True)
            for name in (
                "complete trials",
                first_setting(context),
                "best",
                "gain",
                "number of the best trial",
            )
        ),
        Column("best setting"),
    )
    rows = []
    for study in order:
        trials, best = studies[study], _best(studies[study])
        gain = _score(best) - _score(trials[0])
        rows.append(
            (
                *study_cells(context, study),
                TableCell(str(len(trials)), len(trials)),
                TableCell(number(_score(trials[0])), _score(trials[0])),
                TableCell(number(_score(best)), _score(best)),
                TableCell(signed(gain), gain),
                TableCell(str(best.spec.number), best.spec.number),
                TableCell(_setting(best)),
            )
        )
    return Table(
        id="gain-table",
        caption=f"The best setting of each study and its {first_setting(context)} one.",
        columns=columns,
        rows=tuple(rows),
    )


def _setting(trial: TrialResult) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {value:.3g}"
        for name, value in sorted(trial.spec.hyper.items())
        if isinstance(value, float)
    )


def _views(studies: Studies) -> Figure:
    views = tuple(study_view(str(study), trials) for study, trials in studies.items())
    columns = (
        Column("study"),
        Column("number", True),
        Column("validation Dice", True),
        Column("setting"),
    )
    rows = tuple(
        (
            TableCell(str(study)),
            TableCell(str(trial.spec.number), trial.spec.number),
            TableCell(number(_score(trial)), _score(trial)),
            TableCell(_setting(trial)),
        )
        for study, trials in studies.items()
        for trial in trials
    )
    caption = (
        "One study at a time. Above: validation Dice against each hyperparameter (later trials "
        "in lighter colours), and a map over two hyperparameters, interpolated between the "
        "trials, so it is only reliable where trials are dense. Below: one line per trial, "
        "lighter for a higher Dice; the best trial is drawn in the text colour. Validation Dice "
        "on the cube."
    )
    return Figure(
        id="studies",
        caption=caption,
        layout={},
        views=views,
        view_label="Study",
        table=Table(
            id="studies-table",
            caption="All complete trials of these studies.",
            columns=columns,
            rows=rows,
        ),
        height=560,
        least_width=720,
    )
