# `make reproduce` makes Figures 8 and 9 with verdicts, `make test` runs all tests, `make check` the quick ones.
# Each does its own set-up in .venv, from lock files with versions and hashes.
PYTHON ?= python3
OUT    ?= out
VENV   := .venv
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip --quiet --disable-pip-version-check

.PHONY: install reproduce test check slurm network durations coverage lint docs bench gpu-check lock
.DEFAULT_GOAL := reproduce

# The environment alone.
install: $(VENV)/.installed

reproduce: $(VENV)/.installed
	@echo "Computing Figures 8 and 9 and their verdicts, in $(OUT): about a minute on two free cores"
	$(VENV)/bin/rmtsim reproduce --out "$(OUT)"

# All tests. Modules share clusters and servers, so each is run by one process; the longest come first.
PYTEST := $(PY) -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

test: lint
	$(PYTEST)

# In a minute or so: the linters, and the tests that take less than 0.3 s and start no server.
check: lint
	$(PYTEST) -m "not slow and not ray and not s3 and not slurm and not network"

# sweeps/slurm.sh on a real SLURM, in namespaces of this machine: as root, with slurm-wlm and iproute2 of Debian.
slurm: $(VENV)/.installed-test
	$(PY) -m pytest -m slurm tests/test_slurm_jobs.py

# A sweep on two nodes whose network loses packets and goes down, in namespaces of this machine: as root, with iproute2.
network: $(VENV)/.installed-test
	$(PY) -m pytest -m network tests/test_lossy_network.py

# All tests, and how long each takes: which are slow, and which are to come first.
durations: $(VENV)/.installed-test
	$(PYTEST) --record-durations

coverage: $(VENV)/.installed-test
	$(PYTEST) --cov --cov-report=term:skip-covered

lint: $(VENV)/.installed-test
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports --no-logo
	$(PY) -m docs.docstrings

# The pages of docs/ as a site, in build/docs; any warning is an error.
docs: $(VENV)/.installed-test
	$(PY) -m sphinx -W --keep-going -n -q -c docs -d build/doctrees . build/docs

bench: $(VENV)/.installed-test
	$(PY) -m benchmarks

# On a GPU, in nine minutes at most, with CuPy in .venv: what only a GPU can say, in $(OUT)/gpu_check.jsonl.
gpu-check: $(VENV)/.installed-test
	$(PY) -m benchmarks.gpu_check --out "$(OUT)"

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rmtsim needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.lock pyproject.toml | $(PY)
	@echo "Installing rmtsim and what it needs (requirements.lock), about 900 MB, in $(VENV): some minutes"
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-test: requirements-test.lock $(VENV)/.installed
	@echo "Installing what the tests need (requirements-test.lock), about 1 GB more, in $(VENV): some minutes"
	$(PIP) install --no-deps --require-hashes -r requirements-test.lock
	@touch $@

# Renews the lock files; uv resolves for every platform and Python at once.
LOCK := uv pip compile pyproject.toml --group lock --universal --python-version 3.11 --generate-hashes \
        --only-binary :all: --no-annotate --upgrade --quiet \
        --custom-compile-command "make lock"
lock:
	$(LOCK) --output-file requirements.lock
	$(LOCK) --extra test --constraint requirements.lock --output-file requirements-test.lock
	$(LOCK) --extra cluster --extra cuda12 --constraint requirements.lock --output-file requirements-cluster.lock
