# What a person types. Every target sets up what it needs, once; the second time it starts at once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq --no-compile -c constraints.txt
ARGS ?=

.PHONY: help setup train test check bench docs dashboard

help:            ## this list
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.ok  ## the environment in .venv, with pinned dependencies

train: $(VENV)/.ok  ## train the default experiment; more overrides: make train ARGS="encoder=gru seed=2"
	@$(BIN)/attnlab train $(ARGS)

dashboard: $(VENV)/.ok  ## the runs in the browser; another folder: make dashboard ARGS="run_dir=DIR"
	@$(BIN)/attnlab dashboard $(ARGS)

# Bytecode is kept, also where PYTHONDONTWRITEBYTECODE is set: a test that starts a process would compile torch anew.
test: $(VENV)/.dev-ok  ## the fast tests
	@PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX=$(CURDIR)/$(VENV)/pycache $(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.dev-ok  ## format, lint, types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

bench: $(VENV)/.dev-ok  ## time what is claimed to be fast, and write docs/performance.md; one topic: make bench ARGS=history
	@$(BIN)/python -m benchmarks $(ARGS)

docs: $(VENV)/.docs-ok  ## the documentation as a site, in site/; look at it while writing: make docs ARGS=--serve
	@$(BIN)/python -m website $(ARGS)

$(VENV)/.ok: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "attnlab needs Python 3.11 or newer, and $(PYTHON) is %d.%d; say make PYTHON=python3.11 ..." % v[:2])'
	@echo "setting up .venv (about a minute, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) -e .
	@touch $@

$(VENV)/.dev-ok: $(VENV)/.ok
	@$(PIP) -e '.[dev]'
	@touch $@

$(VENV)/.docs-ok: $(VENV)/.ok
	@$(PIP) -e '.[docs]'
	@touch $@
