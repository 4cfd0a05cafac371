"""Names that are no UTF-8: of what is curated, and of the folders that decisions and exports go to."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.curating import curated, exported, filled, picture
from tests.datasets import make


def rows(path: Path) -> list[dict[str, object]]:
    """The table in a file of any name."""
    with path.open("rb") as file:
        found: list[dict[str, object]] = pq.read_table(file).to_pylist()
        return found


def test_names_of_any_bytes(tmp_path: Path) -> None:
    """Such names are curated, decided on again since then, and exported in any order, as any others are."""
    root = tmp_path / os.fsdecode(b"caf\xe9")
    filled(root, {"pics/" + os.fsdecode(b"\xff.jpg"): picture(0)})
    pq.write_table(pa.table({"jpg": [picture(1)]}), tmp_path / "a.parquet")
    (tmp_path / "a.parquet").rename(root / "pics" / os.fsdecode(b"\xfe.parquet"))
    make(root / "data", samples=3, failures=0, pending=0)
    both, settings = (root / "pics", root / "data"), {"workers": 1, "min_side": 0, "dedup": "none"}

    curated(*both, out=root / "out", **settings)
    again = curated(*both, out=root / "again", since=root / "out", **settings)
    clean = exported(root / "out", root / "clean", form="parquet", shuffle=1)

    assert (again.summary["kept"], again.summary["since"]["lost"]) == (5, 0)
    decided = rows(again.out / "decisions.parquet")
    assert {row["path"] for row in decided if row["source"] == "pics"} == {"\\xff.jpg", "\\xfe.parquet"}
    (written,) = clean.glob("*.parquet")
    assert {row["uid"] for row in rows(written)} == {row["uid"] for row in decided}
