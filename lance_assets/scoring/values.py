"""What scorers give as Arrow values of their type: every value that does not fit fails its own row, with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lance_assets.scoring.api import Outcomes
from lance_assets.scoring.outcome import ScoreFailure, State

#: What Arrow raises for values that do not fit a type.
MISFIT = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError, TypeError, OverflowError)


def given(outcomes: Any) -> Outcomes:
    """What a scorer returned, as Outcomes: a chunked array (any calculation on a column of a table gives one) as one
    array, an array of Python objects, which may be failures, as a list."""
    if isinstance(outcomes, pa.ChunkedArray):
        return pa.concat_arrays(outcomes.chunks) if outcomes.num_chunks else pa.nulls(0, outcomes.type)
    return list(outcomes) if isinstance(outcomes, np.ndarray) and outcomes.dtype == object else outcomes


def listed(outcomes: Outcomes) -> Sequence[Any]:
    """Outcomes one by one, as Python values where they are an array."""
    if isinstance(outcomes, np.ndarray):
        return outcomes.tolist()
    return outcomes if isinstance(outcomes, Sequence) else outcomes.to_pylist()


def typed_values(name: str, type: pa.DataType, outcomes: Outcomes, failures: dict[int, ScoreFailure]) -> pa.Array:
    """Outcomes of a scorer as `type`; one that does not fit is NULL and added to the failures. Numbers are finite, also
    inside of lists and structs."""
    plain = None if isinstance(outcomes, pa.Array) else _plain(type, listed(outcomes), failures)
    try:
        values = _cast(outcomes, type) if isinstance(outcomes, pa.Array) else pa.array(plain, type)
    except MISFIT:
        plain = plain or _plain(type, listed(outcomes), failures)
        values = pa.concat_arrays([_one(value, type) for value in plain])
    bad = values.is_null().to_numpy(zero_copy_only=False) | endless(values)
    if bad.any():
        said = listed(outcomes)
        for at in np.flatnonzero(bad).tolist():
            what = "a finite number" if pa.types.is_floating(type) else f"{type}, its numbers finite"
            message = f"the scorer {name} gave {said[at]!r}, not {what}"
            failures.setdefault(at, ScoreFailure(State.FAILED_PERMANENT, message[:300]))
        values = values.take(pa.array(np.arange(len(values)), mask=bad))
    return values


def endless(values: pa.Array) -> NDArray[np.bool_]:
    """Where a value is, or holds somewhere, NaN or an infinity."""
    type = values.type
    if pa.types.is_floating(type):
        return ~np.isfinite(values.to_numpy(zero_copy_only=False).astype(np.float64)) & _there(values)
    found = np.zeros(len(values), bool)
    if pa.types.is_struct(type):
        for field in values.flatten():
            found |= endless(field)
    elif pa.types.is_list(type) or pa.types.is_large_list(type) or pa.types.is_fixed_size_list(type):
        inner = endless(pc.call_function("list_flatten", [values]))
        parents = pc.call_function("list_parent_indices", [values]).to_numpy()
        found[parents[inner]] = True
    return found


def _there(values: pa.Array) -> NDArray[np.bool_]:
    return values.is_valid().to_numpy(zero_copy_only=False)


def _plain(type: pa.DataType, outcomes: Sequence[Any], failures: dict[int, ScoreFailure]) -> list[Any]:
    """Python values for Arrow, None for a failure. A whole number may stand for a float, however large it is, and a
    float for a whole number only where it is one: Arrow would refuse the first and cut off the second."""
    values = [None if at in failures else outcome for at, outcome in enumerate(outcomes)]
    if pa.types.is_floating(type):
        return [_float(value) if isinstance(value, int | np.integer) else value for value in values]
    if pa.types.is_integer(type):
        return [_whole(value) if isinstance(value, float | np.floating) else value for value in values]
    return values


def _float(value: int | np.integer[Any]) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _whole(value: float | np.floating[Any]) -> int | None:
    return int(value) if float(value).is_integer() else None


def _cast(values: pa.Array, type: pa.DataType) -> pa.Array:
    """Between numbers as between Python values: a float for a whole number only where nothing is lost, text never."""
    given = values.type
    texts = pa.types.is_string(given) or pa.types.is_large_string(given)
    if texts != (pa.types.is_string(type) or pa.types.is_large_string(type)) and not pa.types.is_null(given):
        raise TypeError(f"{given} is not {type}")
    return values.cast(type, safe=not pa.types.is_floating(type))


def _one(value: Any, type: pa.DataType) -> pa.Array:
    try:
        return pa.array([value], type)
    except MISFIT:
        return pa.nulls(1, type)
