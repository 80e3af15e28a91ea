"""segbench audit: checks published tables of Dice and IoU for consistency."""

import argparse

from bench.verb import FINISHED, Verbs, add_verb
from trials.storage.probe import local_path_argument


def add(verbs: Verbs) -> None:
    """The verb and its flags."""
    verb = add_verb(verbs, "audit", "check published tables of Dice and IoU for consistency", run)
    verb.epilog = (
        "Exit code: 0 with or without findings; 2 if the file cannot be read as tables. A row that "
        "cannot be read is named, and the others are checked."
    )
    verb.add_argument(
        "tables",
        type=local_path_argument,
        metavar="TABLES.csv",
        help="columns table, class_name or class_index (0: background), iou, dice; shares or per "
        "cent, deviations are ignored",
    )
    verb.add_argument(
        "--json",
        action="store_true",
        help='print {"findings": [{table, row, rule, message}, ...], '
        '"unread": [{line, reason}, ...], "per_cent": [column, ...]} instead of text',
    )
    floor = (
        "background {} of an empty prediction on the table's cases (default: the value for "
        "KiTS23's published test split)"
    )
    verb.add_argument("--floor-dice", metavar="DICE", help=floor.format("Dice"))
    verb.add_argument("--floor-iou", metavar="IOU", help=floor.format("IoU"))


def run(options: argparse.Namespace) -> int:
    """segbench audit."""
    from reports.audit.rules import audit_file

    print(audit_file(options.tables, options.floor_dice, options.floor_iou, options.json))
    return FINISHED
