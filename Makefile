# Everything one does with this repository. `make demo` and `make test` set the machine up first.
SHELL := /bin/bash
CARGO ?= cargo
SECONDS_OF_DEMO ?= 15
SOAK_MINUTES ?= 30
# Tests of whole calls mostly wait. How many of them run beside each other is theirs to say (tests/it/support);
# whatever else there is uses the time.
export RUST_TEST_THREADS ?= 5
.DEFAULT_GOAL := help
.PHONY: help demo test soak release cross measure measure-latency measure-links measure-quality bench install-deps fmt clean

# Where libvpx is and how it is linked is found out after it has been installed.
with_env := . scripts/build-env &&

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

install-deps: ## install the system packages that building and testing need
	@scripts/setup build test

demo: ## build, then hold and record a call of two processes on this machine
	@scripts/setup build
	@$(MAKE) --no-print-directory release
	@examples/loopback-call.sh $(SECONDS_OF_DEMO)

test: ## formatting, lints, documentation, all tests
	@scripts/setup build test
	$(CARGO) fmt --check
	@$(with_env) set -x && $(CARGO) clippy --locked --all-targets $$FEATURES -- -D warnings
	@$(with_env) set -x && RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps $$FEATURES
	@$(with_env) set -x && $(CARGO) test --locked $$FEATURES

soak: ## the long versions of the tests: 200 kills, 3,000 calls in all weathers, big files; 20 GB of disk
	@scripts/setup build test
	@$(with_env) set -x && HYPERZOOM_SOAK=1 PROPTEST_CASES=20000 $(CARGO) test --locked $$FEATURES -- --nocapture

release: ## the program itself: target/release/hyperzoom, C libraries linked in
	@$(with_env) set -x && $(CARGO) build --release --locked $$FEATURES
	@scripts/check-release "$${CARGO_TARGET_DIR:-target}/release/hyperzoom"

# One profile for all of it, so that the C libraries are compiled once for each system.
cross: ## build for Windows and try that under Wine, type-check for macOS (Debian 12 on x86_64; slow)
	@scripts/setup build test
	scripts/cross/setup
	scripts/cross/windows check --release --all-targets --locked
	scripts/cross/windows build --release --locked
	scripts/cross/try-windows
	scripts/cross/macos check --release --all-targets --locked

measure: release ## CPU, memory and start time of a call on this machine
	@scripts/setup test
	@scripts/measure
	@echo
	@$(with_env) $(CARGO) bench --quiet --locked --bench overhead $$FEATURES

measure-latency: release ## mouth to ear on virtual sound cables, as tables (Linux, 90 min; bad lines need root)
	@scripts/setup test
	@scripts/measure-latency --part clean
	@scripts/measure-latency --part lines --periods 64
	-@scripts/measure-others
	@scripts/measure-latency --part cpu,soak --periods 480 --soak $(SOAK_MINUTES) --no-load-check --svg tests/lab/latency-soak.svg

measure-links: release ## two processes on bad lines: delay, concealed share, picture, time to heal (root)
	@scripts/setup test
	@scripts/measure-links

measure-quality: ## how the live audio sounds on lines that lose packets (PESQ)
	@scripts/measure-quality

bench: ## time per frame of the audio, video and sealing paths
	@$(with_env) set -x && $(CARGO) bench --locked $$FEATURES

fmt: ## format the sources
	$(CARGO) fmt

clean: ## remove everything built
	$(CARGO) clean
