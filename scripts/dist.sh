#!/usr/bin/env bash
# Makes what a release needs in the git-ignored dist/: vae-fidelity-VERSION-TARGET.tar.xz (.zip for
# Windows) with the stripped binary, licences, README, shell completions and man pages, and its SHA-256.
#
#   scripts/dist.sh [TARGET]              # x86_64-unknown-linux-gnu, or the machine's own elsewhere
#
# On Linux it builds with Zig's compiler, for glibc 2.28 whatever the machine has, and any of its
# *-linux-gnu targets that rustup has; what comes out is checked and, where it can run, tried.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
glibc=2.28
max_bytes=18000000
# shellcheck source=scripts/dist_tools.sh
. scripts/dist_tools.sh

host=$(rustc --version --verbose | sed -n 's/^host: //p')
target=${1:-$host}
version=$(cargo metadata --locked --format-version 1 --no-deps | python3 -c '
import json, sys
print(next(p["version"] for p in json.load(sys.stdin)["packages"] if p["name"] == "vae-fidelity"))')
name=vae-fidelity-$version-$target
binary=vae-fidelity
case $target in *windows*) binary=vae-fidelity.exe ;; esac
if [ -n "$(git status --porcelain --untracked-files=no)" ]; then
  echo 'note: this checkout has changes; the binary will name the commit that lacks them' >&2
fi

compile() { # PACKAGE for the target
  local arguments=(--locked --profile dist --package "$1" --bin "$1")
  case $target in
    *-linux-gnu) cargo zigbuild "${arguments[@]}" --target "$target.$glibc" ;;
    *) cargo build "${arguments[@]}" --target "$target" ;;
  esac
}

# A binary that needs a newer glibc, made here with the same compiler: the check has to refuse it.
check_refuses() {
  local planted=$work/newer said
  # pthread_create moved into libc with glibc 2.34.
  printf '%s\n' '#include <pthread.h>' 'static void *f(void *p) { return p; }' \
    'int main(void) { pthread_t t; return pthread_create(&t, 0, f, 0); }' >"$work/newer.c"
  python3 -m ziglang cc -target "${target%%-*}-linux-gnu.2.34" -s -o "$planted" "$work/newer.c"
  if said=$(python3 scripts/dist_binary.py "$planted" --glibc "$glibc" 2>&1); then
    echo "FAILED: scripts/dist_binary.py let a binary pass that needs glibc 2.34" >&2
    return 1
  fi
  case $said in
    *'needs GLIBC_2.34'*) ;;
    *)
      echo "FAILED: scripts/dist_binary.py refused for another reason: $said" >&2
      return 1
      ;;
  esac
  if python3 scripts/dist_binary.py "$built" --glibc "$glibc" --max-bytes 1000000 >/dev/null 2>&1; then
    echo 'FAILED: scripts/dist_binary.py let a binary pass that is too large' >&2
    return 1
  fi
}

stage() {
  rm -rf "dist/$name"
  mkdir -p "dist/$name"
  cp "$built" README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE "dist/$name/"
  python3 scripts/dist_archive.py licences "$target" >"dist/$name/THIRD-PARTY-LICENSES.txt"
  # Where it can run what it compiles for the target, all but the generator itself is compiled already.
  if [ "$target" = "$host" ]; then
    compile vae-fidelity-dist
    "$folder/vae-fidelity-dist" "dist/$name"
  else
    cargo run --locked --quiet --package vae-fidelity-dist -- "dist/$name"
  fi
}

unpack() {
  case $1 in
    *.zip) python3 -m zipfile --extract "$1" "$work" ;;
    *) tar -xJf "$1" -C "$work" ;;
  esac
}

runs() { # what was packed, on a photograph; and what it says of itself
  local tool=$work/$name/$binary commit
  "$tool" check golden/images/astronaut.png --out "$work/decoded.png" --min-psnr 27 || return
  commit=$(git rev-parse HEAD)
  if ! "$tool" --version | grep -q "^commit *${commit:0:12}\$"; then
    echo "FAILED: $binary --version does not name the commit $commit" >&2
    return 1
  fi
  "$tool" --version
}

completes() { # golden and its commands, in bash
  local found
  found=$(bash --norc -c '
    . "$1"
    COMP_WORDS=(vae-fidelity golden ver) COMP_CWORD=2
    # Whatever the function is called: that changes with clap_complete.
    complete=$(complete -p vae-fidelity)
    complete=${complete##*-F }
    "${complete%% *}" vae-fidelity ver golden
    echo "${COMPREPLY[*]}"' - "$work/$name/completions/vae-fidelity.bash")
  if [ "$found" != verify ]; then
    echo "FAILED: in bash, 'vae-fidelity golden ver' completes to '$found', not to verify" >&2
    return 1
  fi
  echo "bash completes 'vae-fidelity golden ver' to $found"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

case $target in *-linux-gnu) dist_tools ;; esac
compile vae-fidelity
folder=$(target_directory)/$target/dist
built=$folder/$binary
case $target in
  *-linux-gnu)
    python3 scripts/dist_binary.py "$built" --glibc "$glibc" --max-bytes "$max_bytes"
    check_refuses
    ;;
esac
stage
python3 scripts/dist_archive.py pack "dist/$name" "$target"
case $target in *windows*) archive=dist/$name.zip ;; *) archive=dist/$name.tar.xz ;; esac
rm -r "dist/$name"
unpack "$archive"
completes
if [ "$target" = "$host" ]; then
  runs
else
  echo "not run: $binary, which is for $target"
fi
