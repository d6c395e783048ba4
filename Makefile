# Every target sets up what it needs: .venv is created and filled on first use, and left alone until
# pyproject.toml or constraints.txt changes.

PYTHON ?= python3
VENV ?= .venv
# `make CONSTRAINTS=` installs the newest versions (and PyTorch's default build) instead of the tested ones.
CONSTRAINTS ?= constraints.txt
WORKERS ?= 2
# For example: make bench ARGS="train --env MemoryAgents/TMaze-v0 --out runs/tmaze"
ARGS ?= list

BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow lint type format bench clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(READY) ## Create .venv and install the package with everything for development

# Python compiles what it imports when it first does; to compile all of PyTorch takes the longer.
$(READY): pyproject.toml $(CONSTRAINTS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --no-compile $(if $(CONSTRAINTS),-c $(CONSTRAINTS)) -e '.[dev]'
	@touch $@

demo: $(READY) ## Train the compressive memory agent and a memoryless one on object matching; write pictures
	$(BIN)/python -m memory_agents.benchmarks demo --out runs/demo

# One thread per worker: PyTorch's own threads would only compete with the other workers.
test: export OMP_NUM_THREADS = 1
test: $(READY) ## Run the tests, slow ones left out
	$(PYTEST)

test-slow: export OMP_NUM_THREADS = 1
test-slow: $(READY) ## Run the slow tests only
	$(PYTEST) -m slow

lint: $(READY) ## Check style, formatting, import directions and spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/codespell

type: $(READY) ## Check types
	$(BIN)/mypy

format: $(READY) ## Rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## Run memory-bench with ARGS="..."
	$(BIN)/python -m memory_agents.benchmarks $(ARGS)

clean: ## Remove .venv, caches and build products (runs/ is kept)
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
