#!/usr/bin/env bash
# Hostile command lines, drawn by a seed: none may abort, hang or lose a file.
#
#     scripts/fuzz_commands.sh [RUNS [SEED]]
#
# VAE_FIDELITY names the binary; by default it is built here without libtorch.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${VAE_FIDELITY:-}" ]; then
    cargo build --quiet
    VAE_FIDELITY="${CARGO_TARGET_DIR:-$PWD/target}/debug/vae-fidelity"
fi
export VAE_FIDELITY
exec python3 scripts/fuzz_commands.py "$@"
