# Everything a person runs. Each target makes the environment it needs; nothing is installed outside.
PYTHON ?= python3
CORES ?= 2
# On Linux the CPU build of PyTorch has an index of its own: `make demo TORCH_INDEX=URL` where your pip
# is not set up for it. Without it the default build is installed, which works but is larger.
TORCH_INDEX ?=
# Which of envs/*.txt is installed: cpu, or cuda on a machine with an NVIDIA GPU.
HARDWARE ?= cpu
# What installs: uv, pinned in envs/uv.txt, or pip alone. Where uv cannot be had, pip goes on by itself.
INSTALLER ?= uv
# What `make audit` looks at, and with what.
LOCKS := $(patsubst envs/%.txt,%,$(filter-out envs/overrides.txt envs/without-dependencies.txt,$(wildcard envs/*.txt)))
AUDITOR := pip-audit==2.10.1
BIN := .venv/bin
ENVIRONMENT := .venv/installed-$(HARDWARE)
# lighteval's own environment: its pins and the rest's do not go together.
CAPABILITIES := .venv-capabilities
CAPABILITIES_LOCK := envs/capabilities$(if $(filter cuda,$(HARDWARE)),-cuda).txt
CAPABILITIES_ENVIRONMENT := $(CAPABILITIES)/installed-$(HARDWARE)
INSTALL_OPTIONS := --installer $(INSTALLER) $(if $(TORCH_INDEX),--torch-index $(TORCH_INDEX))
export PATH := $(abspath $(BIN)):$(PATH)
export HF_HUB_DISABLE_TELEMETRY := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: help environment capabilities-environment demo demo-capabilities mini-paper test test-slow soak benchmarks check format
.PHONY: reference meanings docs links lock audit clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/'

$(ENVIRONMENT): envs/$(HARDWARE).txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12) and "error: Python 3.11 or 3.12 is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python envs/install.py $(HARDWARE) $(INSTALL_OPTIONS) --editable .
	touch $@

environment: $(ENVIRONMENT) ## the Python environment in .venv

$(CAPABILITIES_ENVIRONMENT): $(CAPABILITIES_LOCK) pyproject.toml
	test -x $(CAPABILITIES)/bin/python || $(PYTHON) -m venv $(CAPABILITIES)
	$(CAPABILITIES)/bin/python envs/install.py $(basename $(notdir $(CAPABILITIES_LOCK))) $(INSTALL_OPTIONS) --editable .
	touch $@

capabilities-environment: $(CAPABILITIES_ENVIRONMENT) ## lighteval's environment in .venv-capabilities

demo: $(ENVIRONMENT) ## a real small model becomes two personas, with a report
	snakemake --cores $(CORES) --rerun-incomplete all
	@echo "The report: results/report/index.html"

demo-capabilities: $(ENVIRONMENT) $(CAPABILITIES_ENVIRONMENT) ## the demo, with tests of general ability
	snakemake --cores $(CORES) --rerun-incomplete --configfile config/demo.yaml config/demo-capabilities.yaml -- all
	@echo "The report: results/report/index.html"

mini-paper: $(ENVIRONMENT) $(CAPABILITIES_ENVIRONMENT) ## all eleven personas, with every evaluation, on one GPU
	CUDA_VISIBLE_DEVICES=0 snakemake --cores 4 --rerun-incomplete --configfile config/mini-paper.yaml -- all
	@echo "The report: results/mini-paper/report/index.html"

test: $(ENVIRONMENT) check ## the checks and all tests but the slow ones
	pytest

test-slow: $(ENVIRONMENT) $(CAPABILITIES_ENVIRONMENT) ## the slow tests
	pytest -m slow

soak: $(ENVIRONMENT) ## a hundred kills of a running workflow, three quarters of an hour
	pytest -m soak -s

benchmarks: $(ENVIRONMENT) ## the figures of docs/performance.md, from the demo's results; a quarter of an hour
	python benchmarks/run.py

check: $(ENVIRONMENT) ## linters, formats, types and the direction of imports
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile rules
	mypy
	lint-imports --no-logo

format: $(ENVIRONMENT) ## put the code into its format
	ruff check --fix .
	ruff format .
	snakefmt Snakefile rules

.venv-docs/installed: envs/docs.txt
	test -x .venv-docs/bin/python || $(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python envs/install.py docs --installer $(INSTALLER)
	touch $@

reference: $(ENVIRONMENT) ## the pages and pictures of the documentation that are made from the code
	python docs/tools/configuration.py
	python docs/tools/dag.py

# SINCE=REVISION: what to compare with. SAME="SCRIPT ...", CHANGED="SCRIPT ...": what a person vouches for.
meanings: $(ENVIRONMENT) ## after a change of code: whether it makes the same artifacts, in scripts/meanings.txt
	python tests/meanings.py $(SINCE:%=--since %) $(if $(SAME),--same $(SAME)) $(if $(CHANGED),--changed $(CHANGED))

docs: .venv-docs/installed ## the documentation as a site: site/index.html
	.venv-docs/bin/sphinx-build --quiet --fail-on-warning --keep-going docs site
	@echo "The documentation: site/index.html"

links: .venv-docs/installed ## the documentation's links to other sites (needs the network)
	.venv-docs/bin/sphinx-build --quiet -b linkcheck docs site/links

lock: ## resolve envs/*.in into envs/*.txt, with hashes (needs uv; .venv has it)
	envs/lock cpu
	envs/lock cuda
	envs/lock capabilities
	envs/lock capabilities-cuda
	envs/lock docs
	envs/lock uv

.venv-audit/installed:
	test -x .venv-audit/bin/python || $(PYTHON) -m venv .venv-audit
	.venv-audit/bin/pip install --quiet $(AUDITOR)
	touch $@

audit: .venv-audit/installed ## known vulnerabilities of the pinned packages (asks osv.dev)
	for name in $(LOCKS); do .venv-audit/bin/pip-audit --vulnerability-service osv --disable-pip --requirement envs/$$name.txt || exit 1; done

clean: ## remove the results
	rm -rf results
