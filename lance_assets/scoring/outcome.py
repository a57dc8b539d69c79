"""What becomes of a row that is scored: a value, or a typed failure."""

from __future__ import annotations

from enum import IntEnum


class State(IntEnum):
    """The `score_<name>__state` column (uint8). NULL there means that the cell was never scored."""

    OK = 0
    FAILED_TRANSIENT = 1
    FAILED_PERMANENT = 2
    REFUSED = 3


class ScoreFailure(Exception):
    """One row that has no score. `state` says whether another try can help; the message says why, for people."""

    def __init__(self, state: State, message: str) -> None:
        super().__init__(message)
        self.state = state

    def __reduce__(self) -> tuple[type[ScoreFailure], tuple[State, str]]:
        return ScoreFailure, (self.state, str(self))


class Unusable(Exception):
    """A served scorer as a whole cannot work as it is set up (a refused key, an unknown model): no row is to blame, so
    none gets a state. The message says what to change."""


def failure_of(error: Exception) -> ScoreFailure:
    """Out of memory, time or connection can pass; any other exception is a fact about this row and this version."""
    if isinstance(error, ScoreFailure):
        return error
    transient = isinstance(error, MemoryError | TimeoutError | ConnectionError)
    return ScoreFailure(State.FAILED_TRANSIENT if transient else State.FAILED_PERMANENT, describe(error))


def describe(error: BaseException) -> str:
    """`Kind: first line`, at most 300 characters, for a message column."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}"[:300] if lines else type(error).__name__
