#!/bin/sh
# Writes what clusterctl installs from: release.sh OUT [IMAGE] makes OUT/ipam-components.yaml and OUT/metadata.yaml. IMAGE is
# another name of the image than that of the manifests.
set -eu
cd "$(dirname "$0")/../.."
out=$1
version=$(sed -n '/^\[package\]$/,$s/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
manifests=ghcr.io/metal3-ipam/metal3-ipam:v$version
image=${2:-$manifests}
mkdir -p "$out"
kubectl kustomize deploy/clusterctl | sed "s|image: $manifests\$|image: $image|" >"$out/ipam-components.yaml"
grep -q "image: $image\$" "$out/ipam-components.yaml" ||
  { echo "the manifests of deploy/ do not name $manifests" >&2; exit 1; }
cp metadata.yaml "$out/"
