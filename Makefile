# mask700: `make lab` shows masked calls, `make test` proves the rest. Debian 12, Python 3.11, nothing else assumed.
VENV := .venv/bin

.PHONY: help setup lab test test-compiled lint check bench dist image-check setup-check clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

setup: ## .venv with the locked dependencies and mask700; system packages when root
	@scripts/setup

lab: setup ## masked calls, from nothing: the engine, a PSTN played by SIPp, a table (LAB="axb_a_calls busy" for some)
	@$(VENV)/mask700 lab $(LAB)

test: ## all tests
	@scripts/setup test
	@$(VENV)/python -m pytest -n 2 --dist loadgroup

test-compiled: ## the pure rooms' tests against a copy that is compiled as the image's is
	@scripts/setup compile
	@$(VENV)/python -m bench.compiled --test

lint: setup ## format, lint, types (strict)
	$(VENV)/ruff format --check .
	$(VENV)/ruff check .
	$(VENV)/mypy

check: lint test ## lint and all tests

bench: ## the benchmark table of this machine: the engine beside its peers
	@scripts/setup bench
	@$(VENV)/python -m bench

dist: setup ## dist/: the wheel and the source distribution that it was built from
	@rm -rf dist && mkdir -p var
	@$(VENV)/python -m build --no-isolation --outdir dist . >var/dist.log 2>&1 || { cat var/dist.log >&2; exit 1; }
	@ls -s --block-size=K dist

image-check: ## the Dockerfile and compose.yaml carried out in bare Debian 12 folders, without Docker; as root
	@scripts/image-check image

setup-check: ## `make setup` and a call of the lab in a bare Debian 12 folder; as root
	@scripts/image-check setup

clean: ## removes everything that these commands have made
	rm -rf .venv var build dist *.egg-info .benchmarks .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
