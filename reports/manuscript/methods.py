"""The paragraphs of a paper's methods and results, with the numbers of one run. What a run did not
record is left out, never guessed.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from reports.analysis.context import Context
from reports.analysis.questions import SAME
from reports.analysis.summary import MEAN, ScoreSummary
from reports.answer.questions import answer_text
from reports.figures.cells import DAGGER, NEVER_FOUND, has_surfaces, never_found
from reports.formatting import (
    SPLITS,
    distinct,
    listed,
    many,
    many_patients,
    number,
    ranged,
    signed_range,
)
from reports.manuscript.document import Paragraph, Part
from reports.manuscript.references import (
    DATASETS,
    LOSSES,
    MODELS,
    PACKAGES,
    cite,
    with_references,
)
from reports.stats.intervals import DRAWS
from trials.records.grouping import cases_by_patient
from trials.records.metrics import METRICS
from trials.records.questions import comparisons
from trials.records.result import NATIVE
from trials.records.targets import targets_text

HYPER = {"lr": "the learning rate", "one_minus_beta": "1 - beta"}


def methods(context: Context) -> Part:
    """Data, networks, tuning, evaluation and statistics, as this run did them."""
    texts = (
        _data(context),
        _networks(context),
        _recipes(context),
        _tuning(context),
        _evaluation(context),
        _statistics(context),
        _software(context),
    )
    return Part("Methods", tuple(Paragraph(text) for text in texts if text))


def results(context: Context) -> Part:
    """The answers to the questions, the selected configuration, its scores, and its lead over the
    runner-up.
    """
    answers = [answer_text(answer) for answer in context.answers if answer.found]
    texts = (*answers, _selected(context), _lead(context), _cost(context))
    found = tuple(Paragraph(text) for text in texts if text)
    return Part("Results", found or (Paragraph("No configuration has test scores yet."),))


def _data(context: Context) -> str:
    run, data = context.run, context.run.record.get("data") or {}
    name = str(run.record["dataset"])
    used = data.get("cases", 0)
    whole = data.get("published") or used
    size = many(whole, "case") + (f", of which {used} were used" if whole != used else "")
    parts = [
        f"The data set {run.title}{cite(*DATASETS.get(name, ()))} holds {size}, labelled with "
        f"{listed(run.label_names[1:])}.",
        _splits(context),
    ]
    if excluded := data.get("excluded"):
        parts.append(f"{many(len(excluded), 'case')} were excluded: {listed(sorted(excluded))}.")
    if data.get("split_rule"):
        parts.append(f"The split follows this rule: {data['split_rule']}.")
    return " ".join(part for part in parts if part)


def _splits(context: Context) -> str:
    if (num := len(context.run.folds)) > 1:
        return (
            f"We used cross-validation with {num} folds: each patient was tested in one fold, by "
            "trainings that neither learned from it nor were tuned on it."
        )
    cases: Mapping[str, Sequence[str]] = next(iter(context.run.split_cases.values()), {})
    sizes = [
        many_patients(
            len(cases_by_patient(context.run.grouping, cases[split])), len(cases[split]), word
        )
        for split, word in SPLITS.items()
        if cases.get(split)
    ]
    return f"It was divided into {listed(sizes)}." if sizes else ""


def _networks(context: Context) -> str:
    cells = context.run.cells
    models, losses, samplings = (
        distinct(getattr(cell, factor) for cell in cells)
        for factor in ("model", "loss", "sampling")
    )
    return (
        f"We compared {many(len(cells), 'configuration')} of a network, a loss and a sampling of "
        f"the training data. {_were('network', with_references(models, MODELS))}; "
        f"{_were('loss', with_references(losses, LOSSES), 'losses').lower()}; "
        f"{_were('sampling', samplings).lower()}. {_targets(context)}"
    )


def _were(noun: str, names: Sequence[str], plural: str = "") -> str:
    """'The loss was focal', 'The losses were focal and combined'."""
    if len(names) == 1:
        return f"The {noun} was {names[0]}"
    return f"The {plural or noun + 's'} were {listed(names)}"


def _targets(context: Context) -> str:
    if regions := context.run.target_regions:
        return f"The networks predicted {targets_text(regions)}."
    return "The networks gave each voxel one class (softmax)."


def _recipes(context: Context) -> str:
    """One sentence for the models that share a recipe, as far as run.json holds it."""
    by_words: dict[str, list[str]] = {}
    for model, recipe in (context.run.record.get("recipes") or {}).items():
        if words := _recipe(recipe):
            by_words.setdefault(words, []).append(model)
    return " ".join(f"{listed(models)}: {words}." for words, models in by_words.items())


def _recipe(recipe: Mapping[str, Any]) -> str:
    length = [f"{many(recipe['epochs'], 'epoch')}"] if "epochs" in recipe else []
    if recipe.get("steps_per_epoch"):
        length.append(f"{many(recipe['steps_per_epoch'], 'step')} each")
    parts = [" of ".join(length), _preparation(recipe)]
    if "batch_size" in recipe:
        parts.append(f"batches of {recipe['batch_size']}")
    if "optimizer" in recipe:
        parts.append(f"optimiser {recipe['optimizer']}, schedule {recipe.get('schedule', 'fixed')}")
    if "augment" in recipe:
        parts.append("augmentation" if recipe["augment"] else "no augmentation")
    return ", ".join(part for part in parts if part)


def _preparation(recipe: Mapping[str, Any]) -> str:
    preparation = recipe.get("preparation") or {}
    if preparation.get("kind") == "spacing":
        mm, patch = preparation["mm"], " x ".join(map(str, recipe.get("patch") or ()))
        spacing = mm if isinstance(mm, str) else " x ".join(f"{edge:g}" for edge in mm) + " mm"
        return f"patches of {patch} voxels at the spacing {spacing}"
    if edge := preparation.get("edge"):
        return f"cases resampled to a cube of {edge} voxels an edge"
    return ""


def _tuning(context: Context) -> str:
    tuning = context.run.record.get("tuning")
    first = _first(context)
    if not tuning:
        return f"Hyperparameters were not tuned: every configuration used its {first} setting."
    spaces = distinct(
        name for study in context.run.record.get("studies") or () for name in study["space"]
    )
    tuned = f"we tuned {listed([in_words(name) for name in spaces])} of each configuration"
    budget = f"with {many(tuning['trials'], 'trial')}, the first of which is the {first} setting"
    pruned = (
        f" Trials were stopped early by successive halving{cite('li2020')}."
        if tuning.get("prune")
        else ""
    )
    return (
        f"With Optuna{cite('akiba2019')} and its tree-structured Parzen estimator"
        f"{cite('bergstra2011')}, {tuned} {budget}. A trial's score was the mean Dice over the "
        f"{context.run.nouns} on the validation patients.{pruned} The best setting was then "
        f"trained with {many(len(context.run.seeds), 'seed')}. "
        + (
            "The test patients had no part in it."
            if len(context.run.folds) == 1
            else "Each fold was tuned on its own, and its test patients had no part in it."
        )
    )


def _first(context: Context) -> str:
    """What the setting of a first trial is: settings of the demo on other data are inherited."""
    return "inherited" if context.run.record.get("inherited") else "default"


def in_words(hyper: str) -> str:
    """A hyperparameter as a paper names it."""
    return HYPER.get(hyper, hyper.replace("_", " "))


def _evaluation(context: Context) -> str:
    others = [
        f"{entry.title_of(name)}{cite('nikolov2021') if name == 'surface_dice' else ''}"
        for name, entry in METRICS.items()
        if name != "dice"
    ]
    surfaces = f" Other metrics were {listed(others)}." if has_surfaces(context) else ""
    return (
        "Predictions were compared with the reference on the grid of the scan. The Dice score of a "
        f"{context.run.noun} is the mean over the patients whose reference holds it, then over the "
        f"seeds; false positives in the other patients were counted apart.{surfaces}"
    )


def _statistics(context: Context) -> str:
    cells = context.run.cells
    asked = sum(len(comparisons(answer.question, cells)) for answer in context.answers)
    trainings = "seeds" if len(context.run.folds) == 1 else "trainings of different folds"
    return (
        f"Intervals are 95 % bootstrap intervals{cite('efron1993')} from {DRAWS:,} samples of the "
        f"patients. They include the variance between {trainings}, with the quantiles of Student's "
        "t distribution. Each difference between configurations was tested twice, paired by "
        f"patient: by Wilcoxon's signed-rank test{cite('wilcoxon1945')}, and by a t test in which "
        "patients and trainings are random effects. We report the larger of the two p values, "
        f"corrected by Holm's method{cite('holm1979')} for the {many(asked, 'comparison')} "
        "declared before the run; p values of other pairs were corrected for all pairs. "
        "We call a difference resolved if its interval excludes zero and its corrected p is below "
        "0.05. The configuration with the highest Dice on the validation patients was selected. It "
        "is said to lead if its difference to every other configuration is resolved and has an "
        f"interval that reaches above {SAME} Dice."
    )


def _software(context: Context) -> str:
    record = context.run.record
    versions = record.get("versions") or {}
    packages = [
        f"{title} {versions[name]}{cite(key)}"
        for name, (title, key) in PACKAGES.items()
        if name in versions
    ]
    devices = distinct(
        str(result.facts["device"]) for result in context.run.finals if result.facts.get("device")
    )
    code = (record.get("code") or {}).get("segbench", "").split(" ")[0]
    parts = [f"The benchmark ran with segbench {code}{cite('segbench')}".replace("  ", " ")]
    if packages:
        parts.append(f" on {listed(packages)}")
    if devices:
        parts.append(f"; trainings used {listed(devices)}")
    return "".join(parts) + "."


def _selected(context: Context) -> str:
    selection = context.selection
    if selection is None:
        return ""
    cell = context.run.cells[selection.selected]
    counts = context.test[NATIVE]
    scores = [
        f"{context.run.classes[label]} {_dice(context, selection.selected, label)} (n = "
        f"{context.summaries[NATIVE][selection.selected, label].n})"
        for label in context.run.labels
        if context.summaries[NATIVE][selection.selected, label].n
    ]
    return (
        f"{cell.model} with the loss {cell.loss} and the sampling {cell.sampling} had the highest "
        f"Dice on the validation patients, {number(selection.validation[selection.selected])}. On "
        f"{many_patients(len(counts.patients), len(counts.cases), 'test')} it reached a mean Dice "
        f"of {_dice(context, selection.selected, MEAN)}: {listed(scores)}."
        + (f" {NEVER_FOUND}" if any(DAGGER in score for score in scores) else "")
    )


def score_text(row: ScoreSummary) -> str:
    """A mean Dice with its interval, marked if no training found the class."""
    text = ranged(row.dice, row.dice_low, row.dice_high)
    return f"{text} {DAGGER}" if never_found(row.dice, row.dice_high) else text


def _dice(context: Context, i: int, label: int) -> str:
    return score_text(context.summaries[NATIVE][i, label])


def _lead(context: Context) -> str:
    selection = context.selection
    if selection is None or selection.runner_up is None:
        return ""
    i = selection.runner_up
    rival = context.run.cells[i]
    lead = signed_range(selection.lead[i], selection.low[i], selection.high[i])
    rivals = [
        j
        for j in range(len(context.run.cells))
        if j != selection.selected and not math.isnan(selection.lead[j])
    ]
    resolved = sum(bool(selection.resolved[j]) for j in rivals)
    return (
        "Its difference to the configuration with the second highest validation Dice, "
        f"{rival.model} with {rival.loss} and {rival.sampling}, was {lead} Dice. Its lead was "
        f"resolved against {resolved} of {many(len(rivals), 'other configuration')}. A lead that "
        "is not resolved does not show that two configurations are equal."
    )


def _cost(context: Context) -> str:
    trials = context.run.results
    if not trials:
        return ""
    hours = sum(result.seconds for result in trials) / 3600
    return f"The {many(len(trials), 'training')} of the benchmark took {hours:.3g} hours together."
