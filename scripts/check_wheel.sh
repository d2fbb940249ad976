#!/usr/bin/env bash
# The Python package as its users have it: installed into an empty environment, and beside torch and
# diffusers; its types, its examples, its generated classes.
#
#   scripts/check_wheel.sh TARGET_DIRECTORY [WHEEL [ARGUMENT ...]]
#
# Without WHEEL, builds one for this machine, and leaves out tests that are marked as slow; the arguments go to
# pytest, beside torch.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(realpath -m "$1")/wheel
wheel=${2:-}
mkdir -p "$work"
chosen=("${@:3}")
if [ -z "$wheel" ]; then
  chosen=(-m 'not slow')
  scripts/wheel.sh --own "$work"
  wheel=$(echo "$work"/vae_fidelity-*.whl)
fi
# Tests run beside each other, and torch's threads that wait would keep the processor from them.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
pip=(-m pip --disable-pip-version-check install --quiet)
package=crates/python

(cd scripts && ../.venv/bin/python -m vae_fidelity_tools.wheel.reports --check)
held=$(python3 -m zipfile --list "$wheel")
for licence in LICENSE-MIT LICENSE-APACHE THIRD-PARTY-LICENSES.txt; do
  if [[ $held != *licenses/$licence* ]]; then
    echo "FAILED: $wheel does not hold $licence" >&2
    exit 1
  fi
done

# From the file of a wheel to the first verdict, as somebody has it who has neither torch nor Rust.
rm -rf "$work/empty" && python3 -m venv "$work/empty"
"$work/empty/bin/python" "${pip[@]}" "$wheel"
"$work/empty/bin/vae-fidelity" check golden/images/astronaut.png --out "$work/decoded.png" --min-psnr 27
"$work/empty/bin/python" "${pip[@]}" "$(grep '^pytest==' scripts/requirements.txt)"
pytest=(-m pytest --quiet --no-header -p no:cacheprovider)
"$work/empty/bin/python" "${pytest[@]}" "$package/tests/test_api.py"
"$work/empty/bin/python" "${pytest[@]}" --doctest-modules --pyargs vae_fidelity
"$work/empty/bin/python" "${pip[@]}" --requirement scripts/requirements_daft.txt
"$work/empty/bin/python" "${pytest[@]}" "$package/tests/test_daft.py"

# Beside torch, diffusers and Pillow; on two cores, since what is small leaves torch's threads idle.
rm -rf "$work/site"
.venv/bin/python "${pip[@]}" --no-deps --target "$work/site" "$wheel"
PYTHONPATH=$work/site .venv/bin/python "${pytest[@]}" --numprocesses 2 --durations 20 "${chosen[@]}" \
  "$package"/tests/test_{torch,readings,live,live_behaviour,compare_models}.py
# Which starts processes of its own.
PYTHONPATH=$work/site .venv/bin/python "${pytest[@]}" "$package/tests/test_ray.py"

# The nodes for ComfyUI, without ComfyUI; scripts has the names that its VAEs have.
PYTHONPATH=$work/site:scripts .venv/bin/python "${pytest[@]}" integrations/comfyui/tests

# Types: of the package, and whether the extension is what its stub says.
MYPYPATH=$work/site .venv/bin/mypy --strict --no-error-summary --cache-dir "$work/mypy" \
  --follow-untyped-imports "$package/python/vae_fidelity"
PYTHONPATH=$work/site MYPYPATH=$work/site .venv/bin/python -m mypy.stubtest vae_fidelity._native \
  --ignore-disjoint-bases
