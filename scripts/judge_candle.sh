#!/usr/bin/env bash
# Builds examples/candle and judges candle-transformers' AutoEncoderKL with the goldens. Names of
# models or cases narrow it; the first run compiles candle, which takes minutes.
#
#   scripts/judge_candle.sh [sd-small builtin-small ...]
#
# Exit code 0: all that was judged passed; 1: something failed (as of candle 0.11.1 it does: the
# report says what); 2: could not judge.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
judge=$(python3 scripts/vae_fidelity_tools/checkout.py executables build --locked --quiet \
  --manifest-path examples/candle/Cargo.toml --bin judge-candle) || exit 2
exec "$judge" "$@"
