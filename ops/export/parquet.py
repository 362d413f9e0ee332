"""Write rows as Parquet, a row group for each few portions. Needs pyarrow: the extra ``parquet``."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

GROUP_ROWS = 10_000
"""Of a row group, which is in memory until it is whole."""

_TYPES = {
    "bigint": pa.int64(),
    "integer": pa.int32(),
    # Seconds, with the microseconds that PostgreSQL has.
    "numeric": pa.decimal128(38, 6),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
    "text[]": pa.list_(pa.string()),
}
"""Of PostgreSQL's types; any other is text, JSON and ids among them."""


class _Sink(io.RawIOBase):
    """Keeps what was written until it is taken."""

    def __init__(self) -> None:
        super().__init__()
        self._written = bytearray()
        self._position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._written += piece
        self._position += len(piece)
        return len(piece)

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken


class Parquet:
    def __init__(self, columns: Mapping[str, str]) -> None:
        self._texts = [kind in ("jsonb", "uuid") for kind in columns.values()]
        self._schema = pa.schema([(name, _TYPES.get(kind, pa.string())) for name, kind in columns.items()])
        self._sink = _Sink()
        self._file = pq.ParquetWriter(pa.PythonFile(self._sink, mode="w"), self._schema, compression="zstd")
        self._rows: list[Sequence[Any]] = []

    def begin(self) -> bytes:
        return self._sink.take()

    def write(self, rows: Sequence[Sequence[Any]]) -> bytes:
        self._rows += rows
        if len(self._rows) >= GROUP_ROWS:
            self._write_group()
        return self._sink.take()

    def end(self) -> bytes:
        if self._rows:
            self._write_group()
        self._file.close()
        return self._sink.take()

    def _write_group(self) -> None:
        columns = [
            pa.array([None if value is None else str(value) if text else value for value in column], field.type)
            for column, field, text in zip(zip(*self._rows, strict=True), self._schema, self._texts, strict=True)
        ]
        self._file.write_table(pa.table(columns, schema=self._schema))
        self._rows.clear()
