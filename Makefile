# Everything that a verb needs is fetched or built into ${XDG_CACHE_HOME:-~/.cache}/berthmaster on its first use.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# Any Python from 3.11 on; say which one with: make PYTHON=/path/to/python …
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
NO_PYTHON = $(error no Python 3.11 or newer on PATH; name one with PYTHON=)
NO_ENVIRONMENT = $(error the environment could not be made: see above)

# The programs of the project's own environment. Recursive on purpose: only recipes that use it make it.
BIN = $(or $(shell $(or $(PYTHON),$(NO_PYTHON)) tests/harness/environment.py),$(NO_ENVIRONMENT))
HARNESS = $(BIN)/python tests/harness

# For example: make cluster-test PYTEST_FLAGS='-k drain -x'
PYTEST_FLAGS ?=

LOCK = uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet

.PHONY: help demo up down test unit cluster-test bench crds lint verify lock

help: ## list these verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  Cache: $${XDG_CACHE_HOME:-~/.cache}/berthmaster. The first run fetches and builds for some minutes, later ones start in seconds."

demo: ## the whole line on real parts, from chart to inference (DEMO_KEEP=0: stop it after; DEMO=autoscaling: under load)
	@$(HARNESS)/demo.py

up: ## bring up the local cluster with the operator in it, and print the KUBECONFIG to export
	@$(HARNESS)/up.py

down: ## stop the local cluster
	@$(HARNESS)/down.py

test: lint ## everything: lint, unit, property, golden and cluster tests
	@$(HARNESS)/provision.py
	@$(BIN)/pytest $(PYTEST_FLAGS) tests

unit: ## unit, property and golden tests: under a minute
	@$(BIN)/pytest $(PYTEST_FLAGS) -m 'not cluster' --ignore=tests/cluster tests

cluster-test: ## tests on a real control plane, with real Triton and real Helm
	@$(HARNESS)/provision.py
	@$(BIN)/pytest $(PYTEST_FLAGS) tests/cluster

# Scripts only, without those that fit constants anew. Those on measurements, prices and traces want them in ../shared/data.
BENCHMARKS ?= $(shell grep -l __main__ benchmarks/*.py benchmarks/*/*.py | grep -v /fit_)

bench: ## the benchmarks, a table each; fails at the end where a goal was missed (BENCHMARKS: which)
	@bin=$(BIN); missed=; for script in $(BENCHMARKS); do \
		echo "== $$script"; $$bin/python $$script || missed="$$missed $$script"; \
	done; test -z "$$missed" || { echo "a goal was missed in:$$missed"; exit 1; }

crds: ## generate crds/, the chart's copies, its schema of the settings and its recording rules
	@bin=$(BIN); $$bin/python -m berth_operator.api.crd --to crds --to helm/berthmaster/files/crds && $$bin/python tests/harness/chart_values.py \
	&& $$bin/python -m berth_operator.signals.recording_rules --to helm/berthmaster/files/rules/recording.yaml

lint: ## formatting, lint, types, import contracts, the chart
	@bin=$(BIN); set -e; \
	$$bin/ruff format --check --quiet .; \
	$$bin/ruff check --quiet .; \
	$$bin/mypy; \
	$$bin/lint-imports --no-logo; \
	$$bin/python tests/harness/helm.py

verify: lint ## lint, a second type checker, and whether generated files are current
	@bin=$(BIN); set -e; \
	$$bin/pyright --project . --pythonpath $$bin/python; \
	fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$$bin/python -m berth_operator.api.crd --to "$$fresh"; \
	diff -r "$$fresh" crds; diff -r "$$fresh" helm/berthmaster/files/crds; \
	$$bin/python tests/harness/chart_values.py --check; \
	echo "generated files are up to date"

lock: ## pin every dependency anew, with hashes (needs uv on PATH)
	$(LOCK) pyproject.toml -o requirements/runtime.txt
	$(LOCK) requirements/build.in -o requirements/build.txt
	$(LOCK) pyproject.toml --extra plots --group dev requirements/build.in -o requirements/dev.txt
	for tools in go triton artefacts; do $(LOCK) --no-deps requirements/$$tools.in -o requirements/$$tools.txt || exit 1; done
