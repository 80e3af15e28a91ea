"""The checks that were run on this run folder, with the result of each."""

from collections import Counter
from collections.abc import Sequence

from reports.analysis.conditions import (
    code_differences,
    code_in_words,
    machine_differences,
    precision_check,
    without_code,
)
from reports.analysis.context import Context
from reports.analysis.own_tables import audit_own_tables, own_tables
from reports.elements import Check, Checklist, Section, Text
from reports.estimands import estimand_check
from reports.formatting import SPLITS, listed, many, many_patients
from reports.load.run_folder import Run
from reports.load.unfinished import num_finals, num_states
from trials.records.grouping import SUSPECTED, Grouping, cases_by_patient, divided_patients
from trials.records.result import NATIVE
from trials.records.spec import FINAL, PRETRAIN, TUNE

PHASES = {PRETRAIN: "pretraining", TUNE: "tuning", FINAL: "final"}

REFUSALS = (
    "The report is not written at all if a trial counts a patient twice, if two configurations "
    "were scored on different patients or against different references, or if a tuning trial was "
    "scored on the test split."
)


def validity(context: Context, others: Sequence[Section] = ()) -> Section:
    """A checklist of what limits the numbers; what would make them wrong raises an error before.

    others are the other sections of the page: the numbers that they state are compared.
    """
    checks = [*_data_checks(context), *_trial_checks(context), *_number_checks(context)]
    checks.append(estimand_check(context, others))
    failed = [check for check in checks if check.holds is False]
    unknown = sum(check.holds is None for check in checks)
    finding = (
        f"{many(len(checks) - len(failed) - unknown, 'check')} passed, {len(failed)} did not pass"
    )
    finding += f", {unknown} could not be run." if unknown else "."
    return Section(
        id="validity",
        title="Checks",
        question="Are the numbers on this page reliable?",
        finding=finding,
        blocks=(Checklist(tuple(checks)), Text((REFUSALS,))),
    )


def _data_checks(context: Context) -> list[Check]:
    classes = listed(
        [
            f"{context.run.classes[label]} {context.test[NATIVE].num_holding(label)}"
            for label in context.run.labels
        ]
    )
    scored = len(context.test[NATIVE].cases)
    splits = context.run.split_cases.values()
    wanted = {case for parts in splits for case in parts.get("test", ())}
    return [
        disjoint_patients(context.run),
        *once_tested(context.run),
        Check(
            "Every test case was scored",
            wanted <= set(context.test[NATIVE].cases) if wanted and context.run.finals else None,
            f"{scored} of {len(wanted)} test cases; patients with each class: {classes}",
        ),
    ]


def disjoint_patients(run: Run) -> Check:
    """Fails if a patient, or a case, is in two splits of a fold; unknown if it is only suspected
    which cases are scans of one patient.
    """
    several, grouping = len(run.folds) > 1, run.grouping
    claim = "No patient is in two splits" + (" of a fold" if several else "")
    texts, shared = [], []
    for fold, recorded in run.split_cases.items():
        splits = {split: recorded[split] for split in ("train", "val", "test") if split in recorded}
        sizes = listed([_size(grouping, split, cases) for split, cases in splits.items()])
        texts.append(f"fold {fold}: {sizes}" if several else sizes)
        of_fold = f" in fold {fold}" if several else ""
        shared += [f"{name}{of_fold}" for name in sorted(divided_patients(grouping, splits))]
    if not any(texts):
        return Check(claim, None, "no split is recorded in run.json")
    sizes = "; ".join(texts)
    if shared:
        return Check(claim, False, f"{sizes}; shared: {listed(shared)}")
    if grouping.state == SUSPECTED:
        return Check(claim, None, "; ".join(filter(None, (grouping.rule, grouping.likely))))
    return Check(claim, True, f"{sizes}; {grouping.rule}")


def _size(grouping: Grouping, split: str, cases: Sequence[str]) -> str:
    return many_patients(len(cases_by_patient(grouping, cases)), len(cases), SPLITS[split])


def once_tested(run: Run) -> list[Check]:
    """Of a cross-validation: fails if a patient is in the test part of two folds."""
    if len(run.folds) == 1 or not run.split_cases:
        return []
    tests = {str(fold): parts.get("test", ()) for fold, parts in run.split_cases.items()}
    shared = divided_patients(run.grouping, tests)
    tested, known = (
        len(cases_by_patient(run.grouping, cases))
        for cases in (
            dict.fromkeys(case for cases in tests.values() for case in cases),
            dict.fromkeys(
                case
                for parts in run.split_cases.values()
                for cases in parts.values()
                for case in cases
            ),
        )
    )
    evidence = f"the {len(run.folds)} folds test {tested} of {many(known, 'patient')}"
    if shared:
        evidence += f"; tested twice: {listed(sorted(shared))}"
    return [Check("Each patient is tested in one fold only", not shared, evidence)]


