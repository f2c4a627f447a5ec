# Each target does all the set-up it needs, on a machine with nothing but Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Threads that sleep and do not spin while they wait: without it a busy core costs up to five times.
export OMP_WAIT_POLICY := PASSIVE
# Keep warm what a run would otherwise ask the network for: nothing here downloads at run time.
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Tests run in two processes of one thread each; every file stays in one of them, with its fixtures.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --numprocesses 2 --dist loadfile

.PHONY: install test test-all demo bench lint docs clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# What answers in minutes.
test: lint
	$(PYTEST)

# Then those that train, are killed, export at length or install; shapes were checked in the others.
test-all: test
	$(PYTEST) -m slow --override-ini addopts='-ra --strict-markers'

demo: install
	$(BIN)/internvideo demo --out runs/demo $(DEMO)

bench: install
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	OMP_NUM_THREADS=2 $(BIN)/python benchmarks/masked_pretraining_step.py
	$(BIN)/python benchmarks/playground.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyrefly check internvideo --python-interpreter-path $(BIN)/python

# The documentation site, in site/.
docs: install
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python -m mkdocs build --strict

clean:
	rm -rf $(VENV) runs site
