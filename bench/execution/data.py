"""From a grid to prepared data: opens, checks and splits the data set, and resamples it to every
cube of the grid's recipes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench.execution.progress_bar import progress_bar
from bench.grid.resolve import GridFacts, ResolvedGrid
from bench.grids import Grid
from trials.data.batches.occurrence import count_classes
from trials.data.datasets.opening import find_dataset, open_dataset
from trials.data.datasets.patients import grouping_line
from trials.data.datasets.registry import DATASETS, OWN, Dataset, Split, default_scheme, split_cases
from trials.data.datasets.splits import explain, refuse_shared_tests, sizes
from trials.data.datasets.targets import target_regions
from trials.data.own_folder import list_contents
from trials.data.prepared.cache import Cache, depends_on_split, open_cache, prepare_dataset
from trials.data.prepared.case_store import content_hash
from trials.data.prepared.node_copy import local_cache
from trials.data.prepared.set_checks import without_bad_cases
from trials.data.sampling import ClassCounts
from trials.data.spacing.plan import resolved, set_bytes
from trials.records.faults import WARNING, Fault, bad_cases, fault_lines, printable
from trials.records.registry import Entry, pick
from trials.records.spec import Cube, Preparation, Recipe, preparation_text
from trials.records.targets import TargetRegion, targets_text

UNUSED_SPLITS = "the data set's own splits are not used: the grid names others"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A data set that is ready for the trials of one fold: its split, the folder and digest of each
    preparation, and the regions that networks predict, none where they predict its labels.
    """

    dataset: Dataset
    scheme: str
    split: Split
    folders: Mapping[Preparation, Path]
    digests: Mapping[Preparation, str]
    counts: Mapping[tuple[Preparation, str], ClassCounts]
    geometry: Mapping[str, Mapping[str, object]]
    regions: tuple[TargetRegion, ...] = ()
    fingerprint: str = ""
    split_rule: str = ""
    notes: tuple[Fault, ...] = ()

    def facts(self, weights: Mapping[str, str]) -> GridFacts:
        """What the trial queue needs to know of the fold's data and of the given weights."""
        return GridFacts(
            splits=self.scheme,
            digests=self.digests,
            counts=self.counts,
            weights=weights,
            regions=self.regions,
        )

    def training_voxels(self) -> list[object]:
        """Each training case's voxels by class, on its native grid."""
        return [self.geometry[case]["class_voxels"] for case in self.split.train]

    def needed(self) -> tuple[Path, ...]:
        """The paths that every node must see: the data set's folder and the manifest of each
        preparation.
        """
        return (
            self.dataset.root.absolute(),
            *(folder / "manifest.json" for folder in self.folders.values()),
        )


def open_grid_data(
    grid: Grid, root: Path | None, parent: Path, console: Console, skip_bad: Path | None = None
) -> tuple[Dataset, str, dict[int, Split]]:
    """Open and split a grid's data set: the one at root, or one that is generated below parent.
    Returns the data set, its split scheme and the split of each fold.

    skip_bad is the cache folder that remembers which cases cannot be used; these are excluded from
    the data set and its splits. Raises ValueError if the data set is missing, saying how to get it,
    or listing all its faults.
    """
    part = pick(DATASETS, "data set", grid.dataset)
    if root is None and not part.generate:
        raise ValueError(
            f"grid {grid.name!r} needs {grid.dataset}; give its folder with --data: "
            f"{part.how_to_get}"
        )
    root = root or parent / "-".join([grid.dataset, *map(str, grid.generate.values())])
    if part.generate and grid.generate:
        # Other files are refused by the generator, which writes nothing then.
        if not list_contents(root) or (root / part.marker_file).exists():
            console.print(f"generating {grid.dataset} in {root}", highlight=False)
        Entry(part.generate).load()(root, **grid.generate)
    dataset = (
        open_dataset(grid.dataset, root, grid.patients)
        if skip_bad is None
        else open_sound_part(grid.dataset, root, skip_bad, console, patients=grid.patients)
    )
    print_patients(dataset, console)
    if regions := target_regions(dataset, grid.targets):
        told = f"networks predict {targets_text(regions)}"
        console.print(told, highlight=False, markup=False, soft_wrap=True)
    scheme = grid.splits or default_scheme(dataset)
    splits = {fold: split_cases(dataset, scheme, fold) for fold in grid.folds}
    refuse_shared_tests(dataset, scheme, splits)
    for fold, split in splits.items():
        console.print(case_count(dataset, split), highlight=False)
        console.print(explain(dataset, scheme, fold), highlight=False)
    if is_own_unused(dataset, scheme):
        console.print(f"warning: {UNUSED_SPLITS}", highlight=False)
    return dataset, scheme, splits


def open_sound_part(
    name: str,
    root: Path,
    cache: Path,
    console: Console,
    workers: int | None = None,
    patients: str = "",
) -> Dataset:
    """Open a data set without the cases that cannot be used, and print each with the reason."""
    found = find_dataset(name, root, patients)
    with progress_bar(f"checking {found.name}", len(found.cases), console) as tick:
        dataset = without_bad_cases(found, cache, workers, on_case=tick)
    for case, reason in bad_cases(dataset.faults).items():
        console.print(f"left out: {case}: {reason}", highlight=False, markup=False, soft_wrap=True)
    return dataset


