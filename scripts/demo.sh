#!/usr/bin/env bash
# Installs what is missing, builds, exports ResNet-18 and GPT-2 124M from PyTorch
# (seeded random weights), compiles them, runs them and compares with PyTorch;
# trains LeNet-5 on images that it makes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/install.sh
scripts/build.sh
PYTHONPATH=python build/venv/bin/python scripts/demo.py
