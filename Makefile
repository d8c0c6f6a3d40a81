# make reproduce: set up an environment and run the default experiment.
# make test: set up the same environment and run the tests.
# make demo: a packaged network and the machines from the same noise, in minutes.
# make test-slurm: as root, run config/ci.yaml on a Slurm of this machine; compare with a local run.
# make report: the default experiment's report alone, one page that opens offline.
# make article: the default experiment as a paper, a PDF.
# make site: results, with report, explorer, article and documentation, as a folder of static pages.
# make verify, make crate: check a results folder by its manifest; pack it for publication.

PYTHON ?= python3.11
BIN := .venv/bin

# Setuptools takes $ for a variable, venv : for the end of a path, and Snakemake { and } for wildcards.
UNBEARABLE := $(strip $(foreach sign,$$ : { },$(findstring $(sign),$(CURDIR))))
ifneq (,$(UNBEARABLE))
$(error $(CURDIR): rename the folder: with $(UNBEARABLE) in its path the project cannot be set up)
endif

# What make verify and make crate are about, and what make crate and make site write.
RESULTS ?= results
CRATE ?= dist/results.zip
SITE ?= dist/site

# All that this process may use: a container may have fewer than its computer.
CORES ?= $$($(BIN)/python -m patchmosaic.system.limits)

DEMO := results/demo

.PHONY: reproduce demo report article test test-quick test-slurm lint verify crate site readme clean-environment

reproduce: .venv/ready
	$(BIN)/python -m snakemake --cores $(CORES); status=$$?; \
	$(BIN)/python tools/show_headline.py && exit $$status

demo: .venv/ready
	$(BIN)/python -m snakemake --cores $(CORES) $(DEMO)/figures/pairs-mnist-resnet-zeros-20.png --configfile config/demo.yaml
	@$(BIN)/python tools/show_demo.py $(DEMO)

test: .venv/triton .venv/axe lint
	$(BIN)/python -m pytest --numprocesses auto

# What needs no run of the workflow, and takes no more than some seconds.
test-quick: .venv/ready
	$(BIN)/python -m pytest --numprocesses auto -m 'not workflow and not slow and not slurm and not network'

test-slurm: .venv/slurm
	PATCHMOSAIC_SLURM="$${PATCHMOSAIC_SLURM:-always}" $(BIN)/python -m pytest -s tests/workflow/test_slurm.py

report: .venv/ready
	$(BIN)/python -m snakemake --cores $(CORES) results/report/index.html

article: .venv/ready
	$(BIN)/python -m snakemake --cores $(CORES) results/article/article.pdf

lint: .venv/ready
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m snakefmt --check Snakefile workflow
	$(BIN)/pyrefly check --summary=none

# Compare results with their manifest: make verify RESULTS=results/ci CONFIGFILE=elsewhere/mine.yaml
verify: .venv/ready
	$(BIN)/python tools/verify.py '$(RESULTS)' $(if $(CONFIGFILE),--configfile $(CONFIGFILE))

# Pack results that verify into an RO-Crate.
crate: .venv/ready
	$(BIN)/python tools/pack.py '$(RESULTS)' '$(CRATE)' $(if $(CONFIGFILE),--configfile $(CONFIGFILE))

# Write results that verify as a site.
site: .venv/ready
	$(BIN)/python tools/write_site.py '$(RESULTS)' '$(SITE)' $(if $(CONFIGFILE),--configfile $(CONFIGFILE))

# Put what finished runs found into README.md and docs/.
readme: .venv/ready
	$(BIN)/python tools/docs.py

# The environment is complete when the file .venv/ready is there. Packages are compiled at once, on all cores: where
# Python is told to write no bytecode, as in many containers, every job would compile them anew. Some packages
# have files for other versions of Python, which are passed over.
.venv/ready: pyproject.toml constraints.txt setup.py build_backend.py \
		patchmosaic/engines/build_native.py $(wildcard patchmosaic/engines/*.c)
	@echo 'Setting up .venv: packages, then the native engine (half a minute of processor time)'
	$(PYTHON) -m venv .venv
	@began=$$(date +%s); \
	$(BIN)/python -m pip install --no-compile --constraint constraints.txt --editable '.[workflow,dev]' && \
	{ $(BIN)/python -m compileall -qq -j 0 .venv/lib || true; } && \
	echo "Set up in $$(($$(date +%s) - began)) s"
	@$(BIN)/python tools/check_engine.py
	@touch $@

# Without a graphics card the fused engine is tested by Triton's interpreter; PyTorch for CUDA has a Triton.
.venv/triton: .venv/ready
	@$(BIN)/python -c 'import triton' 2>/dev/null || $(BIN)/python -m pip install --quiet --no-deps triton==3.9.0 \
		|| echo 'no Triton for this machine: tests/engines/test_fused.py will be skipped'
	@touch $@

# The accessibility checker of tests: a script in this package, of whose dependency, which drives browsers, none is used.
.venv/axe: .venv/ready
	$(BIN)/python -m pip install --quiet --no-deps --constraint constraints.txt axe-playwright-python
	@touch $@

.venv/slurm: .venv/ready
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[slurm]'
	@touch $@

clean-environment:
	rm -rf .venv
