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
        """As state_numbers."""
        return state_numbers(self.states)


def state_numbers(states: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """What a state column holds, as int16 (a damaged one may hold any uint8); -1 = never scored."""
    return states.cast(pa.int16()).fill_null(-1).to_numpy(zero_copy_only=False)


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
    """A cast that loses nothing but float precision: each part stays of its kind (number, text, truth, ...), no field
    of a struct is dropped or made up, no number becomes infinite. Raises ValueError."""
    if values.type == type:
        return values
    if not _fits(values.type, type):
        raise ValueError(f"{values.type} values for a column of {type}")
    cast = values.cast(type)
    if pa.types.is_floating(type):
        before, after = (some.cast(pa.float64()).to_numpy(zero_copy_only=False) for some in (values, cast))
        beyond = np.isinf(after) & np.isfinite(before)
        if beyond.any():
            raise ValueError(f"{before[beyond][0]} is beyond {type}")
    return cast


#: Types of which one may stand for another.
KINDS = (
    (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal),
    (pa.types.is_string, pa.types.is_large_string),
    (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary),
    (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list),
    (pa.types.is_date,),
    (pa.types.is_time,),
    (pa.types.is_timestamp,),
)


def _fits(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether values of a type mean the same in the other, whatever their width; NULL fits everything."""
    if pa.types.is_dictionary(given) or pa.types.is_dictionary(wanted):
        return _fits(getattr(given, "value_type", given), getattr(wanted, "value_type", wanted))
    if pa.types.is_null(given) or given == wanted:
        return True
    if pa.types.is_struct(given) and pa.types.is_struct(wanted):
        names = [field.name for field in given] == [field.name for field in wanted]
        return names and all(_fits(one.type, other.type) for one, other in zip(given, wanted, strict=True))
    if not any(any(is_(given) for is_ in kind) and any(is_(wanted) for is_ in kind) for kind in KINDS):
        return False
    return not pa.types.is_nested(wanted) or _fits(given.value_type, wanted.value_type)


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
