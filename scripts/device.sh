#!/usr/bin/env bash
# Makes what runs on a machine with a GPU; tests/device/README.md.
#   scripts/device.sh pack            build/device.tar.xz, cubins and PTX
#   scripts/device.sh pack emulator   build/emulator.tar.xz, to try it without
# More arguments are those of tests/device/pack.py. Needs a finished build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ "${1:-}" = pack ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
shift
flags=() archive=build/device.tar.xz
if [ "${1:-}" = emulator ]; then
  shift
  flags=(--emulator) archive=build/emulator.tar.xz
fi
if [ -z "${CUDA_HOME:-}" ]; then # the wheel that install.sh brings
  for home in build/venv/lib/python3*/site-packages/nvidia/cu13; do
    export CUDA_HOME="$PWD/$home"
  done
fi
PYTHONPATH=python build/venv/bin/python tests/device/pack.py \
  --archive "$archive" "${flags[@]}" "$@"
