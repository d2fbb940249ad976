#!/usr/bin/env bash
# Runs the bundle: on a machine with an NVIDIA GPU everything, elsewhere what needs none. Arguments are
# names of steps ([default: all]; `--list` names them) and `--out DIR` (default: results/ beside this
# file). Ends in DIR/result.json and DIR/log.txt, whatever fails.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# The Python whose torch is linked to: PYTHON, else the first of these that has one.
for python in ${PYTHON:-python3 python}; do
  if torch=$("$python" -c 'import os, torch; print(os.path.dirname(torch.__file__))' 2>/dev/null); then
    break
  fi
  torch=
done
if [ -z "$torch" ]; then
  problem="no PyTorch in ${PYTHON:-python3 or python}"
  echo "error: $problem" >&2
  echo '  next: set PYTHON to a Python that has torch' >&2
  mkdir -p "$here/results"
  printf '{"schema_version": 1, "passed": false, "problem": "%s", "steps": []}\n' "$problem" \
    >"$here/results/result.json"
  exit 2
fi
for folder in bin golden; do
  if [ ! -e "$here/$folder" ]; then
    rm -rf "$here/.unpacking"
    "$python" -m tarfile -e "$here/$folder.tar.xz" "$here/.unpacking" 2>/dev/null &&
      mv "$here/.unpacking/$folder" "$here/$folder"
  fi
done
packages=$here/python
if [ ! -d "$packages" ]; then
  # A transformers on the machine asks for its own huggingface_hub; diffusers takes any from 1.32 to 2.
  "$python" - "$here/steps/carried.txt" >"$here/.carried" <<'PYTHON'
import importlib.metadata, sys
try:
    own = tuple(map(int, importlib.metadata.version("huggingface-hub").split(".")[:2]))
except (importlib.metadata.PackageNotFoundError, ValueError):
    own = ()
for line in open(sys.argv[1]):
    if not (line.startswith("huggingface-hub") and (1, 32) <= own < (3,)):
        print(line, end="")
PYTHON
  if ! "$python" -m pip --disable-pip-version-check install --quiet --no-index --no-deps --no-compile \
    --find-links "$here/wheels" --target "$packages.new" -r "$here/.carried"; then
    echo 'error: the packages in wheels/ are not for this Python; steps with diffusers will fail' >&2
    echo '  next: make the bundle with scripts/cuda_bundle.sh --python VERSION' >&2
  fi
  mv "$packages.new" "$packages" 2>/dev/null
fi
# CUDA's runtime lies beside torch where Python's packages brought it.
export LD_LIBRARY_PATH=${torch:+$torch/lib:$torch/../nvidia/cu13/lib}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export PYTHONPATH=$here/python${PYTHONPATH:+:$PYTHONPATH} PYTHONDONTWRITEBYTECODE=1
exec "$python" "$here/steps/run.py" "$@"
