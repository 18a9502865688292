# Two commands do everything on a fresh machine: `make run` and `make test`.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Where pip may also look for PyTorch: set it to the CPU index that PyTorch's install page names, to avoid gigabytes of CUDA.
TORCH_INDEX ?=
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup system run test check format bench chaos train clean

help:  ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: system $(STAMP)  ## virtual environment, packages, and the system packages the tests want

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),PIP_EXTRA_INDEX_URL=$(TORCH_INDEX)) $(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev]'
	touch $@

system:
	@sh deploy/system-packages.sh

run: $(STAMP)  ## start the tutor and print the address of its page
	$(BIN)/sahpathi serve

test: setup  ## every test, a file at a time on each core
	$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile

check: $(STAMP)  ## lint, format, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)  ## rewrite the code in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## measure what docs/benchmarks.md states
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[bench,dev]'
	$(BIN)/python -m tests.bench.service
	$(BIN)/python -m tests.bench.webhooks
	$(BIN)/python -m tests.bench.retrieval
	$(BIN)/python -m tests.bench.sft --subject '' --examples 700

chaos: setup  ## kill the service 300 times in each topology, and count every message (an hour or two)
	$(BIN)/python -m tests.chaos
	$(BIN)/python -m pytest -q --hypothesis-profile=thorough tests/bot/test_store_stateful.py

train: $(STAMP)  ## remake the shipped base model and adapter from the shipped data
	$(BIN)/sahpathi train all

clean:  ## remove what was built; never var/, which holds your data
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
