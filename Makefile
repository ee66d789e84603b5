# Sparkplane. `make run` and `make test` do their own set-up on a machine with Python 3.11+ and Java 17+.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ENGINE := .venv-engine
ENGINE35 := .venv-engine35
CLIENTS := .venv-cli082/.done .venv-cli018/.done .venv-ministack/.done

.PHONY: run test unit check package bench admin clean
.DELETE_ON_ERROR:

run: $(VENV)/.sandbox $(ENGINE)/.done  ## start the sandbox on http://127.0.0.1:8080
	@exec $(BIN)/python -m sandbox

test: $(VENV)/.dev $(ENGINE)/.done $(ENGINE35)/.done $(CLIENTS)  ## every test
	$(BIN)/python -m pytest -q tests/unit tests/contract tests/aws tests/sandbox -n 2 --dist loadfile
	$(BIN)/python -m pytest -q tests/e2e -n 2 --dist loadfile

unit: $(VENV)/.dev  ## the quick part of the tests
	$(BIN)/python -m pytest -q tests/unit tests/contract -n 2

check: $(VENV)/.dev  ## formatting, lint, types, architecture
	$(BIN)/ruff format --check -q .
	$(BIN)/ruff check -q .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

package: $(VENV)/.dev  ## the deployable template and zip, in build/package
	$(BIN)/python -m infra.package

bench: $(VENV)/.dev $(ENGINE)/.done  ## the tables of numbers
	$(BIN)/python -m bench

admin: $(VENV)/.sandbox  ## make admin ARGS="token create --user alice": administer the running sandbox
	@set -a; . $${SPARKPLANE_HOME:-.sandbox}/aws.env; exec $(BIN)/python -m chalicelib.admin $(ARGS)

clean:
	rm -rf build dist .hypothesis .mypy_cache .ruff_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Sparkplane needs Python 3.11 or newer; this is " + sys.version.split()[0])'
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing. Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

$(VENV)/.sandbox: requirements.txt requirements-sandbox.txt | $(VENV)/bin/python
	@echo "Installing what the sandbox needs" >&2
	@$(BIN)/pip install -q --disable-pip-version-check -r requirements-sandbox.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.sandbox
	@echo "Installing what tests need" >&2
	@$(BIN)/pip install -q --disable-pip-version-check -r requirements-dev.txt
	@touch $@

$(ENGINE)/.done: requirements-engine.txt infra/image/requirements.txt
	@echo "Installing Spark (once; a few hundred MB)" >&2
	@$(PYTHON) -m venv $(ENGINE)
	@$(ENGINE)/bin/pip install -q --disable-pip-version-check -r requirements-engine.txt
	@touch $@

.venv-cli082/.done .venv-cli018/.done .venv-ministack/.done: .venv-%/.done: requirements-%.txt
	@echo "Installing $*, for tests" >&2
	@$(PYTHON) -m venv .venv-$*
	@.venv-$*/bin/pip install -q --disable-pip-version-check -r $<
	@touch $@

$(ENGINE35)/.done: requirements-engine35.txt infra/image/requirements.txt
	@echo "Installing Spark 3.5, for the driver's tests" >&2
	@$(PYTHON) -m venv $(ENGINE35)
	@$(ENGINE35)/bin/pip install -q --disable-pip-version-check -r requirements-engine35.txt
	@touch $@
