# make demo: see it work.  make test: install what the tests need and run them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check wheel clean

demo: $(VENV)/demo
	$(BIN)/rr demo

test: $(VENV)/dev
	$(BIN)/pytest -q

check: $(VENV)/dev wheel
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/typos

# The wheel in an environment of its own: only the base install, no stray top-level packages.
wheel: $(VENV)/dev
	$(BIN)/python tests/check_wheel.py

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check --upgrade pip

$(VENV)/demo: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[eval]'
	touch $@

$(VENV)/dev: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/demo

clean:
	rm -rf $(VENV) .demo build dist *.egg-info
