#!/bin/sh
# Builds the image from two copies of the tree, each with a target folder of its own, and compares the digests.
set -eu
cd "$(dirname "$0")/../.."
. deploy/image/common.sh
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
for copy in one another/folder; do
  mkdir -p "$dir/$copy"
  git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$dir/$copy"
done
for copy in one another/folder; do
  CARGO_TARGET_DIR="$dir/$copy/target" make -C "$dir/$copy" --no-print-directory image OUT="$dir/$copy/out"
done
mkdir -p out
rm -rf out/image out/root out/sbom.cdx.json
cp -r "$dir/one/out/." out/
if ! cmp "$dir/one/out/image/index.json" "$dir/another/folder/out/image/index.json"; then
  echo "two builds, two digests" >&2
  exit 1
fi
if [ -e out/sbom.cdx.json ] && ! cmp "$dir/one/out/sbom.cdx.json" "$dir/another/folder/out/sbom.cdx.json"; then
  echo "two builds, two SBOMs" >&2
  exit 1
fi
echo "two builds, one digest"
