# Two commands do everything, set-up included: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup run test test-all torture docs lint format bench figures clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("imctrain needs Python >= 3.11, this is " + sys.version.split()[0] + "; set PYTHON=") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

setup: $(READY)  ## create .venv with pinned dependencies

run: $(READY)  ## train the quickstart experiment
	$(BIN)/imctrain run --config experiments/quickstart.toml

# Most of the tests' time is compilation. XLA takes the short way there. In test-all some compile as users do: those that
# compute for long (marked so), and the quick tests of what holds the array's integers against references, once more.
AS_USERS := $(addprefix tests/,calibration/test_virtual_chip.py experiment/test_quickstart.py imc/test_code_widths.py \
	imc/test_exact.py imc/test_passes.py imc/test_peers.py imc/test_statistical.py test_tutorials.py)
QUICK_XLA := --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true \
	--xla_cpu_use_fusion_emitters=false

test: $(READY)  ## the quick tier of the tests, over every package: minutes
	XLA_FLAGS="$$XLA_FLAGS $(QUICK_XLA)" $(BIN)/python -m pytest -n 2 --dist loadfile

test-all: $(READY)  ## every test, as CI runs them
	XLA_FLAGS="$$XLA_FLAGS $(QUICK_XLA)" $(BIN)/python -m pytest -n 2 --dist loadfile -m 'not as_users'
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'as_users or not slow' $(AS_USERS)

MINUTES := 30
torture: $(READY)  ## kills, full disks, fuzzed files, crowds, a soak: MINUTES=30
	$(BIN)/python tests/torture --minutes $(MINUTES)

lint: $(READY)  ## ruff (lint and format) and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## time a training step on every path: benchmarks/RESULTS.md
	$(BIN)/python benchmarks/report.py

docs: $(READY)  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

figures: $(READY)  ## draw the figures of docs/reproduction.md, cost.md, search.md and chips.md again, from the kept results
	$(BIN)/python experiments/cifar10/figures.py
	$(BIN)/python experiments/cost/energy.py --tables
	$(BIN)/python experiments/cost/searches.py
	$(BIN)/python experiments/chips/cifar10/tables.py

clean:  ## remove caches and the virtual environment
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
