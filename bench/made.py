"""A crawled dataset of any size, made in bulk: realistic in what `curate` reads of one, with known truth.

    python -m bench.made FOLDER ROWS [SEED]

Ledger, fixed settings, schema and Parquet files come from the writing side's own code. Left out are the links
and verdicts of the ledger, which `curate` does not read where a crawl removed no duplicates. All shards are one
tar under many names: a small picture with a hole behind it as large as pictures are, so that headers stand
where they would and take no room.

Of the images 5 % are small, 0.4 % say nothing by their hash, 1 % are copies byte for byte, 19 % copies with up
to four bits turned, and one host gave the same bytes for 40 of its URLs. Whatever is measured of an image
follows from its digest, so that the same bytes have the same measures.
"""

import argparse
import io
import json
import os
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from curator.dataset.layout import Layout, replace_whole, sample_key
from curator.dataset.ledger import Ledger
from curator.dataset.rows import Columns
from curator.dataset.shards import BLOCK, header, sealed_size
from curator.dataset.store import open_store
from curator.dataset.tables import write_table
from curator.digests import to_hex
from curator.measure import HASH_KIND

SHARD = 10_000  # the default of a crawl
SAME, NEAR = 0.01, 0.19
FLIPS = 4
PLACEHOLDERS = 40  # URLs
CARRIED = pa.schema([("caption", pa.string()), ("similarity", pa.float64()), ("licence", pa.string())])
ALIKE = {
    "licence": "CC-BY-4.0",
    "status": "success",
    "error_message": "",
    "exif": "{}",
    "format": "jpeg",
    "mode": "RGB",
    "hash_kind": HASH_KIND,
    "http_status": 200,
    "content_type": "image/jpeg",
    "last_modified": "Wed, 21 Oct 2015 07:28:00 GMT",
    "attempts": 1,
}
MEMBERS = (("jpg", 48 << 10), ("json", 900), ("txt", 70))  # of a sample, with their bytes
SAMPLE_ROOM = sum(BLOCK + size + -size % BLOCK for _, size in MEMBERS)  # bytes in the tar
WORDS = ("a photo of", "the old", "red", "house", "by the sea", "two dogs", "in winter", "light", "station")
SENTENCES = 20_000

Digests = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Plan:
    """The digests and hashes of n images, and how many must be left out at a radius of 4, by reason."""

    sha256: Digests  # (n, 32)
    phash: npt.NDArray[np.uint64]
    expected: dict[str, int]


def plan(count: int, seed: int) -> Plan:
    """Copies stand at the end, their originals anywhere before them."""
    rng = np.random.default_rng(seed)
    sha256 = rng.integers(0, 256, (count, 32), dtype=np.uint8)
    phash = rng.integers(0, 1 << 63, count, dtype=np.uint64) | np.uint64(1 << 63)
    kinds = np.split(rng.permutation(count - round(count * (SAME + NEAR))), [round(count * SAME)])
    same, others = kinds
    near, rest = np.split(others, [round(count * NEAR)])
    shown = rest[~is_small(sha256[rest])][:PLACEHOLDERS]
    ends = np.array_split(np.arange(count - len(same) - len(near), count), [len(same)])
    sha256[ends[0]], phash[ends[0]] = sha256[same], phash[same]
    phash[ends[1]] = turned(phash[near], rng)
    sha256[shown], phash[shown] = sha256[shown[0]], phash[shown[0]]
    pair = sha256[near], sha256[ends[1]]
    telling = ~np.logical_or.reduce([is_small(one) | is_flat(one) for one in pair])
    return Plan(
        sha256,
        phash,
        {
            "near_duplicate": int(telling.sum()),
            "placeholder": len(shown),
            "same_bytes": int((~is_small(sha256[same])).sum()),
            "too_small": int(is_small(sha256).sum()),
        },
    )


def turned(hashes: npt.NDArray[np.uint64], rng: np.random.Generator) -> npt.NDArray[np.uint64]:
    """The hashes with up to four bits turned, never the highest."""
    flips = rng.integers(0, FLIPS + 1, len(hashes))
    for turn in range(FLIPS):
        bits = np.uint64(1) << rng.integers(0, 63, len(hashes), dtype=np.uint64)
        hashes = hashes ^ np.where(turn < flips, bits, np.uint64(0))
    return hashes


def is_small(sha256: Digests) -> Mask:
    """5 % of all."""
    return np.asarray(sha256[:, 0] < 13)


def is_flat(sha256: Digests) -> Mask:
    """Whose hash says nothing: 0.4 %."""
    return np.asarray(sha256[:, 1] == 0)


