#!/usr/bin/env bash
# Runs the notebook integrations/notebook/live_model.ipynb with the Python package as its users have it,
# and writes its page. A cell that raises fails it, and a planted fault that is not found raises.
#
#   scripts/check_notebook.sh SITE [FOLDER]     SITE has the installed package: TARGET_DIRECTORY/wheel/site,
#                                               where scripts/check_wheel.sh leaves it; the page comes
#                                               into FOLDER, by default one that is deleted
#
# Takes Jupyter's packages from PyPI into the git-ignored .notebook-venv, and torch and diffusers from .venv.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
site=$(realpath "${1:?the folder that the package is installed in}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
folder=$(realpath -m "${2:-$work}")
mkdir -p "$folder"
notebook=integrations/notebook/live_model.ipynb
requirements=scripts/requirements_notebook.txt

if [ ! -d "$site/vae_fidelity" ]; then
  echo "error: $site: no folder vae_fidelity in it" >&2
  echo '  next: scripts/check_wheel.sh TARGET_DIRECTORY, which leaves it in TARGET_DIRECTORY/wheel/site' >&2
  exit 1
fi
scripts/python.sh -c ''
if ! cmp -s "$requirements" .notebook-venv/requirements; then
  rm -rf .notebook-venv && .venv/bin/python -m venv .notebook-venv
  .notebook-venv/bin/python -m pip --disable-pip-version-check install --quiet -r "$requirements"
  cp "$requirements" .notebook-venv/requirements
fi
# After Jupyter's own packages, whatever both have.
own=$(.notebook-venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >"$own/torch.pth"

if grep -qE '"(execution_count": [0-9]|output_type")' "$notebook"; then
  echo "FAILED: $notebook has outputs in it" >&2
  echo "  next: .notebook-venv/bin/jupyter nbconvert --clear-output --inplace $notebook" >&2
  exit 1
fi

# Its own settings and histories; none of the machine's.
export PYTHONPATH=$site HF_HUB_OFFLINE=1
export JUPYTER_CONFIG_DIR=$work/config JUPYTER_DATA_DIR=$work/data JUPYTER_RUNTIME_DIR=$work/runtime IPYTHONDIR=$work/ipython
.notebook-venv/bin/python -m nbconvert --to html --execute --embed-images --log-level ERROR \
  --output-dir "$folder" "$notebook"
if ! grep -q 'fp16-overflow-decoder  *decoder.conv_in' "$folder/live_model.html"; then
  echo "FAILED: $folder/live_model.html does not end with what was found" >&2
  exit 1
fi
[ "$folder" = "$work" ] || echo "$folder/live_model.html"
