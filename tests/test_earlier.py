"""Reading an earlier decision."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curator.earlier import read
from curator.errors import UsageError


def decisions(folder, rows, metadata=b"{}"):
    """A table of decisions: (uid, kept)."""
    uids, kept = zip(*rows, strict=True)
    table = pa.table({"uid": [f"{uid:032x}" for uid in uids], "kept": kept, "more": range(len(rows))})
    pq.write_table(
        table.replace_schema_metadata({b"curate": metadata} if metadata else None),
        folder / "decisions.parquet",
    )
    return folder


def test_survivors_are_read(tmp_path):
    """The uids of what was kept, each once."""
    uids = read(decisions(tmp_path, [(3, True), (1, True), (2, False), (1, True)]))
    assert sorted(uid.tobytes().hex() for uid in uids) == [f"{1:032x}", f"{3:032x}"]


def test_nothing_survived(tmp_path):
    """A decision that kept nothing has no survivors."""
    assert read(decisions(tmp_path, [(3, False)])).shape == (0, 16)


def test_what_is_no_decision(tmp_path):
    """No folder, no table, another program's and a damaged one are refused, naming the folder."""
    for name in ("empty", "foreign", "damaged", "truncated"):
        (tmp_path / name).mkdir()
    decisions(tmp_path / "foreign", [(1, True)], metadata=None)
    (tmp_path / "damaged" / "decisions.parquet").write_bytes(b"PAR1 and nothing else")
    whole = decisions(tmp_path / "truncated", [(1, True)]) / "decisions.parquet"
    whole.write_bytes(whole.read_bytes()[:-100])
    for name in ("missing", "empty", "foreign", "damaged", "truncated"):
        with pytest.raises(UsageError, match=f"--since .*{name}"):
            read(tmp_path / name)