def make(root: Path, count: int, seed: int = 7) -> dict[str, int]:
    """Write the dataset into the folder `root`. How many images must be left out, by reason."""
    planned = plan(count, seed)
    sentences = sentences_of(np.random.default_rng(seed))
    with closing(open_store(root, {}, CARRIED)) as store:
        tar = root / "images.tar"
        with tar.open("wb") as file:
            length = write_tar(file, min(count, SHARD))
        for shard, start in enumerate(range(0, count, SHARD)):
            rows = np.arange(start, min(start + SHARD, count))
            table = table_of(planned, rows, shard, store.columns, sentences)
            seal(store.layout, store.ledger, shard, table, length)
            os.link(tar, store.layout.tar(shard))
        tar.unlink()
    return planned.expected


def seal(layout: Layout, ledger: Ledger, shard: int, table: pa.Table, length: int) -> None:
    """What sealing a shard leaves, but for its tar and stats."""
    replace_whole(layout.parquet(shard), lambda file: write_table(file, table.schema, [table]))
    with ledger.transaction() as db:
        db.execute(
            "INSERT INTO shards (id, state, length, samples, started) VALUES (?, 'sealed', ?, ?, ?)",
            (shard, length, len(table), time.time()),
        )


def table_of(planned: Plan, rows: Rows, shard: int, columns: Columns, sentences: pa.Array) -> pa.Table:
    """The rows of one shard: texts as long as they are in a crawl of the web."""
    rng = np.random.default_rng([len(planned.phash), shard])
    schema, sha256, count = columns.samples, planned.sha256[rows], len(rows)
    phash = to_hex(planned.phash[rows].astype(">u8").view(np.uint8).reshape(-1, 8))
    uid = to_hex(rng.integers(0, 256, (count, 16), dtype=np.uint8))
    url = joined("https://images", sha256[:, 2], ".example.com/photos/", uid, "-1024x768.jpg")
    caption = joined(sentences.take(pa.array(rng.integers(0, SENTENCES, count))), " ", rows)
    wide, high = (sha256[:, at].astype(np.int32) * 8 + 200 for at in (3, 4))
    wide = np.where(is_small(sha256), 64, wide).astype(np.int32)
    drawn = {
        "similarity": pa.array(rng.random(count)),
        "sharpness": pa.array(rng.gamma(2, 20, count)),
        "brightness": pa.array(rng.normal(120, 40, count)),
        "contrast": pa.array(rng.gamma(4, 12, count)),
        "entropy": pa.array(rng.normal(7, 0.5, count)),
    }
    alike = {
        name: pa.repeat(pa.scalar(value, schema.field(name).type), count) for name, value in ALIKE.items()
    }
    known = (
        alike
        | drawn
        | {
            "sha256": to_hex(sha256),
            "stored_sha256": to_hex(sha256),
            "phash": phash,
            "phash_mirror": phash,
            "width": pa.array(wide),
            "original_width": pa.array(wide),
            "height": pa.array(high),
            "original_height": pa.array(high),
            "url": url,
            "final_url": url,
            "key": pc.utf8_lpad(pa.array(rows).cast(pa.string()), 9, "0"),
            "uid": uid,
            "caption": caption,
            "captions": pa.ListArray.from_arrays(pa.array(np.arange(count + 1, dtype=np.int32)), caption),
            "bytes": pa.array(wide * high.astype(np.int64) // 8),
            "low_information": pa.array(is_flat(sha256)),
            "etag": joined('"', uid, '"'),
            "fetched_at": pa.array(rows + 1_700_000_000_000).cast(pa.timestamp("ms", tz="UTC")),
            "list_row": pa.array(rows),
            "tar_offset": pa.array((rows % SHARD) * SAMPLE_ROOM + BLOCK),
        }
    )
    return pa.Table.from_arrays([known[name] for name in schema.names], schema=schema)


def joined(*parts: str | pa.Array | npt.NDArray[np.generic]) -> pa.Array:
    """Texts, numbers and columns of them, joined row by row."""
    columns = [pa.array(one).cast(pa.string()) if isinstance(one, np.ndarray) else one for one in parts]
    return pc.binary_join_element_wise(*columns, "")


def sentences_of(rng: np.random.Generator) -> pa.Array:
    """Captions to choose from."""
    return pa.array(" ".join(words) for words in rng.choice(WORDS, (SENTENCES, 9)))


def write_tar(file: BinaryIO, samples: int) -> int:
    """An archive of so many samples, all of them one picture. The length of its members."""
    picture = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC).save(picture, "JPEG")
    for index in range(samples):
        for extension, size in MEMBERS:
            file.write(header(f"{sample_key(0, index, SHARD)}.{extension}", size))
            body = picture.getvalue() if extension == "jpg" else b""
            file.write(body)
            file.seek(size + -size % BLOCK - len(body), os.SEEK_CUR)
    length = file.tell()
    file.truncate(sealed_size(length))
    return length


def main() -> None:
    """Make what the command line says, and print its truth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("root", metavar="folder", type=Path)
    parser.add_argument("count", metavar="rows", type=int)
    parser.add_argument("seed", type=int, nargs="?", default=7)
    print(json.dumps(make(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
