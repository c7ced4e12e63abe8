# Every target sets up what it needs and is quick the second time.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run test bench soak packages format docs lock clean

help:  ## say what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

run:  ## set up everything and serve the demo project at http://127.0.0.1:9000
	@scripts/run

test:  ## set up everything, then check formatting, lint, types and run all tests
	@scripts/setup test
	@scripts/check

bench:  ## measure the gateway against nginx
	@scripts/setup test
	@.venv/bin/python -m bench

soak:  ## half an hour of everything, to see that nothing grows
	@scripts/setup test
	@.venv/bin/python -m bench.soak

packages:  ## carry out the Dockerfile and the Debian layout in a clean root (as root)
	@scripts/setup test
	@scripts/packages

format:  ## format the code and fix what the linter can
	@scripts/setup test
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

docs:  ## write the generated pages of docs/ anew
	@scripts/setup run
	@.venv/bin/python -m scripts.docs

lock:  ## pin the requirements anew, with hashes
	@scripts/lock --upgrade

clean:  ## remove what the targets above made, but never var/
	rm -rf .venv .clean-root .mypy_cache .pytest_cache .ruff_cache .hypothesis tests/wire/node/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
