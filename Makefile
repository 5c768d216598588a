# mask700: `make lab` shows masked calls, `make test` proves the rest. Debian 12, Python 3.11, nothing else assumed.
VENV := .venv/bin

.PHONY: help setup lab test check lint bench clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 8

setup: ## .venv with the locked dependencies and mask700; system packages when root
	@scripts/setup

lab: setup ## masked calls, from nothing: the engine, a PSTN played by SIPp, a table (LAB="axb_a_calls busy" for some)
	@$(VENV)/mask700 lab $(LAB)

test: setup ## all tests
	@$(VENV)/python -m pytest -n 2 --dist loadgroup

lint: setup ## format, lint, types (strict)
	$(VENV)/ruff format --check .
	$(VENV)/ruff check .
	$(VENV)/mypy

check: lint test ## lint and all tests

bench: ## the benchmark table of this machine: the engine beside its peers
	@scripts/setup bench
	@$(VENV)/python -m bench

clean: ## removes everything that these commands have made
	rm -rf .venv var build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
