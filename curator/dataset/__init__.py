"""The dataset on disk. `Dataset` reads one."""

from curator.dataset.reader import Dataset, Sample

__all__ = ["Dataset", "Sample"]
