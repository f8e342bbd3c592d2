# The commands of the README. All of it runs in .venv, which `install` makes.
PYTHON ?= python3
BIN := .venv/bin
DEMO := runs/demo

.PHONY: install demo demo-classifier test lint

install: .venv/installed

.venv/installed: requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "danceflax needs Python 3.11 or newer: make PYTHON=python3.11 install")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

# Renders the synthetic dancers, trains OpenPose on them, measures it on dancers it has not seen, and
# draws what it finds. A demo that was stopped goes on where it was.
demo: install
	$(BIN)/python prepare_data.py synthetic --output=data/synthetic
	$(BIN)/python train_openpose.py --config=configs/openpose_body25.py:demo --workdir=$(DEMO)
	$(BIN)/python evaluate.py --checkpoint=$(DEMO) --split=test
	$(BIN)/python predict.py --checkpoint=$(DEMO) --input=data/synthetic/frames/tango --limit=32 --output=$(DEMO)/people

test: install
	$(BIN)/pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
