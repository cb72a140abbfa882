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
test: build ## Run the tests with the race detector, on private servers (or those of MYSQL_DSN and CACHE_ADDR)
	@$(CC_MISSING)
	@exec $(BIN) with-servers -- go test -race -parallel 4 -timeout 20m ./...

.PHONY: test-short
test-short: ## Run the tests that need no server: packages whose tests do not import internal/devstack
	@go test $$(go list -test -f '{{.ImportPath}} {{join .Deps " "}}' ./... | \
		awk '$$1 ~ /\.test$$/ && !/flashsale\/internal\/devstack/ { sub(/\.test$$/, "", $$1); print $$1 }')

.PHONY: test-all
test-all: ## Run `make test` with longer outages, larger rounds and more random sequences
	@TEST_ALL=1 $(MAKE) --no-print-directory test

.PHONY: bench
bench: build ## Measure the checkout on this machine; the report is .local/bench/performance.md (BENCH: experiments and flags)
	@go build -C bench -o ../.local/bin/bench .
	@exec $(BIN) with-servers -- .local/bin/bench $(BENCH)

.PHONY: bench-test
bench-test: build ## Vet and test the measurements in bench/, a module of its own: every experiment once, as short as it can be
	@go vet -C bench ./...
	@exec $(BIN) with-servers -- go test -C bench -count=1 -timeout 10m ./...

.PHONY: lint
lint: ## Check format, vet, the linters of .golangci.yml and the workflows, in bench/ too
	@test -z "$$(gofmt -l .)" || { gofmt -d .; exit 1; }
	go vet ./...
	GOOS=darwin GOARCH=arm64 go vet ./...
	$(LINT) run ./...
	go vet -C bench ./...
	cd bench && go tool -modfile=../tools/go.mod golangci-lint run ./...
	go tool -modfile=tools/go.mod actionlint

.PHONY: build
build: ## Build the flashsale command into .local/bin
	@mkdir -p .local/bin
	@[ -x $(BIN) ] || echo "building the flashsale command; on a new machine Go downloads and compiles its modules, in up to 3 minutes" >&2
	@go build -o $(BIN) ./cmd/flashsale

.PHONY: simulate
simulate: build ## Play a flash sale of thousands of shoppers on a server of its own, check every invariant, write a report (SIMULATE: flags)
	@exec $(BIN) simulate $(SIMULATE)

.PHONY: audit
audit: build ## Recompute every counter from the rows
	@exec $(BIN) audit

.PHONY: validate
validate: ## Check the templates with SAM CLI, cfn-lint and the rules of deploy/rules.guard, and the routes that SAM generates
	tools/sam.sh sam validate --lint
	tools/sam.sh cfn-lint template.yaml deploy/monitoring.yaml deploy/edge.yaml deploy/instances.yaml
	tools/sam.sh python3 tools/routes.py template.yaml
	tools/sam.sh python3 tools/guard.py deploy/rules.guard deploy/rules.broken.yaml template.yaml deploy/monitoring.yaml deploy/edge.yaml deploy/instances.yaml

.PHONY: sam-build
sam-build: ## Build the functions for deployment into .aws-sam
	tools/sam.sh sam build

.PHONY: size
size: sam-build ## Show the size of each function; fails if one is not static, not for arm64, or over 4 MiB zipped
	@go run -C tools ./size ../.aws-sam/build

.PHONY: cold-start
cold-start: ## Show the time from exec to the first request for an event, median of 20
	@go test -count=1 -v -run TestColdStart ./test/deploy | grep 'first next'

.PHONY: sam-local
sam-local: build ## Serve the functions on http://127.0.0.1:3000 (ADDR) in containers, with `sam local`: needs Docker
	@exec $(BIN) with-servers -- tools/sam-local.sh

.PHONY: sam-local-test
sam-local-test: build ## Buy something through `sam local`; skipped, with the reason, where Docker cannot run
	@SAM_LOCAL_TEST=1 exec $(BIN) with-servers -- go test -count=1 -v -run TestSAMLocal ./test/deploy

.PHONY: generate
generate: build ## Regenerate docs/openapi.yaml, docs/bruno and the generated parts of docs/states.md and docs/configuration.md
	@mkdir -p docs && $(BIN) openapi >docs/openapi.yaml
	go test ./pkg/api -run TestBrunoCollection -update
	go test ./pkg/checkout -run TestStatesDocument -update
	go test ./pkg/ledger -run TestUsersDocument -update

# The first line of each built file has the digest of its sources. A test compares it.
PACKAGES := tools/pages/node_modules
.PHONY: pages shop
shop: pages
pages: ## Rebuild the scripts and styles of /shop and /live, and the shop's types of docs/openapi.yaml: needs Node.js and npm
	npm ci --prefix tools/pages --ignore-scripts --no-audit --no-fund
	cp $(PACKAGES)/openapi-fetch/LICENSE pkg/localserver/shop/static/openapi-fetch.LICENSE
	cp $(PACKAGES)/uplot/LICENSE $(PACKAGES)/uplot/dist/uPlot.iife.min.js $(PACKAGES)/uplot/dist/uPlot.min.css pkg/web/uplot/
	npm run --silent --prefix tools/pages types
	npm run --silent --prefix tools/pages check
	@for page in pkg/localserver/shop pkg/live; do \
		from="/* Generated by make pages from $$(LC_ALL=C; cat docs/openapi.yaml tools/pages/package-lock.json pkg/web/src/* $$page/src/* | sha256sum | cut -c1-64) */"; \
		npm run --silent --prefix tools/pages "$${page##*/}" -- --banner:js="$$from" --banner:css="$$from" || exit 1; \
	done

.PHONY: stop
stop: build ## Stop what runs in this directory: the server of `make run`, and private servers that a killed process left
	@exec $(BIN) stop

.PHONY: clean
clean: build ## Remove .local and .aws-sam: binaries, private servers and their data; refuses while they are in use
	@$(BIN) clean
	rm -rf .aws-sam

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
