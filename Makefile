# `make help` lists what can be made. Everything that a command here needs it sets up first; see scripts/setup.sh.
# Nothing newer than GNU make 3.81 is used, which is what macOS has.

.DEFAULT_GOAL := help
.PHONY: help setup build demo test torture soak bench fuzz check deb pictures screenshots fmt clean testtailnet

help: ## Say what can be made
	@awk -F ': .*## ' '/^[a-z]+: .*## /{ printf "make %-11s %s\n", $$1, $$2 }' Makefile

setup: ## Install what a package manager can, and name the rest
	@scripts/setup.sh

build: setup ## Build the proxy: target/release/remote-ollama-proxy
	cargo build --locked --release

demo: ## Show the proxy at work in a tailnet of its own, without an account
	@scripts/setup.sh demo
	@scripts/demo.sh

test: ## Run all tests
	@scripts/setup.sh test
	@scripts/test.sh

torture: ## Attack, overload and break everything, and print the figures in one table
	@scripts/setup.sh test
	@scripts/torture.sh

soak: ## Work for MINUTES (60), and print whether anything grew or went wrong
	@scripts/setup.sh test
	@scripts/soak.sh

bench: ## Measure it beside other ways to do the same: rounds=1 only=ours,raw for a quick look (Linux)
	@scripts/setup.sh bench
	@scripts/bench.sh $(foreach word,rounds only parts what against write,$(if $($(word)),$(word)=$($(word))))

seconds ?= 600

fuzz: ## Fuzz for long and keep what is found: seconds=600 for each target
	@scripts/setup.sh
	@scripts/fuzz.sh long $(seconds)

check: ## Run all checks except the tests: format, lints, licences, documents, a minute of fuzzing
	@scripts/setup.sh check
	@scripts/check.sh

deb: ## Build the Debian package, and try it in a folder of its own
	@scripts/deb.sh test

pictures: ## Make the pictures of terminals in docs/pictures/ anew, from real runs (Linux, tmux)
	@scripts/setup.sh demo
	@scripts/pictures.sh

screenshots: ## Make the pictures of the page in docs/pictures/ anew, from its test
	@scripts/setup.sh test
	@scripts/screenshots.sh

fmt: ## Put Rust and Go code in the usual form
	cargo fmt
	cargo fmt --manifest-path fuzz/Cargo.toml
	cargo fmt --manifest-path benches/peers/Cargo.toml --all
	gofmt -w vendor/libtailscale tests/tailnet tests/toxiproxy fuzz/oracle benches

clean: ## Remove what was built here; what all clones share stays in the cache
	cargo clean
	rm -rf fuzz/target

# With the flags of build.rs and position-independent as a C archive is, so that Go has compiled most of it already.
testtailnet: ## Build the test tailnet: target/testtailnet
	cd tests/tailnet && go build -buildmode=pie -trimpath \
		-tags "$$(paste -s -d , ../../vendor/libtailscale/build-tags.txt)" -o ../../target/testtailnet .
