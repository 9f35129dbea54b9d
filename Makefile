# The commands of this project. `make test` is what CI runs after `make deps`.
CARGO ?= cargo
# Where the tests look for prometheus and promtool when they are not on the path.
PROMETHEUS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/metal3-ipam/prometheus

# deny.toml, of the crates that Cargo.lock names.
DENY := $(CARGO) deny --locked check --hide-inclusion-graph bans licenses sources

# What `make release` writes, and `make image`; OUT=folder for another.
OUT ?= out
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# Another image than the one that the manifests name, for `make release`: IMG=registry.example.com/ipam:tag.
IMG ?=

# The random tests of `make test` and `make check` draw the same cases in every run: a random find must not fail an unrelated
# change. `make soak` looks for new ones.
test check: export PROPTEST_RNG_SEED ?= 20261130

.PHONY: test check soak fmt lint deps bench kube crds docs dashboards chart generate guards pictures release image image-root image-deps image-test

# What the scenarios did is counted in a file and told last, so that nothing passes by not running.
test: fmt lint
	$(CARGO) test --locked --workspace --doc
	tally=$$(mktemp) && trap 'rm -f "$$tally"' EXIT && export METAL3_IPAM_TALLY="$$tally" && \
	if $(CARGO) deny --version >/dev/null 2>&1; then \
	  $(DENY) && echo "1 checks of licences and sources" >>"$$tally"; \
	else echo "SKIPPED: no cargo-deny: licences and sources are not checked"; \
	  echo "1 checks of licences and sources SKIPPED: no cargo-deny" >>"$$tally"; fi && \
	$(CARGO) test --locked --workspace --lib --test docs --test guards --test house --test rules --test suite --test dashboards && \
	$(CARGO) test --locked --test tally -- --nocapture

# Format, lints and the tests without a server: about a minute on a warm tree, for people between two edits.
check: fmt lint
	$(CARGO) test --locked --workspace --lib --test docs --test house --test rules

# Random actions, faults and requests of new seeds, and many more of them. What fails prints how to repeat it.
soak:
	POOL_MODEL_CASES=20000 $(CARGO) test --locked --workspace --lib
	FAULT_RUNS=100 FAULT_SEED=$$(date +%s) $(CARGO) test --locked --test suite -- faults::random::
	DIFFERENTIAL_STRICT=1 $(CARGO) test --locked --test suite -- differential:: --nocapture

fmt:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

# Optional parts: the modules of the real control plane, where there is Go (`make test` builds it by itself), and a Prometheus,
# unpacked into the user's cache and not installed.
deps:
	@if command -v go >/dev/null; then \
	  (cd tests/kube && go mod download) && (cd tests/capi && go list -deps . >/dev/null) && \
	  (cd tests/helm && go list -deps . >/dev/null); \
	else echo "no Go on the path: the real kube-apiserver is skipped"; fi
	@if command -v prometheus >/dev/null && command -v promtool >/dev/null; then :; \
	elif [ -x "$(PROMETHEUS)/prometheus" ]; then :; \
	elif command -v apt-get >/dev/null && command -v dpkg >/dev/null; then \
	  dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && chmod 755 "$$dir" && mkdir -p "$(PROMETHEUS)" && cd "$$dir" && \
	  apt-get download prometheus && dpkg -x prometheus_*.deb . && cp usr/bin/prometheus usr/bin/promtool "$(PROMETHEUS)/" || \
	  echo "Prometheus cannot be downloaded: its proofs are skipped"; \
	else echo "no prometheus and promtool on the path: their proofs are skipped"; fi

# Takes guards of the controller away, one at a time in a copy of the tree, and expects the test that is named for each to
# fail. A build each; GUARD=words takes those whose name contains them.
guards:
	$(CARGO) test --locked --test guards -- --include-ignored --nocapture

# The pictures of docs/dashboards.md, of a fleet that runs for 25 minutes. It needs Node.js 20, Chromium, pngquant, openssl, and
# Prometheus (`make deps`). METAL3_IPAM=PATH names another program than that of this tree.
pictures:
	if [ -z "$$METAL3_IPAM" ]; then $(CARGO) build --locked --release --bin metal3-ipam; fi
	cd dashboards/preview && npm ci && npm run fleet

bench:
	$(CARGO) bench --locked --bench allocator --bench pool --bench scrape
	$(CARGO) bench --locked --bench scale

# A real kube-apiserver to try things on and to measure against, until Ctrl-C.
kube:
	$(CARGO) test --locked --test suite -- --ignored --exact --nocapture make_kube::a_real_control_plane_to_try_things_on

# What clusterctl installs from: the files of a release. The image is named by IMG.
release:
	deploy/clusterctl/release.sh "$(OUT)" "$(IMG)"

# The image is built by scripts alone, without xtask: the Dockerfile and the comparison of two builds start from an empty target
# folder, where xtask would compile the program once more. `cargo xtask image` runs the same scripts.
#
# The container image as an OCI layout in OUT/image, with no Docker engine: a static program on an empty root. The same commit,
# compilers and SOURCE_DATE_EPOCH give the same digest, wherever the tree lies.
image: image-root
	deploy/image/layout.sh "$(OUT)/root" "$(OUT)/image" "v$(VERSION)"

# The root of the image in OUT/root, and OUT/sbom.cdx.json. The Dockerfile runs this too.
image-root:
	deploy/image/root.sh "$(OUT)"

# What the two above need beside Rust, put into the user's cache and not installed: headers of musl's libc, umoci, and
# cargo-auditable and cargo-cyclonedx, which are compiled once.
image-deps:
	deploy/image/deps.sh

# Two builds of the image in two places, one digest; then its list of crates is compared with the SBOM, and its content runs in an
# empty root.
image-test:
	deploy/image/twice.sh
	METAL3_IPAM_IMAGE="$(abspath out)" $(CARGO) test --locked --test suite -- --ignored --nocapture image::

# What is generated (`cargo xtask --help`; the tests compare it): dashboards, the operator's rules and the reference of metrics;
# docs/cli.md and docs/api.md; the Helm chart's copies and table; crds/. `generate` writes all of them.
dashboards docs chart crds generate:
	$(CARGO) xtask $@
