"""Overlap of two texts."""

from __future__ import annotations


def rouge_l(candidate: str, reference: str) -> float:
    """ROUGE-L F1 over lower-case words, 0..1: the longest common subsequence against both lengths.

    C.-Y. Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", ACL workshop 2004, section 3 (with beta = 1).
    """
    ours, theirs = candidate.lower().split(), reference.lower().split()
    if not ours or not theirs:
        return 0.0
    row = [0] * (len(theirs) + 1)
    for word in ours:
        before = 0  # the cell up and to the left
        for i, other in enumerate(theirs, 1):
            before, row[i] = row[i], before + 1 if word == other else max(row[i], row[i - 1])
    return 2 * row[-1] / (len(ours) + len(theirs))
