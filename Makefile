# Everything that a person does with this project. `make help` lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash

BIN := .local/bin/flashsale
LINT := go tool -modfile=tools/go.mod golangci-lint
# Linux packages that only the tests need: the race detector wants a C compiler.
CC_MISSING = command -v "$$(go env CC)" >/dev/null || { echo "installing a C compiler for the race detector"; \
	sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; $$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends gcc libc6-dev; }

.PHONY: run
run: build ## Serve a sale on http://127.0.0.1:8080 (ADDR): installs what is missing, starts private servers, sweeps every second
	@exec $(BIN) run

.PHONY: test
test: build ## Run every test with the race detector, on private servers (or those of MYSQL_DSN and CACHE_ADDR)
	@$(CC_MISSING)
	@exec $(BIN) with-servers -- go test -race -timeout 20m ./...

.PHONY: lint
lint: ## Check format, vet and the linters of .golangci.yml
	@test -z "$$(gofmt -l .)" || { gofmt -d .; exit 1; }
	go vet ./...
	$(LINT) run ./...

.PHONY: build
build: ## Build the flashsale command into .local/bin
	@mkdir -p .local/bin && go build -o $(BIN) ./cmd/flashsale

.PHONY: audit
audit: build ## Recompute every counter from the rows
	@exec $(BIN) audit

.PHONY: generate
generate: build ## Write docs/openapi.yaml and the generated part of docs/states.md anew
	@mkdir -p docs && $(BIN) openapi >docs/openapi.yaml
	go test ./pkg/checkout -run TestStatesDocument -update

.PHONY: clean
clean: ## Remove .local: binaries, private servers and their data
	rm -rf .local

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
