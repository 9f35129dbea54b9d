#!/bin/sh
# Packs the program as a plugin of kubectl: pack.sh OUT PROGRAM URL makes OUT/metal3-ipam_OS_ARCH.tar.gz of PROGRAM, and
# OUT/metal3-ipam.yaml, krew's manifest, which says that krew finds the archive below URL. The same program gives the same bytes.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$1
program=$2
url=$3
version=$("$program" version | sed 's/^metal3-ipam //')
os=$(uname -s | tr '[:upper:]' '[:lower:]')
case $(uname -m) in
x86_64) arch=amd64 ;;
aarch64 | arm64) arch=arm64 ;;
*) echo "krew knows no processor $(uname -m)" >&2 && exit 1 ;;
esac
mkdir -p "$out"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "$program" "$folder/kubectl-metal3_ipam"
cp "$here/../../LICENSE" "$folder/"
chmod 755 "$folder/kubectl-metal3_ipam"
archive=metal3-ipam_${os}_$arch.tar.gz
tar -C "$folder" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - kubectl-metal3_ipam LICENSE |
  gzip -n -9 >"$out/$archive"
sum=$(sha256sum "$out/$archive" | cut -d ' ' -f 1)
sed -e "s|@VERSION@|v$version|" -e "s|@URI@|$url/$archive|" -e "s|@SHA256@|$sum|" -e "s|@OS@|$os|" -e "s|@ARCH@|$arch|" \
  "$here/metal3-ipam.yaml" >"$out/metal3-ipam.yaml"
