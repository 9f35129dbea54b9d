#!/bin/sh
# Unpacks musl's headers and umoci from Debian's packages into the user's cache, where they are not installed.
set -eu
. "$(dirname "$0")/common.sh"
mkdir -p "$cache"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
chmod 755 "$dir"
cd "$dir"
[ -d /usr/include/x86_64-linux-musl ] || [ -d "$cache/usr/include/x86_64-linux-musl" ] || apt-get download musl-dev
command -v umoci >/dev/null || [ -x "$cache/usr/bin/umoci" ] || apt-get download umoci
for package in *.deb; do
  if [ -e "$package" ]; then dpkg -x "$package" "$cache"; fi
done
