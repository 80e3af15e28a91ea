"""The answers to the run's questions in words: one sentence for each comparison, and first where
the answer depends on what it was asked within.
"""

import math

from reports.analysis.context import Context
from reports.analysis.questions import Answer, Answered, Interaction
from reports.elements import Answers, Stated
from reports.estimands import states_difference
from reports.formatting import listed, many, number, signed, signed_range
from trials.records.questions import MEAN_OF_CLASSES, Question

RULE = (
    "Resolved means that chance is an unlikely reason for the difference: its 95 % interval over "
    "patients and seeds excludes zero, and its p value is below 0.05 after Holm's correction for "
    "the number of comparisons. Two tests compare the configurations on the same patients: "
    "Wilcoxon's signed-rank test, and a t test that allows for differences between trainings as "
    "well as between patients. The larger of their two p values counts. Whether an answer depends "
    "on a setting (an interaction) is tested in the same way: in every patient the difference in "
    "one setting is compared with the difference in the other. A difference that is not resolved "
    "may be chance; it does not show that two configurations are equal."
)


def answers_block(context: Context, said: str = "") -> Answers | None:
    """Every question that has a comparison with scores; None if there is none. said stands above
    and is not repeated.
    """
    items = tuple(
        (
            question_text(answer.question),
            "" if (first := dependence(answer)) == said else first,
            tuple(map(_line, shown(answer))),
        )
        for answer in context.answers
        if answer.found
    )
    return Answers(items) if items else None


def answered_numbers(context: Context) -> tuple[Stated, ...]:
    """The differences in the sentences of answers_block, of questions about the mean of the
    classes.
    """
    return tuple(
        states_difference(one.weights, one.gap)
        for answer in context.answers
        if answer.question.score == MEAN_OF_CLASSES
        for one in shown(answer)
    )


def answer_text(answer: Answer) -> str:
    """A question with its whole answer as one paragraph."""
    lines = [f"{text[:-1]} ({verdict})." for text, verdict, _ in map(_line, shown(answer))]
    return " ".join(filter(None, (question_text(answer.question), dependence(answer), *lines)))


def question_text(question: Question) -> str:
    """A question in words: 'Which loss scores higher, combined or focal? One answer for each
    model.'
    """
    levels, factors = question.levels or (), question.within_factors
    score = "" if question.score == MEAN_OF_CLASSES else f" in Dice of the {question.score}"
    each = f" One answer for each {listed(factors)}." if factors else ""
    if len(levels) == 2:
        return f"Which {question.factor} scores higher{score}, {' or '.join(levels)}?{each}"
    return f"Which {question.factor} scores highest{score}, of {listed(levels)}?{each}"


def shown(answer: Answer) -> list[Answered]:
    """The comparisons that have a sentence: of each setting the one with the largest difference,
    resolved ones first.
    """
    best: dict[tuple[tuple[str, str], ...], Answered] = {}
    for one in answer.found:
        other = best.setdefault(one.comparison.at, one)
        if (one.resolved, abs(one.gap)) > (other.resolved, abs(other.gap)):
            best[one.comparison.at] = one
    return list(best.values())


def dependence(answer: Answer) -> str:
    """What to know before the sentences: that the level which scores higher changes with the
    setting, or that the difference does; "" if neither.
    """
    turned = answer.reversal
    if turned is not None:
        return _reversed(answer, turned)
    resolved = [one for one in answer.interactions if one.resolved]
    if not resolved:
        return ""
    widest = max(resolved, key=lambda one: one.gap)
    pair = widest.one.comparison
    return (
        f"The size of the difference depends on the {_factors(answer)}: {pair.first} minus "
        f"{pair.second} is {signed(widest.one.gap)} Dice {setting(widest.one)} and "
        f"{signed(widest.other.gap)} {setting(widest.other)}. {_change(widest)}"
    )


def _reversed(answer: Answer, turned: Interaction) -> str:
    pair = turned.one.comparison
    verb = "depends" if turned.resolved else "may depend"
    several = sum(one.reverses for one in answer.interactions)
    more = f" This is the clearest of {several} such changes." if several > 1 else ""
    return (
        f"The answer {verb} on the {_factors(answer)}: {pair.first} scores "
        f"{number(turned.one.gap)} Dice higher than {pair.second} {setting(turned.one)}, and "
        f"{number(-turned.other.gap)} lower {setting(turned.other)}. {_change(turned)}{more}"
    )


def _change(found: Interaction) -> str:
    verdict = (
        "is resolved (an interaction"
        if found.resolved
        else "is not resolved and may be chance (test of an interaction"
    )
    span = signed_range(found.gap, found.low, found.high)
    return f"This change of {span} {verdict}, corrected p {p_text(found.adjusted)})."


def p_text(p: float) -> str:
    """A p value in a sentence."""
    return "unknown" if math.isnan(p) else "below 0.001" if p < 0.001 else number(p)


def setting(one: Answered) -> str:
    """'with the model unet3d'; "" if a question is asked over all settings."""
    at = one.comparison.at
    return f"with {' and '.join(f'the {factor} {level}' for factor, level in at)}" if at else ""


def _factors(answer: Answer) -> str:
    return listed(answer.question.within_factors)


def _line(one: Answered) -> tuple[str, str, bool]:
    """A sentence on one comparison, and its verdict."""
    where = setting(one)
    start = f"{where[0].upper()}{where[1:]}, " if where else ""
    settings = len(one.comparison.pairs)
    over = f" on average over {many(settings, 'shared setting')}" if settings > 1 else ""
    low, high = (one.low, one.high) if one.gap >= 0 else (-one.high, -one.low)
    span = "" if math.isnan(low) else f" (95 % interval {signed(low)} to {signed(high)})"
    text = (
        f"{start}{one.higher} scores {number(abs(one.gap))} Dice higher than {one.lower}{over}"
        f"{span}; corrected p {p_text(one.adjusted)}."
    )
    return text, "resolved" if one.resolved else "not resolved", one.resolved
