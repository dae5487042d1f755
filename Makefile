# Two commands: `make attack` runs the main job, `make test` passes the tests.
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: attack test unit lint smoke mutants check-proofs docs notebooks zoo clean

attack: $(VENV)/.installed-attack
	$(BIN)/bnnopt attack fashion-mnist-2x100 --images 1,4,6,7,8 --epsilon 0.006 \
	    --figure attack.png

# Both at once: types are checked while tests wait.
test: $(VENV)/.installed-test
	@$(MAKE) --no-print-directory --jobs=2 lint unit

unit: $(VENV)/.installed-test
	$(BIN)/python -m pytest --numprocesses auto

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# README's pip line, without constraints.txt, in a temporary environment, and a few commands there.
smoke:
	python3 .ci/smoke.py

# Does every small error in the code that proofs rest on make a test fail? A fixed sample of errors.
mutants: $(VENV)/.installed-test
	$(BIN)/python -m tests.mutants

# Prove the first 20 images of the reach settings anew, and check the proofs with Python alone; an
# hour, most of it for the wide ones.
check-proofs: $(VENV)/.installed-test
	$(BIN)/python benchmarks/proofs.py
	$(BIN)/python benchmarks/proofs.py --settings mnist-3x100:0.01,mnist-2x200:0.01 \
	    --out benchmarks/results/proofs-wide.json
	$(BIN)/python benchmarks/proofs.py --flips --settings mnist-robust-0.1:0.1 \
	    --images 0:10000:20 --out benchmarks/results/proofs-robust.json

# The pages, into site/; whatever mkdocs warns of is an error.
docs: $(VENV)/.installed-test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Run the notebooks and draw the landing page's picture again: for when what they show has changed.
notebooks: $(VENV)/.installed-test
	$(BIN)/python -m tools.notebook docs/notebooks/*.ipynb
	$(BIN)/bnnopt attack fashion-mnist-2x100 --images 4 --epsilon 0.006 \
	    --figure docs/figures/attack.png

# Retrain the shipped networks; an interrupted run goes on where it stopped.
zoo: $(VENV)/.installed-test
	$(BIN)/bnnopt train --zoo --workers 2 --out bnnopt/zoo/networks

$(BIN)/python:
	python3 -m venv $(VENV)

$(VENV)/.installed-attack: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[report]'
	touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) --editable '.[all,dev,docs]'
	touch $@ $(VENV)/.installed-attack

clean:
	rm -rf $(VENV) site attack.png
