"""One name has one value: every number with a name that stands in several places of the finished
files, read from the page's tables, sentences and figures, leaderboard.tex and the manuscript.
"""

import base64
import gzip
import html
import json
import re
from collections import defaultdict

import pytest
from test_golden_tables import LISTS

from reports.manuscript.write import write_manuscript

pytest_plugins = ("printed_fixture",)

# A column that states what other places state too: its table and name, and the name of the number.
# Classes stand by number or name; "@" is the row's class, of the selected configuration.
SHARED = {
    r"answer-overview-table/mean test Dice": "mean Dice",
    r"answer-by-class/(Dice|IoU)": "@ {}",
    r"answer-by-class/false positives": "@ false alarms",
    r"(?:leaderboard|forest)-table/(mean of classes|kidney|tumor|cyst)": "{} Dice",
    r"convention-positives/(mean|kidney|tumor|cyst)": "{} Dice",
    r"leaderboard-table/Surface Dice": "mean Surface Dice",
    r"leaderboard-table/on the cube": "mean Dice on the cube",
    r"leaderboard-class-(\d)/(Dice|IoU|Surface Dice|Dice on the cube|false alarms)": "{} {}",
    r"metrics-(mean|\d)/(Dice|IoU|Surface Dice) ↑": "{} {}",
    r"grid-table/(mean of classes|kidney|tumor|cyst) (Dice|IoU)": "{} {}",
    r"attainable-table/(kidney|tumor|cyst), Dice": "{} Dice",
    r"distribution-(\d)/mean": "{} Dice",
    r"(?:leaderboard|stability)-table/ranks first": "ranks first",
    r"(?:convention-positives|stability-table)/rank": "rank",
    r"leaderboard-(?:table|class-\d)/seeds": "seeds",
    r"curves-\d-table/seeds": "seeds",
    r"front-table/validation Dice": "validation Dice",
    r"(?:differences-table|effects-pairs)/difference \[95 % interval\]": "difference",
    r"pairs-table/mean difference": "difference",
    r"seeds-needs/difference": "difference",
    r"(?:pairs-table|effects-pairs)/p": "p",
    r"(?:pairs-table|effects-pairs)/Holm p": "corrected p",
    r"(?:differences-table|effects-pairs|pairs-table|seeds-needs)/verdict": "verdict",
}
# Columns whose numbers stand nowhere else: of a level, a group of patients, another convention, a
# single training, epoch or trial.
ALONE = re.compile(
    r"splits/.*|attainable-table/(ceiling|share)|answer-by-class/patients with it"
    r"|leaderboard-background/.*|leaderboard-class-\d/(false voxels|p against selected)"
    r"|pairs-table/(median difference|patients with a higher score|sign-flip p|asked)"
    r"|metrics-(mean|\d)/(HD95|volume error|lesion recall|false lesions).*"
    r"|metrics-region-\d/.*|effects-(levels-table|ranks)/.*|effects-pairs/shared settings"
    r"|stability-table/(95 % range of ranks|in the first three)|convention-positives/rank, .*"
    r"|convention-(kits|nnunet|monai|pooled|ranks)/.*|distribution-mean/mean of the patients"
    r"|distribution-(mean|\d)/(middle half|median|worst|at least .*)"
    r"|seeds-(table|split)/.*|seeds-needs/(patients|seeds) for 80 % power|size-.*"
    r"|curves-\d-table/(epochs|best epoch|still improving|(validation|training) .* best epoch)"
    r"|front-table/(core|peak|param|train|multi|on the).*|gain-table/.*"
)
NAMED = ("configuration", "rival", "higher", "lower", "model", "loss", "sampling", "class")
NAMED += ("factor", "setting")
CLASSES = {"1": "kidney", "2": "tumor", "3": "cyst", "mean of classes": "mean"}
NUMBER, NAME = r"[-+]?\d\.\d+", r"\b\w+ / \w+ / \w+"
SPAN = rf"{NUMBER}(?: \[{NUMBER}, {NUMBER}\])?"
DIGITS = re.compile(r"(?<![\w.])[-+]?\d+(?:\.(\d+))?")


class Places(dict):
    """By (name, of whom): the place and the text of every number."""

    def add(self, place, name, of, text):
        text = " ".join(text.replace("\N{MINUS SIGN}", "-").split())
        if isinstance(of, tuple) and of[0] > of[1]:
            of, text = of[::-1], turned(text) if name == "difference" else text
        if text not in ("", "n/a"):
            self.setdefault((name, of), []).append((place, text))


def turned(text):
    """A difference with its interval in the other direction."""
    other = [f"{-float(n):+.3f}".replace("-0.000", "0.000") for n in re.findall(NUMBER, text)]
    return other[0] + (f" [{other[2]}, {other[1]}]" if len(other) > 1 else "")


def agree(one, other):
    """Whether two texts can be one value at the coarser precision; intervals where both have
    one.
    """
    if one == other:
        return True
    pairs = list(zip(DIGITS.finditer(one), DIGITS.finditer(other), strict=False))
    return bool(pairs) and "below" not in one + other and all(same(*pair) for pair in pairs)


