"""Every case prepared once, for every trial of a node: memory-mapped arrays of a case and one
manifest.

ROOT/<data set>-<key of the preparation>/cases/       case_00042.json, and arrays named by what they
were made of ROOT/<data set>-<key of the preparation>/<digest>/    manifest.json of one set of
cases, written last
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial, reduce
from pathlib import Path
from typing import TypeVar

import numpy as np

from trials.data.datasets.registry import Case, Dataset, is_ct
from trials.data.prepared.case_checks import rules_of
from trials.data.prepared.case_store import (
    Store,
    check_room,
    content_hash,
    is_sound,
    measured_record,
    prepared_record,
)
from trials.data.prepared.manifest import (
    CaseMoments,
    CaseRecord,
    case_of,
    dataset_of,
    read_manifest,
    write_manifest,
)
from trials.data.prepared.node_copy import nearby
from trials.data.prepared.preprocess import Statistics, joined, train_statistics
from trials.data.prepared.set_checks import all_faults, twins
from trials.data.prepared.spaced import kept_voxels
from trials.data.spacing.intensities import BY_VOLUME, Scaling, train_scaling
from trials.data.spacing.plan import prepared_shape, resolved
from trials.process.workers import allow_open_files, try_on_cases
from trials.records.faults import FaultyData, refuse
from trials.records.spec import Cube, Preparation
from trials.storage.atomic import exists, find_files, remove_abandoned

# Entry of every key: raise it when the arrays change, or old caches would be taken for new ones.
# 5: spacings are decimals, and geometry follows one rule; a cache of format 4 is prepared again.
FORMAT = 5

R = TypeVar("R")


def prepare_dataset(
    dataset: Dataset,
    preparation: Preparation,
    cache_root: Path,
    *,
    train: tuple[str, ...] = (),
    workers: int | None = None,
    on_case: Callable[[int, int], None] | None = None,
) -> Path:
    """Prepare every case that is not prepared yet and return the folder of the set, for open_cache.

    train names the cases whose foreground a Cube of normalise="train" is normalised by. workers is
    the number of processes, None one a core. on_case(done, total) is called as cases are finished.
    What an earlier run has finished is verified and kept; a file that changed is prepared again.
    Raises one FaultyData, a ValueError, with every fault of every case; the sound ones stay
    prepared.
    """
    preparation = resolved(preparation, dataset)
    hu = [is_ct(channel) for channel in dataset.channels]
    measured = _train_cases(dataset, preparation, train) if any(hu) else []
    tick = _counter(on_case, len(measured) + len(dataset.cases))
    regions = [[region.name, region.labels] for region in dataset.regions]
    meanings = [len(dataset.classes), dataset.has_ignore, regions]
    store = Store(folder=cache_root, preparation=preparation, rules=rules_of(dataset))
    statistics: tuple[Statistics | None, ...] = (None,) * len(hu)
    if measured:
        assert isinstance(preparation, Cube), "a spacing is scaled when a batch is made"
        key = content_hash([FORMAT, preparation.clip_hu, meanings, hu], 12)
        foreground = replace(store, folder=cache_root / f"{dataset.name}-foreground-{key}")
        moments = _work_on(measured, foreground, measured_record, workers, tick)
        statistics = _joint_statistics(moments.values(), hu)
    given = [asdict(one) if one else None for one in statistics]
    key = content_hash([FORMAT, asdict(preparation), meanings, hu, given], 12)
    folder = cache_root / f"{dataset.name}-{key}"
    store = replace(store, folder=folder / "cases", statistics=statistics)
    for own in find_files(cache_root, f"{dataset.name}-*"):
        remove_abandoned(own)
    check_room(store, dataset)
    records = _work_on(dataset.cases, store, prepared_record, workers, tick)
    _refuse_twins(dataset, records)
    sources = [
        (case, *(image.digest for image in record.images), record.labels.digest)
        for case, record in records.items()
    ]
    return write_manifest(
        dataset, preparation, statistics, folder / content_hash([key, sources], 16), records
    )


@dataclass(frozen=True, slots=True)
class Cache:
    """A prepared set, open for reading; its preparation names its spacing in mm. digest names its
    content; statistics holds what each channel is normalised by, None for a case's own mean and
    deviation.

    made_again names the arrays that were found damaged since it was opened, and were made again.
    """

    folder: Path
    dataset: Dataset
    preparation: Preparation
    statistics: tuple[Statistics | None, ...]
    digest: str
    cases: Mapping[str, CaseRecord]
    made_again: list[str] = field(default_factory=list)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; the index is the label."""
        return self.dataset.classes

    @property
    def channels(self) -> int:
        """The C of every image [C, D, H, W]."""
        return len(self.dataset.channels)

    def image(self, case: str) -> np.ndarray:
        """The image [C, D, H, W], a read-only map of the file: it costs a descriptor, not memory.

        A cube is normalised, float16; at a spacing it is int16, to which scalings() belong.
        """
        dtype = np.float16 if isinstance(self.preparation, Cube) else np.int16
        return self._map(case, 0, dtype, (self.channels, *self.shape(case)))

    def labels(self, case: str) -> np.ndarray:
        """The class indices on the prepared grid, uint8 [D, H, W], a read-only map of the file."""
        return self._map(case, 1, np.uint8, self.shape(case))

    def index(self, case: str) -> np.ndarray:
        """Places of class voxels of a case at a spacing, int16 [n, 3], see class_voxel_index()."""
        kept = kept_voxels(np.array(self.cases[case].cube_class_voxels))
        return self._map(case, 2, np.int16, (int(kept.sum()), 3))

    def scalings(self, cases: Sequence[str]) -> tuple[Scaling, ...]:
        """How each channel becomes a network's input when these cases are trained on; empty for
        cubes, which are normalised.
        """
        if isinstance(self.preparation, Cube):
            return ()
        held = [self._map(case, 3, np.int32) for case in cases]
        return tuple(
            train_scaling([rows[rows[:, 0] == channel, 1:] for rows in held])
            if is_ct(name)
            else BY_VOLUME
            for channel, name in enumerate(self.dataset.channels)
        )

    def shape(self, case: str) -> tuple[int, int, int]:
        """The size of a prepared case in (D, H, W)."""
        return prepared_shape(self.preparation, self.cases[case])

    def _map(
        self, case: str, which: int, dtype: type, shape: tuple[int, ...] | None = None
    ) -> np.ndarray:
        """Only a file whose digest holds is mapped: reading beyond the end of a cut one would kill
        the process. shape None takes any.
        """
        record = self.cases[case]
        path = self.folder.parent / "cases" / record.arrays[which]
        if not is_sound(path, record.digests[which]):
            self._make_again(record, path)
            if not is_sound(path, record.digests[which]):
                raise ValueError(
                    f"{path} is damaged, and was not the same when made again; prepare the data "
                    "set again"
                )
            self.made_again.append(path.name)
        array = np.load(path, mmap_mode="r")
        assert (array.dtype, array.shape) == (dtype, shape or array.shape), (
            f"{path} is no array of {shape}"
        )
        return array

    def _make_again(self, record: CaseRecord, path: Path) -> None:
        store = Store(
            folder=path.parent,
            preparation=self.preparation,
            rules=rules_of(self.dataset),
            statistics=self.statistics,
        )
        try:
            prepared_record(store, case_of(record))
        except (ValueError, OSError) as error:
            text = (
                f"{path} is missing or damaged and cannot be made again ({error}); prepare the "
                "data set again"
            )
            raise ValueError(text) from None


