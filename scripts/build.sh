#!/usr/bin/env bash
# Configures and builds into build/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cmake -G Ninja -S . -B build >build/cmake.log 2>&1 ||
  { cat build/cmake.log; exit 1; }
ninja -C build
