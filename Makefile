# Ridgeline's build. `make help` lists the targets; CONTRIBUTING.md explains.
#
# It needs Go, Python 3.11 or newer, git, gcc and g++ (DuckDB is linked in).
# Everything else is fetched once from the package registries, into TOOLS.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

GO     ?= go
PYTHON ?= python3

# Pinned, so that a new release of a tool turns nobody's build red.
GOLANGCI_VERSION := 2.15.0
GITEA_VERSION    := 1.23.8
UV_VERSION       := 0.13.9
RUFF_VERSION     := 0.17.6
PYTEST_VERSION   := 9.2.0
# The object stores of the tests; internal/cloudtest names the same versions.
AZURITE_VERSION   := 3.37.0
VERSITYGW_VERSION := 1.8.0

CACHE    := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)
TOOLS    := $(CACHE)/ridgeline-tools
AZURITE   := $(CACHE)/ridgeline-azurite-$(AZURITE_VERSION)
VERSITYGW := $(CACHE)/ridgeline-versitygw-$(VERSITYGW_VERSION)
GOLANGCI := $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION)/golangci-lint
# A uv that answers is used as it is; a shim without a uv behind it does not answer.
UV       := $(if $(shell uv --version 2>/dev/null),uv,$(TOOLS)/uv-$(UV_VERSION)/bin/uv)
UV_NEEDS := $(filter-out uv,$(UV))
# The interpreter of this machine, never one that uv would download.
UV_RUN    = UV_PYTHON_DOWNLOADS=never $(UV) run --no-project --quiet --python "$$(command -v $(PYTHON))"
RUFF      = $(UV_RUN) --with ruff==$(RUFF_VERSION) ruff
# What the worker adapts to when a user has it.
FRAMEWORKS := numpy==2.4.6 pandas==3.1.1 scikit-learn==1.9.1 joblib==1.6.0 skops==0.16.0 xgboost-cpu==3.2.0 lightgbm==4.7.0 \
	onnxruntime==1.32.0 skl2onnx==1.20.0 mlflow-skinny==3.17.2 inference-schema==1.8
PYTEST     = $(UV_RUN) --with pytest==$(PYTEST_VERSION) $(addprefix --with ,$(FRAMEWORKS)) python -m pytest

# The version comes from git; a tree without git history (an archive) still builds.
BUILDVCS := $(if $(shell git rev-parse HEAD 2>/dev/null),auto,false)

# All packages but the stories, which run the built programs.
PACKAGES = $$($(GO) list ./... | grep -v '/ridgeline/test\(/\|$$\)')

##@ Use

.PHONY: build
build: bin/ridgeline ## bin/ridgeline and bin/scorer

# Go knows best what has changed, so both programs are always asked for.
.PHONY: FORCE
FORCE:

# The scorer goes into images: static, and the same bytes from the same
# sources wherever it is built, because its layer's digest depends on them.
bin/scorer: FORCE | needs-build
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags "-s -w -buildid=" -o $@ ./cmd/scorer

# One runs beside every task: small, and built as the scorer is.
bin/supervisor: FORCE | needs-build
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags "-s -w -buildid=" -o $@ ./cmd/supervisor

# One runs beside every step, between its script and the tracking server.
bin/spool: FORCE | needs-build
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags "-s -w -buildid=" -o $@ ./cmd/spool

# Embedded by cmd/ridgeline. Replaced only when they differ, to keep Go's cache.
cmd/ridgeline/embedded/%: bin/%
	@cmp -s $< $@ || { cp $< $@.tmp && mv $@.tmp $@; }

bin/ridgeline: cmd/ridgeline/embedded/scorer cmd/ridgeline/embedded/supervisor cmd/ridgeline/embedded/spool assets FORCE
	$(GO) build -trimpath -buildvcs=$(BUILDVCS) -ldflags "-s -w" -o $@ ./cmd/ridgeline

