PYTHON ?= python3
BIN := .venv/bin
DEMO_DIR ?= runs/demo

# Linux gives a freed block of a step's size back at once and maps it anew for
# the next step, page by page: a quarter of a small step on a CPU.
demo results: export GLIBC_TUNABLES ?= $(MALLOC)
MALLOC := glibc.malloc.mmap_max=0:glibc.malloc.hugetlb=1:$\
glibc.malloc.trim_threshold=17179869184

# A file's tests share what they have compiled and trained.
test test-systems test-slow: PARALLEL ?= --numprocesses=auto --dist=loadfile
# Compiled as users compile; the fast tier leaves out XLA's optimisations.
test-systems test-slow: export XLA_FLAGS ?=
PYTEST = $(BIN)/python -m pytest $(PARALLEL)

.PHONY: demo test test-systems test-slow test-all results lint benchmark

demo: .venv/installed
	$(BIN)/python -m experiments.compare --label_seeds=0 --workdir=$(DEMO_DIR) \
	  --configs=configs/digits_ssgan.py,configs/digits_supervised.py

# What each tier needs and when to run it: CONTRIBUTING.md.
test: .venv/installed lint
	$(PYTEST) -m 'not systems and not slow'

test-systems: .venv/oracle
	$(PYTEST) -m systems

test-slow: .venv/installed
	$(PYTEST) -m slow

test-all: test test-systems test-slow

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The results table of the README.
results: .venv/installed
	$(BIN)/python -m experiments.compare --label_seeds=0-9 --workdir=runs/digits \
	  --configs=configs/digits_ssgan.py,configs/digits_supervised.py

# The figures of docs/performance.md.
benchmark: .venv/oracle
	$(BIN)/python -m experiments.benchmark --peers=torch,flax

.venv/installed: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "gan_jax needs Python 3.11 or newer; set PYTHON=... to choose one")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps \
	  --no-build-isolation --editable .
	touch $@

.venv/oracle: requirements-oracle.txt .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check \
	  -r requirements-oracle.txt
	touch $@
