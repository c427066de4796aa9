# One verb per check; CI runs the same verbs. `make help` lists them.
# Everything is installed into .venv. When PYTHON names another version than that environment has,
# it gets one of its own: `make PYTHON=python3.12 test` then uses .venv-3.12.
PYTHON ?= python3
VENV := .venv
version = $(shell $(1) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
ifneq ($(origin PYTHON),file)
ifneq ($(wildcard .venv/bin/python),)
ifneq ($(call version,.venv/bin/python),$(call version,$(PYTHON)))
VENV := .venv-$(or $(call version,$(PYTHON)),unknown)
endif
endif
endif
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEV := $(VENV)/.dev

ifeq ($(wildcard $(BIN)/python),)
FOUND := $(call version,$(PYTHON))
ifeq ($(filter 3.11 3.12 3.13,$(FOUND)),)
$(error dianet_ray needs Python 3.11, 3.12 or 3.13, $(PYTHON) is $(or $(FOUND:%=Python %),nothing): make PYTHON=python3.11)
endif
endif

.PHONY: help demo test test-slow coverage lint format wheel bench

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "make PYTHON=python3.12 VERB does it with another Python, in an environment of its own"

demo: $(INSTALLED) ## run the whole pipeline on a synthetic data set, into runs/demo
	$(BIN)/dianet-ray demo --out runs/demo

# With COVERAGE=1, as in CI, lines and branches are counted and must reach the floors. It doubles the
# time of some tests, so it is left out otherwise.
COUNTED := $(if $(COVERAGE),--cov --cov-report=)
test: $(DEV) ## run the plain tests, then those with Ray and MLflow (COVERAGE=1: check the floors)
	$(BIN)/python -m pytest -q -n 2 $(COUNTED)
	$(BIN)/python -m pytest -q -m "(ray or mlflow) and not slow" $(if $(COVERAGE),$(COUNTED) --cov-append)
ifdef COVERAGE
	$(BIN)/coverage report --format=total --fail-under=90
	$(BIN)/coverage report --format=total --fail-under=98 --include='dianet_ray/protocol/*'
endif

test-slow: $(DEV) ## run the tests that take minutes
	$(BIN)/python -m pytest -q -m slow

coverage: $(DEV) ## show what the last `make test COVERAGE=1` did not reach
	$(BIN)/coverage report --show-missing --skip-covered

lint: $(DEV) ## check style, types, imports, spelling and the package's metadata
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/validate-pyproject pyproject.toml

format: $(DEV) ## format the code, and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The environment of the wheel finds everything else in $(VENV); a .pth file within a folder that a
# .pth file adds is not read, so $(VENV)'s link to the checkout has no effect. The checkout itself
# comes last, for tests and benchmarks; PYTHONSAFEPATH keeps it from coming first.
WHEEL := $(CURDIR)/$(VENV)-wheel
wheel: $(DEV) ## build the wheel into dist/, and run the plain tests against it, installed
	rm -rf dist $(WHEEL)
	$(BIN)/pip wheel -q --no-deps --wheel-dir dist .
	$(BIN)/python -m venv --without-pip $(WHEEL)
	$(BIN)/pip --python $(WHEEL)/bin/python install -q --no-deps dist/*.whl
	printf '%s\n' "$(CURDIR)"/$(VENV)/lib/python3*/site-packages "$(CURDIR)" \
		> "$$(echo $(WHEEL)/lib/python3*/site-packages)/others.pth"
	env -u PYTHONPATH PYTHONSAFEPATH=1 $(WHEEL)/bin/python -c 'import dianet_ray, sys; \
		sys.exit(not dianet_ray.__file__.startswith(sys.prefix))'
	env -u PYTHONPATH PYTHONSAFEPATH=1 PATH="$(WHEEL)/bin:$(CURDIR)/$(BIN):$$PATH" \
		$(WHEEL)/bin/python -m pytest -q -n 2 tests

bench: $(DEV) ## run the benchmarks
	$(BIN)/python -m benchmarks.house
	$(BIN)/python -m benchmarks.dynamic_images
	$(BIN)/python -m benchmarks.apex_spotting
	$(BIN)/python -m benchmarks.stacking
	$(BIN)/python -m benchmarks.synth_difficulty
	$(BIN)/python -m benchmarks.search_cost
	$(BIN)/python -m benchmarks.honesty

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt torch==2.13.0
	$(BIN)/pip install -q -c constraints.txt -e .
	@touch $@

$(DEV): $(INSTALLED)
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	@touch $@
