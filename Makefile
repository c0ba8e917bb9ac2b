# Periscope: everything a user or a contributor runs. `make` or `make help` lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# Knobs of `make run`; an empty one keeps the default.
DATA ?=
EPOCHS ?=
SIZE ?=
CLASSES ?=
TRAIN_IMAGES ?=
VAL_IMAGES ?=
RUN_KNOBS = $(if $(DATA),--data "$(DATA)") $(if $(EPOCHS),--epochs $(EPOCHS)) $(if $(SIZE),--size $(SIZE)) \
            $(if $(CLASSES),--classes $(CLASSES)) $(if $(TRAIN_IMAGES),--train-images $(TRAIN_IMAGES)) \
            $(if $(VAL_IMAGES),--val-images $(VAL_IMAGES))

.PHONY: help setup run serve down status check format types imports test unit integration system test-agent \
        test-cluster test-gpu openapi pages dashboards charts bench learn chaos lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## Make .venv with everything that the other targets need

$(INSTALLED): pyproject.toml requirements.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the packages into $(VENV) (about 6 GB with PyTorch; a few minutes) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

run: $(INSTALLED) ## The whole loop on this machine, to a picture with detections (DATA= EPOCHS= SIZE= CLASSES=)
	@$(BIN)/python -m periscope_embedded run $(RUN_KNOBS)

serve: $(INSTALLED) ## Start the store and the three services, print addresses and token, and stay
	@$(BIN)/python -m periscope_embedded serve

down: $(INSTALLED) ## End what `make serve` started
	@$(BIN)/python -m periscope_embedded down

status: $(INSTALLED) ## Tell what runs and where
	@$(BIN)/python -m periscope_embedded status

check: $(INSTALLED) ## What every change needs, in under a minute: format, types, imports, unit tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/vermin --quiet --no-tips -t=3.6- --violations services/jetson_agent
	@OMP_NUM_THREADS=1 $(BIN)/pytest -q tests/architecture tests/charts tests/unit -m "not slow" -n 2

format: $(INSTALLED) ## Rewrite the code in the project's format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

test: $(INSTALLED) test-agent ## All tests that need no cluster (at most 20 minutes)
	@OMP_NUM_THREADS=1 $(BIN)/pytest tests/architecture tests/charts tests/unit -n 2
	@$(BIN)/pytest tests/integration tests/system

test-agent: $(INSTALLED) ## The Jetson agent's tests, also under a real Python 3.6 where there is one
	@$(BIN)/python tests/agent/run_all.py

test-cluster: $(INSTALLED) ## Tests on a real Kubernetes, built on first use
	@$(BIN)/pytest tests/cluster -m cluster

test-gpu: $(INSTALLED) ## What only a GPU can show, for people who have one (TEST_DEVICE=cpu tries the tests themselves)
	@$(BIN)/pytest tests/gpu -m gpu

openapi: $(INSTALLED) ## Write the services' OpenAPI documents to docs/openapi
	@$(BIN)/python -m tests.unit.contracts

pages: $(INSTALLED) ## Write docs/cli.md, options.md and problems.md from the code
	@$(BIN)/python -m tests.unit.pages

charts: $(INSTALLED) ## Render, lint and check the chart by a real Helm, its dashboards and alerts
	@$(BIN)/pytest -q tests/charts

dashboards: $(INSTALLED) ## Write the Grafana dashboards into the chart
	@$(BIN)/python -m charts.dashboards

bench: $(INSTALLED) ## Speed side by side with other ways of doing the same; for a quiet machine (ONLY=detectnet)
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m tests.bench $(ONLY)

learn: $(INSTALLED) ## Five seeds of the default recipe, six dead runs and what the doctor says of them (40 minutes)
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m tests.learn

chaos: $(INSTALLED) ## 15 minutes of load while processes are killed and paused; then an audit (MINUTES=)
	@$(BIN)/python -m tests.chaos $(if $(MINUTES),--minutes $(MINUTES))

lock: ## Compile requirements.lock anew from pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-emit-index-url \
	    pyproject.toml --extra embedded --extra upkeep --group dev -o requirements.lock

clean: ## Remove caches and the embedded default's data (.periscope), not .venv
	@rm -rf .periscope .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
