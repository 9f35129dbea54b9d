#!/bin/sh
# Puts what `make image` needs into the user's cache, where it is not installed: musl's headers and umoci, unpacked from Debian's
# packages, and the cargo commands that write the list of crates into the program and the SBOM.
set -eu
cd "$(dirname "$0")/../.."
. deploy/image/common.sh
rustup target add "$target"
mkdir -p "$cache"
for tool in cargo-auditable@0.7.7 cargo-cyclonedx@0.5.9; do
  name=${tool%@*}
  command -v "$name" >/dev/null || cargo install --locked --root "$cache" "$tool" ||
    echo "$tool cannot be installed: make image goes on without it" >&2
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
chmod 755 "$dir"
cd "$dir"
[ -d "$musl" ] || [ -d "$cache$musl" ] || apt-get download musl-dev
command -v umoci >/dev/null || apt-get download umoci
for package in *.deb; do
  if [ -e "$package" ]; then dpkg -x "$package" "$cache"; fi
done
