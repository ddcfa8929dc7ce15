# Two commands matter: `make run` (a demo company, trained and served) and `make test` (every check and every test).
# Both set up what they need in .venv/ and run without network after that.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.installed

.PHONY: run test check fix bench setup clean

run: $(SETUP)
	@$(BIN)/python scripts/demo.py

test: check
	$(BIN)/python -m pytest

check: $(SETUP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

fix: $(SETUP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Side by side with peers, on data sets that are not part of the project: make bench DATA=folder
DATA ?= ../shared/data
bench: $(SETUP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,bench]'
	$(BIN)/python -m benchmarks.next_touchpoint --data $(DATA)
	$(BIN)/python -m benchmarks.purchase --data $(DATA)
	$(BIN)/python -m benchmarks.feedback --data $(DATA)

setup: $(SETUP)

$(SETUP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[train,dev]'
	touch $(SETUP)

clean:
	rm -rf .data build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
