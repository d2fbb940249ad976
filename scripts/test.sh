#!/usr/bin/env bash
# Sets everything up (libtorch, build) and runs the tests. Arguments go to `cargo test`.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

python3 scripts/libtorch.py
exec cargo test --locked "$@"
