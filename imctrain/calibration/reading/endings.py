"""Endings of files of conversions, which the name of what is made of them leaves out."""

from __future__ import annotations

from pathlib import PurePath

PACKINGS = frozenset((".gz", ".gzip", ".bz2", ".bzip2", ".xz", ".lzma", ".zst", ".zstd", ".zip"))
TABLES = frozenset(
    (".csv", ".tsv", ".tab", ".txt", ".text", ".dat", ".data", ".asc", ".ascii", ".prn", ".log", ".parquet", ".pq")
)


def without_endings(name: str) -> str:
    """`chip7_0.80V` of `chip7_0.80V.csv.gz`. What is no known ending stays: `chip7_0.80V` and `chip7_0.72V` are two."""
    path = PurePath(name)
    while path.suffix.lower() in PACKINGS:
        path = path.with_suffix("")
    return path.stem if path.suffix.lower() in TABLES else path.name
