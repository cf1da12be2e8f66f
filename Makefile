# Every target makes its own virtual environment in $(VENV) and needs nothing but Python >= 3.11.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= auto

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# One thread per worker: workers times threads must not exceed the cores. Neighbouring tests stay with
# one worker until another has nothing to do, so that what a module's tests share is made once.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --maxprocesses 8 --dist worksteal

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-fast test-all mutants test-plugins test-dist lint docs dist clean

help: ## show this help
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

demo: $(VENV)/.installed ## train one candidate on the built-in phantom, ten folds, and show the table
	$(BIN)/volbench run --encoder rmc5 --agg bilinear --loss focal+triplet
	$(BIN)/volbench compare

test: $(VENV)/.installed-test ## run the tests
	$(PYTEST)

# No training and no process of its own: components, formulas, formats, specs, help, layers.
FAST := volbench/_utils tests/test_spec.py tests/test_architecture.py tests/aggregators tests/losses \
	tests/experiment tests/evaluation/metrics tests/data/formats tests/plugins/test_registry.py \
	tests/utils tests/cli/test_help.py tests/docs/test_project_files.py

test-fast: $(VENV)/.installed-test ## run the tests that need no training: under a minute on two cores
	$(PYTEST) $(FAST)

test-all: $(VENV)/.installed-test ## run the tests, the slow ones too
	$(PYTEST) -m ""

# A shard and a choice: make mutants ARGS="--shard 1/4 --only sampler". It goes on where it stopped.
mutants: $(VENV)/.installed-test ## plant faults one at a time, and report those that no test notices
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.mutants.run $(ARGS)

# Those that need nothing beyond the tests' own environment. They are installed beside it, not into
# it, so that `volbench list` and the other tests stay as they are.
LIGHT := volbench-acs volbench-example volbench-metric-learning volbench-mil

test-plugins: $(VENV)/.installed-test ## run the tests of the plugins, without volbench-monai (see its .ci/run)
	rm -rf $(VENV)/plugins
	$(PIP) install --quiet --no-deps --no-build-isolation --target $(VENV)/plugins $(LIGHT:%=./plugins/%)
	status=0; for plugin in $(LIGHT); do \
		( cd plugins/$$plugin && export OMP_NUM_THREADS=1 PYTHONPATH=$(abspath $(VENV)/plugins) && \
		$(abspath $(BIN))/python -m pytest -q && $(abspath $(BIN))/ruff check . && \
		$(abspath $(BIN))/ruff format --check . && $(abspath $(BIN))/mypy ) || status=$$?; \
	done; exit $$status

dist: $(VENV)/.installed-test ## build wheel and sdist into dist/, and check them
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

test-dist: $(VENV)/.installed-test ## install the wheel into a bare environment, and run the README's first commands there
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow tests/docs/test_distribution.py

lint: $(VENV)/.installed-test ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.installed-docs ## build the documentation; a warning is an error
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

clean: ## remove what make made, except runs/
	rm -rf $(VENV) docs/_build docs/reference/generated dist
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v >= (3, 11) or sys.exit("volbench needs Python 3.11 or newer and found %d.%d; name another: make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv $(VENV)

# Entry points are written at installation, so a changed pyproject.toml installs again.
$(VENV)/.installed: $(VENV)/pyvenv.cfg pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-%: $(VENV)/pyvenv.cfg pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt -e '.[$*]'
	@touch $@