# What npm bundles for the pages. It looks by itself whether anything changed.
.PHONY: assets
assets: | needs-build ## the scripts of the pages, into ui/assets/dist
	@ui/assets/build.sh

.PHONY: demo
demo: build ## the whole loop on the diabetes project, in a minute or so
	bin/ridgeline demo

##@ Check

.PHONY: check
check: needs-build format arch vet lint python-lint ## what a change has to pass, in about three minutes
	@$(MAKE) --no-print-directory build
	$(GO) test -short -timeout 5m $(PACKAGES)
	@$(MAKE) --no-print-directory python-test

.PHONY: test
test: test-needs ## everything, on a machine with two cores within the hour; ends with "N passed, N failed"
	@$(MAKE) --no-print-directory tools
	@MAKE="$(MAKE)" $(PYTHON) test/setup/everything.py

.PHONY: format
format: ## fails when gofmt would change a file
	@changed=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard --deduplicate '*.go' | xargs -r ls -d 2>/dev/null)); \
	if [ -n "$$changed" ]; then echo "not formatted; run gofmt -w on:"; echo "$$changed"; exit 1; fi

.PHONY: arch
arch: ## who may import whom, and which library has which door
	$(GO) test ./internal/archtest

.PHONY: vet
vet: ## go vet
	$(GO) vet ./...

.PHONY: lint
lint: $(GOLANGCI) ## golangci-lint, see .golangci.yml
	$(GOLANGCI) run ./...

.PHONY: python-lint
python-lint: $(UV_NEEDS) ## ruff on the Python sources
	$(RUFF) check python test/setup test/gate

.PHONY: python-test
python-test: $(UV_NEEDS) ## pytest on the Python worker
	cd python && $(PYTEST) $(PYTEST_FLAGS)

# FLAGS is for everything.py, which reads the results as JSON.
.PHONY: race
race: ## every Go package under the race detector
	$(GO) test -race -timeout 20m -p 2 $(FLAGS) $(PACKAGES)

# The gate's simulations are hundreds of thousands of fits: nothing for the race
# detector, which they leave out, as the gate starts no goroutine.
.PHONY: simulation
simulation: ## what the gate promises, simulated in full
	$(GO) test -count=1 -timeout 20m $(FLAGS) ./gate

.PHONY: stories
stories: build ## the stories: the built programs, from the command line
	$(GO) test -count=1 -timeout 30m -p 1 $(FLAGS) $$($(GO) list ./test/... | grep -v /test/kube)

# A real Kubernetes of two nodes on this machine, from sources that lie beside
# a clone; RIDGELINE_KUBE_UP names them when they are elsewhere. The first time
# builds it, in some 12 minutes; it needs root. What a run that was killed left
# on it would take the room that the next one needs, so each begins with none.
KUBE_UP ?= $(or $(RIDGELINE_KUBE_UP),$(firstword $(wildcard ../shared/kube/kube-up.sh)))
.PHONY: test-kube
test-kube: build ## host/kube and the loop on a real cluster, which is new and up only meanwhile
	@if [ -z "$(KUBE_UP)" ]; then \
	  if [ "$${CI:-}" = true ]; then echo "no cluster can be made: ../shared/kube/kube-up.sh is missing"; exit 1; fi; \
	  echo "skipped: no cluster can be made (RIDGELINE_KUBE_UP)" >&2; exit 0; \
	fi; \
	"$(dir $(KUBE_UP))kube-down.sh" --purge; \
	up=$$(ADDONS=1 NODES=2 "$(KUBE_UP)") || { echo "$$up"; exit 1; }; \
	trap '"$(dir $(KUBE_UP))kube-down.sh"' EXIT; \
	eval "$$(grep ^export <<<"$$up")"; \
	RIDGELINE_TEST_CLUSTER=10.77.0.1 RIDGELINE_KUBE_UP="$(abspath $(KUBE_UP))" $(GO) test -count=1 -timeout 30m $(FLAGS) ./test/kube