def _trial_checks(context: Context) -> list[Check]:
    run = context.run
    finals = num_finals(run)
    trainings = Counter(result.spec.cell for result in run.finals)
    complete = sum(trainings[cell] * len(run.cells) == finals for cell in run.cells)
    tuned = Counter(result.spec.cell for result in run.results if result.spec.phase == TUNE)
    budget = sorted({tuned[cell] for cell in run.cells})
    differ = machine_differences(run)
    return [
        Check(
            "Every configuration was trained with all seeds"
            + (" in all folds" if len(run.folds) > 1 else ""),
            complete == len(run.cells),
            f"{complete} of {many(len(run.cells), 'configuration')} complete, {len(run.finals)} "
            f"of {many(finals, 'final trial')}",
        ),
        *(
            _accounted(context, phase)
            for phase in PHASES
            if (run.record.get("planned") or {}).get(phase)
        ),
        Check(
            "Every configuration had the same tuning budget",
            len(budget) == 1 if sum(budget) else None,
            f"{' or '.join(map(str, budget))} tuning trials per configuration"
            if sum(budget)
            else "this run has no tuning",
        ),
        _same_code(run),
        precision_check(run),
        Check(
            "All trials ran with the same packages and hardware",
            not differ,
            listed(differ) or "no difference recorded",
        ),
        Check(
            "The code was committed",
            not run.record.get("dirty") if run.record.get("commit") else None,
            f"commit {run.record.get('commit') or 'unknown'}",
        ),
    ]


def _same_code(run: Run) -> Check:
    """Fails if the code differs between trials; unknown if it does not, but some trials did not
    record it.
    """
    differ, silent = code_differences(run), without_code(run)
    parts = (
        [*differ, f"{many(len(silent), 'trial')} did not record the code that ran"]
        if silent
        else list(differ)
    )
    holds = False if differ else None if silent or not run.results else True
    return Check(
        "All trials ran the same code",
        holds,
        listed(parts) or code_in_words(run) or "no trial has ended",
    )


def _accounted(context: Context, phase: str) -> Check:
    planned, states = context.run.record["planned"][phase], num_states(context.run, phase)
    pending = planned - sum(states.values())
    counts = [f"{count} {state.lower()}" for state, count in states.items()] + [
        f"{pending} pending"
    ]
    return Check(
        f"Every planned {PHASES[phase]} trial is accounted for",
        pending == 0,
        f"{planned} planned: {listed(counts)}",
    )


def _number_checks(context: Context) -> list[Check]:
    means = sum(
        summary.n > 0 for summaries in context.summaries.values() for summary in summaries.values()
    )
    trials = context.scores["trial"].nunique()
    rows = f"{len(context.scores):,} rows of {many(trials, 'trial')}"
    return [
        Check("Each patient counts once per trial, and all voxel counts are possible", True, rows),
        Check(
            "All final trials were scored on the same patients and references",
            True,
            f"{many(len(context.run.finals), 'trial')} compared for every label",
        ),
        Check(
            "The selection used validation scores only",
            True,
            "no pretraining or tuning trial has a test score",
        ),
        Check(
            "IoU ≤ Dice ≤ 2 IoU / (1 + IoU) for every mean on this page",
            True,
            f"{many(means, 'mean')} checked before rounding",
        ),
        *_audit_checks(context),
    ]


def _audit_checks(context: Context) -> list[Check]:
    """The audit of this run's tables; an infeasible row raises an error before."""
    tables = own_tables(context.run, context.test[NATIVE], context.summaries[NATIVE])
    if not tables:
        return []
    findings = audit_own_tables(context.run, context.test[NATIVE], context.summaries[NATIVE])
    rows = (
        f"{many(sum(map(len, tables.values())), 'row')} of {many(len(tables), 'table')} checked "
        "as printed"
    )
    equal = [finding.table for finding in findings if finding.rule == "equal tables"]
    floor = [finding.table for finding in findings if finding.rule == "background at the floor"]
    return [
        Check(
            "No two configurations have the same printed scores",
            not equal,
            listed(equal) if equal else rows,
        ),
        Check(
            "No configuration has the score of a prediction that is all background",
            not floor,
            listed(floor)
            if floor
            else f"{rows}; a match is within rounding and 5 % of the distance from that score to 1",
        ),
    ]
