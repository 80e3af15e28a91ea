"""The items of two reporting guidelines that a run can answer, and those that only its authors can.

Metrics Reloaded (Maier-Hein et al. 2024) asks why a metric was chosen and how it was averaged;
CLAIM (Tejani et al. 2024) asks what a reader needs to judge and repeat a study of medical images.
"""

from reports.analysis.context import Context
from reports.answer.know_first import know_first
from reports.answer.resolution import resolution
from reports.figures.cells import has_surfaces
from reports.formatting import SPLITS, listed, many, many_patients
from reports.manuscript.document import DataTable, Paragraph, Part
from reports.manuscript.references import cite
from trials.records.metrics import METRICS
from trials.records.result import NATIVE

AUTHORS = "To be answered by the authors."


def checklists(context: Context) -> Part:
    """Both checklists, each item with its answer."""
    note = (
        "An item is answered from the run where the run holds the answer. The items follow Metrics "
        f"Reloaded{cite('maierhein2024')} and the 2024 update of CLAIM{cite('tejani2024')} in our "
        "words and are no substitute for these guidelines."
    )
    return Part(
        "Checklists",
        (
            Paragraph(note),
            _table("metrics-reloaded", "Metrics Reloaded.", _metrics_reloaded(context)),
            _table("claim", "CLAIM.", _claim(context)),
        ),
    )


def _table(label: str, caption: str, items: list[tuple[str, str]]) -> DataTable:
    return DataTable(
        label=label,
        caption=caption,
        columns=("Item", "Answer"),
        rows=tuple((item, answer or AUTHORS) for item, answer in items),
        names=2,
        prose=True,
    )


def _metrics_reloaded(context: Context) -> list[tuple[str, str]]:
    counts = context.test[NATIVE]
    noun, titles = context.run.noun, listed([one.title_of(name) for name, one in METRICS.items()])
    return [
        ("Category of the problem", "Semantic segmentation."),
        ("Target structures", f"{listed(context.run.classes[1:])}."),
        ("Importance of boundaries, volume and centre for the application", ""),
        ("Size of structures relative to the grid", _sizes(context)),
        ("Metric of overlap", f"Dice and IoU from the same voxel counts of each {noun}."),
        (
            "Metric of boundaries",
            "Surface Dice and HD95 in mm." if has_surfaces(context) else "None was computed.",
        ),
        ("All metrics reported", f"{titles}." if has_surfaces(context) else "Dice and IoU."),
        (
            "Structures absent from the reference or the prediction",
            f"A {noun} counts in the mean over the patients whose reference holds it; false "
            "positives in other patients are counted apart.",
        ),
        (
            "Aggregation",
            f"Scans of a patient first, then patients, then seeds; {context.run.nouns} have equal "
            "weight.",
        ),
        (
            "Number of test cases",
            f"{many_patients(len(counts.patients), len(counts.cases), 'test')}.",
        ),
        (
            "Uncertainty",
            "95 % bootstrap intervals over patients, with the variance between seeds.",
        ),
    ]


def _sizes(context: Context) -> str:
    geometry = (context.run.record.get("data") or {}).get("geometry") or {}
    of_cases = context.run.class_voxels(geometry)
    voxels = [sorted(one[label] for one in of_cases if one[label]) for label in context.run.labels]
    found = [
        f"{context.run.classes[label]} {of[len(of) // 2]:,}"
        for label, of in zip(context.run.labels, voxels, strict=True)
        if of
    ]
    return f"Median voxels where present: {listed(found)}." if found else ""


def _partition(context: Context) -> str:
    if not context.run.split_cases:
        return ""
    splits = next(iter(context.run.split_cases.values()))
    sizes = listed([f"{len(splits[name])} {word}" for name, word in SPLITS.items()])
    if len(context.run.folds) > 1:
        sizes = f"{len(context.run.folds)} folds, in the first {sizes}"
    return f"{sizes} cases. How cases belong to patients: {context.run.grouping.rule}."


def _claim(context: Context) -> list[tuple[str, str]]:
    record, run = context.run.record, context.run
    data = record.get("data") or {}
    excluded = data.get("excluded") or {}
    commit = record.get("commit")
    return [
        ("Study design, aim and hypothesis", ""),
        ("Source and licence of the data", str(data.get("licence") or "")),
        ("Approval by an ethics committee", ""),
        (
            "Exclusion of cases",
            f"{many(len(excluded), 'case')}: {listed(sorted(excluded))}." if excluded else "None.",
        ),
        ("Reference standard, annotators and their agreement", ""),
        ("Partition of the data", _partition(context)),
        ("Preprocessing", "See Methods." if record.get("recipes") else ""),
        ("Model architectures and initial weights", "See Methods and the run's report."),
        (
            "Training details and hyperparameters",
            "See Methods and the table of settings; every trial is in the run folder.",
        ),
        ("Selection of the final model", "Highest mean Dice on the validation patients."),
        (
            "Number of trainings of a configuration",
            f"{many(len(run.seeds), 'seed')}, {many(len(run.folds), 'fold')}."
            if len(run.folds) > 1
            else f"{many(len(run.seeds), 'seed')}.",
        ),
        ("Performance with intervals", "See the table of scores."),
        ("Errors and worst cases", "See the report, section Worst cases."),
        ("External test data", ""),
        ("Limitations", " ".join(one.text for one in know_first(context, resolution(context)))),
        ("Code", f"segbench, commit {commit}." if commit else ""),
        ("Funding and conflicts of interest", ""),
    ]
