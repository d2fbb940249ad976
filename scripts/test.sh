#!/usr/bin/env bash
# Sets everything up (libtorch, build) and runs the tests. Arguments go to `cargo test`.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

python3 scripts/libtorch.py
# Tests share the processor, and threads of libtorch that wait for others would keep it from them.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
exec cargo test --locked "$@"
