# Two commands matter: `make demo` and `make test`. Both need Python >= 3.11 and make, nothing else.
# While working: `make check`, in under a minute.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo check test coverage soak bench docs corpus clean

demo: $(VENV)/.installed
	$(BIN)/rag demo

check: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest -n 3 --dist loadfile -m "not slow"

test: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest -n 3 --dist loadfile

coverage: $(VENV)/.tested
	$(BIN)/python -m pytest -n 3 --dist loadfile --cov --cov-report=json:coverage.json
	$(BIN)/python -m tests.room_coverage coverage.json

soak: $(VENV)/.tested
	$(BIN)/python -m pytest -n 3 --dist loadfile --soak -m soak

bench: $(VENV)/.tested
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[bench]"
	test -x $(VENV)/peers/bin/python || $(PYTHON) -m venv $(VENV)/peers
	$(VENV)/peers/bin/python -m pip install --quiet --requirement tests/benchmarks/peers.txt
	$(BIN)/python -m tests.benchmarks

docs: $(VENV)/.tested
	$(BIN)/python .docs/build.py

corpus: $(VENV)/.tested
	$(BIN)/python data/make_handbook.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[office]"
	touch $@

$(VENV)/.tested: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage coverage.json
