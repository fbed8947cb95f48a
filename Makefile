# `make help` lists what can be made. Everything that a command here needs it sets up first; see scripts/setup.sh.
# Nothing newer than GNU make 3.81 is used, which is what macOS has.

.DEFAULT_GOAL := help
.PHONY: help setup build demo test torture check fmt clean testtailnet

help: ## Say what can be made
	@awk -F ': .*## ' '/^[a-z]+: .*## /{ printf "make %-11s %s\n", $$1, $$2 }' Makefile

setup: ## Install what a package manager can, and name the rest
	@scripts/setup.sh

build: setup ## Build the proxy: target/release/remote-ollama-proxy
	cargo build --locked --release

demo: setup ## Show the proxy at work in a tailnet of its own, without an account
	@scripts/demo.sh

test: setup ## Run all tests
	@scripts/test.sh

torture: setup ## Attack, overload and break everything, and print the figures in one table
	@scripts/torture.sh

check: ## Run all checks except the tests: format, lints, licences, documents
	@scripts/setup.sh check
	@scripts/check.sh

fmt: ## Put Rust and Go code in the usual form
	cargo fmt
	gofmt -w vendor/libtailscale tests/tailnet tests/toxiproxy

clean: ## Remove what was built here; what all clones share stays in the cache
	cargo clean

# With the flags of build.rs and position-independent as a C archive is, so that Go has compiled most of it already.
testtailnet: ## Build the test tailnet: target/testtailnet
	cd tests/tailnet && go build -buildmode=pie -trimpath \
		-tags "$$(paste -s -d , ../../vendor/libtailscale/build-tags.txt)" -o ../../target/testtailnet .
