#!/usr/bin/env bash
# Installs what building and testing nncc needs on Debian 12 or 13; says first
# what. Does nothing where all of it is there. Sourced or run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

packages=(git cmake ninja-build g++ python3 python3-venv ccache lld-22 clang-22
  libmlir-22-dev mlir-22-tools llvm-22-dev llvm-22-tools
  nlohmann-json3-dev libzip-dev libgtest-dev)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "ok installed" ||
    missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "nncc installs by apt: ${missing[*]}"
  as_root=""
  [ "$(id -u)" = 0 ] || as_root=sudo
  $as_root apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq \
    --no-install-recommends "${missing[@]}" >/dev/null
fi

# Python packages live in the build folder, not in the system.
venv=build/venv
wheels=(torch==2.13.0 numpy safetensors pytest pytest-xdist)
# Of the CUDA Toolkit only ptxas, for cubins (docs/cuda.md): this wheel without
# what it asks for.
ptxas=nvidia-cuda-nvcc==13.0.88
mkdir -p build
all="${wheels[*]} $ptxas"
if ! [ -e "$venv/complete" ] || [ "$(cat $venv/complete)" != "$all" ]; then
  echo "nncc installs by pip into $venv: $all"
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q --disable-pip-version-check "${wheels[@]}"
  "$venv/bin/pip" install -q --disable-pip-version-check --no-deps "$ptxas"
  echo "$all" >"$venv/complete"
fi
