"""With this folder on PYTHONPATH, Python knows the bench's names (`bench.names`), in every process below, too."""

from bench.names import install

install()
