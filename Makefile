# One verb per check; CI runs the same verbs. Everything is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
DEV := .venv/.dev

ifeq ($(wildcard $(BIN)/python),)
FOUND := $(shell $(PYTHON) -c 'import sys; v = sys.version_info[:2]; print("" if (3, 11) <= v <= (3, 13) else "Python %d.%d" % v)' 2>/dev/null || echo nothing)
ifneq ($(FOUND),)
$(error dianet_ray needs Python 3.11, 3.12 or 3.13, $(PYTHON) is $(FOUND): make PYTHON=python3.11)
endif
endif

.PHONY: demo test test-slow lint bench

demo: $(INSTALLED)
	$(BIN)/dianet-ray demo --out runs/demo

test: $(DEV)
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q
	$(BIN)/python -m pytest -q -m "ray and not slow"

test-slow: $(DEV)
	$(BIN)/python -m pytest -q -m slow

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell dianet_ray tests benchmarks search_spaces cluster README.md

bench: $(DEV)
	$(BIN)/python -m benchmarks.dynamic_images
	$(BIN)/python -m benchmarks.apex_spotting
	$(BIN)/python -m benchmarks.stacking
	$(BIN)/python -m benchmarks.synth_difficulty
	$(BIN)/python -m benchmarks.search_cost
	$(BIN)/python -m benchmarks.correction

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt torch==2.13.0
	$(BIN)/pip install -q -c constraints.txt -e .
	@touch $@

$(DEV): $(INSTALLED)
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	@touch $@
