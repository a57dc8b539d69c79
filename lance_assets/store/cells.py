"""Cells of a score column: values of any Arrow type with their states, laid out over the rows of a fragment."""

from __future__ import annotations

from dataclasses import dataclass

import lance
import numpy as np
import pyarrow as pa

from lance_assets.store.columns import CellState, column_file, state_of


@dataclass(frozen=True)
class Cells:
    """Values and uint8 states (see CellState; NULL = never scored), one per row."""

    values: pa.Array
    states: pa.Array

    @classmethod
    def of(cls, values: pa.Array | np.ndarray, states: pa.Array | np.ndarray) -> Cells:
        """From Arrow or numpy; a NaN is no value."""
        given = pa.array(values) if isinstance(values, np.ndarray) else values
        if pa.types.is_floating(given.type):
            numbers = given.to_numpy(zero_copy_only=False)
            given = pa.array(numbers, given.type, mask=np.isnan(numbers))
        known = pa.array(states) if isinstance(states, np.ndarray) else states
        if len(given) != len(known):
            raise ValueError(f"{len(given)} values with {len(known)} states")
        return cls(given, known.cast(pa.uint8()))

    def __len__(self) -> int:
        return len(self.states)

    def numbers(self) -> np.ndarray:
        """States as int8, -1 = never scored."""
        return self.states.cast(pa.int8()).fill_null(-1).to_numpy(zero_copy_only=False)


def arranged(cells: Cells, at: np.ndarray, rows: int, type: pa.DataType, before: Cells | None) -> Cells:
    """Cells of `rows` rows: the given ones at the offsets `at`, elsewhere what was there before (None = nothing).

    A cell that is not OK has no value. Raises ValueError for an unknown state, an OK cell without a value, a value that
    does not fit the type, or offsets outside the fragment.
    """
    if len(at) and (at.min() < 0 or at.max() >= rows or (np.diff(at) <= 0).any()):
        raise ValueError(f"offsets must ascend within 0..{rows - 1}")
    states = cells.numbers()
    if len(at) and states.max() > max(CellState):
        raise ValueError(f"state {states.max()} is unknown")
    ok = states == CellState.OK
    bare = ok & cells.values.is_null().to_numpy(zero_copy_only=False)
    if bare.any():
        raise ValueError(f"row {at[bare][0]} is ok without a value")
    empty = Cells(pa.nulls(rows, type), pa.nulls(rows, pa.uint8())) if before is None else before
    source = np.arange(rows)
    source[at] = rows + np.arange(len(at))
    wanted = pa.array(source)
    # An index of NULL takes nothing: so values of cells that are not OK disappear, whatever their type.
    ours = pa.array(np.arange(len(at)), mask=~ok)
    values = pa.concat_arrays([_typed(empty.values, type), _typed(cells.values, type).take(ours)])
    return Cells(values.take(wanted), pa.concat_arrays([empty.states, cells.states]).take(wanted))


def _typed(values: pa.Array, type: pa.DataType) -> pa.Array:
    """A cast that loses nothing but float precision: text never becomes a number, nor a number text."""
    if values.type == type or pa.types.is_null(values.type):
        return values.cast(type)
    number = (pa.types.is_integer, pa.types.is_floating)
    if any(is_number(type) for is_number in number) and not any(is_number(values.type) for is_number in number):
        raise ValueError(f"{values.type} values for a column of {type}")
    if pa.types.is_string(type) and not (pa.types.is_large_string(values.type) or pa.types.is_dictionary(values.type)):
        raise ValueError(f"{values.type} values for a column of {type}")
    return values.cast(type)


def stored_cells(dataset: lance.LanceDataset, fragment: lance.LanceFragment, column: str) -> Cells:
    """The cells of a fragment as they stand, one per physical row; deleted rows and cells never scored are NULL."""
    rows, type = fragment.physical_rows, dataset.schema.field(column).type
    if column_file(dataset, fragment, column) is None:
        return Cells(pa.nulls(rows, type), pa.nulls(rows, pa.uint8()))
    names = [column, state_of(column)]
    table = dataset.scanner(columns=names, fragments=[fragment], with_row_address=True).to_table()
    at = table["_rowaddr"].to_numpy() & 0xFFFFFFFF
    index = np.zeros(rows, np.int64)
    mask = np.ones(rows, bool)
    index[at], mask[at] = np.arange(len(at)), False
    wanted = pa.array(index, mask=mask)
    return Cells(*(table[name].combine_chunks().take(wanted) for name in names))