# The pages, in a Chromium: every sample in both themes, at a desk and on a phone.
.PHONY: browser
browser: build ## the pages in a browser: complaints, requests to elsewhere, overflow, accessibility
	$(GO) test -count=1 -timeout 10m $(FLAGS) ./test/browser

.PHONY: screenshots
screenshots: build ## pictures of sample pages, into docs/screenshots
	test/browser/screenshots.sh

# `make stories` has half a minute of it, with more kills.
LOAD ?= 10m
.PHONY: test-scoring-load
test-scoring-load: build ## LOAD of requests, a worker killed every 5 s, the scorer every 30 s: nothing lost, nothing twice, no wrong caller
	$(GO) test -count=1 -timeout 60m -v $(FLAGS) ./test/scoring -load $(LOAD) -worker 5s -scorer 30s

# `make stories` has four kills among 40,000 points, and 1 GB.
.PHONY: test-tracking-load
test-tracking-load: build ## 50 kills of the server among 1,000,000 points, and an artifact of 6 GB: nothing lost, nothing twice, flat memory
	RIDGELINE_KILLS=50 RIDGELINE_POINTS=1000000 $(GO) test -count=1 -timeout 60m -v -run TestKill $(FLAGS) ./test/mlflow
	RIDGELINE_ARTIFACT_GB=6 $(GO) test -count=1 -timeout 60m -v -run TestSize_artifact $(FLAGS) ./test

# Their seeds run with every test; this looks for more, for as long as that.
FUZZTIME ?= 60
.PHONY: fuzz
fuzz: $(UV_NEEDS) ## every parser of what comes from outside, fuzzed for FUZZTIME seconds each
	for file in $$(git grep -lE '^func Fuzz' -- '*_test.go'); do \
	  for name in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$file); do \
	    echo "$$file $$name"; $(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME)s ./$$(dirname $$file); \
	  done; \
	done
	cd python && RIDGELINE_FUZZ_SECONDS=$(FUZZTIME) $(PYTEST) tests/test_fuzz.py

# A real forge. It is no part of `make test`, since building it takes ten
# minutes and some gigabytes of Go's cache, once.
GITEA := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/ridgeline-gitea-$(GITEA_VERSION)
.PHONY: test-gitea
test-gitea: build $(GITEA)/gitea ## webhooks, fetching and statuses against a real Gitea
	USER="$${USER:-$$(id -un)}" RIDGELINE_GITEA=$(GITEA) $(GO) test -count=1 -timeout 10m $(FLAGS) -run '^TestGitea$$' ./test

$(GITEA)/gitea:
	@echo "building Gitea $(GITEA_VERSION): once, about ten minutes"
	@mkdir -p $(dir $(GITEA))
	tmp=$$(mktemp -d $(GITEA)-XXXXXX); trap 'rm -rf "$$tmp"' EXIT; cd "$$tmp" && \
	source=$$(GOFLAGS=-mod=mod GOWORK=off $(GO) mod download -json code.gitea.io/gitea@v$(GITEA_VERSION) | sed -n 's/^\t"Dir": "\(.*\)",$$/\1/p') && \
	cp -r "$$source" source && chmod -R u+w source && cd source && \
	CGO_ENABLED=0 GOFLAGS=-mod=mod GOWORK=off $(GO) build -o gitea . && \
	mkdir -p $(GITEA) && cp -r templates options public $(GITEA)/ && mv gitea $@

##@ Measure

bench-%: build ## bench-loop and so on: side by side, into bench/results
	$(GO) run ./bench/$*

##@ Set up

.PHONY: needs-build test-needs
needs-build:
	@test/setup/needs.sh build
test-needs: ## installs what the tests need (as root, by apt), or says what is missing
	@test/setup/needs.sh test


