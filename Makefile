# Two commands matter: `make run` (a demo company, trained and served) and `make test` (every check and every test).
# Both set up what they need in .venv/ and run without network after that.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.installed
# The clients that tests drive in Node and in a browser; without npm, tests of these are skipped.
CLIENTS := tests/clients/node
CLIENTS_SETUP := $(if $(shell command -v npm),$(CLIENTS)/node_modules/.installed)

.PHONY: run test campaign check fix bench mlflow setup clean

run: $(SETUP)
	@$(BIN)/python scripts/demo.py

test: check $(CLIENTS_SETUP)
	$(BIN)/python -m pytest -n 2 --dist loadfile

# The long forms of what `make test` does in short: kills under load, clients through faults, fuzzing.
campaign: $(SETUP) $(CLIENTS_SETUP)
	JOURNEY_CAMPAIGN=1 $(BIN)/python -m pytest -s --timeout 3600 $$(grep -rl --include='test_*.py' JOURNEY_CAMPAIGN tests)

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
	$(BIN)/python -m benchmarks.confidence --data $(DATA)
	$(BIN)/python -m benchmarks.explain
	$(BIN)/python -m benchmarks.ingest
	$(BIN)/python -m benchmarks.history
	$(BIN)/python -m benchmarks.identity
	$(BIN)/python -m benchmarks.remap
	$(BIN)/python -m benchmarks.customers
	$(BIN)/python -m benchmarks.journeys
	$(BIN)/python -m benchmarks.serving
	$(BIN)/python -m benchmarks.realtime
	$(BIN)/python -m benchmarks.delivery

# MLflow's own pages on what training wrote down, on this machine only. MLFLOW_TRACKING_URI names another store.
mlflow: $(SETUP)
	@$(BIN)/python -m training mlflow --port $${PORT:-5000}

setup: $(SETUP) $(CLIENTS_SETUP)

$(SETUP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[train,dev]'
	touch $(SETUP)

$(CLIENTS)/node_modules/.installed: $(CLIENTS)/package.json $(CLIENTS)/package-lock.json
	cd $(CLIENTS) && npm ci
	touch $@

clean:
	rm -rf .data build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
