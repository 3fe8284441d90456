.PHONY: help demo test tests deps tools fmt lint supply-chain advisories instructions instructions-accept release release-pgo bench bench-full bench-micro
# The parts of `make test` stand in their order, also under `make -j`.
.NOTPARALLEL:
.DEFAULT_GOAL := help

help: ## What there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-19s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Runs the gateway and a sample backend here, and prints three calls to try
	cargo run --locked --no-default-features -- demo --config gateway.yaml

test: deps tools lint tests instructions supply-chain ## Installs what the tests need, then checks everything

# Real servers, clocks and signals on a machine that may be busy: what fails once and then passes is listed as FLAKY.
tests: ## Runs all tests
	@if cargo nextest --version >/dev/null 2>&1; then set -x; cargo nextest run --locked --no-fail-fast --retries 1; \
	else set -x; cargo test --locked --lib --bins --tests; fi
	cargo test --locked --doc

lint: ## Format and clippy, where every warning is an error
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

fmt: ## Formats the source
	cargo fmt

instructions: release ## Counts instructions per request of the release build; fails 2 % above benches/budget.toml
	scripts/install-packages tests/packages.txt
	python3 -m unittest discover --start-directory benches/compare --pattern 'test_*.py'
	python3 benches/compare/instructions.py

instructions-accept: release ## Counts, and writes benches/budget.toml
	scripts/install-packages tests/packages.txt
	python3 benches/compare/instructions.py --accept

supply-chain: ## Checks licences, banned crates and sources (deny.toml)
	cargo deny --locked check bans licenses sources

advisories: ## Checks known vulnerabilities; needs a connection to the advisory database
	cargo deny --locked check advisories

deps: ## Installs what is in tests/packages.txt and tests/requirements.txt, and four npm packages, where missing
	scripts/install-packages tests/packages.txt
	scripts/install-python tests/requirements.txt target/python
	scripts/install-node target/node undici@6.29.1 openid-client@5.7.1 oauth4webapi@3.8.6 axe-core@4.10.3

tools: ## Builds cargo-deny and cargo-nextest, where missing
	scripts/install-tools

release: ## Builds target/release/wicketgate, optimised
	cargo build --locked --release

release-pgo: ## Builds target/release-pgo/wicketgate, optimised by how it runs under load
	benches/install
	cargo build --locked --release --example load
	scripts/build-pgo

bench: release ## Compares with nginx and HAProxy, in less than two minutes
	benches/install peers
	cargo build --locked --release --example load
	python3 benches/compare

bench-full: release ## The same longer, with growth, Envoy and Caddy; writes docs/benchmarks.* and the README's table
	benches/install peers
	cargo build --locked --release --example load
	python3 benches/compare --full

bench-micro: ## Counts the instructions of single steps
	benches/install
	cargo build --locked --release --example micro
	scripts/count-instructions