.PHONY: tools
tools: $(UV_NEEDS) $(GOLANGCI) cloud-tools conformance-tools ## builds or installs uv, golangci-lint, the tests' object stores and other makers' servers into the user's cache, once

.PHONY: cloud-tools
cloud-tools: $(AZURITE) $(VERSITYGW) ## the object stores of the tests, once

# Each complete or not there, as the linter below.
$(AZURITE):
	@echo "installing Azurite $(AZURITE_VERSION): once, half a minute"
	@mkdir -p $(@D)
	tmp=$$(mktemp -d $(@D)/.azurite-XXXXXX); trap 'rm -rf "$$tmp"' EXIT; \
	npm install --no-audit --no-fund --silent --prefix "$$tmp" azurite@$(AZURITE_VERSION) && mv -T "$$tmp" $@

$(VERSITYGW):
	@echo "building versitygw $(VERSITYGW_VERSION): once, a minute"
	@mkdir -p $(@D)
	tmp=$$(mktemp -d $(@D)/.versitygw-XXXXXX); trap 'rm -rf "$$tmp"' EXIT; \
	cd / && GOFLAGS=-mod=mod GOWORK=off GOBIN="$$tmp" $(GO) install github.com/versity/versitygw/cmd/versitygw@v$(VERSITYGW_VERSION) && mv -T "$$tmp" $@

# The servers whose contracts ours keeps, one environment for each list of
# pinned packages, named by the list's hash: test/conformance/harness finds it so.
.PHONY: conformance-tools
conformance-tools: $(UV_NEEDS) ## the servers that ours is compared with, once
	for list in test/conformance/environments/*.txt test/mlflow/environments/*.txt; do \
	  name=$$(basename $$list .txt); \
	  folder=$(CACHE)/ridgeline-conformance-$$name-$$(sha256sum $$list | cut -c1-12); \
	  if [ -e $$folder ]; then continue; fi; \
	  echo "installing $$name's server to compare with: once, a minute"; \
	  tmp=$$(mktemp -d $(CACHE)/.conformance-XXXXXX); \
	  UV_PYTHON_DOWNLOADS=never $(UV) venv --quiet --relocatable --python "$$(command -v $(PYTHON))" $$tmp && \
	  $(UV) pip install --quiet --no-deps --python $$tmp/bin/python -r $$list && mv -T $$tmp $$folder || { rm -rf $$tmp; exit 1; }; \
	done

.PHONY: clean
clean: ## removes what was built; the caches of Go, uv and the tools stay
	rm -rf bin cmd/ridgeline/embedded/scorer cmd/ridgeline/embedded/supervisor cmd/ridgeline/embedded/spool
	find python test -name __pycache__ -type d -prune -exec rm -rf {} +

# Built from source outside of our module, so that its dependencies stay out
# of our go.mod. Moved into place when complete: an interrupted build leaves
# no half tool behind.
$(GOLANGCI):
	@echo "building golangci-lint $(GOLANGCI_VERSION): once, a few minutes"
	@mkdir -p $(TOOLS)
	tmp=$$(mktemp -d $(TOOLS)/.golangci-XXXXXX); trap 'rm -rf "$$tmp"' EXIT; chmod 755 "$$tmp"; \
	cd / && GOFLAGS=-mod=mod GOWORK=off GOBIN="$$tmp" $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$(GOLANGCI_VERSION) && \
	mkdir -p $(@D) && mv "$$tmp/golangci-lint" $@

$(TOOLS)/uv-$(UV_VERSION)/bin/uv:
	@mkdir -p $(TOOLS)
	rm -rf $(TOOLS)/uv-$(UV_VERSION)
	$(PYTHON) -m venv $(TOOLS)/uv-$(UV_VERSION)
	$(TOOLS)/uv-$(UV_VERSION)/bin/python -m pip install --quiet uv==$(UV_VERSION)

.PHONY: help
help:
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z%-][a-z %-]*:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