def same(one, other):
    halves = sorted(0.5 * 10.0 ** -len(found[1] or "") for found in (one, other))
    apart = abs(float(one[0]) - float(other[0]))
    return apart < 1e-9 if halves[0] == halves[1] else apart <= sum(halves) + 1e-9


@pytest.fixture(scope="module")
def places(printed) -> Places:
    folder, found = write_manuscript(printed.out), Places()
    read_tables(printed, found)
    read_figures(printed, found)
    said = re.sub(r"(?s)<script.*?</script>", " ", printed.page.split("<main>")[1])
    said = html.unescape(re.sub(r"<[^>]+>", " ", said))
    files = {name: (folder / name).read_text() for name in ("paper.md", "paper.tex")}
    files["leaderboard.tex"] = (printed.out / "leaderboard.tex").read_text()
    for place, text in {"page": said, **files}.items():
        plain = text.replace("\N{MINUS SIGN}", "-").replace("$-$", "-").replace("\\%", "%")
        plain = " ".join(plain.replace("\\_", "_").replace("\\midrule", "").split())
        read_sentences(place, plain, selected(printed), found)
        if place != "page":
            read_rows(place, plain, found)
    return found


def selected(printed):
    return next(name for name in printed.names if f"{name}<span" in printed.page)


def read_tables(printed, found):
    for table, texts in printed.texts.items():
        if LISTS.match(table):
            continue
        for at, column in enumerate(texts.columns):
            where = f"{table}/{column}"
            matches = [
                name.format(*(CLASSES.get(group, group) for group in match.groups()))
                for pattern, name in SHARED.items()
                if (match := re.fullmatch(pattern, where))
            ]
            known = len(matches) + bool(ALONE.fullmatch(where))
            assert column in NAMED or known == 1, f"say in SHARED or ALONE what {where} is"
            for row, cell, small in zip(
                [dict(zip(texts.columns, row, strict=True)) for row in texts.to_numpy()],
                texts.iloc[:, at],
                printed.small[table].iloc[:, at],
                strict=True,
            ):
                for name in matches:
                    of = of_row(row, selected(printed))
                    text = cell if column == "false positives" else f"{cell} {small}"
                    found.add(table, name.replace("@", row.get("class", "")), of, text)


def of_row(row, chosen):
    """Whose number a row holds: a prediction, or a pair of them."""
    if "setting" in row:
        return tuple(
            " / ".join(
                (level, row["setting"], "none")
                if row["factor"] == "model"
                else (row["setting"], level, "none")
            )
            for level in (row["higher"], row["lower"])
        )
    if "higher" in row:
        return row["higher"], row["lower"]
    if "rival" in row:
        return chosen, row["rival"]
    if "model" in row:
        return f"{row['model']} / {row['loss']} / {row['sampling']}"
    return row.get("configuration", chosen)


def read_figures(printed, found):
    """The points of the figures that show means and differences, with their intervals."""
    panels = {"answer-overview": ("mean",), "forest": ("mean", "kidney", "tumor", "cyst")}
    for figure in ("answer-overview", "forest", "differences", "front"):
        body = printed.page.split(f'id="{figure}">')[1].split("</script>")[0]
        kind, content = re.search(r'<script type="([^"]+)">(.*)', body, re.DOTALL).groups()
        packed = kind == "text/plain"
        data = json.loads(gzip.decompress(base64.b64decode(content)) if packed else content)
        for trace in data["data"]:
            if figure == "front":
                for name, dice in zip(trace.get("customdata", ()), trace["y"], strict=False):
                    found.add(figure, "validation Dice", name, f"{dice:.4f}")
                continue
            panel = int(trace["xaxis"][1:] or 1) - 1
            spans = trace["error_x"]["arrayminus"], trace["error_x"]["array"]
            for x, y, down, up in zip(trace["x"], trace["y"], *spans, strict=True):
                of = html.unescape(re.sub("</?b>", "", y)).removesuffix(" (external)")
                text = f"{x:.4f} [{x - down:.4f}, {x + up:.4f}]"
                if figure == "differences":
                    found.add(figure, "difference", (selected(printed), of), f"{x:+.4f}")
                else:
                    found.add(figure, f"{panels[figure][panel]} Dice", of, text)


