# One verb per check; CI runs the same verbs. Everything is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
DEV := .venv/.dev

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
	$(BIN)/codespell dianet_ray tests benchmarks search_spaces README.md

bench: $(DEV)
	$(BIN)/python benchmarks/dynamic_images.py
	$(BIN)/python benchmarks/stacking.py

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v[:2] <= (3, 13) else "dianet_ray needs Python 3.11, 3.12 or 3.13: %s is %d.%d (make PYTHON=python3.11)" % (sys.executable, v[0], v[1]))'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt torch==2.13.0
	$(BIN)/pip install -q -c constraints.txt -e .
	@touch $@

$(DEV): $(INSTALLED)
	$(BIN)/pip install -q -c constraints.txt codespell hypothesis import-linter mypy pytest pytest-randomly pytest-timeout ruff types-PyYAML
	@touch $@
