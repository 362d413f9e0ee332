# `make` prints this help. Everything lives in .venv and .landfall; `make clean` removes both.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all:

.DEFAULT_GOAL := help
.PHONY: help up test quick sweep bench explore complete chaos check lint format lock sbom licenses advisories clean

help: ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: $(VENV)/.runtime ## start everything here and watch signed webhooks become rows; Ctrl-C stops it
	@exec $(BIN)/landfall up $(UP)

# Rewriting the assertions of all tests takes seconds in each process: keep what came of it, whatever the shell says.
test quick chaos: export PYTHONDONTWRITEBYTECODE =

test: $(VENV)/.dev ## the whole test suite, against a real PostgreSQL and a real Redis
	@$(BIN)/python -m pytest $(or $(TESTS),--numprocesses 4 --dist worksteal)

quick: $(VENV)/.dev ## the tests that need no server, in under a minute
	@$(BIN)/python -m pytest --quick --numprocesses 2 --dist worksteal

bench: $(VENV)/.dev ## ratios against bare aiohttp, plain upserts and arq; BENCH=quick for 3 minutes, ONLY=a,b for parts
	@$(BIN)/python -m ops.bench

explore: $(VENV)/.dev ## every order of faults through the machines that publish, while platforms fail too: values and time
	@EXPLORE_WHOLE=1 $(BIN)/python -m pytest tests/unit/publish/posting/test_exploration.py -n0 -s

sweep: $(VENV)/.dev ## every kind of post with the worker killed at every point and every answer lost, in five minutes
	@SWEEP=all $(BIN)/python -m pytest tests/faults/test_posting_faults.py --numprocesses 2

complete: $(VENV)/.dev ## the tables of 50 accounts with 100,000 comments against the world that they are of, in ten minutes
	@WORLD=whole $(BIN)/python -m pytest tests/faults/test_complete_tables.py -n0 -s

chaos: $(VENV)/.dev ## the slow faults: ROWS="a2 b7" for some of them, CHAOS_SEED=7 to repeat a run
	@$(BIN)/python -m pytest tests/chaos

check: lint test ## what CI runs

lint: $(VENV)/.dev ## style, types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.dev ## rewrite the code in the house style
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: $(VENV)/.dev ## resolve the dependencies anew
	@$(BIN)/pip-compile $(LOCK) --output-file requirements.lock pyproject.toml
	@$(BIN)/pip-compile $(LOCK) --extra dev --output-file requirements-dev.lock pyproject.toml

LOCK := --quiet --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links \
	--no-emit-trusted-host --no-emit-options --no-header --upgrade

sbom: $(VENV)/.dev ## what requirements.lock installs, with licences and hashes, as CycloneDX JSON in build/
	@$(BIN)/python -m ops.supply sbom

licenses: $(VENV)/.dev ## the licence of each package that is installed; one that is not allowed fails
	@$(BIN)/python -m ops.supply licenses

advisories: $(VENV)/.dev ## known vulnerabilities in both lock files, by the local copy of OSV records at ADVISORIES=
	@$(BIN)/python -m ops.supply advisories $(if $(ADVISORIES),--database '$(ADVISORIES)')

clean: ## remove the environment and all data of `make up`
	rm -rf $(VENV) .landfall

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Landfall needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.lock pyproject.toml | $(BIN)/python
	@echo "installing what requirements.lock names …"
	@$(INSTALL) -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(BIN)/python
	@echo "installing what requirements-dev.lock names …"
	@$(INSTALL) -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(VENV)/.runtime $@
