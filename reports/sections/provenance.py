"""What is needed to repeat the run: the command, the code, the data, the machine, and every
setting.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from reports.analysis.context import Context
from reports.elements import Block, Code, Column, Facts, Section, Table, TableCell
from reports.formatting import cell_name, many, many_patients
from reports.table import compact_json
from trials.records.grouping import cases_by_patient
from trials.records.spec import FINAL


def provenance(context: Context) -> Section:
    """Everything needed to repeat the run."""
    record = context.run.record
    commit = record.get("commit") or "unknown"
    dirty = "with uncommitted changes" if record.get("dirty") else "clean"
    blocks: list[Block] = [
        Code("Command", str(record.get("command", "not recorded"))),
        Facts("Run", _run_facts(record, dirty)),
        Facts("Data", _data_facts(context)),
        Facts("Machine", _facts(record.get("machine") or {})),
        Facts("Versions", _facts(record.get("versions") or {})),
        _recipes(record.get("recipes") or {}),
        _specs(context),
    ]
    if context.run.grid_text:
        blocks.append(
            Code(
                f"The grid, {record.get('grid_file', 'grid.py')}",
                context.run.grid_text,
                folded=True,
            )
        )
    return Section(
        id="provenance",
        title="Provenance",
        question="How can this run be repeated?",
        finding=f"Commit {commit}, {dirty}; {many(len(context.run.results), 'trial')}, each named "
        "by "
        "a hash of its settings.",
        blocks=tuple(block for block in blocks if not isinstance(block, Facts) or block.items),
    )


def _run_facts(record: Mapping[str, Any], dirty: str) -> tuple[tuple[str, str], ...]:
    tuning = (
        as_words(record["tuning"])
        if record.get("tuning")
        else "none: every configuration used its "
        f"{'inherited' if record.get('inherited') else 'default'} setting"
    )
    return (
        ("grid", str(record["grid"])),
        ("started", str(record.get("started", "not recorded"))),
        ("commit", f"{record.get('commit') or 'unknown'}, {dirty}"),
        ("code", as_words(record.get("code") or {})),
        ("seeds", ", ".join(map(str, record["seeds"]))),
        ("tuning", tuning),
        ("planned trials", as_words(record.get("planned") or {})),
        *([("budget", as_words(record["budget"]))] if record.get("budget") else ()),
        ("initial weights", as_words(record.get("weights") or {})),
        *(("taken over", _reused_text(run)) for run in record.get("reused") or ()),
        (
            "questions",
            "of the grid's shape, since it declares none"
            if record.get("questions") is None
            else "; ".join(as_words(question) for question in record["questions"]) or "none",
        ),
    )


def _reused_text(run: Mapping[str, Any]) -> str:
    """How many trials were taken over from another run, which is named by its folder."""
    folder = str(run.get("run", "")).rstrip("/").rpartition("/")[2]
    return (
        f"{many(int(run.get('trials', 0)), 'trial')} of the run {folder} (grid {run.get('grid')}, "
        f"commit {run.get('commit') or 'unknown'}, started {run.get('started')})"
    )


def _data_facts(context: Context) -> tuple[tuple[str, str], ...]:
    """The entries of the data record; case lists as their lengths (run.json has them in full), and
    no path of the machine.
    """
    record = context.run.record
    data = record.get("data") or {}
    facts = [
        ("dataset", str(record["dataset"])),
        ("splits", f"{record['splits']}, {_folds(record['folds'])}"),
    ]
    for name, value in data.items():
        if name == "grouping":
            facts.append(("patients", _patients(context)))
        elif name == "fold_cases":
            facts += [
                (f"{split} cases" + (f", fold {fold}" if len(value) > 1 else ""), str(len(cases)))
                for fold, parts in value.items()
                for split, cases in parts.items()
            ]
        elif name == "split_hash" and len(value) == 1:
            facts.append(("split hash", *value.values()))
        elif value and name not in (
            "root",
            "splits",
            "warnings",
            "notes",
            "bad_cases",
            "geometry",
            "case_metadata",
        ):
            facts.append((name.replace("_", " "), "yes" if value is True else as_words(value)))
    preparations = dict.fromkeys(as_words(one) for one in record.get("preparations") or ())
    return (*facts, *(("preparation", one) for one in preparations))


def _patients(context: Context) -> str:
    """How many patients the cases are of, and how that is known."""
    grouping, data = context.run.grouping, context.run.record["data"]
    folds = (data.get("fold_cases") or {}).values()
    cases = dict.fromkeys(case for parts in folds for part in parts.values() for case in part)
    cases |= dict.fromkeys(sorted(data.get("excluded") or {}))
    number = len(cases_by_patient(grouping, cases))
    return f"{many_patients(number, len(cases))}: {grouping.rule}"


def _folds(folds: Sequence[int]) -> str:
    return f"{'fold' if len(folds) == 1 else 'folds'} {', '.join(map(str, folds))}"


def _facts(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name.replace("_", " "), as_words(value)) for name, value in values.items())


def _recipes(recipes: Mapping[str, Mapping[str, Any]]) -> Table:
    """The settings that are not tuned, one row per setting and one column per model."""
    settings = sorted({name for recipe in recipes.values() for name in recipe})
    columns = (Column("setting"), *(Column(model) for model in recipes))
    rows = tuple(
        (
            TableCell(name.replace("_", " ")),
            *(TableCell(as_words(recipe.get(name))) for recipe in recipes.values()),
        )
        for name in settings
    )
    return Table(
        id="recipes",
        caption="Recipes: the settings that are not tuned, by model.",
        columns=columns,
        rows=rows,
    )


def as_words(value: object) -> str:
    """A value of run.json as text: 'edge 32, kind cube'."""
    if value is None or value == [] or value == {}:
        return "none"
    if isinstance(value, Mapping):
        return ", ".join(
            f"{name.replace('_', ' ')} {as_words(inner)}" for name, inner in value.items()
        )
    if isinstance(value, list):
        return ", ".join(
            " ".join(map(as_words, inner)) if isinstance(inner, list) else as_words(inner)
            for inner in value
        )
    return str(value)


def _specs(context: Context) -> Table:
    columns = tuple(
        Column(name)
        for name in (
            "trial",
            "configuration",
            "seed",
            "fold",
            "initial weights",
            "settings",
            "commit",
        )
    )
    finals = [result for result in context.run.results if result.spec.phase == FINAL]
    rows = tuple(
        (
            TableCell(result.trial, look="code"),
            TableCell(cell_name(result.spec.cell)),
            TableCell(str(result.spec.seed), result.spec.seed),
            TableCell(str(result.spec.fold), result.spec.fold),
            TableCell(result.spec.weights),
            TableCell(compact_json(result.spec.hyper), look="code"),
            TableCell(result.commit, look="code"),
        )
        for result in sorted(
            finals,
            key=lambda result: (
                context.run.cells.index(result.spec.cell),
                result.spec.seed,
                result.spec.fold,
            ),
        )
    )
    return Table(
        id="specs",
        caption="All settings of every final trial",
        columns=columns,
        rows=rows,
        folded=True,
    )
