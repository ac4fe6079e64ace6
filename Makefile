# make run        build, and serve the example shop on http://127.0.0.1:8000
# make test       everything a change must pass; installs what it needs
# make conformance what takes longer: race detector, linters, fuzzing, other Pythons, other FastCGI programs
# make help       the other targets
#
# PYTHON=... (3.9 or later) runs the example and the tests with another Python than python3.

GO      ?= go
PYTHON  ?= python3
VENV    := .venv
PY      := $(VENV)/bin/python
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
BINARY  := bin/pyspeed-gw
# TAGS=sonic has sonic linked in, which json.engine can name then (docs/json.md).
TAGS    ?=

# Interpreters the shim is tested with in `make conformance`: names on PATH, or paths.
PYTHONS ?= $(shell .ci/pythons)

.PHONY: help run build test conformance race fuzz lint fmt bench bench-full gotest e2e shim compiled requirements pythons more-pythons peers asgion browser soak upheaval accelerate

help:
	@sed -n 's/^# //p' Makefile | head -5
	@echo "build race fuzz lint fmt bench bench-full gotest shim e2e requirements pythons more-pythons accelerate peers asgion browser"

build: $(BINARY)

.PHONY: $(BINARY)
$(BINARY):
	CGO_ENABLED=0 $(GO) build -tags "$(TAGS)" -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $@ ./cmd/pyspeed-gw

run: export VIRTUAL_ENV := $(abspath $(VENV))
run: build $(VENV)/.installed
	$(BINARY) -c examples/flask_shop/pyspeed.toml

# Made anew when the requirements changed, or when PYTHON was given and is another than before.
ifneq ($(origin PYTHON),file)
ifneq ($(shell cat $(VENV)/.made-with 2>/dev/null),$(shell echo $(PYTHON)))
.PHONY: $(VENV)/.installed
endif
endif

$(VENV)/.installed: tests/requirements.txt tests/extensions/requirements.txt
	.ci/venv $(VENV) $(PYTHON) tests/requirements.txt
	$(PY) -m pip install --quiet --disable-pip-version-check -r tests/extensions/requirements.txt
	@touch $@

# The linters check sources for Python 3.9, but do not run on it.
$(VENV)/.linters: .ci/requirements.txt $(VENV)/.installed
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "cannot lint: mypy needs Python 3.10 or later, this is $$($(PY) --version); name one: make lint PYTHON=..."; exit 1; }
	$(PY) -m pip install --quiet --disable-pip-version-check -r .ci/requirements.txt
	@touch $@

# Two tests beside each other: they wait more than they compute. Which may be: tests/harness/beside.py.
BESIDE = -n 2 --dist loadscope

test: build $(VENV)/.installed requirements gotest shim e2e

requirements: $(VENV)/.installed
	$(PY) docs/check_requirements.py

# With the flags of the binary: what both need is compiled once.
gotest: export CGO_ENABLED = 0
gotest: $(VENV)/.installed
	$(GO) vet -trimpath ./...
	PYSPEED_TEST_PYTHON=$(abspath $(PY)) $(GO) test -trimpath -vet=off -shuffle=on -timeout 8m ./...
	$(GO) test -trimpath -shuffle=on -tags sonic ./json

# As pip does it for a package that it installs; else each worker and program of a test would compile it.
compiled: $(VENV)/.installed
	$(PY) -m compileall -q pyshim/pyspeed

shim: compiled
	$(PY) -m pytest -q -n 2 --dist loadfile pyshim/tests
	$(PY) -m pytest -q benchmarks/tests

e2e: build compiled
	$(PY) -m pytest -q $(BESIDE) tests

conformance: race lint fuzz pythons accelerate peers asgion browser

race: $(VENV)/.installed
	PYSPEED_TEST_PYTHON=$(abspath $(PY)) CGO_ENABLED=1 $(GO) test -race -shuffle=on -timeout 12m ./...

# Each target for FUZZTIME; a failing input is written beside the target's corpus.
FUZZTIME ?= 2s
fuzz: $(VENV)/.installed
	@set -e; for f in $$(grep -rlE '^func Fuzz' --include='*_test.go' .); do \
	  for t in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*).*/\1/p' $$f); do \
	    GO="$(GO)" .ci/fuzz $$t $$(dirname $$f) $(FUZZTIME); \
	  done; done
	PYSPEED_FUZZ_SECONDS=$(FUZZTIME:s=) $(PY) -m pytest -q pyshim/tests/test_fuzz_records.py pyshim/tests/test_fuzz_fastcgi.py

lint: $(VENV)/.linters
	cd tools && $(GO) build -o ../bin/ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	bin/golangci-lint run ./...
	bin/golangci-lint fmt --diff
	GOOS=darwin GOARCH=arm64 $(GO) vet ./...
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy --strict pyshim/pyspeed tests/harness benchmarks/compare.py benchmarks/runner benchmarks/components

fmt: $(VENV)/.linters
	cd tools && $(GO) build -o ../bin/ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	bin/golangci-lint fmt
	$(VENV)/bin/ruff check --fix . ; $(VENV)/bin/ruff format .

# Web servers in front of our responder, and others' responders behind our gateway.
peers: build $(VENV)/.peers
	.ci/peers
	$(PY) -m pytest -q tests/peers

$(VENV)/.peers: tests/peers/requirements.txt $(VENV)/.installed
	$(PY) -m pip install --quiet --disable-pip-version-check -r tests/peers/requirements.txt
	@touch $@

# A hundred reloads, a hundred recyclings and twenty killed workers under load that checks every answer. By hand: make test has a tenth of it.
upheaval: build $(VENV)/.installed
	PYSPEED_UPHEAVAL=full $(PY) -m pytest -q tests/test_upheaval.py

# Minutes of mixed traffic with clients that vanish, reloads and killed workers: nothing may grow.
SOAK_MINUTES ?= 10
soak: build $(VENV)/.installed
	$(PY) tests/soak.py --minutes $(SOAK_MINUTES)

# Live refresh and the error page, in a real Chromium.
browser: build $(VENV)/.browser
	.ci/browser
	$(PY) -m pytest -q tests/browser

$(VENV)/.browser: tests/browser/requirements.txt $(VENV)/.installed
	$(PY) -m pip install --quiet --disable-pip-version-check -r tests/browser/requirements.txt
	@touch $@

# asgion judges the ASGI side: every ASGI shop under the whole of the shop's suite. Python 3.12 or later.
asgion: build
	.ci/asgion $(PYTHONS)

# The version of $(PY) has had its turn in make test.
pythons: $(VENV)/.installed
	@set -e; done=$$($(PY) --version); for p in $(PYTHONS); do is=$$($$p --version); \
	  [ "$$is" = "$$done" ] || { echo "shim on $$is"; .ci/shim-on $$p; }; done

# json.accelerate against the frameworks as they are, in several versions of them.
accelerate:
	.ci/accelerate $(PYTHONS)

# Python 3.14 and free-threaded ones, built from their sources: some minutes, once.
more-pythons:
	.ci/more-pythons

bench: build
	$(PYTHON) benchmarks/compare.py --setup
	$(PYTHON) benchmarks/compare.py --short

# All cells. It goes on where an earlier one was interrupted. BENCH takes further options, for
# example BENCH="--budget 35 --cells 'flask-*,django-*'".
bench-full: build
	$(PYTHON) benchmarks/compare.py --setup
	$(PYTHON) benchmarks/compare.py --go-on --thresholds $(BENCH)
