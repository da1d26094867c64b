#!/usr/bin/env bash
# Runs the checks of .clang-tidy on the sources named, by default all of them.
# Needs clang-tidy-22 and a finished build.
#   scripts/tidy.sh [file.cpp...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ $# -gt 0 ] || set -- $(git ls-files 'compiler/*.cpp' 'tools/*.cpp' 'runtime/*.c')
printf '%s\n' "$@" |
  xargs -P "$(nproc)" -n 1 clang-tidy-22 -p build --quiet --extra-arg=-Wno-ignored-gch
