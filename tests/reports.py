"""Decisions for tests of the report, as `curate` writes them, of images that are never decided on."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curator.sources.source import LISTED, MEASURES

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("uid", "source", "path", "key")),
        ("kept", pa.bool_()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("duplicate_of", pa.string()),
        ("distance", pa.int16()),
        ("cluster", pa.string()),
        *((name, pa.list_(pa.string())) for name in ("stands_for", "stands_for_urls", "stands_for_captions")),
        *LISTED,
        *MEASURES,
    ]
)
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202etxt.exe\n\x07"


def uid(name: str) -> str:
    """A uid, the same for the same name."""
    return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()


def row(name: str, reason: str = "saved", **changes: Any) -> dict[str, Any]:
    """One image's row: a measured one of 640x480 pixels, unless `changes` say otherwise."""
    measured = {"width": 640, "height": 480, "bytes": 50_000, "format": "jpeg"}
    where = {"uid": uid(name), "source": "photos", "path": f"{name}.jpg", "detail": ""}
    return (
        dict.fromkeys(SCHEMA.names)
        | where
        | {"reason": reason, "kept": reason == "saved"}
        | measured
        | changes
    )


def copy(name: str, of: str, distance: int, **changes: Any) -> dict[str, Any]:
    """The row of a near duplicate of the image named `of`."""
    return row(name, "near_duplicate", duplicate_of=uid(of), distance=distance, cluster=uid(of), **changes)


def cluster(name: str, *distances: int) -> list[dict[str, Any]]:
    """A survivor and copies of it at these distances."""
    return [row(name), *(copy(f"{name}-{n}", name, bits) for n, bits in enumerate(distances))]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """decisions.parquet."""
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path)
    return path


def summarised(rows: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """summary.json of these rows."""
    kept = [one for one in rows if one["kept"]]
    clusters = Counter(one["duplicate_of"] for one in rows if one["duplicate_of"])
    source = {
        "label": "photos",
        "path": "/data/photos",
        "kind": "files",
        "images": len(rows),
        "kept": len(kept),
    }
    return {
        "images": len(rows),
        "kept": len(kept),
        "bytes": sum(one["bytes"] or 0 for one in rows),
        "kept_bytes": sum(one["bytes"] or 0 for one in kept),
        "reasons": dict(Counter(one["reason"] for one in rows)),
        "sources": [source],
        "out": "/data/decided",
        "settings": {"min_side": 100, "dedup": "phash", "radius": 4, "where": "", "since": None},
        "clusters": {
            "clusters": len(clusters),
            "copies": clusters.total(),
            "largest": max(clusters.values(), default=0),
        },
        "chance": {"pairs": 0.034, "images": len(rows), "per_10000": 0.41, "radius": 4},
        "placeholders": [],
        "since": None,
        "pairs": None,
        "passed_over": {},
        "warnings": [],
        "seconds": 1.5,
    } | changes
