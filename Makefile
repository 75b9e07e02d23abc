# qkdbus: everything a newcomer needs. `make demo` and `make test` do all of their own set-up.
.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin
# The first Python on the PATH that SimulaQron can use (3.11 or 3.12). PYTHON=... chooses another.
PYTHON ?= $(shell for p in python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$p && break; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ROOTS := common client deploy services tests benchmarks
LAST := $(BIN)/python -m pytest -q
TWO := $(LAST) -n 2 --dist loadfile --no-loadscope-reorder
FAST := $(TWO) -m "not slow and not root"

.PHONY: help demo test test-all soak check wire bench clean

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

demo: .venv/.installed ## A network of three sites on this machine: form keys, compare them, tear down
	@$(BIN)/qkdbus demo

test: .venv/.dev ## The fast suite (a few minutes)
	@$(FAST)

test-all: .venv/.dev ## Everything, with the slow tests, those that fill a machine, and those that need root
	@$(FAST)
	@$(TWO) -m "slow and not root and not crowded"
	@$(LAST) -m crowded
	@$(TWO) -m root

soak: .venv/.dev ## An hour at steady load: memory and latency have to stay flat (report in docs/soak.md)
	@$(BIN)/python -m benchmarks.soak --report docs/soak.md

check: .venv/.dev ## ruff, mypy strict, house rules, generated protobuf fresh
	@echo "== ruff"; $(BIN)/ruff check --quiet . && $(BIN)/ruff format --check --quiet .
	@echo "== mypy"; $(BIN)/mypy
	@echo "== house rules"; $(LAST) tests/house

wire: .venv/.dev ## Generate the protobuf code again
	@cd common && ../$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. qkdbus/wire/*.proto

bench: .venv/.dev ## The benchmarks, with their tables and plots in docs/ (about an hour, on a quiet machine)
	@$(BIN)/python -m benchmarks.all

clean: ## Remove the environment and the caches
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "qkdbus needs Python 3.11 or 3.12 (SimulaQron has no other): install one, then 'make PYTHON=/path/to/python3.12 ...'"; exit 2; fi
	@echo "Making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv || { echo "The venv module is missing: on Debian, 'apt-get install python3-venv'"; exit 2; }

.venv/.installed: pyproject.toml | .venv/bin/python
	@echo "Installing qkdbus and what it needs (once; a minute or so)"
	@$(PIP) install --upgrade 'pip>=25.1'
	@$(PIP) install --editable .
	@$(BIN)/python -m compileall -q client common deploy services  # as pip does for what it copies
	@touch $@

.venv/.dev: pyproject.toml .venv/.installed
	@echo "Installing what the tests need (once)"
	@$(PIP) install --group dev
	@echo "Compiling the kernels of long blocks (once)"
	@$(BIN)/python -c 'import qkdbus_qbackend.compiled'
	@touch $@
