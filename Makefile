# Clavero's commands. A machine needs python3 >= 3.11, cargo, a C compiler and make; the rest comes into .venv and target/.
# Everything here can be run again: what is up to date is not built a second time.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
CARGO ?= cargo
VENV := .venv
BIN := $(VENV)/bin

# Switches: make demo INPUT=folder; make test PYTEST_ARGS="-k alias" PYTEST_WORKERS=0 FUZZ_SECONDS=60; make soak SOAK_MINUTES=60; make lint DENY_ADVISORIES=1
INPUT ?=
PYTEST_ARGS ?=
PYTEST_WORKERS ?= auto
FUZZ_SECONDS ?= 5
SOAK_MINUTES ?= 5
DENY_ADVISORIES ?=
UPGRADE ?=

# Rust sources of the extension: a change here, and only here, rebuilds it
EXTENSION_SOURCES := $(shell find rust/*/src rust/*/Cargo.toml Cargo.toml Cargo.lock pyproject.toml -type f)
EXTENSION := $(VENV)/.stamp-extension
DEMO_PACKAGES := $(VENV)/.stamp-demo
DEV_PACKAGES := $(VENV)/.stamp-dev
# Servers to measure the endpoint beside, away from the packages that are tested
BENCH_PEERS := target/bench-peers

# clavero-python is the extension: it links against a Python only inside one, and its tests are the Python tests.
# test-door opens the doors that the proofs need; the extension is built without it.
# clavero-fuzz has no tests but its targets, and needs a C++ compiler.
RUST_TESTED := --workspace --exclude clavero-python --exclude clavero-fuzz --features clavero-hsm/test-door
RUST_FLAGS := --release --locked

# The checker of crates' licences and sources: `make tools` builds it once, for the version that is named here
CARGO_DENY_VERSION := 0.20.2
TOOLS ?= target/tools
CARGO_DENY = $(firstword $(foreach deny,$(TOOLS)/bin/cargo-deny $(shell command -v cargo-deny),\
	$(if $(filter $(CARGO_DENY_VERSION),$(shell $(deny) --version 2>/dev/null)),$(deny))))

.PHONY: help demo test test-rust test-fuzz test-python test-slow soak e2e bench lint lint-rust lint-python lint-deny format tools wheel requirements

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(DEMO_PACKAGES) $(EXTENSION) ## The main job on real input: a million data keys, a folder encrypted and read back (INPUT=folder for yours)
	$(BIN)/clavero demo $(if $(INPUT),--input "$(INPUT)")

test: test-rust test-fuzz test-python ## All tests but the slow ones: Rust, a smoke run of each fuzz target, Python

test-rust:
	$(CARGO) test $(RUST_FLAGS) $(RUST_TESTED)

test-fuzz:
	@if command -v "$${CXX:-c++}" >/dev/null || [ "$${CI:-}" = true ]; then \
		tools/fuzz-smoke.sh $(FUZZ_SECONDS); \
	else \
		echo "clavero: NOT FUZZED: libFuzzer needs a C++ compiler (Debian and Ubuntu: apt-get install g++)" >&2; \
	fi

test-python: $(DEV_PACKAGES) $(EXTENSION)
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --maxprocesses 4 -m "not slow and not e2e and not soak" $(PYTEST_ARGS)

test-slow: $(DEV_PACKAGES) $(EXTENSION) ## The tests that take minutes: random calls by the ten thousand
	$(BIN)/python -m pytest -m slow -rP $(PYTEST_ARGS)

soak: $(DEV_PACKAGES) $(EXTENSION) ## A server under mixed load for SOAK_MINUTES: memory, descriptors and threads do not grow
	$(BIN)/python -m pytest -m soak --soak-minutes $(SOAK_MINUTES) tests/soak $(PYTEST_ARGS)

e2e: $(DEV_PACKAGES) $(EXTENSION) ## Clients that others wrote, each with its own packages, against `clavero serve`
	$(BIN)/python -m pytest -m e2e -rP tests/e2e $(PYTEST_ARGS)

