# The commands of the README. All of it runs in .venv, which `install` makes.
PYTHON ?= python3
BIN := .venv/bin
DEMO := runs/demo

.PHONY: install docs pages parity demo demo-classifier test fuzz soak bench bench-gpu lint

install: .venv/installed

.venv/installed: requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "danceflax needs Python 3.11 or newer: make PYTHON=python3.11 install")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

# Renders synthetic dancers, trains OpenPose on them, measures it on dancers it has not seen, and follows
# some of them through a dance. A demo that was stopped goes on where it was.
demo: install
	$(BIN)/python prepare_data.py synthetic --output=data/synthetic --clips=16,2,2 --frames=16 --people=2
	$(BIN)/python train_openpose.py --config=configs/openpose_body25.py:demo --workdir=$(DEMO)
	$(BIN)/python evaluate.py --checkpoint=$(DEMO) --overwrite --split=test --flip --draw=16 \
	  --report=$(DEMO)/report.html
	$(BIN)/python prepare_data.py synthetic --output=data/longer --seed=3 --clips=0,0,1 --frames=160 --fps=25 \
	  --size=448,256 --people=4
	$(BIN)/python predict.py --checkpoint=$(DEMO) --input='data/longer/frames/waltz/*.jpg' \
	  --output=$(DEMO)/dance --overwrite --join=25 --smooth=savitzky_golay --table=csv
	cp docs/demo.html $(DEMO)/index.html
	@echo "Three dancers followed, beside the report: $(DEMO)/index.html. Figures: $(DEMO)/evaluation_test.json."

# Trains a two-stream classifier on dances that differ only in motion, and, for comparison, one that
# sees single frames.
demo-classifier: install
	$(BIN)/python prepare_data.py synthetic --output=data/dances --clips=60,10,20 --frames=40 --size=64,64 --people=1
	$(BIN)/python prepare_data.py flow --root=data/dances
	$(BIN)/python train_classifier.py --config=configs/i3d.py:flow+pose,demo --workdir=runs/dances
	$(BIN)/python evaluate.py --checkpoint=runs/dances --overwrite --split=test
	$(BIN)/python train_classifier.py --config=configs/frames.py:rgb,demo --workdir=runs/one_frame
	$(BIN)/python evaluate.py --checkpoint=runs/one_frame --overwrite --split=test

# What the tests compare with: PyTorch, and OpenCV 4 (OpenCV 5 reads no Caffe file) in an environment
# of its own.
parity: .venv/parity

.venv/parity: .venv/installed
	$(BIN)/pip install --quiet --editable '.[dev,parity]'
	$(PYTHON) -m venv .venv/opencv4
	.venv/opencv4/bin/pip install --quiet 'opencv-python-headless<5'
	touch $@

test: parity
	DANCEFLAX_OPENCV4_PYTHON=$(CURDIR)/.venv/opencv4/bin/python $(BIN)/pytest --numprocesses=auto --dist=loadfile

# Mutated files for every reader, a minute each.
fuzz: install
	FUZZ_SECONDS=60 $(BIN)/pytest --capture=no tests/fuzz

# Trainings killed 200 times at random moments, with full, read-only and vanished disks (as root).
soak: install
	$(BIN)/python benchmarks/soak.py --kills=200

# What has a peer, beside it: docs/benchmarks.md. DANCEFLAX_CONTRIB_PYTHON is a Python that has
# opencv-contrib-python-headless.
bench: install
	$(BIN)/python benchmarks/run.py

# The same for networks in bfloat16 on a GPU, beside compiled PyTorch.
bench-gpu: parity
	$(BIN)/python benchmarks/run.py --only bench_gpu

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The documentation as a site, build/site/index.html. Pages keep their places in the tree, and with
# them the links between them.
docs: .venv/docs pages
	$(BIN)/mkdocs build --strict --quiet

pages:
	rm -rf build/pages
	mkdir -p build/pages
	cp --parents *.md configs/README.md data/README.md docs/*.* docs/*/* $$(git ls-files 'danceflax/*.py') build/pages

.venv/docs: .venv/installed
	$(BIN)/pip install --quiet --editable '.[dev,docs]'
	touch $@
