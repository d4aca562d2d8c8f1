# `make run` and `make test` are all one needs; both set up what is missing first.
PYTHON ?= python3
BIN := .venv/bin
MODEL ?=
SCRIPTS ?= $(filter-out bench/measure.py bench/wire.py,$(wildcard bench/*.py))
PROMPTS ?= "What is two plus two?" "¿De qué color es el cielo?"

.PHONY: setup extras run test test-real test-quant test-clients check bench docs engine mini mini-eval

setup:
	@$(PYTHON) tools/setup.py

# PyTorch beside the rest, in .venv-torch: what importing and training need.
extras:
	@$(PYTHON) tools/setup.py --extras

# Starts the server, has the model answer in two languages, and on a terminal the talk goes on.
run: setup
	@for prompt in $(PROMPTS); do \
		echo ">>> $$prompt"; \
		$(BIN)/ayllu run --verbose "$(or $(MODEL),mini)" "$$prompt" </dev/null || exit 1; \
	done
	@if [ -t 0 ] && [ -t 1 ]; then $(BIN)/ayllu run "$(or $(MODEL),mini)"; fi

test:
	@$(PYTHON) tools/setup.py --tests
	@$(BIN)/pytest

# Opt-in: real models from a folder, and the texts they are known to give.
test-real: setup
	@test -n "$(MODELS)" || { echo "Name a folder: make test-real MODELS=path"; exit 1; }
	@AYLLU_TEST_MODELS="$(MODELS)" $(BIN)/pytest -n 0 -m real tests/real/test_real_models.py

# Opt-in: what each type costs a model whose perplexities are known (docs/quantize.md).
test-quant: setup
	@test -n "$(MODEL)" -a -n "$(TEXT)" || \
		{ echo "Name both: make test-quant MODEL=stories-f32.gguf TEXT=stories.txt"; exit 1; }
	@AYLLU_TEST_MODEL="$(MODEL)" AYLLU_TEST_TEXT="$(TEXT)" \
		$(BIN)/pytest -n 0 -s -m real tests/real/test_ladder.py

# Opt-in: coding agents (1.5 GB of them) work with a model whose answers are known.
test-clients:
	@$(PYTHON) tools/setup.py --agents
	@$(BIN)/pytest -n 0 -m agents tests/clients/agents

check: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/pytest -q tests/test_layout.py tests/test_docs.py

# Speed and memory beside raw llama-server; MODEL may be any GGUF, else a small one is made.
bench: setup
	@for script in $(SCRIPTS); do \
		echo "== $$script"; PYTHONPATH=tests $(BIN)/python "$$script" $(MODEL) || exit 1; \
	done

# Train ayllu-mini and its draft anew: about an hour on two cores; goes on where it was stopped.
mini: setup
	@$(PYTHON) -m venv .venv-mini
	@.venv-mini/bin/python -m pip install --quiet --requirement tools/mini/requirements.txt
	@PYTHONPATH=tools .venv-mini/bin/python -m mini
	@PYTHONPATH=tools $(BIN)/python -m mini.package
	@$(MAKE) --no-print-directory mini-eval

# The scores of ayllu-mini and its quantized forms, through a running server.
mini-eval: setup
	@PYTHONPATH=tools:tests $(BIN)/python -m mini.evaluate

docs: setup
	@$(BIN)/python tools/docs.py

# Compile the engine again, after a change of CPU or compiler.
engine:
	@$(PYTHON) tools/setup.py --engine
