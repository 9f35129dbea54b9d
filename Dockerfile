# The image of `make image` with a container engine, for the architecture of the machine: docker (or buildah, podman) build -t registry.example.com/ipam:tag .
FROM docker.io/library/rust:1.95.0-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends musl-dev
WORKDIR /src
# --build-arg METAL3_IPAM_REVISION=$(git rev-parse HEAD): there is no .git in the context.
ARG METAL3_IPAM_REVISION=unknown
ENV METAL3_IPAM_REVISION=$METAL3_IPAM_REVISION
COPY . .
RUN rustup target add "$(uname -m)-unknown-linux-musl" && make image-root OUT=/out

# Nothing but the program: no shell, no libc, no certificates (the API server's come with the pod's service account).
FROM scratch
COPY --from=build /out/root /
USER 65532:65532
WORKDIR /
ENTRYPOINT ["/metal3-ipam"]