def prepare_grid(
    resolved: ResolvedGrid,
    dataset: Dataset,
    scheme: str,
    splits: Mapping[int, Split],
    cache: Path,
    console: Console,
) -> dict[int, Prepared]:
    """Resample every case to every cube of the grid's recipes, once for all folds that allow it.
    Returns the data of each fold. Raises ValueError naming every faulty case.
    """
    recipes = dict.fromkeys(one.recipe for one in resolved.cells)
    regions = target_regions(dataset, resolved.grid.targets)
    opened: dict[tuple[Preparation, tuple[str, ...]], tuple[Path, Cache]] = {}
    found = {}
    for fold, split in splits.items():
        caches = {}
        for preparation in dict.fromkeys(recipe.preparation for recipe in recipes):
            # Only the cubes that are normalised by the training cases differ between folds.
            key = preparation, split.train if depends_on_split(preparation) else ()
            if key not in opened:
                folder = prepare_with_bar(dataset, preparation, cache, split.train, console)
                opened[key] = folder, open_cache(folder)
            caches[preparation] = opened[key]
        rule = explain(dataset, scheme, fold)
        found[fold] = prepared_fold(dataset, scheme, split, rule, recipes, caches, regions)
    return found


def prepared_fold(
    dataset: Dataset,
    scheme: str,
    split: Split,
    rule: str,
    recipes: Iterable[Recipe],
    caches: Mapping[Preparation, tuple[Path, Cache]],
    regions: tuple[TargetRegion, ...],
) -> Prepared:
    """The data of one fold; caches holds the folder of each preparation and what it holds."""
    first = next(iter(caches.values()))[1]
    return Prepared(
        dataset=dataset,
        scheme=scheme,
        split=split,
        split_rule=rule,
        folders={preparation: folder for preparation, (folder, _) in caches.items()},
        digests={preparation: opened.digest for preparation, (_, opened) in caches.items()},
        counts={
            (recipe.preparation, recipe.class_unit): count_classes(
                caches[recipe.preparation][1], split.train, recipe.class_unit, regions
            )
            for recipe in recipes
        },
        geometry=geometry(first),
        regions=regions,
        fingerprint=fingerprint_of_files(first),
        notes=notes_of(first),
    )


def fingerprint_of_files(cache: Cache) -> str:
    """A digest of the names of all cases and the content of their files, whatever they are prepared
    to.
    """
    files = [
        (case, *(image.digest for image in record.images), record.labels.digest)
        for case, record in sorted(cache.cases.items())
    ]
    return content_hash(files, 16)


def geometry(cache: Cache) -> dict[str, Mapping[str, object]]:
    """Each case's native grid in (D, H, W) and the number of voxels of each class on it."""
    return {
        case: {
            "shape": list(record.shape),
            "spacing_mm": [float(f"{edge:.6g}") for edge in record.spacing_mm],
            "class_voxels": list(record.class_voxels),
        }
        for case, record in cache.cases.items()
    }


def case_count(dataset: Dataset, split: Split) -> str:
    """One line: the number of cases, and of those in each split."""
    of = f" of {dataset.published}" if dataset.published else ""
    out = (
        f", {len(split.excluded)} left out ({', '.join(sorted(split.excluded)[:3])})"
        if split.excluded
        else ""
    )
    return f"{len(dataset.cases)}{of} cases: {sizes(dataset, split)}{out}"


def prepare_with_bar(
    dataset: Dataset,
    preparation: Preparation,
    cache: Path,
    train: tuple[str, ...],
    console: Console,
    workers: int | None = None,
) -> Path:
    """prepare_dataset with a progress bar and the remaining time."""
    preparation = resolved(preparation, dataset)
    text = preparation_text(preparation)
    if not isinstance(preparation, Cube):
        gigabytes = set_bytes(preparation, dataset.cases, len(dataset.channels)) / 1e9
        console.print(
            f"{dataset.name} as a {text}: {gigabytes:.3g} GB in {cache}",
            highlight=False,
            soft_wrap=True,
        )
    doing = f"preparing {dataset.name} as a {text}"
    with (
        progress_bar(doing, len(dataset.cases), console) as tick,
        local_cache(cache, dataset.name) as local,
    ):
        folder = prepare_dataset(
            dataset, preparation, local, train=train, workers=workers, on_case=tick
        )
    return cache / folder.relative_to(local).as_posix()


def is_own_unused(dataset: Dataset, scheme: str) -> bool:
    """Whether a data set brings splits of its own that a grid does not use."""
    return bool(dataset.own_splits) and scheme != OWN


def notes_of(cache: Cache) -> tuple[Fault, ...]:
    """The warnings about the files of a prepared data set."""
    return tuple(note for record in cache.cases.values() for note in record.notes)


def print_notes(cache: Cache, console: Console) -> None:
    """Print a line for each warning about a file."""
    print_warnings(notes_of(cache), console)


def print_patients(dataset: Dataset, console: Console) -> None:
    """Print how many patients the cases are of, unless each is known to be one, and a line for each
    warning about the data set as a whole.
    """
    if line := grouping_line(dataset.grouping, [case.case for case in dataset.cases]):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    print_warnings([fault for fault in dataset.faults if not fault.case], console)


def print_warnings(faults: Iterable[Fault], console: Console) -> None:
    """Print a line for each warning; one for those that many files share."""
    for line in fault_lines([fault for fault in faults if fault.level == WARNING]):
        console.print(printable(line), highlight=False, markup=False, soft_wrap=True)
