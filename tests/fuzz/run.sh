#!/usr/bin/env bash
# Fuzzes one reader with libFuzzer and AddressSanitizer.
#   tests/fuzz/run.sh json|safetensors|npy|spec [seconds]
# Needs clang-22 and libclang-rt-22-dev, and a finished build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
target=$1 seconds=${2:-600} out=build/fuzz
mkdir -p "$out/$target"
flags=(-g -O1 -fsanitize=fuzzer,address -fno-sanitize-recover -I. -Icompiler
  -Ibuild/compiler -isystem /usr/lib/llvm-22/include -std=c++17)
case $target in
safetensors) sources=(runtime/*.c) ;;
npy) sources=(tools/nncc/Npy.cpp compiler/support/FileIO.cpp runtime/error.c) ;;
spec) sources=(tools/nncc/Spec.cpp) ;;
json) sources=(compiler/frontend/*.cpp compiler/frontend/modules/*.cpp
  compiler/support/*.cpp compiler/dialect/*.cpp compiler/dialect/ops/*.cpp) ;;
esac
objects=()
for source in "tests/fuzz/$target.cpp" "${sources[@]}"; do
  object=$out/$target/$(echo "$source" | tr / _).o
  language=(-xc++)
  extra=("${flags[@]}")
  case $source in
  *.c) language=(-xc) extra=(-g -O1 -fsanitize=fuzzer-no-link,address) ;;
  compiler/frontend/Json.cpp) ;;
  compiler/*) extra+=(-fno-rtti) ;;
  esac
  clang-22 "${language[@]}" "${extra[@]}" -c "$source" -o "$object" &
  objects+=("$object")
  [ "$(jobs -r | wc -l)" -lt 2 ] || wait -n
done
wait
clang++-22 -fsanitize=fuzzer,address "${objects[@]}" -L/usr/lib/llvm-22/lib -Wl,-rpath,/usr/lib/llvm-22/lib \
  -lMLIR -lLLVM -o "$out/$target.fuzzer"
mkdir -p "$out/$target.corpus"
exec "$out/$target.fuzzer" -max_total_time="$seconds" -timeout=10 \
  -artifact_prefix="$out/$target/" "$out/$target.corpus" \
  "tests/fuzz/corpus/$target"
