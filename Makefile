# `make help` lists what can be made. Everything that a command here needs it sets up first; see scripts/setup.sh.
# Nothing newer than GNU make 3.81 is used, which is what macOS has.

# The built test tailnet and where the tests that start it find it.
export TESTTAILNET := $(CURDIR)/target/testtailnet

.DEFAULT_GOAL := help
.PHONY: help setup build demo test check fmt clean testtailnet

help: ## Say what can be made
	@awk -F ': .*## ' '/^[a-z]+: .*## /{ printf "make %-8s %s\n", $$1, $$2 }' Makefile

setup: ## Install what a package manager can, and name the rest
	@scripts/setup.sh

build: setup ## Build the proxy: target/release/remote-ollama-proxy
	cargo build --locked --release

demo: setup ## Show the proxy at work in a tailnet of its own, without an account
	@scripts/demo.sh

test: setup testtailnet ## Run all tests
	@scripts/test.sh

check: ## Run everything but the tests that a change has to pass
	@scripts/setup.sh check
	@scripts/check.sh

fmt: ## Put Rust and Go code in the usual form
	cargo fmt
	gofmt -w vendor/libtailscale tests/tailnet

clean: ## Remove what was built here; what all clones share stays in the cache
	cargo clean

testtailnet: # The test tailnet alone, for those who run `cargo test` by hand
	@mkdir -p target
	cd tests/tailnet && go build -o "$(TESTTAILNET)" .