def read_sentences(place, text, chosen, found):
    """Every sentence that states such a number."""

    def each(pattern):
        return re.findall(pattern, text)

    for factor, level, higher, gap, lower, low, high, p, verdict in each(
        rf"With the (loss|model) (\S+), (\S+) scores ({NUMBER}) Dice higher than (\S+) "
        rf"\(95 % interval ({NUMBER}) to ({NUMBER})\); corrected p (below {NUMBER}|{NUMBER})"
        r"\.? \(?((?:not )?resolved)"
    ):
        row = {"setting": level, "factor": "model" if factor == "loss" else "loss"}
        of = of_row({**row, "higher": higher, "lower": lower}, chosen)
        found.add(place, "difference", of, f"+{gap} [{low}, {high}]")
        found.add(place, "corrected p", of, p)
        found.add(place, "verdict", of, verdict)
    for name, mean, low, high in each(
        rf"Test Dice of ({NAME}), mean of classes ({NUMBER}) 95 % interval ({NUMBER}) to ({NUMBER})"
    ):
        found.add(place, "mean Dice", name, f"{mean} [{low}, {high}]")
    for name, gap, low, high in each(
        rf"Its difference to ({NAME}), second on validation ({NUMBER}) 95 % interval ({NUMBER}) to "
        rf"({NUMBER})"
    ):
        found.add(place, "difference", (chosen, name), f"{gap} [{low}, {high}]")
    for name, gap in each(rf"difference to the second on validation, ({NAME}), is ({SPAN})"):
        found.add(place, "difference", (chosen, name), gap)
    for name, mean, gap, verdict in each(
        rf"The external predictions (.+?) reach ({SPAN}) on the same patients; {NAME} minus them "
        rf"is ({SPAN}), ((?:not )?resolved)"
    ):
        found.add(place, "mean Dice", name, mean)
        found.add(place, "difference", (chosen, name), gap)
        found.add(place, "verdict", (chosen, name), verdict)
    for mean in each(rf"(?:it reaches|reached a mean Dice of) ({SPAN})"):
        found.add(place, "mean Dice", chosen, mean)
    for name, first in each(rf"({NAME}) ranks first in (\d+ %) of"):
        found.add(place, "ranks first", name, first)
    for gap in each(rf"differs from the runner-up by ({NUMBER})"):
        (rival,) = each(rf"difference to the second on validation, ({NAME}), is")
        found.add(place, "difference", (chosen, rival), gap)
    for dice in each(
        rf"has the highest mean Dice over [\w, ]+: ({NUMBER})|had the highest Dice on the "
        rf"validation patients, ({NUMBER})|{NAME} has the highest validation Dice \(({NUMBER})\)"
    ):
        found.add(place, "validation Dice", chosen, "".join(dice))
    for several in each(r"Highest test Dice: (.*?)\. Being"):
        for label, name, dice in re.findall(
            rf"(\w+) ([^()]+?)(?: \(external\))? \(({NUMBER})\)", several
        ):
            found.add(place, f"{label} Dice", name.removeprefix("and "), dice)
    for scores in each(rf"reached a mean Dice of {SPAN}: (.*?\(n = \d+\))\."):
        for label, dice in re.findall(rf"(kidney|tumor|cyst) ({SPAN})", scores):
            found.add(place, f"{label} Dice", chosen, dice)
    for model, loss, sampling, gap in each(
        rf"second highest validation Dice, (\S+) with (\S+) and (\S+), was ({SPAN})"
    ):
        found.add(place, "difference", (chosen, f"{model} / {loss} / {sampling}"), gap)


def read_rows(place, text, found):
    """The rows of a table of scores in Markdown or LaTeX: model, loss, sampling, then the mean and
    the classes.
    """
    bar = r"\|" if place.endswith("md") else "&"
    for row in re.findall(rf"([\w ]+(?: {bar} [\w-]+){{2}}(?: {bar} {SPAN}){{4}})", text):
        model, loss, sampling, *scores = re.split(rf" {bar} ", row)
        names = [part.strip() for part in (model, loss, sampling)]
        of = names[0] if names[1] == "external" else " / ".join(names)
        for label, score in zip(("mean", "kidney", "tumor", "cyst"), scores, strict=True):
            found.add(place, f"{label} Dice", of, score)


def test_every_number_with_one_name_has_one_value_wherever_it_stands(places):
    differ = [
        (key, first, other)
        for key, (first, *others) in places.items()
        for other in others
        if not agree(first[1], other[1])
    ]

    assert differ == []


def test_every_name_was_found_in_the_places_that_state_it(places):
    where = defaultdict(set)
    for (name, _), several in places.items():
        where[name] |= {place for place, _ in several}
    texts = {"page", "paper.md", "paper.tex"}

    assert where["mean Dice"] >= texts | {"leaderboard.tex", "forest", "answer-overview"}
    assert where["kidney Dice"] >= texts | {"leaderboard.tex", "forest", "answer-by-class"}
    assert where["difference"] >= texts | {"differences", "pairs-table", "seeds-needs"}
    assert where["corrected p"] >= texts | {"pairs-table", "effects-pairs"}
    assert where["verdict"] >= texts | {"pairs-table", "effects-pairs", "differences-table"}
    assert where["validation Dice"] >= texts | {"front", "front-table"}
    assert where["ranks first"] == {"page", "leaderboard-table", "stability-table"}
    # Seven predictions and their 21 pairs.
    assert sum(name == "mean Dice" for name, _ in places) == 7
    assert sum(name == "difference" for name, _ in places) == 21


def test_two_texts_agree_only_if_they_can_be_one_value():
    assert agree("0.684", "0.68 [0.61, 0.75]")
    assert agree("+0.079 [+0.004, +0.155]", "+0.0793")
    assert not agree("0.684", "0.69")
    assert not agree("0.611", "0.610")
    assert not agree("resolved", "not resolved")
    assert not agree("below 0.001", "0.002")
    assert turned("+0.079 [-0.004, +0.155]") == "-0.079 [-0.155, +0.004]"
