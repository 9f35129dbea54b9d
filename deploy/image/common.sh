# For the scripts beside it: where tools lie that `make image-deps` unpacked, what machine the image is for (that which builds it),
# and the time and the revision that a build carries.
cache="${XDG_CACHE_HOME:-$HOME/.cache}/metal3-ipam/image"
case $(uname -m) in
x86_64) machine=x86_64 arch=amd64 ;;
aarch64 | arm64) machine=aarch64 arch=arm64 ;;
*) echo "the image is built on x86_64 and aarch64, and this machine is $(uname -m)" >&2; exit 1 ;;
esac
target=$machine-unknown-linux-musl
musl=/usr/include/$machine-linux-musl
PATH=$PATH:$cache/bin:$cache/usr/bin
export PATH
# That of the commit; of a tree without git the beginning of time.
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
  SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)
fi
# What the program shows as its revision (metal3_ipam_build_info, `metal3-ipam bench`).
if [ -z "${METAL3_IPAM_REVISION:-}" ]; then
  METAL3_IPAM_REVISION=$(git describe --always --abbrev=40 --exclude='*' --dirty 2>/dev/null || echo unknown)
fi
export METAL3_IPAM_REVISION SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
