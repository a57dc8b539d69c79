"""Facts that a caption states, by regular expressions of its source, and how often a model states them right."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypedDict

#: Name of a fact -> expression whose one group is what the caption states.
Definitions = Mapping[str, re.Pattern[str]]

#: The facts of the demo's captions, in their wording. Another source says its own in platform.yaml, or has none.
DEMO: Mapping[str, str] = {
    "light": r"\bIt is (day|dusk|night)(?:time)?\b",
    "ground": r"\bThe player (?:stands|sleeps) on (?:an? )?([a-z]+)",
    "facing": r"\bfacing \w+ towards (?:an? )?([a-z]+(?: [a-z]+)*?)\.",
    "health": r"\bHealth (\d+)\b",
    "food": r"\bfood (\d+)\b",
    "energy": r"\benergy (\d+)\b",
}
#: A chance result as good as this is rarer than one in twenty.
LEVEL = 0.05


class FactScore(TypedDict):
    """Shares of held-out captions with the fact right, 0..1; `rows` of them state the fact.

    tuned, blank, other: the tuned model with the row's image, a grey image, another row's image. majority: always the
    commonest answer of these rows, which no honest guess without the image can pass. reads: tuned is better than all
    three by more than chance (see `beats`).
    """

    rows: int
    tuned: float
    blank: float
    other: float
    majority: float
    reads: bool


def compiled(expressions: Mapping[str, str]) -> Definitions:
    """The definitions of one source (settings has checked them)."""
    return {name: re.compile(expression) for name, expression in expressions.items()}


def read_facts(caption: str, definitions: Definitions) -> dict[str, str]:
    """The facts that a caption states, by name; only those that it states."""
    found = {name: pattern.search(caption) for name, pattern in definitions.items()}
    return {name: match.group(1) for name, match in found.items() if match}


def score_facts(
    definitions: Sequence[Definitions],
    truths: Sequence[str],
    tuned: Sequence[str],
    blank: Sequence[str],
    other: Sequence[str],
) -> tuple[dict[str, FactScore], dict[str, bool]]:
    """Scores per fact, and per fact whether the image helps: see `beats`. Facts that no true caption states are left
    out. All five sequences are in the same row order; `definitions` are those of each row's source."""
    scores: dict[str, FactScore] = {}
    better: dict[str, bool] = {}
    stated = list(map(read_facts, truths, definitions))
    for name in dict.fromkeys(name for facts in stated for name in facts):
        here = [i for i, facts in enumerate(stated) if name in facts]
        right = {
            kind: [read_facts(answers[i], definitions[i]).get(name) == stated[i][name] for i in here]
            for kind, answers in (("tuned", tuned), ("blank", blank), ("other", other))
        }
        commonest = Counter(stated[i][name] for i in here).most_common(1)[0][0]
        right["majority"] = [stated[i][name] == commonest for i in here]
        shares = {kind: round(sum(hits) / len(here), 3) for kind, hits in right.items()}
        scores[name] = FactScore(
            rows=len(here),
            tuned=shares["tuned"],
            blank=shares["blank"],
            other=shares["other"],
            majority=shares["majority"],
            reads=all(beats(right["tuned"], right[kind]) for kind in ("blank", "other", "majority")),
        )
        better[name] = beats(right["tuned"], right["blank"])
    return scores, better


def share_right(definitions: Definitions, truth: str, answer: str) -> float | None:
    """Share of the facts of one true caption that an answer states right, 0..1; None where it states none."""
    stated = read_facts(truth, definitions)
    said = read_facts(answer, definitions)
    return sum(said.get(name) == value for name, value in stated.items()) / len(stated) if stated else None


def beats(ours: Sequence[bool], theirs: Sequence[bool]) -> bool:
    """Whether we are right on more rows than they are, by more than chance: McNemar's exact test, one-sided, at LEVEL.

    Only rows on which the two differ count; by chance each goes either way like a coin. Q. McNemar, Psychometrika
    12 (1947); exact form: binomial tail with p = 1/2.
    """
    won = sum(a and not b for a, b in zip(ours, theirs, strict=True))
    lost = sum(b and not a for a, b in zip(ours, theirs, strict=True))
    return more_often(won, lost)


def more_often(won: int, lost: int) -> bool:
    """Whether `won` against `lost` is more than a coin gives by chance at LEVEL: the one-sided sign test."""
    n = won + lost
    return n > 0 and sum(math.comb(n, k) for k in range(won, n + 1)) / 2**n < LEVEL


def verdict(scores: dict[str, FactScore], better: dict[str, bool], rows: int) -> str:
    """One sentence that claims no more than the numbers show.

    A grey image is unlike any that the model was trained on and may just confuse it; so a win over it is called
    reading only where the model also beats the commonest answer and itself with another row's image.
    """
    if not scores:
        return f"The held-out captions ({rows}) state none of the screen facts, so only loss and overlap were compared."
    won = [_against_blank(name, scores[name]) for name in scores if better[name]]
    lost = [_against_blank(name, scores[name]) for name in scores if not better[name]]
    read = [name for name in scores if scores[name]["reads"]]
    outcome = f"beats the blank-image baseline on {', '.join(won)}" if won else ""
    if lost:
        outcome += (
            f"{' and ' if won else ''}does not beat {'it' if won else 'the blank-image baseline'} on {', '.join(lost)}"
        )
    return (
        f"On {rows} held-out rows the tuned model {outcome}; beyond chance it passes the commonest answer and the "
        f"image of another row on {', '.join(read) or 'none of them, so it has not been shown to read the screen'}."
    )


def _against_blank(name: str, score: FactScore) -> str:
    return f"{name} ({score['tuned']:.0%} against {score['blank']:.0%})"
