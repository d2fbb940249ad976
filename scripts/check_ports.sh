#!/usr/bin/env bash
# Ports in other languages, judged by the goldens: they export, compute and are verified, and a fault
# planted in each has to be found and named. C++ by a compiler alone, Python with ONNX Runtime.
#
#   scripts/check_ports.sh [path/to/vae-fidelity]
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ $# -gt 0 ]; then
  tool=$1
else
  tool=$(python3 scripts/vae_fidelity_tools/checkout.py executables \
    build --quiet --locked --bin vae-fidelity)
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Each kind of graph and posterior, at sizes that take seconds.
only=(--only sd-small --only flux1-small --only cogview-small --only posterior-clamps --only act-gelu
  --only five-blocks --only builtin-tall --only builtin-small)
tiny=(--only tiny-small --only tiny-uneven --only tiny-gelu)
# Classes with another rule of scaling.
flux2=(--only flux2-small)
clips=(--only qwen-image-small --only wan2.2-small)

judge() { # the exit code is verify's; arguments after the folder say which cases
  local folder=$1
  shift
  if [ $# = 0 ]; then set -- "${only[@]}"; fi
  "$tool" golden verify --candidate "$folder" "$@" >"$folder.txt" 2>&1
}

passes() { # NAME [ONLY...]
  local name=$1
  if ! judge "$work/$name" "${@:2}"; then
    cat "$work/$name.txt" >&2
    echo "FAILED: the port $name should pass" >&2
    exit 1
  fi
  sed -n 1,2p "$work/$name.txt"
}

fails() { # NAME PATTERN [ONLY...]: the report has to say why
  local name=$1 pattern=$2 code=0
  judge "$work/$name" "${@:3}" || code=$?
  if [ "$code" -ne 1 ] || ! grep -q "$pattern" "$work/$name.txt"; then
    cat "$work/$name.txt" >&2
    echo "FAILED: exit code $code; expected 1 and a line with '$pattern'" >&2
    exit 1
  fi
  echo "  $name is found: $(grep -m1 -o "$pattern" "$work/$name.txt")"
}

"$tool" golden export "$work/inputs" --format both "${only[@]}"

echo 'C++'
c++ -std=c++17 -O3 -o "$work/port" examples/cpp/autoencoder_kl.cpp
cpp() { "$work/port" "$work/inputs" "$work/$1" "${@:2}" >"$work/$1.log"; }
cpp cpp
passes cpp
cpp cpp-padding symmetric-padding
fails cpp-padding 'first diverging module encoder.down_blocks.0.downsamplers.0.conv'
cpp cpp-attention no-attention-scale
fails cpp-attention 'first diverging module decoder.mid_block.attentions.0.to_out.0'
cpp cpp-clamp no-clamp
fails cpp-clamp 'without a clamp'

echo 'Python with ONNX Runtime'
onnx() { # NAME INPUTS [FAULT]
  scripts/python.sh -m vae_fidelity_tools.conformance.port_onnxruntime "$work/$2" "$work/$1" "${@:3}" >"$work/$1.log"
}
onnx onnx inputs
passes onnx
onnx onnx-truncated inputs --fault truncated
fails onnx-truncated 'cut off on the way to u8'
onnx onnx-scaled-twice inputs --fault scaled-twice
fails onnx-scaled-twice 'scaled twice'

"$tool" golden export "$work/inputs-tiny" --format both "${tiny[@]}"
onnx onnx-tiny inputs-tiny
passes onnx-tiny "${tiny[@]}"
# Latents that are a little off, in one case.
scripts/python.sh -c "import numpy; f = '$work/onnx-tiny/tiny-small-mode/latents.npy'; numpy.save(f, numpy.load(f) + 1e-2)"
fails onnx-tiny 'FAILED tiny-small-mode / latents' "${tiny[@]}"

"$tool" golden export "$work/inputs-flux2" --format both "${flux2[@]}"
onnx onnx-flux2 inputs-flux2
passes onnx-flux2 "${flux2[@]}"
onnx onnx-patch-order inputs-flux2 --fault patch-order
fails onnx-patch-order 'packed as (ph, pw, c)' "${flux2[@]}"

"$tool" golden export "$work/inputs-clips" --format both "${clips[@]}"
onnx onnx-clips inputs-clips
passes onnx-clips "${clips[@]}"
onnx onnx-no-statistics inputs-clips --fault no-statistics
fails onnx-no-statistics 'latents_mean and latents_std were left out' "${clips[@]}"
