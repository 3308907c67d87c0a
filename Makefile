PYTHON ?= python3
BIN := .venv/bin
DEMO_DIR ?= runs/demo

.PHONY: demo test results lint

demo: .venv/installed
	$(BIN)/python -m experiments.compare --label_seeds=0 --workdir=$(DEMO_DIR) \
	  --configs=configs/digits_ssgan.py,configs/digits_supervised.py

test: .venv/installed lint
	$(BIN)/python -m pytest

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The results table of the README.
results: .venv/installed
	$(BIN)/python -m experiments.compare --label_seeds=0-9 --workdir=runs/digits \
	  --configs=configs/digits_ssgan.py,configs/digits_supervised.py

.venv/installed: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "gan_jax needs Python 3.11 or newer; set PYTHON=... to choose one")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@
