# Everything is installed into .venv beside this file, once, and again only when what it is made
# from has changed. `make demo PYTHON=python3.13` chooses another interpreter.

PYTHON ?= python3
ARGS ?=
HOURS ?= 24
SECONDS ?= 60

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
SOURCES := pyproject.toml constraints.txt
TSC := widget/node_modules/.bin/tsc
NPM := npm install --no-package-lock --no-audit --no-fund --loglevel=error
INSTALLED := $(patsubst %/package.json,%/node_modules/.installed, \
	tests/examples/package.json $(wildcard examples/*/package.json))

.PHONY: help demo test backend engines examples powercut baddisk clock crowds ceiling model check bench \
	soak fuzz setup clean
.DEFAULT_GOAL := help
.NOTPARALLEL:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo 'ARGS passes options on:  make demo ARGS="--port 9000"  ·  make test ARGS="-k tokens"'

demo: $(VENV)/.runtime ## serve the demo: a chat page, the widget and the proxy, nothing to configure
	@exec $(BIN)/thumbseal demo $(ARGS)

test: $(VENV)/.tests ## run the tests, in a real browser too
	@$(BIN)/python -m tests.browser.chromium
	@$(BIN)/python -m pytest --ignore=tests/engines --ignore=tests/examples \
		--ignore=tests/machine --ignore=tests/backend $(ARGS)

backend: $(VENV)/.backend ## run the tests with FastAPI, Flask, Django, OpenTelemetry and real SDKs
	@$(BIN)/python -m tests.browser.chromium
	@$(BIN)/python -m pytest tests/backend $(ARGS)

engines: $(VENV)/.tests ## run the widget's tests in Chromium, Firefox and WebKit, all installed
	@$(BIN)/python -m pytest tests/engines $(ARGS)

examples: $(VENV)/.tests $(INSTALLED) ## run the examples that take Node.js, nginx, Caddy and systemd
	@$(BIN)/python -m tests.browser.chromium
	@$(BIN)/python -m pytest tests/examples $(ARGS)

powercut: $(VENV)/.tests ## cut the power under the log, a hundred times; needs a C compiler
	@$(BIN)/python -m pytest tests/machine/test_power_cut.py $(ARGS)

baddisk: $(VENV)/.tests ## run the server on full, broken and read-only disks; needs root and a C compiler
	@$(BIN)/python -m pytest tests/machine/test_full_disk.py tests/machine/test_bad_disk.py $(ARGS)

clock: $(VENV)/.tests ## set the clock of a server at work; needs a C compiler
	@$(BIN)/python -m pytest tests/machine/test_clock.py $(ARGS)

crowds: $(VENV)/.tests ## hold 10,000 connections, 2,000 slow ones and huge bodies; needs Linux
	@$(BIN)/python -m pytest tests/machine/test_crowds.py tests/machine/test_body_size.py $(ARGS)

ceiling: $(VENV)/.tests ## run a server in 256 MiB with a million events that wait; needs root and Linux
	@$(BIN)/python -m pytest tests/machine/test_ceiling.py $(ARGS)

model: $(VENV)/.tests ## try the log against its model with 2,000 histories of 50 steps, for minutes
	@THUMBSEAL_MODEL_RUNS=2000 $(BIN)/python -m pytest tests/test_log_model.py $(ARGS)

fuzz: $(VENV)/.tests ## ask all that /openapi.json allows, and what it does not, for SECONDS
	@$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(ARGS)

check: $(VENV)/.checks $(TSC) ## run the linters, the type checkers and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(TSC) --project widget

bench: $(VENV)/.tests ## measure the ratios that the design aims at
	@$(BIN)/python -m tests.bench $(ARGS)
	@$(BIN)/python -m tests.bench.backend

soak: $(VENV)/.tests ## run a server at work for HOURS, a day unless set: what it takes must not grow
	@$(BIN)/python -m tests.soak --hours $(HOURS) $(ARGS)

setup: $(VENV)/.tests $(VENV)/.checks ## install all of it, for working on the code
	@echo "Ready: $(VENV)"

clean: ## remove what make, the tests and the checks have made
	rm -rf $(VENV) dist build widget/node_modules tests/examples/node_modules \
		examples/*/node_modules examples/*/dist .hypothesis .import_linter_cache \
		.mypy_cache .pytest_cache .ruff_cache
	find proxy widget tests examples .ci -name __pycache__ -type d -prune -exec rm -rf {} +

# The build backend goes into the environment itself: an isolated build would fetch it anew each
# time, and past the constraints.
$(VENV)/.runtime: $(SOURCES)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo 'Thumbseal needs Python 3.11 or newer, and "$(PYTHON)" is not.' \
			'Name another: make $(MAKECMDGOALS) PYTHON=python3.13' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo '"$(PYTHON)" comes without venv.' \
			'On Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	@echo 'Installing Thumbseal into $(VENV) ...'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) hatchling
	@$(PIP) --no-build-isolation --editable .
	@touch $@

$(VENV)/.tests: $(VENV)/.runtime
	@echo 'Installing what the tests need ...'
	@$(PIP) --no-build-isolation --editable '.[tests]'
	@touch $@

$(VENV)/.backend: $(VENV)/.tests
	@echo 'Installing what a backend is made of ...'
	@$(PIP) --no-build-isolation --editable '.[tests,backend]'
	@touch $@

$(VENV)/.checks: $(VENV)/.backend
	@echo 'Installing what the checks need ...'
	@$(PIP) --no-build-isolation --editable '.[tests,backend,checks]'
	@touch $@

$(TSC): widget/package.json
	@command -v npm >/dev/null || { \
		echo 'The JavaScript type check needs Node.js and npm.' >&2; exit 1; }
	@echo 'Installing the JavaScript type checker ...'
	@$(NPM) --prefix widget
	@touch $@

%/node_modules/.installed: %/package.json
	@command -v npm >/dev/null || { \
		echo 'The framework examples need Node.js 20.19 or newer and npm.' >&2; exit 1; }
	@echo 'Installing what $* needs ...'
	@$(NPM) --prefix $*
	@touch $@
