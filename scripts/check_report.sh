#!/usr/bin/env bash
# The page that `check --report` writes, used as people use it, in headless Chromium: dragged, clicked,
# typed at, light, dark, on a phone's width, without scripts, and by axe-core's rules for accessibility.
# Faults planted in the page have to be noticed.
#
#   scripts/check_report.sh [path/to/vae-fidelity] [FOLDER for screenshots]
#
# Needs Chromium and Node.js, which it installs where it may (root on Debian or Ubuntu), and takes
# playwright-core and axe-core from npm into the git-ignored .browser.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
tool=${1:-}
shots=${2:-}
if [ -z "$tool" ]; then
  tool=$(python3 scripts/vae_fidelity_tools/checkout.py executables \
    build --quiet --locked --bin vae-fidelity)
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

missing=()
command -v chromium >/dev/null || missing+=(chromium)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "error: ${missing[*]}: not installed, and only root on Debian or Ubuntu can install them here" >&2
    echo "  next: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  echo "Installing ${missing[*]}" >&2
  if ! { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } \
    >"$work/apt.log" 2>&1; then
    tail -n 20 "$work/apt.log" >&2
    echo "error: apt-get could not install ${missing[*]}" >&2
    exit 1
  fi
fi

packages=(playwright-core@1.65.1 axe-core@4.14.1)
if [ "$(cat .browser/packages 2>/dev/null)" != "${packages[*]}" ]; then
  npm install --prefix .browser --no-save --no-audit --no-fund --silent "${packages[@]}"
  echo "${packages[*]}" >.browser/packages
fi

# One that passes, and one that fails: of another shape, drawn, with findings.
"$tool" check golden/images/astronaut.png --out "$work/out.png" --quiet --report "$work/passes.html"
code=0
"$tool" check golden/images/tall.jpg --out "$work/out.png" --quiet --report "$work/fails.html" \
  --sample --seed 1 --min-psnr 99 || code=$?
if [ "$code" -ne 1 ]; then
  echo "FAILED: a missed --min-psnr should exit with 1, not $code" >&2
  exit 1
fi
node scripts/check_report.mjs "$work" "$(command -v chromium)" ${shots:+"$shots"}
