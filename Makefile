# Everything starts from a bare clone: each target makes .venv and installs what it needs first.
#   PYTHON  the interpreter that .venv is made with (3.11 or newer)
#   ARGS    handed on to `refine run` (make run, make run-mace), pytest (make test, make parity) or make gauntlet
#   TORCH_PYTHON  an interpreter with torch, mace-torch and cuequivariance-torch, instead of .venv-torch made by make parity

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
INSTALLED := .venv/.installed
TORCH_BIN := .venv-torch/bin
TORCH_PYTHON ?= $(TORCH_BIN)/python
TORCH_INSTALLED := $(if $(filter $(TORCH_BIN)/python,$(TORCH_PYTHON)),.venv-torch/.installed)
# a run that stopped at the limit of its iterations has written all its results
STOPPED_AT_LIMIT := test $$? -eq 4

.DEFAULT_GOAL := help
.PHONY: help venv run run-mace quick test slow calibration parity lint bench gauntlet docs pictures reference constraints

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

venv: $(INSTALLED)  ## Make .venv with everything that running, testing and benchmarks need

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(sys.version_info < (3, 11) and \
	  f"refine needs Python 3.11 or newer, and $(PYTHON) is {v}; name another one: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

run: $(INSTALLED)  ## Refine liquid argon against its measured S(Q) and write runs/argon/report.html
	$(BIN)/refine run experiments/argon/study.toml --out runs/argon --overwrite $(ARGS) || $(STOPPED_AT_LIMIT)

run-mace: $(INSTALLED)  ## Refine a MACE model of silica against neutrons and write runs/silica_mace/report.html
	$(BIN)/refine run experiments/silica_mace/study.toml --out runs/silica_mace --overwrite $(ARGS) || $(STOPPED_AT_LIMIT)

quick: $(INSTALLED)  ## Run what a contributor runs before every commit: a minute and a half at most
	$(BIN)/python -m pytest -n auto --dist loadfile --quick -m "not slow and not calibration" $(ARGS)

test: $(INSTALLED)  ## Run the tests, one file at a time on every core
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow and not calibration" $(ARGS)

slow: $(INSTALLED)  ## Run the tests that take ten seconds or more each
	$(BIN)/python -m pytest -n auto --dist loadfile -m slow $(ARGS)

calibration: $(INSTALLED)  ## Check that error bars cover what they say: 40 refinements of small and 40 of large corrections
	$(BIN)/python -m pytest -s -m calibration tests/statistical $(ARGS)

# Without LLVM's optimisation, half of the time; make test compares the goldens with it.
parity: $(INSTALLED) $(TORCH_INSTALLED)  ## Compare MACE with mace-torch: every option, and the published architectures
	rm -rf .parity
	$(TORCH_PYTHON) -W ignore tests/torch/reference.py all .parity
	REFINE_PARITY=.parity XLA_FLAGS=--xla_backend_optimization_level=0 \
	  $(BIN)/python -m pytest -n auto -k "not plain_formulas" tests/potentials/mace/test_parity.py $(ARGS)

.venv-torch/.installed: constraints-torch.txt
	$(PYTHON) -m venv .venv-torch
	$(TORCH_BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints-torch.txt \
	  torch mace-torch cuequivariance-torch
	@touch $@

lint: $(INSTALLED)  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p refine -p kernels

bench: $(INSTALLED)  ## Time an MD step against LAMMPS and jax-md
	$(BIN)/python experiments/benchmarks/md.py

gauntlet: $(INSTALLED)  ## Refine ten systems from studies that state only what a user must: docs/gauntlet.md
	$(BIN)/python experiments/gauntlet/run.py --out runs/gauntlet --page docs/gauntlet.md $(ARGS)

docs: $(INSTALLED)  ## Build the documentation into out/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "out/site/index.html"

# $(1): what is needed, $(2): the script and its arguments
draw = @if test -e $(1); then $(BIN)/python $(2); else echo "$(1) is not there: left as it was"; fi

pictures: $(INSTALLED)  ## Draw the pictures of README and docs from the runs in runs/; each page says how to make them
	$(call draw,runs/argon_wrong/result.json,experiments/argon/picture.py runs/argon_wrong docs/argon.png)
	$(call draw,runs/silica/result.json,experiments/silica/picture.py runs/silica experiments/silica/silica.png)
	$(call draw,runs/silica_mace/result.json,experiments/silica_mace/picture.py experiments/silica_mace/silica_mace.png \
	  $(wildcard runs/silica_mace runs/silica_mace_4 runs/silica_mace_5))
	$(call draw,runs/a_si_tersoff.csv,experiments/a_si/picture.py runs/a_si_sw.csv runs/a_si_tersoff.csv \
	  experiments/a_si/a_si.png)
	$(call draw,runs/feo/compare.json,experiments/feo/picture.py runs/feo experiments/feo/feo.png)

reference: $(INSTALLED)  ## Write docs/reference/study.md, learn.md, explore.md and campaign.md from the models of these files
	$(BIN)/refine reference > docs/reference/study.md
	$(BIN)/refine reference learn > docs/reference/learn.md
	$(BIN)/refine reference explore > docs/reference/explore.md
	$(BIN)/refine reference campaign > docs/reference/campaign.md

constraints: $(INSTALLED)  ## Pin in constraints.txt what is installed in .venv now
	@$(BIN)/python -m pip freeze --disable-pip-version-check --exclude-editable > .venv/frozen
	@! grep -v '^[A-Za-z0-9._-]*==[^ ]*$$' .venv/frozen || { echo "not from a package index, see above"; exit 1; }
	@{ echo "# Versions that are tested together, for Python 3.11 and newer. Written by make constraints; to move on to newer"; \
	   echo "# ones: .venv/bin/pip install --upgrade --upgrade-strategy eager -e '.[dev]' && make test && make constraints"; \
	   cat .venv/frozen; } > constraints.txt
	@touch $(INSTALLED)
