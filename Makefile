# The commands of this project. `make test` is what CI runs after `make deps`.
CARGO ?= cargo

.PHONY: test fmt lint deps bench crds

test: fmt lint
	$(CARGO) test --locked

fmt:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --locked --all-targets -- -D warnings

# Optional parts; nothing in `make test` needs them.
deps:
	@true

bench:
	$(CARGO) bench --locked --bench allocator

# The definitions in crds/ from the Rust types.
crds:
	WRITE_CRDS=1 $(CARGO) test --locked --lib cli::crds
