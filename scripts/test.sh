#!/usr/bin/env bash
# Installs what is missing, builds, runs all tests. The last line counts them.
#   scripts/test.sh          what CI runs
#   scripts/test.sh --full   also the models that take long
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
full=0
[ "${1:-}" = --full ] && full=1
scripts/install.sh || exit 1
scripts/build.sh || { echo "the build failed"; echo "0 passed, 1 failed"; exit 1; }

results=build/results
rm -rf "$results" && mkdir -p "$results"
export NNCC_FULL=$full PYTHONPATH="$PWD/python"
build/tests/unit/nncc-tests --gtest_brief=1 \
  --gtest_output=xml:$results/unit.xml
/usr/lib/llvm-22/bin/lit -q --xunit-xml-output=$results/lit.xml build/tests/lit
build/venv/bin/python -m pytest -q -n 2 --dist loadgroup tests/cli tests/parity \
  tests/damage tests/device tests/ptxas \
  --junit-xml=$results/python.xml
# What is no record, on kernels that look where they read and write; records do
# it by themselves (parity/test_bounds.py).
NNCC="$PWD/build/bin/nncc-bounds" build/venv/bin/python -m pytest -q -n 2 \
  tests/parity/test_{attention_gradients,compositions,gradients,losses}.py \
  tests/parity/test_{models,parametrized,recurrent,regressions}.py \
  tests/parity/test_{training,types}.py \
  --junit-xml=$results/bounds.xml
build/venv/bin/python scripts/count.py $results unit lit python bounds
