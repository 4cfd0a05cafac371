"""README.md in the dataset: what it is and how to read it. Its YAML header is what `load_dataset` goes by."""

from curator.dataset.layout import Layout, replace_whole, sync_folder
from curator.dataset.rows import Columns
from curator.encoding import Encoding

# Only the archives make the table: without this, `datasets` would take in every Parquet file as well.
_HEADER = """\
---
configs:
- config_name: default
  data_files:
  - split: train
    path: images/*.tar
---
"""

_ABOUT = """
# An image dataset

Images crawled from a list of URLs, {stored}.

| file | what it holds |
|---|---|
| `images/00000.tar` | a shard: {members} |
| `images/00000.parquet` | one row per sample of that shard, in the same order |
| `images/00000_stats.json` | the shard's counts |
| `images/*.tar.part` | the shard being written, if any: read it through `curator.dataset.Dataset` only |
| `failures.parquet` | every URL that was decided and not saved, with the reason and its input columns |
| `summary.json` | totals: links = saved + every reason + pending |
| `ledger.sqlite` | one row per distinct URL ever listed: its state, its verdict; the runs |

Samples are in the order they arrived. `uid` (BLAKE2b-128 of the listed URL, hex) joins all tables; `key`
names a sample in its shard. What was stored without decoding (`--no-decode`) has no measures: they are null.
{named}
{captions}
## Reading it

All images, with their rows, also while a crawl is still writing:

```python
from curator.dataset import Dataset

for sample in Dataset("."):
    sample.key, sample.uid, sample.image, sample.fields["url"], sample.fields["width"]
```

[webdataset](https://github.com/webdataset/webdataset), sealed shards:

```python
import glob
import webdataset as wds

for sample in wds.WebDataset(sorted(glob.glob("images/*.tar")), shardshuffle=False).decode("pil"):
    sample["__key__"], sample["{extension}"], sample["json"]{txt}
```

Hugging Face [datasets](https://github.com/huggingface/datasets), sealed shards:

```python
from pathlib import Path
from datasets import load_dataset

load_dataset(str(Path.cwd()), split="train")  # this folder; "." alone has no name to go by
```

Rows without images, with pyarrow and DuckDB:

```python
from pathlib import Path

import pyarrow.dataset as ds

shards = [str(path) for path in sorted(Path("images").glob("*.parquet"))]
ds.dataset(shards).to_table(columns=["url", "width"])
```

```sql
SELECT host, reason, count(*) FROM 'failures.parquet' GROUP BY ALL ORDER BY count(*) DESC;
SELECT format, count(*), avg(width * height) FROM 'images/*.parquet' GROUP BY ALL;
```
"""

_SNIFF = """\
Members are named `.jpg` whatever their type: the true one is in `format`, and
readers sniff."""

_REMADE = """\
`width`, `height`, `format`, `mode`, `bytes` and `stored_sha256` are those of the
file in the shard; `original_width`, `original_height`, `sha256`, `exif`, the hashes and the other measures are those
of what the server sent."""

_CAPTIONS = """\
Every sample has a `.txt`, its caption, empty if it has none; `captions` in its row lists all captions its
URL was listed with.
"""


def card(columns: Columns, encoding: Encoding) -> str:
    """The card's text, which depends only on what is stored: of images, and whether with captions."""
    image = f"`000000000.{encoding.extension}`, `000000000.json`"
    return _HEADER + _ABOUT.format(
        stored=_stored(encoding),
        named=_REMADE if encoding.asked else _SNIFF,
        extension=encoding.extension,
        members=f"{image} and `000000000.txt` per sample" if columns.has_caption else f"{image} per sample",
        captions=_CAPTIONS if columns.has_caption else "",
        txt=', sample["txt"]' if columns.has_caption else "",
    )


def _stored(encoding: Encoding) -> str:
    if not encoding.asked:
        return "each stored with the bytes its server sent"
    resized = f"resized to {encoding.side} pixels ({encoding.mode}) and " if encoding.side else ""
    quality = "" if encoding.extension == "png" else f" of quality {encoding.quality}"
    return f"each {resized}stored as {encoding.extension}{quality}, in RGB and upright"


def write_card(layout: Layout, columns: Columns, encoding: Encoding) -> None:
    """Write README.md, whole or not at all. Raises OSError."""
    text = card(columns, encoding).encode()
    replace_whole(layout.card, lambda file: file.write(text))
    sync_folder(layout.root)