def open_cache(folder: Path) -> Cache:
    """Open the set that prepare_dataset left in folder, or its copy on this node's own disk, see
    nearby().

    Raises ValueError if there is none or its manifest is damaged.
    """
    if not exists(folder / "manifest.json"):
        raise ValueError(f"{folder} holds no prepared data set; prepare it first")
    folder = nearby(folder)
    manifest = read_manifest(folder / "manifest.json")
    records = manifest.cases.values()
    allow_open_files(sum(len(r.arrays) for r in records), f"{len(records)} cases")
    return Cache(
        folder=folder,
        dataset=dataset_of(manifest),
        preparation=manifest.preparation,
        statistics=manifest.statistics,
        digest=manifest.digest,
        cases=manifest.cases,
    )


def depends_on_split(preparation: Preparation) -> bool:
    """Whether a prepared set is that of one training split: cubes that are normalised by its
    foreground. A spacing is scaled when a batch is made.
    """
    return isinstance(preparation, Cube) and preparation.normalise == "train"


def _train_cases(dataset: Dataset, preparation: Preparation, train: tuple[str, ...]) -> list[Case]:
    """The cases whose foreground is measured: none unless cubes are to be normalised by it."""
    if not depends_on_split(preparation):
        return []
    if strangers := sorted(set(train) - {case.case for case in dataset.cases}):
        raise ValueError(
            f"train names cases that {dataset.name} does not hold: {', '.join(strangers)}"
        )
    if not train:
        raise ValueError(
            "preparation.normalise='train' needs the training cases; name them, or take 'volume'"
        )
    return [case for case in dataset.cases if case.case in train]


def _joint_statistics(
    measured: Iterable[CaseMoments], hu: Sequence[bool]
) -> tuple[Statistics | None, ...]:
    """What each channel is normalised by: one in HU by the foreground of all measured cases."""
    of_channels = zip(*(record.moments for record in measured), strict=True)
    found = (train_statistics(reduce(joined, moments)) for moments in of_channels)
    return tuple(next(found) if is_hu else None for is_hu in hu)


def _refuse_twins(dataset: Dataset, records: Mapping[str, CaseRecord]) -> None:
    """Raise FaultyData if two cases have one image."""
    images = {
        case: (Path(record.images[0].path), record.image_voxels or record.images[0].digest)
        for case, record in records.items()
    }
    refuse(dataset.root, twins(images))


def _work_on(
    cases: Sequence[Case],
    store: Store,
    work: Callable[[Store, Case], R],
    workers: int | None,
    tick: Callable[[], None],
) -> dict[str, R]:
    """run_on_cases, but examine a failed case again, since one fault may hide another."""
    done, failed = try_on_cases(cases, partial(work, store), workers, tick)
    if failed:
        summary = f"{len(failed)} of {len(cases)} cases cannot be prepared"
        raise FaultyData(summary, all_faults(cases, store.rules, failed, workers))
    return done


def _counter(on_case: Callable[[int, int], None] | None, total: int) -> Callable[[], None]:
    numbers = iter(range(1, total + 1))
    return lambda: on_case(next(numbers), total) if on_case else None
