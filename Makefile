# make run    set up and run the main job on the embedded model and data
# make test   set up and pass the tests
# make faults   kill, damage and attack it by the hundred, and write docs/guarantees.md
# make check  everything: format, lint, types, layers, tests
# make wheel-test  build a wheel, install it alone in an empty environment, and pass the quickstart there
# make benchmark  measure against what people would use instead, and write docs/performance.md
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt

.PHONY: run test test-long faults test-quantized wheel-test benchmark lint check clean

run: $(VENV)/.run
	$(BIN)/lightune run
	@echo "The command is $(BIN)/lightune; after '. $(BIN)/activate' it is just lightune."

# Each file in one process, but the longest: tests/conftest.py.
test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-long: $(VENV)/.dev
	$(BIN)/python -m pytest -m long

# Kills, damage and hostile files by the hundred; writes docs/guarantees.md.
faults: $(VENV)/.dev
	$(BIN)/python tools/guarantees.py

# Apart from the rest, because PEFT imports bitsandbytes wherever it is installed, which slows every process down.
test-quantized: $(VENV)/.dev
	$(PIP) -e '.[offline,dev,quantized]'
	$(BIN)/python -m pytest tests/models/test_quantize.py
	$(BIN)/python -m pip uninstall --yes --quiet bitsandbytes

# As a user who has the wheel and not the source: pip makes it, and a new environment gets nothing else.
wheel-test: $(VENV)/bin/python
	$(BIN)/python tools/wheel_test.py

# Another csv with the columns text and label: make benchmark TEXTS=reviews.csv
benchmark: $(VENV)/.run
	$(PIP) -e '.[offline,benchmark]'
	$(BIN)/python -m benchmarks $(if $(TEXTS),--texts $(TEXTS))

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("lightune needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing into $(VENV); the first time takes a few minutes."
	$(PIP) -e '.[offline]'
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) -e '.[offline,dev]'
	@touch $@
