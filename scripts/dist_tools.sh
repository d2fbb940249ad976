# Sourced by scripts that build with Zig: sets up the git-ignored .dist-venv with what
# scripts/dist-requirements.txt names, and puts it first in PATH. Called in the root of the checkout.
# shellcheck shell=bash

dist_tools() {
  local venv=$PWD/.dist-venv requirements=scripts/dist-requirements.txt
  if ! cmp -s "$requirements" "$venv/requirements.txt"; then
    echo "Setting up $venv (Zig's compiler and cargo-zigbuild): 440 MB" >&2
    if ! python3 -m venv --clear "$venv" >&2; then
      echo 'error: python3 -m venv failed' >&2
      echo '  next: install it (Debian, Ubuntu: apt install python3-venv), then run again' >&2
      return 1
    fi
    if ! "$venv/bin/python" -m pip --disable-pip-version-check install --quiet -r "$requirements" >&2
    then
      echo "error: pip could not install $requirements (its reason is above)" >&2
      echo '  next: run the same command again' >&2
      return 1
    fi
    # Last, so that a set-up that was interrupted starts over.
    cp "$requirements" "$venv/requirements.txt"
  fi
  PATH=$venv/bin:$PATH
}

target_directory() {
  python3 scripts/vae_fidelity_tools/checkout.py target-directory
}
