# make demo: see it work.  make test: install what the tests need and run them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-servers check wheel clean

demo: $(VENV)/demo
	$(BIN)/rr demo

# Two workers: each starts servers of its own, and much of a test is waiting.
test: $(VENV)/dev
	$(BIN)/pytest -q -n 2 --dist loadfile

# What talks to servers, against those that RR_TEST_ELASTICSEARCH_URL and RR_TEST_QDRANT_URL name,
# else against those of deploy/compose.yaml, which needs Docker.
SERVER_TESTS := tests/connectors tests/stores
test-servers: $(VENV)/dev
ifneq ($(RR_TEST_ELASTICSEARCH_URL)$(RR_TEST_QDRANT_URL),)
	$(BIN)/pytest -q $(SERVER_TESTS)
else
	docker compose -f deploy/compose.yaml up --wait
	RR_TEST_ELASTICSEARCH_URL=http://localhost:9200 RR_TEST_QDRANT_URL=http://localhost:6333 \
		$(BIN)/pytest -q $(SERVER_TESTS); \
		status=$$?; docker compose -f deploy/compose.yaml down --volumes; exit $$status
endif

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
