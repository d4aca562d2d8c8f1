# `make run` and `make test` are all one needs; both set up what is missing first.
PYTHON ?= python3
BIN := .venv/bin
MODEL ?=
PROMPT ?= Hello! How are you today?

.PHONY: setup run test test-real check bench docs engine

setup:
	@$(PYTHON) tools/setup.py

# Starts the server, loads the model, answers the prompt; on a terminal the talk goes on.
run: setup
	@test -n "$(MODEL)" || { echo "Name a model: make run MODEL=path/to/model.gguf"; exit 1; }
	@$(BIN)/ayllu run --verbose "$(MODEL)" "$(PROMPT)" </dev/null
	@if [ -t 0 ] && [ -t 1 ]; then $(BIN)/ayllu run "$(MODEL)"; fi

test:
	@$(PYTHON) tools/setup.py --tests
	@$(BIN)/pytest

# Opt-in: real models from a folder, and the texts they are known to give.
test-real: setup
	@test -n "$(MODELS)" || { echo "Name a folder: make test-real MODELS=path"; exit 1; }
	@AYLLU_TEST_MODELS="$(MODELS)" $(BIN)/pytest -n 0 -m real tests/real

check: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/pytest -q tests/test_layout.py tests/test_docs.py

# Speed and memory beside raw llama-server; MODEL may be any GGUF, else a small one is made.
bench: setup
	@for script in bench/*.py; do echo "== $$script"; $(BIN)/python "$$script" $(MODEL) || exit 1; done

docs: setup
	@$(BIN)/python tools/docs.py

# Compile the engine again, after a change of CPU or compiler.
engine:
	@$(PYTHON) tools/setup.py --engine
