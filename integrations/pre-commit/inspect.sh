#!/bin/sh
# The hook of .pre-commit-hooks.yaml: `vae-fidelity inspect` on each file by itself, since several would be
# compared with each other. What is wrong is printed, and files that are sound are not.
#
#   inspect.sh [--FLAG=VALUE ...] FILE...
flags=
while [ $# -gt 0 ]; do
  case $1 in
    --) shift && break ;;
    # Flags with their values in one argument each, which hold no spaces.
    -*) flags="$flags $1" && shift ;;
    *) break ;;
  esac
done
if ! command -v vae-fidelity >/dev/null; then
  echo 'error: vae-fidelity: not in PATH' >&2
  echo ' next: cargo install vae-fidelity, or fetch a release' >&2
  exit 2
fi
worst=0
for file; do
  # shellcheck disable=SC2086 # several words
  said=$(vae-fidelity inspect $flags -- "$file" 2>&1)
  code=$?
  [ $code = 0 ] || printf '%s\n' "$said"
  [ $code -le $worst ] || worst=$code
done
exit $worst