bench: $(DEV_PACKAGES) $(EXTENSION) $(BENCH_PEERS)/.stamp ## Speed: both sides of each ratio in one run
	$(CARGO) bench --locked -p clavero-hsm
	$(BIN)/python -m pytest -p benchmark benches $(PYTEST_ARGS)

lint: lint-python lint-rust lint-deny ## Formats, lints, types, stubs, layers, generated tables, crates' licences and sources

lint-python: $(DEV_PACKAGES) $(EXTENSION)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy python/clavero tools tests benches
	$(BIN)/python -m mypy.stubtest --ignore-unused-allowlist --allowlist tools/stubtest-allowlist.txt clavero._native
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tools/generate_model.py --check

lint-rust:
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(RUST_FLAGS) --workspace --all-targets -- -D warnings
	$(CARGO) clippy $(RUST_FLAGS) $(RUST_TESTED) --all-targets -- -D warnings

# Advisories need a database that cargo-deny fetches from a git host. Where that is reachable: make lint DENY_ADVISORIES=1
lint-deny:
	@if [ -n "$(CARGO_DENY)" ]; then \
		$(CARGO_DENY) --all-features $(if $(DENY_ADVISORIES),check,--offline check bans licenses sources); \
	elif [ "$${CI:-}" = true ]; then \
		echo "clavero: cargo-deny $(CARGO_DENY_VERSION) is missing, and CI does not go without: run make tools first" >&2; exit 1; \
	else \
		echo "clavero: NOT CHECKED: crates' licences and sources. cargo-deny $(CARGO_DENY_VERSION) is missing: make tools builds it once" >&2; \
	fi

format: $(DEV_PACKAGES) ## Put Python and Rust into their format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only .
	$(CARGO) fmt --all

tools: ## Build cargo-deny for make lint, once (some minutes)
	@if [ -z "$(CARGO_DENY)" ]; then \
		$(CARGO) install cargo-deny --version $(CARGO_DENY_VERSION) --locked --no-default-features --root "$(TOOLS)"; \
	fi

wheel: $(DEV_PACKAGES) ## Build the wheel and the source distribution into dist/
	$(BIN)/maturin build --release --sdist --out dist

# The demo's set first: the development set holds the same versions
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make requirements" $(if $(UPGRADE),--upgrade)
requirements: $(DEV_PACKAGES) ## Lock the Python packages after a change of requirements/*.in (UPGRADE=1 for newer versions)
	$(LOCK) requirements/demo.in -o requirements/demo.txt
	$(LOCK) requirements/dev.in -c requirements/demo.txt -o requirements/dev.txt
	$(LOCK) requirements/bench.in -c requirements/dev.txt -o requirements/bench.txt

$(BIN)/python:
	@tools/preflight.sh "$(PYTHON)"
	$(PYTHON) -m venv --clear $(VENV)

$(DEMO_PACKAGES): requirements/demo.txt | $(BIN)/python
	@tools/preflight.sh "$(BIN)/python"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# The development packages hold the demo's
$(DEV_PACKAGES): requirements/dev.txt | $(BIN)/python
	@tools/preflight.sh "$(BIN)/python"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $(DEMO_PACKAGES) $@

# What cannot be installed is not measured, and its line of the table says so
$(BENCH_PEERS)/.stamp: requirements/bench.txt | $(BIN)/python
	@rm -rf $(BENCH_PEERS)
	@$(BIN)/python -m venv $(BENCH_PEERS)
	@$(BENCH_PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $< && touch $@ || \
		echo "clavero: NOT INSTALLED: the servers of requirements/bench.txt. The endpoint is not measured beside them" >&2

$(EXTENSION): $(EXTENSION_SOURCES) | $(DEMO_PACKAGES)
	@tools/preflight.sh "$(BIN)/python"
	env -u CONDA_PREFIX VIRTUAL_ENV="$(CURDIR)/$(VENV)" PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/maturin develop --release --quiet
	@touch $@

# A stamp without what it stands for: build again
ifeq ($(wildcard python/clavero/_native*.so),)
.PHONY: $(EXTENSION)
endif
