# The two commands of a newcomer are `make demo` and `make test`; each makes .venv when it is missing.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: demo test dev lint bench faults pictures clean

demo: .venv/installed
	$(BIN)/lance-assets demo

test: .venv/installed
	$(BIN)/python -m pytest

dev: .venv/installed
	$(BIN)/lance-assets dev

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: .venv/installed
	$(BIN)/lance-assets bench label

faults: .venv/installed
	$(BIN)/python -m lance_assets_tests.faults --kills 200

pictures: .venv/installed
	$(BIN)/python docs/pictures.py

.venv/installed: setup.cfg constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] == (3, 11) else "lance_assets needs Python 3.11: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	$(BIN)/pip check
	touch .venv/installed

clean:
	rm -rf .venv lance_home
