#!/usr/bin/env bash
# Runs the Python that has torch, diffusers and Pillow in the versions of scripts/requirements.txt,
# setting it up in the git-ignored .venv first where needed:
#
#   scripts/python.sh -m vae_fidelity_tools                        lists the programs
#   scripts/python.sh -m vae_fidelity_tools.goldens.write --help
#
# Only scripts that compare with Python need it; building and testing do not.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv
requirements=$root/scripts/requirements.txt
# Set-ups wait for each other (where the system has flock); not empty while one is at work, so that
# one that was interrupted starts over.
lock=$root/.venv.lock

exec 9>>"$lock"
if command -v flock >/dev/null && ! flock -n 9; then
  echo "Another run is setting up $venv; waiting for it" >&2
  flock 9
fi

wanted=$(python3 - "$requirements" <<'PYTHON'
import hashlib, sys
with open(sys.argv[1], "rb") as file:
    print(hashlib.sha256(file.read()).hexdigest())
PYTHON
)

if [ "$(cat "$venv/requirements.sha256" 2>/dev/null)" != "$wanted" ]; then
  python3 - <<'PYTHON'
import sys
if sys.version_info < (3, 11):
    sys.exit("error: python3 is version %d.%d; scripts/requirements.txt needs 3.11 or newer\n"
             "  next: put a newer python3 first in PATH" % sys.version_info[:2])
PYTHON
  echo "Setting up $venv (torch, diffusers, Pillow): 5 GB, and some minutes the first time." >&2
  if [ -s "$lock" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    echo unfinished >"$lock"
    if ! python3 -m venv --clear "$venv" >&2; then
      echo 'error: python3 -m venv failed' >&2
      echo '  next: install it (Debian, Ubuntu: apt install python3-venv), then run again' >&2
      exit 1
    fi
  fi
  echo unfinished >"$lock"
  # No list of 60 downloads in a log.
  quiet=--quiet
  if [ -t 2 ]; then quiet=; fi
  if ! "$venv/bin/python" -m pip --disable-pip-version-check install $quiet -r "$requirements" >&2; then
    echo "error: pip could not install $requirements (its reason is above)" >&2
    echo '  next: run the same command again; what had arrived comes from pip'"'"'s cache' >&2
    exit 1
  fi
  echo "$wanted" >"$venv/requirements.sha256"
  : >"$lock"
fi

exec 9>&-
export PYTHONPATH=$root/scripts${PYTHONPATH:+:$PYTHONPATH}
exec "$venv/bin/python" "$@"
