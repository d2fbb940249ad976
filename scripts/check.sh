#!/usr/bin/env bash
# Builds the command and judges an image with the built-in VAE: the one in the
# repository, or what the arguments say. They are those of `vae-fidelity check`.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

echo 'Building vae-fidelity (the first time takes a minute or some)' >&2
# Cargo reads .cargo/config.toml from where it is called; the arguments' paths are the caller's.
binary=$(
  cd "$root" &&
    # Without data sets, whose reader of parquet files would double the time that this takes.
    python3 scripts/vae_fidelity_tools/checkout.py executables \
      build --locked --bin vae-fidelity --no-default-features --features cli
)
if [ $# -eq 0 ]; then
  set -- "$root/golden/images/astronaut.png"
fi
exec "$binary" check "$@"
