# Everything is set up in .venv, from pyproject.toml, with the versions of constraints.txt (make CONSTRAINTS= run: without).
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
CONSTRAINTS := constraints.txt
INSTALL := $(RUN)/python -m pip install --quiet --disable-pip-version-check $(if $(CONSTRAINTS),-c $(CONSTRAINTS)) -e

.PHONY: run test slow mutants figures lint docs peers clean

## Run the main job: the digits design, from data to a verified HLS project.
run: $(VENV)/.ready
	$(RUN)/codesign run models/digits
	@command -v codesign >/dev/null || printf '\nTo type codesign alone: . %s/bin/activate (in this shell), or\n  export PATH="%s/bin:$$PATH"\n' "$(VENV)" "$(CURDIR)/$(VENV)"

## Lint, type-check and test.
test: lint
	$(RUN)/python -m pytest -n 2 --dist worksteal

## The longer proofs.
slow: $(VENV)/.ready-dev
	$(RUN)/python -m pytest -m slow

## Change the code of a room line by line and say which changes its tests do not see: make mutants ROOM=cost,
## or of a sample of the changes: make mutants ROOM=core SAMPLE=100 SEED=0
ROOM := cost
SEED := 0
mutants: $(VENV)/.ready-dev
	$(RUN)/python scripts/mutate.py $(ROOM) $(if $(SAMPLE),--sample $(SAMPLE) --seed $(SEED))

## Run the commands behind the figures of README and docs again, and compare: make figures DATA="folders of files that are not here"
figures: $(VENV)/.ready-dev
	$(RUN)/python scripts/figures.py run $(if $(DATA),--data $(DATA))

lint: $(VENV)/.ready-dev
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/python scripts/figures.py

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"Python 3.11, 3.12 or 3.13 is needed (for 3.14 TensorFlow has only a release candidate), this is {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	@command -v g++ >/dev/null || { echo "g++ is needed (Debian and Ubuntu: apt install g++ make)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.ready: pyproject.toml $(CONSTRAINTS) $(VENV)/.python
	$(INSTALL) .
	touch $@

$(VENV)/.ready-docs: pyproject.toml $(CONSTRAINTS) $(VENV)/.ready
	$(INSTALL) '.[docs]'
	touch $@

$(VENV)/.ready-dev: pyproject.toml $(CONSTRAINTS) $(VENV)/.ready
	$(INSTALL) '.[dev]'
	touch $@

## The site of the docs, in build/site; it loads nothing from elsewhere.
docs: $(VENV)/.ready-docs
	NO_MKDOCS_2_WARNING=1 $(RUN)/python -m mkdocs build --strict

## An environment of its own for the peer of scripts/bench_frontier.py, HGQ2, whose wheel would overwrite qkeras.
peers: .peers/.ready

.peers/.ready: scripts/peers.txt
	$(PYTHON) -m venv .peers
	.peers/bin/python -m pip install --quiet --disable-pip-version-check -r scripts/peers.txt
	touch $@

clean:
	rm -rf $(VENV) .peers build *.egg-info
