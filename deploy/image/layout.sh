#!/bin/sh
# Makes an OCI layout of a root with umoci: layout.sh ROOT LAYOUT TAG. Prints digest and sizes.
set -eu
. "$(dirname "$0")/common.sh"
root=$1 layout=$2 tag=$3
command -v umoci >/dev/null || { echo "no umoci: make image-deps unpacks it, or install Debian's umoci" >&2; exit 1; }
created=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)

rm -rf "$layout"
mkdir -p "$(dirname "$layout")"
layer=$(mktemp)
trap 'rm -f "$layer"' EXIT
tar --sort=name --format=ustar --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
  -C "$root" -cf "$layer" manager metal3-ipam

umoci init --layout "$layout"
umoci new --image "$layout:$tag"
umoci raw add-layer --image "$layout:$tag" --history.author "" --history.created "$created" \
  --history.created_by "make image" "$layer"
umoci config --image "$layout:$tag" --no-history --created "$created" --os linux --architecture "$arch" \
  --config.user 65532:65532 --config.entrypoint /metal3-ipam --config.workingdir / \
  --config.label org.opencontainers.image.title=metal3-ipam \
  --config.label org.opencontainers.image.licenses=Apache-2.0 \
  --config.label org.opencontainers.image.version="$tag"
umoci gc --layout "$layout"
digest=$(sed 's/.*"digest":"\([^"]*\)".*/\1/' "$layout/index.json")
echo "$digest  $layout:$tag"
echo "$(du -sb "$layout" | cut -f1) bytes compressed, $(stat -c %s "$root/metal3-ipam") bytes the program"
