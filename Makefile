# Everything a person needs, from a fresh clone with only python3 (3.11 or later) and make.
# The environment in .venv is made anew only when pyproject.toml has changed.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
MODE ?= zookeeper
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: help setup start stop test lint types demo bench sim sim-many wheel clean

help:
	@echo "make start          start the local cluster here, with a live console"
	@echo "make stop           stop it"
	@echo "make demo           stream the standard library through a cluster that loses a broker;"
	@echo "                    MODE=kraft: one without coordinators"
	@echo "make test           ruff, mypy, import-linter, pytest"
	@echo "make bench          measure this machine"
	@echo "make sim SEED=n     one simulated run; make sim-many N=n: n of them"
	@echo "make wheel          build dist/"
	@echo "make clean          remove what was built"

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; set PYTHON=")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	touch $(READY)

# pip compiles what it installs, but not what it installs to be edited; and where Python is told to
# write no bytecode (PYTHONDONTWRITEBYTECODE), each node would compile everything at each start.
setup: $(READY)
	$(BIN)/python -m compileall -q nodes odradek supervisor transport tests

start: setup
	exec $(BIN)/odradek start

stop: setup
	$(BIN)/odradek stop

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup
	$(BIN)/mypy

test: lint types
	$(BIN)/pytest

demo: setup
	exec $(BIN)/python -m benchmarks.demo --mode $(MODE)

bench: setup
	$(BIN)/python -m benchmarks.cluster_start
	$(BIN)/python -m benchmarks.failover
	$(BIN)/python -m benchmarks.failover --no-notices
	$(BIN)/python -m benchmarks.failover --signal STOP
	$(BIN)/python -m benchmarks.throughput
	$(BIN)/python -m benchmarks.listeners
	$(BIN)/python -m benchmarks.fetch_sessions

SEED ?= 1
N ?= 100

sim: setup
	$(BIN)/python -m tests.simulation --seed $(SEED)

sim-many: setup
	$(BIN)/python -m tests.simulation --many $(N)

wheel: setup
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .import_linter_cache
