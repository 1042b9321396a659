# binnacle: `make run` has the stack running at http://localhost:9090, `make test` passes all tests.
.DEFAULT_GOAL := help
SHELL := /bin/bash

# The browser of the page's end-to-end tests; without one they are left out, and say so.
CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
BINNACLE := target/release/binnacle

.PHONY: help run test crash queries soak jitter lint check bench docs ui build e2e clean-data

help: ## Lists the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: build ## Builds everything and runs the stack at http://localhost:9090 (data in ./data)
	$(BINNACLE) up

build: ui ## Builds the program with its page
	BINNACLE_REVISION=$$(git rev-parse HEAD 2>/dev/null) BINNACLE_BRANCH=$$(git rev-parse --abbrev-ref HEAD 2>/dev/null) \
	cargo build --release --package binnacle --features jemalloc

ui: ui/dist/index.html ## Builds the page

ui/node_modules/.package-lock.json: ui/package-lock.json
	@# Not `npm ci`: it refuses a lock file that lacks the optional binaries of platforms other than this one.
	cd ui && npm install --no-save --no-audit --no-fund
	@touch $@

ui/dist/index.html: ui/node_modules/.package-lock.json $(shell find ui/src ui/public ui/index.html ui/vite.config.ts -type f 2>/dev/null)
	cd ui && npm run build

test: ui ## Runs all tests: Rust, the page's units, and the page in a browser against the real binary
	cargo test --workspace
	cd ui && npm test
	$(MAKE) e2e

# Every operation, many bytes and bits of every file, and 100 kills; other random choices with BINNACLE_CRASH_SEED=n.
crash: ## Kills, cuts off, fills and damages the storage at all points, not only at some as `test` does (an hour or two)
	BINNACLE_CRASH=all cargo test --release --package tsdb --test crash_disk -- --nocapture
	BINNACLE_CRASH=100 cargo test --package binnacle --test program kill:: -- --nocapture

queries: ## Compares 40,000 random queries with a Prometheus 3.14 (BINNACLE_PEER_PROMETHEUS, else on PATH)
	BINNACLE_QUERIES=20000 cargo test --package testkit --test promql_peer -- --nocapture

SOAK ?= 3m
soak: ## Scrapes 10,000 targets that come and go by a failing API server, for SOAK=3m, and checks that nothing grows
	BINNACLE_SOAK=$(SOAK) cargo test --release --package binnacle --features jemalloc --test program -- --nocapture ten_thousand::nothing_grows

# On a machine that does nothing else. With a Prometheus 3 (BINNACLE_PEER_PROMETHEUS, else on PATH) first by that.
JITTER ?= 3m
jitter: ## Shows how evenly 10,000 targets are scraped every 15 s, for JITTER=3m
	BINNACLE_JITTER=$(JITTER) cargo test --release --package binnacle --features jemalloc --test program -- --nocapture ten_thousand::very_many

e2e: ui ## Runs the page in a real browser against the real binary
ifeq ($(CHROMIUM),)
	@echo "e2e: no chromium on PATH: the browser tests were NOT run (set CHROMIUM to run them)"
else
	cargo build --package binnacle
	CHROMIUM=$(CHROMIUM) tests/e2e.sh target/debug/binnacle
endif

lint: ui ## Formatting, clippy, house rules, licences, the page's types and style
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo xtask tidy
	if command -v cargo-deny >/dev/null; then cargo deny check bans licenses sources; else echo "lint: cargo-deny is not installed: licences and sources were NOT checked"; fi
	cd ui && npm run lint

check: ## Type-checks the Rust code
	cargo check --workspace --all-targets

bench: build ## Measures binnacle beside every peer found on PATH (prometheus, victoria-metrics)
	cargo run --release --package bench -- run --binnacle $(BINNACLE) $(BENCH_ARGS)
	cargo run --release --package bench -- history --binnacle $(BINNACLE)
	cargo run --release --package bench -- answers --binnacle $(BINNACLE)
	cargo run --release --package bench -- rules --binnacle $(BINNACLE)

docs: ## Builds the API documentation of the crates
	cargo doc --workspace --no-deps --document-private-items

clean-data: ## Removes the data of `make run`
	rm -rf data
