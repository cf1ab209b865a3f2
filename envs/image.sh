#!/usr/bin/env bash
# Build an image of envs/Containerfile: wellspring:TARGET. Without a daemon by buildah or podman, else by docker.
#
#     envs/image.sh TARGET [OPTION ...]    TARGET is core, harmony or full; OPTIONs are those of `buildah build`
#
# BUILDER chooses the program. The base is Debian with Python 3.11; `--build-arg BASE=...` names another one of that kind.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=${1:?"expected core, harmony or full"}
grep -q "^FROM .* AS $target$" envs/Containerfile || { echo "$target: expected core, harmony or full" >&2; exit 2; }
builder=${BUILDER:-$(command -v buildah || command -v podman || command -v docker || true)}
[ -n "$builder" ] || { echo "expected buildah, podman or docker on the path, found none" >&2; exit 1; }
# Labels name what the image was made from: apptainer inspect, docker inspect.
commit=$(git rev-parse HEAD 2>/dev/null || echo unknown)
recipe=$(cat envs/Containerfile requirements.lock envs/torch.txt envs/core.yaml | sha256sum | cut -d' ' -f1)
exec "$builder" build --file envs/Containerfile --target "$target" --tag "wellspring:$target" \
  --label "org.opencontainers.image.revision=$commit" --label "wellspring.recipe=$recipe" "${@:2}" .
