# The commands of this project. `make test` is what CI runs after `make deps`.
CARGO ?= cargo

.PHONY: test fmt lint deps bench kube crds

# What the scenarios did is counted in a file and told last, so that nothing passes by not running.
test: fmt lint
	$(CARGO) test --locked --doc
	tally=$$(mktemp) && trap 'rm -f "$$tally"' EXIT && export METAL3_IPAM_TALLY="$$tally" && \
	$(CARGO) test --locked --lib --test house --test rules --test suite && \
	$(CARGO) test --locked --test tally -- --nocapture

fmt:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --locked --all-targets -- -D warnings

# Optional parts: the modules of the real control plane, where there is Go. `make test` builds it by itself.
deps:
	@if command -v go >/dev/null; then \
	  (cd tests/kube && go mod download) && (cd tests/capi && go mod download); \
	else echo "no Go on the path: the real kube-apiserver is skipped"; fi

bench:
	$(CARGO) bench --locked --bench allocator --bench pool
	$(CARGO) bench --locked --bench scale

# A real kube-apiserver to try things on and to measure against, until Ctrl-C.
kube:
	$(CARGO) test --locked --test suite -- --ignored --exact --nocapture plane::a_real_control_plane_to_try_things_on

# The definitions in crds/ from the Rust types.
crds:
	WRITE_CRDS=1 $(CARGO) test --locked --lib cli::crds
