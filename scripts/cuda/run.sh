#!/usr/bin/env bash
# Runs the bundle: on a machine with an NVIDIA GPU everything, elsewhere what needs none. Arguments are
# names of steps ([default: all]; `--list` names them) and `--out DIR` (default: results/ beside this
# file); `--help` has the rest. Ends in DIR/result.json and DIR/log.txt, whatever fails.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

out=$here/results
before=
for argument; do
  case $argument in
    -h | --help) exec python3 "$here/steps/run.py" --help ;;
    --out=*) out=${argument#--out=} ;;
  esac
  [ "$before" != --out ] || out=$argument
  before=$argument
done

# Nothing can be run: says so, in result.json and the log too, with what a program said ($3). An earlier
# result stays, under another name.
give_up() {
  echo "error: $1" >&2
  [ -z "$3" ] || tail -n 1 <<<"$3" | sed 's/^/  /' >&2
  echo "  next: $2" >&2
  if mkdir -p "$out"; then
    local file
    for file in result.json log.txt; do
      [ ! -f "$out/$file" ] || mv "$out/$file" "$out/${file%.*}-$(date -u -r "$out/$file" +%Y%m%dT%H%M%SZ).${file##*.}"
    done
    printf 'error: %s\n%s\n' "$1" "$3" >"$out/log.txt"
    local quoted=${1//\\/\\\\}
    printf '{"schema_version": 1, "passed": false, "problem": "%s", "steps": []}\n' "${quoted//\"/\\\"}" \
      >"$out/result.json"
  fi
  exit 2
}

# The Python whose torch is linked to: PYTHON, else the first of these that has one.
candidates=(python3 python)
[ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
torch=
said=
for python in "${candidates[@]}"; do
  if found=$("$python" -c 'import os, torch; print(os.path.dirname(torch.__file__))' 2>&1); then
    torch=$(tail -n 1 <<<"$found") # warnings come before it
    break
  fi
  said=${said:-$found}
done
[ -n "$torch" ] ||
  give_up "no PyTorch in ${PYTHON:-python3 or python} that can be imported" 'set PYTHON to a Python that has torch' "$said"
for folder in bin golden; do
  [ ! -e "$here/$folder" ] || continue
  rm -rf "$here/.unpacking"
  said=$({ "$python" -m tarfile -e "$here/$folder.tar.xz" "$here/.unpacking" &&
    mv "$here/.unpacking/$folder" "$here/$folder"; } 2>&1) ||
    give_up "$here/$folder.tar.xz could not be unpacked there" \
      'copy the bundle again, to a folder that can be written to, on a disk with 300 MB free' "$said"
  rm -rf "$here/.unpacking"
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
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "error: the packages in wheels/ are not for Python $version; steps with diffusers will fail" >&2
    echo "  next: make the bundle with scripts/cuda_bundle.sh --python $version" >&2
    rm -rf "$packages.new"
  else
    mv "$packages.new" "$packages"
  fi
fi
# CUDA's runtime lies beside torch where Python's packages brought it.
export LD_LIBRARY_PATH=${torch:+$torch/lib:$torch/../nvidia/cu13/lib}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export PYTHONPATH=$here/python${PYTHONPATH:+:$PYTHONPATH} PYTHONDONTWRITEBYTECODE=1
exec "$python" "$here/steps/run.py" "$@"
