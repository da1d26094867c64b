#!/usr/bin/env bash
# On a GPU's machine: all cases of an archive of scripts/device.sh, in at most 6
# minutes, without a network or anything of ours but this file and the archive.
#   tests/device/run.sh [build/device.tar.xz]
# Each step has a limit of its own; the next one comes whatever it gives. The
# table is the end of stdout; $OUT (build/device) gets a JSON file for each step.
# The status is 1 if a step found something.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
archive=${1:-build/device.tar.xz}
out=${OUT:-$PWD/build/device}
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
tar -C "$work" -xf "$archive" 2>"$work/tar" || # without xz, by Python's own
  python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' \
    "$archive" "$work" || { cat "$work/tar"; exit 2; }
packed=$work/device
if [ -e "$packed/libnncc_emulator.so" ]; then
  export NNCC_CUDA_DRIVER="$packed/libnncc_emulator.so"
fi
PATH=$PATH:/usr/local/cuda/bin
# Compiled PTX of an earlier run would hide what the driver makes of it.
export CUDA_CACHE_DISABLE=1
jobs=$(nproc)
[ "$jobs" -le 6 ] || jobs=6

failed=0
table=$work/table
# step NAME COMMAND...: its last line goes into the table.
step() {
  local name=$1 code start=$SECONDS
  shift
  echo "== $name"
  "$@" 2>&1 | tee "$work/log"
  code=${PIPESTATUS[0]}
  [ "$code" = 0 ] || failed=1
  [ "$code" != 124 ] || echo "$name was stopped" | tee -a "$work/log"
  printf '%-10s %3d s  %s\n' "$name" $((SECONDS - start)) \
    "$(tail -n 1 "$work/log" | sed 's/^ *//')" >>"$table"
}
# checked NAME KIND SECONDS ARGUMENTS...: cases of a runner, if it is there.
checked() {
  local name=$1 runner=$packed/runner-$2 limit=$3
  shift 3
  [ ! -e "$runner" ] ||
    step "$name" timeout -k 5 $((limit + 10)) "$runner" \
      "$packed/numbers.safetensors" "$@" --json "$out/$name.json" \
      --limit "$limit"
}
# The small cases, shared by processes with the tool in each.
memcheck() {
  local part log pids=() bad=0
  for ((part = 0; part < jobs; ++part)); do
    log=$work/memcheck.$part
    timeout -k 5 85 compute-sanitizer --tool memcheck --error-exitcode 9 \
      --log-file "$log" "$packed/runner-cubin" "$packed/numbers.safetensors" \
      check --small --here --part "$part/$jobs" --limit 75 \
      --json "$log.json" >"$log.out" 2>&1 &
    pids+=($!)
  done
  for part in "${!pids[@]}"; do
    wait "${pids[part]}" && continue
    bad=$((bad + 1))
    tail -n 40 "$work/memcheck.$part" "$work/memcheck.$part.out"
  done
  grep -h ': [0-9]* case' "$work"/memcheck.*.out
  grep -h 'ERROR SUMMARY' "$work"/memcheck.* | sort | uniq -c
  echo "compute-sanitizer memcheck: $bad of $jobs parts found something"
  [ "$bad" = 0 ]
}

echo "commit $(cat "$packed/commit"), $(date -u +%Y-%m-%dT%H:%MZ), $(nproc) cores"
if [ -z "${NNCC_CUDA_DRIVER:-}" ] && command -v nvidia-smi >/dev/null; then
  timeout 15 nvidia-smi --query-gpu=name,driver_version,memory.total,memory.used \
    --format=csv,noheader || true
fi
for kind in cubin emulator; do
  checked "facts-$kind" $kind 20 facts
  checked "$kind" $kind 75 check --jobs "$jobs"
done
checked ptx ptx 80 check --jobs "$jobs"
if [ -e "$packed/runner-cubin" ] && command -v compute-sanitizer >/dev/null; then
  step memcheck memcheck
fi
for kind in cubin emulator; do
  checked "times-$kind" $kind 60 time
done
echo "== table"
cat "$table"
exit $failed
