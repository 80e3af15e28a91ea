"""A data set and one of its splits as a folder of nnU-Net v2, which our own reader reads back."""

import csv
import gzip
import io
import json
from functools import partial
from pathlib import Path

import nibabel as nib

from trials.data.datasets.label_set import LabelSet, Region
from trials.data.datasets.nnunet.splits import NAME as SPLITS
from trials.data.datasets.patients import FILE as PATIENTS
from trials.data.datasets.registry import Case, Dataset, Split
from trials.data.nifti.opening import ending_of
from trials.data.own_folder import list_contents, refuse_foreign
from trials.storage.atomic import write_text, write_whole

CHUNK = 2**20
NIFTI = (".nii.gz", ".nii")


def export_nnunet(
    dataset: Dataset, split: Split, out: Path, regions: tuple[Region, ...] = (), copy: bool = False
) -> None:
    """Write the images and masks of a split: train and val to imagesTr and labelsTr, test to
    imagesTs and labelsTs, with dataset.json, splits_final.json (one fold) and patients.csv.

    Files are links to the data set's own, or copies. One of another ending than the first, or that
    holds several channels, is written anew. regions are what nnU-Net is trained on instead of the
    labels; () takes those that the data set declares, if any. Raises ValueError, before a file is
    written, for a folder that is not empty, files of another format than NIfTI, or regions without
    an order of classes.
    """
    labels = label_facts(dataset.labels, regions)
    _refuse_other_formats(dataset)
    refuse_foreign(out, list_contents(out), "a new folder", "name an empty folder")
    cases = {case.case: case for case in dataset.cases}
    ending = ending_of(cases[split.train[0]].labels.name)
    for part, names in (("Tr", (*split.train, *split.val)), ("Ts", split.test)):
        for name in names:
            _write_case(cases[name], out, part, (ending, len(dataset.channels), copy))
    facts = {
        "name": dataset.name,
        "licence": dataset.licence,
        "channel_names": {str(number): name for number, name in enumerate(dataset.channels)},
        **labels,
        "numTraining": len(split.train) + len(split.val),
        "file_ending": ending,
    }
    folds = [{"train": list(split.train), "val": list(split.val)}]
    for file, content in ((SPLITS, folds), ("dataset.json", facts)):
        write_text(out / file, json.dumps(content, indent=1))
    write_text(out / PATIENTS, patients_table(dataset))


def label_facts(labels: LabelSet, regions: tuple[Region, ...]) -> dict[str, object]:
    """The keys "labels" and, with regions, "regions_class_order" of dataset.json. Raises ValueError
    for regions of which one adds no single label to those after it.
    """
    ignore = {"ignore": len(labels.classes)} if labels.has_ignore else {}
    order = list(labels.class_order)
    if not regions and not labels.regions:
        named = {name: label for label, name in enumerate(labels.classes)}
        return {"labels": named | ignore}
    if regions:
        order = [_own_label(regions, number) for number in range(len(regions))]
    unions = {
        region.name: list(region.labels) if len(region.labels) > 1 else region.labels[0]
        for region in regions or labels.regions
    }
    return {
        "labels": {labels.classes[0]: 0, **unions, **ignore},
        "regions_class_order": order,
    }


def patients_table(dataset: Dataset) -> str:
    """The patient of each case, and its site where one is known, as patients.csv."""
    grouping, text = dataset.grouping, io.StringIO()
    columns = ["case", "patient", *(["site"] if grouping.sites else [])]
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for case in (case.case for case in dataset.cases):
        patient, site = grouping.patients.get(case, case), grouping.sites.get(case, "")
        writer.writerow({"case": case, "patient": patient, "site": site})
    return text.getvalue()


def _own_label(regions: tuple[Region, ...], number: int) -> int:
    """The label of a region that no later one holds."""
    later = {label for region in regions[number + 1 :] for label in region.labels}
    own = set(regions[number].labels) - later
    if len(own) != 1:
        raise ValueError(
            f"region {regions[number].name} must hold one label that no later region has; it holds "
            f"{len(own)}; export without regions"
        )
    return own.pop()


def _refuse_other_formats(dataset: Dataset) -> None:
    for case in dataset.cases:
        for file in (*case.images, case.labels):
            if ending_of(file.name) not in NIFTI:
                raise ValueError(
                    f"nnU-Net's folder is made of {' and '.join(NIFTI)} files; {file} is another "
                    "format; convert it"
                )


def _write_case(case: Case, out: Path, part: str, form: tuple[str, int, bool]) -> None:
    """Write the files of one case; form is their ending, the number of channels, and whether they
    are copied.
    """
    ending, channels, is_copied = form
    images, labels = out / f"images{part}", out / f"labels{part}"
    for folder in (images, labels):
        folder.mkdir(parents=True, exist_ok=True)
    paths = [images / f"{case.case}_{number:04d}{ending}" for number in range(channels)]
    if len(case.images) < channels:
        whole = _load(case.image)
        for number, path in enumerate(paths):
            _write_image(whole.slicer[..., number], path)
        paths = []
    pairs = [*zip(case.images, paths, strict=False), (case.labels, labels / f"{case.case}{ending}")]
    for source, path in pairs:
        if ending_of(source.name) != ending:
            _write_image(_load(source), path)
        elif is_copied:
            _copy(source, path)
        else:
            path.symlink_to(source.resolve())


def _load(path: Path) -> nib.Nifti1Image:
    image = nib.load(path)
    assert isinstance(image, nib.Nifti1Image), "the endings are those of NIfTI"
    return image


def _write_image(image: nib.Nifti1Image, path: Path) -> None:
    """Write an image as it is stored, compressed as the path says."""
    content = image.to_bytes()
    if path.name.endswith(".gz"):
        content = gzip.compress(content, 6, mtime=0)
    write_whole(path, lambda file: file.write(content))


def _copy(source: Path, path: Path) -> None:
    with source.open("rb") as stored:
        write_whole(path, lambda file: file.writelines(iter(partial(stored.read, CHUNK), b"")))
