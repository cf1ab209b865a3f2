#!/usr/bin/env bash
# Make requirements.lock anew: every package but torch, by version and hash, without the address of a registry.
#
#     envs/lock.sh             keeps the locked versions and adds what is missing
#     envs/lock.sh --upgrade   takes the newest versions
#
# Needs uv. torch, torchvision and what they alone bring (CUDA, Triton) are left out: each machine takes its own build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sed -n 's/^\([A-Za-z0-9._-]*==[^ ;]*\).*/\1/p' requirements.lock >"$work/constraints"
[ "${1:-}" != --upgrade ] || : >"$work/constraints"
# centrosome (of cp_measure) asks for pillow<12, which has known faults in its decoders; nothing of it uses pillow here.
printf 'pillow>=12\n' >"$work/overrides"
grep -v '^pillow==11' "$work/constraints" >"$work/kept" || :
left_out=(torch torchvision triton)
mapfile -t cuda < <(uv pip compile --quiet --no-header --no-annotate --python-version 3.11.1 pyproject.toml --extra dev \
  --override "$work/overrides" --constraint "$work/kept" | grep -oE '^(nvidia|cuda)-[a-z0-9-]+' | sort -u)
uv pip compile --quiet --no-header --python-version 3.11.1 pyproject.toml --extra dev --generate-hashes \
  --override "$work/overrides" --constraint "$work/kept" \
  "${left_out[@]/#/--no-emit-package=}" "${cuda[@]/#/--no-emit-package=}" -o "$work/lock"
! grep -nE 'https?://|--index-url|--find-links' "$work/lock"
# The constraints are this file itself; the folder of the overrides differs from run to run.
grep -v " -c $work/" "$work/lock" | sed "s#--override $work/#--override #" >requirements.lock
