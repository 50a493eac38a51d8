# facekd in two commands; 'make' alone lists them all.
#
## make demo     the main job on synthetic faces, from faces to report.html, within 10 minutes
## make test     ruff, mypy and the tests
## make test-mobile  the tests of export, in an environment of their own with every mobile runtime (.venv-mobile)
## make soak     the slow tests, which 'make test' leaves out: kills, full disks, two processes at once
## make fuzz     damaged files by every parser: make fuzz INPUTS=1000000 SEED=7 JSON=out.json
## make results  RESULTS.md and the tables of README.md and docs/, from the committed result files
## make wheel    a wheel in dist/
## make clean    removes .venv and everything else that was made here (not runs/)
##
## The first call makes .venv and installs into it. Variables:
##   PYTHON=python3.12           another Python (3.10 or newer)
##   WORKERS=4                   processes of 'make test' (2)
##   TORCH='torch --index-url U' another build of PyTorch, e.g. its CPU wheels, which are much smaller

PYTHON ?= python3
TORCH ?= torch==2.13.0
INPUTS ?= 100000
SEED ?= 0
JSON ?= runs/fuzz.json
WORKERS ?= 2

VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --quiet --disable-pip-version-check
METADATA := setup.cfg pyproject.toml

.PHONY: help demo test test-mobile soak fuzz results wheel clean
.DELETE_ON_ERROR:

help:
	@sed -n 's/^## \{0,1\}//p' Makefile

demo: $(VENV)/installed
	$(VENV)/bin/facekd demo

test: $(VENV)/installed-test
	$(RUN) -m ruff check .
	$(RUN) -m mypy
	$(RUN) -m pytest -n $(WORKERS)

# Apart, because these runtimes want one exact torch and older versions of other libraries.
test-mobile:
	@$(MAKE) --no-print-directory VENV=.venv-mobile .venv-mobile/installed-mobile
	.venv-mobile/bin/python -m pytest tests/deploy tests/api/test_export.py

soak: $(VENV)/installed-test
	$(RUN) -m pytest -m soak

fuzz: $(VENV)/installed-test
	@mkdir -p $(dir $(JSON))
	$(RUN) -m tests.fuzz --inputs $(INPUTS) --seed $(SEED) --json $(JSON)

results: $(VENV)/installed
	$(RUN) tools/tables.py

wheel: $(VENV)/installed-test
	@rm -rf build
	$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .
	@rm -rf build
	@ls dist/*.whl

clean:
	rm -rf $(VENV) .venv-mobile build dist facekd.egg-info .mypy_cache .pytest_cache .ruff_cache
	find facekd tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The files below are stamps: what they name is done, until the metadata changes.

$(VENV)/made:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not there; install it: apt-get install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "facekd needs Python 3.10 or newer and $(PYTHON) is $$($(PYTHON) -V 2>&1); choose one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments; install that: apt-get install python3-venv" >&2; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) -V)"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/installed: $(VENV)/made $(METADATA)
	@echo "installing PyTorch into $(VENV) (the first time this takes some minutes)"
	@$(PIP) install $(TORCH)
	@echo "installing facekd and the other libraries it needs"
	@$(PIP) install --editable .
	@$(RUN) -c 'import facekd.data' 2>$(VENV)/check.log || { tail -n 1 $(VENV)/check.log >&2; exit 1; }
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	@echo "installing what the tests need"
	@$(PIP) install --editable '.[test]'
	@touch $@

$(VENV)/installed-mobile: $(VENV)/installed-test
	@echo "installing the mobile runtimes"
	@$(PIP) install --editable '.[ncnn,executorch,litert,coreml]'
	@touch $@
