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

judge() { # the exit code is verify's
  "$tool" golden verify --candidate "$1" "${only[@]}" >"$1.txt" 2>&1
}

passes() {
  local name=$1
  if ! judge "$work/$name"; then
    cat "$work/$name.txt" >&2
    echo "FAILED: the port $name should pass" >&2
    exit 1
  fi
  sed -n 1,2p "$work/$name.txt"
}

fails() { # NAME PATTERN: the report has to say why
  local name=$1 pattern=$2 code=0
  judge "$work/$name" || code=$?
  if [ "$code" -ne 1 ] || ! grep -q "$pattern" "$work/$name.txt"; then
    cat "$work/$name.txt" >&2
    echo "FAILED: exit code $code; expected 1 and a line with '$pattern'" >&2
    exit 1
  fi
  echo "  $name is found: $(grep -m1 -o "$pattern" "$work/$name.txt")"
}

"$tool" golden export "$work/inputs" --format both "${only[@]}"
"$tool" golden export "$work/inputs-tiny" --format both "${tiny[@]}"

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
onnx() { scripts/python.sh -m vae_fidelity_tools.conformance.port_onnxruntime "$work/inputs" "$work/$1" "${@:2}" >"$work/$1.log"; }
onnx onnx
passes onnx
scripts/python.sh -m vae_fidelity_tools.conformance.port_onnxruntime "$work/inputs-tiny" "$work/onnx-tiny" >"$work/onnx-tiny.log"
"$tool" golden verify --candidate "$work/onnx-tiny" "${tiny[@]}" | sed -n 1,2p
# Latents that are a little off, in one case.
scripts/python.sh -c "import numpy; f = '$work/onnx-tiny/tiny-small-mode/latents.npy'; numpy.save(f, numpy.load(f) + 1e-2)"
if "$tool" golden verify --candidate "$work/onnx-tiny" "${tiny[@]}" >"$work/onnx-tiny.txt" ||
  ! grep -q 'tiny-small-mode' "$work/onnx-tiny.txt"; then
  cat "$work/onnx-tiny.txt" >&2
  echo 'FAILED: latents that are 0.01 off should not pass' >&2
  exit 1
fi
echo '  latents of AutoencoderTiny that are 0.01 off are found'
onnx onnx-truncated --fault truncated
fails onnx-truncated 'cut off on the way to u8'
onnx onnx-scaled-twice --fault scaled-twice
fails onnx-scaled-twice 'scaled twice'
