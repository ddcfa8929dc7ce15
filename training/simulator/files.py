"""Parquet files larger than memory: one written as it comes, and one that ends up in order of time.

The ordered one drops rows into slices of the calendar on disk, then sorts slice by slice. Nothing here knows what the
columns mean.
"""

from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq


class OrderedParquet:
    """Collects tables in any order and writes one Parquet file sorted by a time column, then by a second one."""

    def __init__(
        self, path: Path, schema: pa.Schema, keys: tuple[str, str], span_us: tuple[int, int], plain: tuple[str, ...]
    ) -> None:
        self._path, self._schema, self._keys, self._plain = path, schema, keys, plain
        self._edges = np.linspace(*span_us, num=33)[1:-1]  # 32 slices, the outer two open
        self._parts = [path.with_name(f"{path.stem}.{k:02d}.arrow") for k in range(len(self._edges) + 1)]
        self._streams = [ipc.new_stream(str(part), schema) for part in self._parts]

    def __enter__(self) -> "OrderedParquet":
        return self

    def add(self, table: pa.Table) -> None:
        """Put the rows of one table into their slices."""
        moments = table.column(self._keys[0]).cast(pa.int64()).to_numpy()
        part = np.searchsorted(self._edges, moments, side="right")
        order = np.argsort(part, kind="stable")
        bounds = np.searchsorted(part[order], np.arange(len(self._parts) + 1))
        table = table.take(order)
        for stream, start, end in zip(self._streams, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            if end > start:
                stream.write_table(table.slice(start, end - start))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in self._streams:
            stream.close()
        if kind is None:
            order = [(key, "ascending") for key in self._keys]
            with parquet_writer(self._path, self._schema, self._plain) as writer:
                for part in self._parts:
                    with ipc.open_stream(str(part)) as stream:
                        writer.write_table(stream.read_all().sort_by(order))
        for part in self._parts:
            part.unlink(missing_ok=True)


def parquet_writer(path: Path, schema: pa.Schema, plain: tuple[str, ...] = ()) -> pq.ParquetWriter:
    """A Parquet writer that repeats itself little; columns in `plain` hardly repeat and get no dictionary."""
    repeated = [field.name for field in schema if pa.types.is_string(field.type) and field.name not in plain]
    split = [field.name for field in schema if pa.types.is_floating(field.type)]
    return pq.ParquetWriter(
        path, schema, compression="zstd", compression_level=1, use_dictionary=repeated, use_byte_stream_split=split
    )
