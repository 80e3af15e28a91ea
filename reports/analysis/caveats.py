"""What a reader must know before the first number: the list on the first screen."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import pandas as pd

from reports.analysis.conditions import differences
from reports.formatting import listed, many, training_name
from reports.load.run_folder import Run
from reports.load.unfinished import missing_finals, num_finals, numbered
from trials.records.grouping import SUSPECTED
from trials.records.result import FAILED, TrialResult
from trials.records.spec import FINAL, PRETRAIN, TUNE

ZERO_WITH_INTERVAL = (
    " Such a training scores 0 in this class. The interval of its configuration can still reach "
    "well above 0, because the variance between seeds is estimated from the trainings of all "
    "configurations."
)


@dataclass(frozen=True, slots=True)
class Caveat:
    """One limitation: a title of a few words, a sentence, and the names it concerns."""

    title: str
    text: str
    names: tuple[str, ...] = ()


def page_one_caveats(run: Run, scores: pd.DataFrame) -> tuple[Caveat, ...]:
    """Everything that limits what the page can show, the most serious first."""
    sources = (
        _missing,
        _unpooled,
        _budget,
        _failed,
        _short,
        _twins,
        _collapsed,
        _random_weights,
        _conditions,
        _seeds,
        _data,
        _patients,
        _untrained,
        _absent_classes,
        _excluded,
        _warned,
        _repaired,
    )
    caveats = [caveat for source in sources for caveat in source(run)]
    return (*caveats, *_unscored(run, scores), *_other_trials(run), *_dirty(run))


def _missing(run: Run) -> Iterator[Caveat]:
    if missing := missing_finals(run):
        whole = (
            " A configuration counts under a seed only with all of the folds that are pooled."
            if len(run.folds) > 1
            else ""
        )
        yield Caveat(
            "Unfinished",
            f"{num_finals(run) - len(run.finals)} of {num_finals(run)} final trials have no "
            f"complete result.{whole}",
            tuple(missing),
        )


def _unpooled(run: Run) -> Iterator[Caveat]:
    """Folds that the page leaves out, while no configuration has all of them."""
    if run.finals and run.pooled_folds != run.folds:
        yield Caveat(
            "Part of the folds",
            f"No configuration has a result in all {len(run.folds)} folds yet: this page shows the "
            f"patients that {numbered('fold', run.pooled_folds)} "
            f"{'tests' if len(run.pooled_folds) == 1 else 'test'}.",
        )


def _budget(run: Run) -> Iterator[Caveat]:
    """What a budget left out of the grid."""
    budget = run.record.get("budget")
    if not budget:
        return
    (trials, kept_trials), (seeds, kept_seeds) = budget["tuning_trials"], budget["seeds"]
    if (trials, seeds) != (kept_trials, kept_seeds):
        unit = budget["unit"]
        yield Caveat(
            "Cut to a budget",
            f"{budget['hours']:g} {unit} buy {kept_trials} of {trials} tuning trials of each "
            f"configuration and {kept_seeds} of {many(seeds, 'seed')}; the whole grid was "
            f"estimated at {budget['whole']:.3g} {unit}.",
        )


def _failed(run: Run) -> Iterator[Caveat]:
    failed = [result for result in run.results if result.state == FAILED]
    if failed:
        reasons = Counter(result.reason or "no reason recorded" for result in failed)
        text = listed([f"{count} {reason}" for reason, count in sorted(reasons.items())])
        names = tuple(
            f"{result.spec.phase} {result.trial}, {training_name(result.spec, run.folds)}: "
            f"{result.reason}"
            for result in failed
        )
        yield Caveat("Failed trials", f"{many(len(failed), 'trial')} failed ({text}).", names)


def _short(run: Run) -> Iterator[Caveat]:
    """Planned tuning or pretraining without a result; final trials have their own caveat."""
    planned = run.record.get("planned") or {}
    for phase, word in ((PRETRAIN, "pretraining"), (TUNE, "tuning")):
        there = sum(result.spec.phase == phase for result in run.results)
        if there < planned.get(phase, 0):
            yield Caveat(
                f"Unfinished {word}",
                f"{there} of {planned[phase]} planned {word} trials have a result.",
            )


def _twins(run: Run) -> Iterator[Caveat]:
    groups = defaultdict(list)
    for result in run.finals:
        counts = sorted(
            (s.split, s.space, s.case, s.label, s.pred_voxels, s.overlap_voxels)
            for s in result.scores
        )
        groups[tuple(counts)].append(training_name(result.spec, run.folds))
    twins = [group for counts, group in groups.items() if len(group) > 1 and counts]
    if twins:
        text = (
            "These trials have the same voxel counts in every patient. Possible reasons: a "
            "copied file, a collapsed model, or settings without effect."
        )
        yield Caveat("Identical trials", text, tuple(" = ".join(group) for group in twins))


def _collapsed(run: Run) -> Iterator[Caveat]:
    empty = [
        training_name(result.spec, run.folds)
        for result in run.finals
        if all(_never_predicts(result, label) for label in run.labels)
    ]
    if empty:
        yield Caveat(
            "Collapsed",
            f"{many(len(empty), 'final trial')} predicted only background, in every patient.",
            tuple(empty),
        )
    for label in run.labels:
        names = tuple(
            training_name(result.spec, run.folds)
            for result in run.finals
            if _never_predicts(result, label)
        )
        if len(names) > len(empty):
            interval = "" if run.is_trained_once else ZERO_WITH_INTERVAL
            text = (
                f"{len(names)} of {many(len(run.finals), 'final trial')} predict no "
                f"{run.classes[label]} in any patient.{interval}"
            )
            yield Caveat("Class never found", text, names)


def _never_predicts(result: TrialResult, label: int) -> bool:
    return bool(result.scores) and not any(
        score.pred_voxels for score in result.scores if score.label == label
    )


def _random_weights(run: Run) -> Iterator[Caveat]:
    if texts := tuple(run.record.get("weights_notes") or ()):
        yield Caveat(
            "Initial weights",
            ("Not every model started from its published pretrained weights."),
            texts,
        )


def _conditions(run: Run) -> Iterator[Caveat]:
    if differ := differences(run):
        text = (
            "Not all trials ran with the same packages, code and hardware, so equal settings may "
            "have given different scores."
        )
        yield Caveat("Mixed conditions", text, differ)


def _seeds(run: Run) -> Iterator[Caveat]:
    if run.is_trained_once:
        yield Caveat(
            "One seed",
            "Each configuration was trained once: a difference between two configurations cannot "
            "be told from the variance between seeds.",
        )
    elif len(run.seeds) == 2 and len(run.folds) == 1:
        yield Caveat(
            "Two seeds",
            "With two trainings per configuration the variance between seeds is only roughly "
            "known, so few differences can be resolved.",
        )


def _data(run: Run) -> Iterator[Caveat]:
    data = run.record.get("data") or {}
    if data.get("published") and data.get("cases") != data["published"]:
        yield Caveat(
            "Part of the data",
            f"This run used {data['cases']} of {data['published']} cases of the data set.",
        )


def _patients(run: Run) -> Iterator[Caveat]:
    """Warns where no rule groups scans by patient although some patients seem to have several."""
    grouping = run.grouping
    if grouping.state == SUSPECTED and grouping.likely:
        text = (
            "The names of the cases suggest several scans of a patient, but no rule says which. If "
            "so, a patient may be in the training and the test split, and each interval is too "
            "narrow."
        )
        yield Caveat("Patients unknown", text, (grouping.likely,))


def _absent_classes(run: Run) -> Iterator[Caveat]:
    scored = {
        (score.split, score.label)
        for result in run.finals
        for score in result.scores
        if score.true_voxels
    }
    splits = {score.split for result in run.finals for score in result.scores}
    for split in sorted(splits):
        absent = [run.classes[label] for label in run.labels if (split, label) not in scored]
        if absent:
            text = (
                f"No {split} case has {listed(absent)}: this class has no score there and is left "
                "out of the mean."
            )
            yield Caveat("Absent class", text)


def _untrained(run: Run) -> Iterator[Caveat]:
    """Classes that no training case has, by the counts of the trials."""
    counts = [result.facts.get("class_counts") for result in run.results]
    voxels = [count["voxels"] for count in counts if isinstance(count, dict) and "voxels" in count]
    absent = [
        name
        for label, name in enumerate(run.classes)
        if any(0 in count[label : label + 1] for count in voxels)
    ]
    if absent:
        yield Caveat(
            "Untrained class",
            f"No training case has {listed(absent)}, so no model could learn it.",
        )


def _warned(run: Run) -> Iterator[Caveat]:
    """Cases that were used although a check gave a warning."""
    warnings = (run.record.get("data") or {}).get("warnings") or {}
    if warnings:
        names = tuple(f"{case}: {text}" for case, text in sorted(warnings.items()))
        yield Caveat(
            "Data warnings",
            f"A check gave a warning about the files of {many(len(warnings), 'case')}, which were "
            "still used.",
            names,
        )


def _repaired(run: Run) -> Iterator[Caveat]:
    """Prepared cubes that trials found damaged and prepared again; the scores are correct, but the
    disk may be failing.
    """
    cubes: set[str] = set()
    for result in run.results:
        again: Any = result.facts.get("cases_prepared_again", ())
        cubes.update(again)
    if cubes:
        text = (
            f"{many(len(cubes), 'prepared cube')} had changed on disk and "
            f"{'was' if len(cubes) == 1 else 'were'} prepared again from the patients' files. The "
            "scores are not affected, but check the disk of the cache."
        )
        yield Caveat("Damaged cache", text, tuple(sorted(cubes)))


def _excluded(run: Run) -> Iterator[Caveat]:
    excluded = (run.record.get("data") or {}).get("excluded") or {}
    if excluded:
        names = tuple(f"{case}: {reason}" for case, reason in sorted(excluded.items()))
        yield Caveat(
            "Excluded cases",
            (f"{many(len(excluded), 'case')} {'was' if len(excluded) == 1 else 'were'} not used."),
            names,
        )


def _unscored(run: Run, scores: pd.DataFrame) -> Iterator[Caveat]:
    """Validation and test cases without any score, once a final trial has ended."""
    complete = {result.trial for result in run.finals}
    finals = scores[(scores["phase"] == FINAL) & scores["trial"].isin(complete)]
    for (fold, wanted), split in product(run.split_cases.items(), ("val", "test")):
        of_fold = finals[(finals["fold"] == fold) & (finals["split"] == split)]
        unscored = sorted(set(wanted.get(split, ())) - set(of_fold["case"].unique()))
        is_trained = any(result.spec.fold == fold for result in run.finals)
        if is_trained and unscored:
            yield Caveat(
                "Unscored cases",
                f"{many(len(unscored), f'{split} case')} of "
                f"{'the split' if len(run.folds) == 1 else f'fold {fold}'} "
                f"{'has' if len(unscored) == 1 else 'have'} no score.",
                tuple(unscored),
            )


def _other_trials(run: Run) -> Iterator[Caveat]:
    if run.other_trials:
        text = (
            f"{many(len(run.other_trials), 'result')} in the run folder "
            f"{'belongs' if len(run.other_trials) == 1 else 'belong'} to another grid, seed or "
            f"split and {'is' if len(run.other_trials) == 1 else 'are'} not used."
        )
        yield Caveat("Unused results", text, run.other_trials)


def _dirty(run: Run) -> Iterator[Caveat]:
    if run.record.get("dirty"):
        yield Caveat(
            "Uncommitted changes",
            "The code had uncommitted changes relative to commit "
            f"{run.record.get('commit') or 'unknown'}.",
        )
