# `make` lists the targets. Each sets up what it needs first: scripts/setup.sh.
# ARGS goes to the tool: make test ARGS="-k grid", make lock ARGS=--upgrade.
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-models dev test test-all endurance bench lint format audit lock clean

BIN := .venv/bin
export DAGSTER_DISABLE_TELEMETRY := yes
export DAGSTER_DG_UPDATE_CHECK_ENABLED := 0
export MLFLOW_DISABLE_TELEMETRY := true

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

setup: ## install system packages, Python packages and gdal; done before every target below
	@scripts/setup.sh

demo: setup ## run the demonstration
	$(BIN)/heph demo $(ARGS)

demo-models: setup ## train every learner on synthetic data and print a league table
	$(BIN)/heph demo-models $(ARGS)

dev: setup ## serve the Dagster UI on 127.0.0.1:3000, with the daemon
	$(BIN)/heph dev $(ARGS)

test: setup ## run the tests that need no network, at most 5 minutes
	$(BIN)/pytest -m "not slow" -n auto --maxprocesses 8 --durations 5 $(ARGS)

test-all: setup ## run the tests that need a server, a database or a long time, at most 20 minutes
	@scripts/postgresql.sh
	@$(BIN)/pytest -m slow --durations 5 $(ARGS) || { \
		code=$$?; [ $$code -eq 5 ] || exit $$code; echo "0 passed, 0 failed"; } # 5: there are none

endurance: setup ## simulate 60 days of operation: late and replaced days, outages, a daemon that is killed
	$(BIN)/python -m heph_dagster_tests.endurance $(ARGS)

bench: setup ## measure speed and memory; ONLY=acquisition for a part
	$(BIN)/python -m benchmarks $(ONLY)

lint: setup ## check style, formatting and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: setup ## mend style and formatting
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

audit: setup ## compare the locked packages with published advisories; needs their servers
	$(BIN)/uv tool run pip-audit --strict --disable-pip --require-hashes -r requirements/base.lock -r requirements/torch.lock

lock: setup ## renew requirements/*.lock from pyproject.toml
	scripts/lock.sh $(ARGS)

clean: ## remove .venv and the caches of the tools
	rm -rf .venv *.egg-info build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
