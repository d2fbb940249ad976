#!/usr/bin/env bash
# Tries integrations/ with a vae-fidelity that is built: the scripts of the GitHub action, as its steps call
# them, and the hook with the real pre-commit, in a repository of its own. Needs the Python that
# scripts/python.sh sets up. The hook is taken from what is committed here.
#
#   scripts/check_integrations.sh BINARY
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
binary=$(realpath "${1:?name the vae-fidelity to try: scripts/check_integrations.sh BINARY}")
pre_commit=$root/.venv/bin/pre-commit
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
  printf 'FAILED: %s\n%s\n' "$1" "${2-}" >&2
  exit 1
}

# A release as scripts/dist.sh packs one, and a runner.
target=x86_64-unknown-linux-gnu
name=vae-fidelity-9.9.9-$target
release=$work/server/owner/name/releases/download/v9.9.9
mkdir -p "$release" "$work/$name" "$work/temp"
cp "$binary" "$work/$name/vae-fidelity"
XZ_OPT=-0 tar -C "$work" -cJf "$release/$name.tar.xz" "$name"
(cd "$release" && sha256sum "$name.tar.xz" >"$name.tar.xz.sha256")
export RUNNER_OS=Linux RUNNER_ARCH=X64 RUNNER_TEMP=$work/temp
export GITHUB_PATH=$work/path GITHUB_OUTPUT=$work/output

install() { # VERSION ARCHITECTURE
  : >"$GITHUB_PATH"
  SERVER=file://$work/server REPOSITORY=owner/name VERSION=$1 RUNNER_ARCH=$2 \
    integrations/github-action/install.sh
}

run() { # COMMAND ARGUMENTS; what came of it, in $written
  : >"$GITHUB_OUTPUT"
  (
    cd "$work"
    PATH=$(cat "$GITHUB_PATH"):$PATH COMMAND=$1 ARGUMENTS=$2 \
      "$root/integrations/github-action/run.sh"
  ) || return
  written=$(cat "$GITHUB_OUTPUT")
}

said=$(install 9.9.8 X64 2>&1) && fail 'a release that is not there' "$said"
[[ $said == *'::error::release 9.9.8 of owner/name has no'* ]] || fail 'the message' "$said"
said=$(install 9.9.9 ARM 2>&1) && fail 'a machine without a release' "$said"
printf '%064d  %s\n' 0 "$name.tar.xz" >"$release/$name.tar.xz.sha256"
said=$(install 9.9.9 X64 2>&1) && fail 'an archive that is not what its SHA-256 says' "$said"
[[ $said == *"$name.tar.xz: FAILED"* && ! -s $GITHUB_PATH ]] || fail 'the reason' "$said"
(cd "$release" && sha256sum "$name.tar.xz" >"$name.tar.xz.sha256")
install 9.9.9 X64 >"$work/said" || fail 'install.sh' "$(cat "$work/said")"

cp golden/images/astronaut.png "$work/a picture.png"
size=$'--width=64\n--height=64'
run check $'a picture.png\n\n'"$size"$'\r\n' >"$work/said" 2>&1
[[ $written == *'exit-code=0'*'written=true'* ]] || fail 'check, a pass' "$written"
run check $'a picture.png\n--min-psnr=99\n'"$size" >"$work/said" 2>&1
[[ $written == *'exit-code=1'*'written=true'* ]] || fail 'check, a fail' "$written"
sarif=$(sed -n 's/^sarif=//p' <<<"$written")
junit=$(sed -n 's/^junit=//p' <<<"$written")
grep -q '"uri": "a%20picture.png"' "$sarif" || fail 'the findings of check' "$(cat "$sarif")"
grep -q '<failure type="verdict"' "$junit" || fail 'the verdict of check' "$(cat "$junit")"
run inspect builtin >"$work/said" 2>&1
[[ $written == *'exit-code=0'*'written=true'* ]] || fail 'inspect' "$written"
run check --no-such-flag >"$work/said" 2>&1
[[ $written == *'exit-code=2'*'written=false'* ]] || fail 'arguments that are refused' "$written"
said=$(run probe x 2>&1) && fail 'a command that it has not' "$said"
said=$(run check $'\n' 2>&1) && fail 'no arguments' "$said"
echo 'the GitHub action: its two scripts do as they should'

export PRE_COMMIT_HOME=$work/pre-commit GIT_CONFIG_GLOBAL=/dev/null
users=$work/users
git init --quiet "$users"
mkdir "$users/vae"
cp golden/models/builtin/vae/{config.json,diffusion_pytorch_model.safetensors} "$users/vae"
echo 'no weights' >"$users/readme.txt"
hook() { # prints what pre-commit said
  (
    cd "$users"
    git add .
    PATH=$(dirname "$binary"):$PATH "$pre_commit" try-repo "$root" vae-fidelity-inspect --all-files
  ) 2>&1
}
said=$(hook) || fail 'the hook refuses sound weights' "$said"
[[ $said == *Passed* ]] || fail 'the hook saw no weights' "$said"
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 4406382\n' 0 >"$users/b c.safetensors"
said=$(hook) && fail 'the hook lets a pointer of Git LFS pass' "$said"
[[ $said == *lfs-pointer* && $said != *'vae/diffusion_pytorch_model'* ]] ||
  fail 'the hook does not say what is wrong, or says what is not' "$said"
echo 'the hook: pre-commit passes sound weights, and refuses a pointer in their place'
