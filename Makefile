# Everything a newcomer types. `make` alone lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Quiet, pinned, and nothing but what constraints.txt says.
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
STAMP := $(VENV)/.installed

.PHONY: help setup browser real-engine demo test check fmt bench docs gpu-check clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv and install everything pinned in constraints.txt

$(STAMP): pyproject.toml constraints.txt
	@echo "setup: a virtual environment in $(VENV), a few minutes the first time"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --upgrade -c constraints.txt pip setuptools wheel
	@$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@

browser: ## install Debian's Chromium, PostgreSQL and gcc for the tests (Debian and root; else their tests skip)
	@sh tests/install_parts.sh

demo: setup ## a simulated fleet, watched: opens at the URL after "ready:", Ctrl-C ends it
	@$(BIN)/inferometer demo

real-engine: .real-engine/.installed ## llama.cpp's server in an environment of its own, for the test of a real engine (12 s, 210 MB)

.real-engine/.installed: tests/real_engine/requirements.txt
	@test -x .real-engine/bin/python || $(PYTHON) -m venv .real-engine
	@.real-engine/bin/python -m pip --disable-pip-version-check -q install -r $<
	@touch $@

test: setup browser real-engine ## every test; with CI=true a skipped test fails
	@$(BIN)/python -m pytest -n 2 --dist loadgroup

check: setup ## lint, format, types, direction of imports, the laws of the tree
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -q tests/architecture

fmt: setup ## format and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: setup real-engine ## every benchmark, one after the other, figures to the terminal (long)
	@set -e; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script; done

docs: setup ## write the generated pages of docs/ anew
	@$(BIN)/python docs/generate.py

gpu-check: setup ## the agent against real NVML on this machine; says so where there is no GPU
	@$(BIN)/python benchmarks/gpu_check.py

clean: ## remove what the targets made here
	@rm -rf $(VENV) .real-engine .demo build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
