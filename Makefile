# Copyright Contributors to the pyro-textvae project.
# SPDX-License-Identifier: Apache-2.0

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo

OLDEST := .venv-oldest

.PHONY: demo docs test test-slow test-browser test-oldest dist fuzz mutation pyro-tools lint format clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,hf]'
	touch $@ $(VENV)/.core

$(VENV)/.viz: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[viz]'
	touch $@ $(VENV)/.core

# What the demo imports is compiled when it is imported: a tenth of what pip would compile.
demo: export PYTHONDONTWRITEBYTECODE =
demo: $(VENV)/.viz
	@echo "== train"
	$(BIN)/pyro-textvae train --config benchmarks/demo.yaml --out $(DEMO) --overwrite
	@echo "== evaluate"
	$(BIN)/pyro-textvae evaluate $(DEMO)
	@echo "== samples from the prior"
	$(BIN)/pyro-textvae sample $(DEMO) --size 8 --unknown false --method nucleus --top-p 0.7
	@echo "== reconstructions"
	$(BIN)/pyro-textvae reconstruct $(DEMO) --size 5 --unknown false --method beam --no-repeat-ngram-size 3
	@echo "== a walk between two sentences"
	$(BIN)/pyro-textvae interpolate $(DEMO) --unknown false --method beam --no-repeat-ngram-size 3
	@echo "== its page, to open in a browser"
	@echo $(DEMO)/report/report.html

test: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 -m slow

test-browser: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt playwright
	$(BIN)/python -m pytest -m browser

test-oldest:
	$(PYTHON) -m venv --clear $(OLDEST)
	$(OLDEST)/bin/python tests/oldest_versions.py > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check -c $(OLDEST)/constraints.txt -e '.[dev]'
	$(OLDEST)/bin/python -m pytest -n 2 -W ignore::DeprecationWarning

$(VENV)/.docs: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,hf,docs]'
	touch $@

docs: $(VENV)/.docs
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs docs/_build/html
	@echo "open docs/_build/html/index.html"

dist: $(VENV)/.dev
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python tests/distributed_files.py dist

fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz --cases 3000 --seed 0
	$(BIN)/python -m tests.fuzz.kills --kills 100 --seed 0

mutation: $(VENV)/.dev
	$(BIN)/python tests/mutation/run.py --record --seed 1

pyro-tools: $(VENV)/.dev
	$(BIN)/python -m tests.pyro_tools

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(OLDEST) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
