#!/bin/sh
# Builds the program for the image and lays out its root: root.sh OUT writes OUT/root and, with cargo-cyclonedx, OUT/sbom.cdx.json.
set -eu
cd "$(dirname "$0")/../.."
. deploy/image/common.sh
out=$1
[ -d "$musl" ] || musl="$cache$musl"
[ -d "$musl" ] || { echo "no headers of musl's libc: make image-deps unpacks them, or install Debian's musl-dev" >&2; exit 1; }

# The C parts (mimalloc, ring) are compiled against musl's headers alone; Rust brings musl's libc itself. No path of this machine
# gets into the program.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
maps="-ffile-prefix-map=$PWD=/src -ffile-prefix-map=$cargo_home=/cargo -ffile-prefix-map=$cache=/musl"
of=$(echo "$target" | tr - _)
of_cargo=$(echo "$of" | tr '[:lower:]' '[:upper:]')
export "CC_$of=${CC:-gcc}"
export "CFLAGS_$of=-nostdinc -isystem $musl -isystem $("${CC:-gcc}" -print-file-name=include) $maps"
export "CARGO_TARGET_${of_cargo}_RUSTFLAGS=--remap-path-prefix=$PWD=/src --remap-path-prefix=$cargo_home=/cargo -C link-arg=-Wl,--build-id=none"
unset RUSTFLAGS

build=build
if cargo auditable --version >/dev/null 2>&1; then build="auditable build"
else echo "no cargo-auditable: the program carries no list of its crates" >&2; fi
# shellcheck disable=SC2086 # two words
cargo $build --locked --profile image --target "$target" --bin metal3-ipam

rm -rf "$out/root"
mkdir -p "$out/root"
cp "${CARGO_TARGET_DIR:-target}/$target/image/metal3-ipam" "$out/root/metal3-ipam"
chmod 755 "$out/root" "$out/root/metal3-ipam"
# Upstream's name, which the Deployment starts: under it the program takes flags without a subcommand.
ln -s metal3-ipam "$out/root/manager"

if cargo cyclonedx --version >/dev/null 2>&1; then
  cargo cyclonedx --format json --target "$target" --override-filename sbom.cdx
  sed "s|path+file://$PWD|path+file:///src|g" sbom.cdx.json >"$out/sbom.cdx.json"
  # It writes one for each crate of the workspace; that of the program has them all.
  rm sbom.cdx.json crates/*/sbom.cdx.json
else echo "no cargo-cyclonedx: no SBOM is written" >&2; fi
