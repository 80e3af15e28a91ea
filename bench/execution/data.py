"""From a grid to prepared data: opens, checks and splits the data set, and resamples it to every
cube of the grid's recipes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from bench.execution.progress_bar import progress_bar
from bench.grid.resolve import GridFacts, ResolvedGrid
from bench.grids import Grid
from trials.data.batches.occurrence import count_classes
from trials.data.datasets.case_metadata import case_metadata
from trials.data.datasets.patients import grouping_line
from trials.data.datasets.registry import (
    DATASETS,
    OWN,
    Dataset,
    Split,
    default_scheme,
    find_dataset,
    open_dataset,
    split_cases,
)
from trials.data.datasets.splits import explain, sizes, split_hash
from trials.data.datasets.targets import target_regions
from trials.data.own_folder import list_contents
from trials.data.prepared.cache import Cache, open_cache, prepare_dataset
from trials.data.prepared.case_store import content_hash
from trials.data.prepared.grids import resolved, set_bytes
from trials.data.prepared.set_checks import without_bad_cases
from trials.data.sampling import ClassCounts
from trials.records.faults import WARNING, Fault, bad_cases, fault_lines, printable
from trials.records.preparation import preparation_text
from trials.records.registry import Entry, pick
from trials.records.spec import Cube, Preparation
from trials.records.targets import TargetRegion, targets_text
from trials.storage.mirror import local_cache

UNUSED_SPLITS = "the data set's own splits are not used: the grid names others"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A data set that is ready for trials: its split, the folder and digest of each preparation,
    and the regions that networks predict, none where they predict its labels.
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
        """What the trial queue needs to know of the data and of the given weights."""
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

    def record(self) -> dict[str, object]:
        """The data entry of run.json."""
        splits = {name: list(getattr(self.split, name)) for name in ("train", "val", "test")}
        left_out = bad_cases(self.dataset.faults)
        return {
            "root": str(self.dataset.root),
            "title": self.dataset.title,
            "splits": self.scheme,
            "split_rule": self.split_rule,
            "classes": list(self.dataset.classes),
            "channels": list(self.dataset.channels),
            "has_ignore": self.dataset.has_ignore,
            "regions": [region.name for region in self.dataset.regions],
            "cases": len(self.dataset.cases),
            "published": self.dataset.published,
            "split_cases": splits,
            "split_hash": split_hash(splits),
            "data_digest": " ".join(self.digests.values()),
            "fingerprint": self.fingerprint,
            "excluded": dict(self.split.excluded) | left_out,
            "bad_cases": left_out,
            "warnings": warnings_by_case(self.notes),
            "notes": set_notes(self.dataset, self.scheme),
            "licence": self.dataset.licence,
            "shows_images": pick(DATASETS, "data set", self.dataset.name).shows_images,
            "geometry": dict(self.geometry),
            "case_metadata": case_metadata(self.dataset),
            "grouping": asdict(self.dataset.grouping),
        }


def open_grid_data(
    grid: Grid, root: Path | None, parent: Path, console: Console, skip_bad: Path | None = None
) -> tuple[Dataset, str, Split]:
    """Open and split a grid's data set: the one at root, or one that is generated below parent.
    Returns the data set, its split scheme and its split.

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
    split = split_cases(dataset, scheme, grid.fold)
    console.print(case_count(dataset, split), highlight=False)
    console.print(explain(dataset, scheme, grid.fold), highlight=False)
    if is_own_unused(dataset, scheme):
        console.print(f"warning: {UNUSED_SPLITS}", highlight=False)
    return dataset, scheme, split


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
    split: Split,
    cache: Path,
    console: Console,
) -> Prepared:
    """Resample every case to every cube of the grid's recipes. Raises ValueError naming every
    faulty case.
    """
    recipes = dict.fromkeys(one.recipe for one in resolved.cells)
    regions = target_regions(dataset, resolved.grid.targets)
    folders = {
        preparation: prepare_with_bar(dataset, preparation, cache, split.train, console)
        for preparation in dict.fromkeys(recipe.preparation for recipe in recipes)
    }
    caches = {preparation: open_cache(folder) for preparation, folder in folders.items()}
    counts = {
        (recipe.preparation, recipe.class_unit): count_classes(
            caches[recipe.preparation], split.train, recipe.class_unit, regions
        )
        for recipe in recipes
    }
    return Prepared(
        dataset=dataset,
        scheme=scheme,
        split=split,
        split_rule=explain(dataset, scheme, resolved.grid.fold),
        folders=folders,
        digests={preparation: opened.digest for preparation, opened in caches.items()},
        counts=counts,
        geometry=geometry(next(iter(caches.values()))),
        regions=regions,
        fingerprint=fingerprint_of_files(next(iter(caches.values()))),
        notes=notes_of(next(iter(caches.values()))),
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


def set_notes(dataset: Dataset, scheme: str) -> list[str]:
    """The warnings about a data set as a whole: what it names or holds and is not used. The report
    speaks of patients elsewhere.
    """
    notes = [
        f"{Path(fault.file).name}: {fault.message}"
        for fault in dataset.faults
        if fault.level == WARNING and fault.code != "patients"
    ]
    return [*notes, *([UNUSED_SPLITS] if is_own_unused(dataset, scheme) else ())]


def is_own_unused(dataset: Dataset, scheme: str) -> bool:
    """Whether a data set brings splits of its own that a grid does not use."""
    return bool(dataset.own_splits) and scheme != OWN


def notes_of(cache: Cache) -> tuple[Fault, ...]:
    """The warnings about the files of a prepared data set."""
    return tuple(note for record in cache.cases.values() for note in record.notes)


def warnings_by_case(notes: tuple[Fault, ...]) -> dict[str, str]:
    """Case to its warnings, which name files without their folders."""
    texts_by_case: dict[str, list[str]] = {}
    for note in notes:
        if note.level == WARNING:
            text = f"{Path(note.file).name}: {note.message}"
            texts_by_case.setdefault(note.case, []).append(text)
    return {case: "; ".join(texts) for case, texts in texts_by_case.items()}


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
