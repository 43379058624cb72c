# make demo: see it work.  make test: install what the tests need and run them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(PYTHON) deploy/install.py

.PHONY: demo test test-newest test-servers check wheel lock clean

demo: $(VENV)/demo
	$(BIN)/rr demo

# Three workers for two cores: much of a test is waiting. Slow files come first (tests/conftest.py).
PYTEST_OPTIONS := -q -n 3 --dist loadfile --no-loadscope-reorder
test: $(VENV)/dev
	$(BIN)/pytest $(PYTEST_OPTIONS)

# The same tests with the newest releases that pyproject.toml allows, torch's alone excepted: others
# bring gigabytes for GPUs. A report, not a gate: what packages newly deprecate is shown, and only
# what our own modules are warned of fails. docs/benchmarks/newest.md keeps the last one.
NEWEST := .venv-newest
define NEWEST_WARNINGS
default
error:::retrieve_rerank
endef
test-newest: export NEWEST_WARNINGS := $(NEWEST_WARNINGS)
test-newest:
	rm -rf $(NEWEST)
	$(PYTHON) -m venv $(NEWEST)
	grep '^torch==' constraints.txt > $(NEWEST)/constraints.txt
	$(INSTALL) $(NEWEST) $(NEWEST)/constraints.txt -e '.[dev]'
	$(NEWEST)/bin/pip list --format=freeze > $(NEWEST)/installed.txt
	-diff constraints.txt $(NEWEST)/installed.txt | grep '^>'
	$(NEWEST)/bin/pytest $(PYTEST_OPTIONS) -o "filterwarnings=$$NEWEST_WARNINGS"

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

# What all of it is installed from, on Python 3.11 to 3.13: names and versions, found anew.
LOCK := $(BIN)/uv pip compile -q --config-file deploy/lock.toml --universal --python-version 3.11 --no-header --no-annotate \
	--upgrade
lock: $(VENV)/dev
	$(LOCK) --all-extras --group install -o constraints.txt pyproject.toml
	grep -v '^elastic' constraints.txt > $(VENV)/shared.txt
	$(LOCK) -c $(VENV)/shared.txt -o tests/stores/requirements.txt tests/stores/requirements.in

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo: $(BIN)/python pyproject.toml constraints.txt
	$(INSTALL) $(VENV) constraints.txt -e '.[eval]'
	touch $@

$(VENV)/dev: $(BIN)/python pyproject.toml constraints.txt
	$(INSTALL) $(VENV) constraints.txt -e '.[dev]'
	touch $@ $(VENV)/demo

clean:
	rm -rf $(VENV) $(NEWEST) .demo build dist *.egg-info
