"""Parquet files of unknown origin: plain columns and tensors, no Python objects.

Ray registers a column type whose values are unpickled on reading, and unpickling runs code.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq


def read_parquet(content: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """Read columns of a parquet file, by default all of them.

    Raises:
        pa.ArrowException: not a parquet file, or a column of a type that is not plain.
        KeyError or OSError: as pyarrow does.
    """
    table = pq.read_table(pa.BufferReader(content), columns=columns)
    # A list of plain types, not of dangerous ones: an unknown type is refused.
    # docs/decisions.md: No pickle in artefacts
    for field in table.schema:
        if not _is_plain(field.type):
            raise pa.ArrowInvalid(f"column {field.name} has an unsupported type: {field.type}")
    return table


def _is_plain(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return isinstance(kind, pa.FixedShapeTensorType)
    if pa.types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    return all(_is_plain(kind.field(i).type) for i in range(kind.num_fields))
