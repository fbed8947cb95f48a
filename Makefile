# `make help` lists the targets. Each of them first installs what it needs; see scripts/setup.sh.
# Works with GNU make 3.81, the version that macOS has.

.DEFAULT_GOAL := help
# As in tests/ollama/lib.sh, for what runs without a script.
export GOTOOLCHAIN := $(or $(GOTOOLCHAIN),auto)
.PHONY: help setup build demo test test-clients thorough torture soak bench fuzz check release test-release pictures screenshots update fmt clean testtailnet

help: ## List the targets
	@awk -F ': .*## ' '/^[a-z-]+: .*## /{ printf "make %-12s %s\n", $$1, $$2 }' Makefile

setup: ## Install build tools with the package manager; list those that have to be installed by hand
	@scripts/setup.sh

build: setup ## Build the proxy: target/release/remote-ollama-proxy
	cargo build --locked --release

demo: ## Show the proxy at work in a private tailnet, without an account
	@scripts/setup.sh demo
	@scripts/demo.sh

test: ## Run every suite once: unit, boundary, config, acl, service, node, e2e, page (12 minutes)
	@scripts/setup.sh test
	@scripts/test.sh

test-clients: ## Run Codex, Claude Code, opencode and others against the proxy (2 GB of packages once, then 5 minutes)
	@scripts/setup.sh clients
	@scripts/test-clients.sh

thorough: ## Run what make test leaves out: race detector, build without the node, Headscale, torture, oldest Rust (40 minutes)
	@scripts/setup.sh test
	@scripts/thorough.sh

torture: ## Attack, overload and break an optimized proxy, and print the measured figures
	@scripts/setup.sh test
	@scripts/torture.sh

soak: ## Run ordinary work for MINUTES (60), and report whether anything grew or failed
	@scripts/setup.sh test
	@scripts/soak.sh

bench: ## Compare with other proxies; rounds=1 only=ours,raw for a quick look (Linux)
	@scripts/setup.sh bench
	@scripts/bench.sh $(foreach word,rounds only parts what against write,$(if $($(word)),$(word)=$($(word))))

seconds ?= 600

fuzz: ## Fuzz each target for seconds=600, and keep new finds in the shared cache
	@scripts/setup.sh
	@scripts/fuzz.sh long $(seconds)

check: ## Run every check except the tests: format, lints, licences, documents, a minute of fuzzing
	@scripts/setup.sh check
	@scripts/check.sh

release: ## Build the files of a release for this machine, and targets="TARGET ...", in target/dist
	@scripts/release.sh $(targets)

test-release: ## Test a release: both processors, another clone, fresh roots, a container, systemd (as root); quick=1: its contents
	@scripts/setup.sh $(if $(quick),release,test-release)
	@scripts/release.sh $(if $(quick),,x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu)
	@tests/release/all.sh $(if $(quick),quick)

pictures: ## Regenerate the terminal pictures in docs/pictures/ from real runs (Linux, tmux)
	@scripts/setup.sh demo
	@scripts/pictures.sh

screenshots: ## Regenerate the screenshots of the page in docs/pictures/ from its test
	@scripts/setup.sh test
	@scripts/screenshots.sh

update: ## Update crates, Go modules, Python and npm packages; print each change and what was left
	@scripts/update.sh

fmt: ## Format Rust and Go code
	cargo fmt
	cargo fmt --manifest-path fuzz/Cargo.toml
	cargo fmt --manifest-path benches/peers/Cargo.toml --all
	gofmt -w vendor/libtailscale tests/tailnet tests/toxiproxy fuzz/oracle benches

clean: ## Remove what was built here; the shared cache stays
	cargo clean
	rm -rf fuzz/target

# Position-independent and with the flags of build.rs, so that Go reuses what it compiled for the C archive.
testtailnet: ## Build the test tailnet: target/testtailnet
	cd tests/tailnet && go build -buildmode=pie -trimpath \
		-tags "$$(paste -s -d , ../../vendor/libtailscale/build-tags.txt)" -o ../../target/testtailnet .
