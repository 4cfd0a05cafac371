"""README.md of an export: what it is and how to read it. Its YAML header is what `load_dataset` goes by."""

from collections.abc import Sequence

_HEADER = """\
---
configs:
- config_name: default
{options}  data_files:
{files}
---

# An image dataset
"""
_FILES = "  - split: {split}\n    path:\n{paths}"
_PATH = '    - "{path}"'

_COLUMNS = """
`uid` joins all tables, also with the `decisions.parquet` this was exported from; `source`, `source_path` and
`source_key` say where the image came from, also where two have one `uid`. `width`, `height`, `format`,
`mode`, `bytes` and `stored_sha256` are those of the file here; `original_width`, `original_height`, `sha256`,
the hashes and all other measures those of the image as it came.

## Reading it
"""

_LOAD = """
Hugging Face [datasets](https://github.com/huggingface/datasets):

```python
from pathlib import Path
from datasets import load_dataset

load_dataset(str(Path.cwd()))  # this folder; "." alone has no name to go by
```
"""

_WEBDATASET = """
| file | what it holds |
|---|---|
| `{shard}.tar` | a shard: `{key}.{extension}`, `{key}.json`{text} per sample |
| `{shard}.parquet` | one row per sample of that shard, in the same order; nulls are there |
| `{index}.json` | the shards and how many samples each has, for random access with `wids` |

Where there is nothing, the JSON has 0, `false` or `""`, since readers need one type; the Parquet beside has null.
{empty}{sniff}"""
_EMPTY = """Every sample has a `.txt`, which is empty where there is no caption.
"""
_SNIFF = """
Images are named `.jpg` whatever their type: the true one is in `format`, and readers sniff.
"""
_READ_SHARDS = """
[webdataset](https://github.com/webdataset/webdataset):

```python
import glob
import webdataset as wds

for sample in wds.WebDataset(sorted(glob.glob("{glob}")), shardshuffle=False).decode("pil"):
    sample["__key__"], sample["{extension}"], sample["json"]{txt}
```
"""
_READ_TABLES = """
Rows{without}, with pyarrow:

```python
import glob
import pyarrow.dataset as ds

ds.dataset(sorted(glob.glob("*.parquet"))).to_table(columns=["uid", "width"])
```
"""
_PARQUET = """
Parquet files of images (`image` is a struct of `bytes` and a name) and what is known of each.
"""
_FOLDER = """
Images, named for their `uid` (and a number where several have it).
- `index.csv` has one line a file: `file_name` is its path from here.
- `metadata.jsonl`{where} says the same to `load_dataset`, which so gives each image its columns. Its paths are
  from its own folder, and it has 0, `false` or `""` where there is nothing.
"""
_READ_INDEX = """
```python
import csv

with open("index.csv", newline="", encoding="utf-8") as file:
    for row in csv.DictReader(file):
        row["file_name"], row["width"]
```
"""


def webdataset_card(splits: Sequence[str], key: str, extension: str, *, captioned: bool, kept: bool) -> str:
    """The card of shards. `key`: of the first sample; `kept`: images have the bytes they came with."""
    first = f"{splits[0]}-" if splits[0] else ""
    about = _WEBDATASET.format(
        shard=f"{first}00000",
        key=key,
        extension=extension,
        text=f" and `{key}.txt`, its caption," if captioned else "",
        index=f"shardindex-{splits[0]}" if splits[0] else "shardindex",
        empty=_EMPTY if captioned else "",
        sniff=_SNIFF if kept else "",
    )
    reading = _READ_SHARDS.format(
        glob=f"{first}*.tar", extension=extension, txt=', sample["txt"]' if captioned else ""
    )
    header = _header(splits, ["{}-*.tar"], ["*.tar"])
    return header + about + _COLUMNS + reading + _LOAD + _READ_TABLES.format(without=" without images")


def parquet_card(splits: Sequence[str]) -> str:
    """The card of Parquet files."""
    header = _header(splits, ["{}-*.parquet"], ["*.parquet"])
    return header + _PARQUET + _COLUMNS + _LOAD + _READ_TABLES.format(without="")


def folder_card(splits: Sequence[str]) -> str:
    """The card of a folder."""
    paths, whole = ["{}/*/*", "{}/metadata.jsonl"], ["[0-9a-f][0-9a-f]/*", "metadata.jsonl"]
    header = _header(splits, paths, whole, options="  drop_labels: true\n")
    about = _FOLDER.format(where=", one in the folder of each split," if splits[0] else "")
    return header + about + _COLUMNS + _READ_INDEX + _LOAD


def _header(splits: Sequence[str], paths: Sequence[str], whole: Sequence[str], options: str = "") -> str:
    files = [
        _FILES.format(
            split=split or "train", paths="\n".join(_PATH.format(path=path.format(split)) for path in some)
        )
        for split, some in ((split, paths if split else whole) for split in splits)
    ]
    return _HEADER.format(options=options, files="\n".join(files))
