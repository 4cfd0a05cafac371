"""From decisions to files: the bytes of images read, held against what was decided on, and encoded anew."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from curator.encode import Encoded
from curator.errors import UsageError
from curator.export.records import Bodies, NewFile, Refusal
from curator.pool import WorkerPool
from curator.records import Unmeasured
from curator.sources.bodies import Found, Wanted
from curator.tasks import in_thread

_EXTENSIONS = {"jpeg": "jpg"}  # of formats whose name is not their extension

Pool = WorkerPool[Encoded | Unmeasured]
Made = Sequence[NewFile | Unmeasured]


class Maker:
    """Makes the files of some rows of decisions. `roots`: where each source is, by its label."""

    def __init__(self, bodies: Bodies, roots: Mapping[str, Path], pool: Pool | None) -> None:
        """Without a pool, images keep their bytes."""
        self._bodies, self._roots, self._pool = bodies, roots, pool

    async def read(self, rows: pa.Table) -> list[Found]:
        """The bytes of each row's image."""
        return [found async for found in self._bodies(_wanted(rows))]

    async def make(self, rows: pa.Table, found: Sequence[Found]) -> Made:
        """The new file of each image, or why there is none. Raises UsageError where an input has changed."""
        await in_thread(self._check, rows, found)
        if self._pool is None:
            extensions = [_EXTENSIONS.get(name, name) for name in rows["format"].to_pylist()]
            digests = rows["sha256"].to_pylist()
            return [
                NewFile(one.body, extension, digest, None, one.file)
                for one, extension, digest in zip(found, extensions, digests, strict=True)
            ]
        encoded = await self._pool.run([(one.body,) for one in found])
        return await in_thread(lambda: [_new_file(one) for one in encoded])

    def _check(self, rows: pa.Table, found: Sequence[Found]) -> None:
        for one, digest, wanted in zip(found, rows["sha256"].to_pylist(), _wanted(rows), strict=True):
            if hashlib.sha256(one.body).hexdigest() != digest:
                key = "" if wanted.key is None else f", {wanted.key}"
                raise UsageError(
                    f"{self._roots[wanted.source] / wanted.path}{key}: changed since it was decided on. "
                    "Run curate again, then export what it decides to a new folder."
                )


def refusal(rows: pa.Table, index: int, why: Unmeasured) -> Refusal:
    """Row `index` of decisions as that of an image which could not be encoded."""
    uid, (source, path, key) = rows["uid"][index].as_py(), _wanted(rows.slice(index, 1))[0]
    return Refusal(uid, source, path, key, why.reason, why.detail)


def _wanted(rows: pa.Table) -> list[Wanted]:
    columns = (rows[name].to_pylist() for name in Wanted._fields)
    return [Wanted(*one) for one in zip(*columns, strict=True)]


def _new_file(made: Encoded | Unmeasured) -> NewFile | Unmeasured:
    if isinstance(made, Unmeasured):
        return made
    digest = hashlib.sha256(made.body).hexdigest()
    return NewFile(made.body, made.extension, digest, (made.width, made.height), None)
