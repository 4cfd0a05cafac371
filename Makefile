# One target per verb. `test` and `demo` are the README's own lines; `.ci/run` runs what `check` and `test` run.

.PHONY: check test slow bench demo

check: .venv
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

test:
	python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && .venv/bin/pytest

slow: .venv
	.venv/bin/pytest -m slow

bench: .venv
	-.venv/bin/python -m bench $(if $(PHOTOS),--photos $(PHOTOS))
	.venv/bin/python -m bench.show

demo:
	python3 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/crawl demo

.venv: pyproject.toml
	python3 -m venv .venv
	.venv/bin/pip install -q -e '.[test,bench]'
	touch .venv
