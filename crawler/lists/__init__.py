"""The user's lists of URLs, read in constant memory."""

from crawler.lists.opening import Lists, open_lists
from crawler.lists.rows import BadRow, ListOptions, RowBatch, Source

__all__ = ["BadRow", "ListOptions", "Lists", "RowBatch", "Source", "open_lists"]
