#!/usr/bin/env bash
# Makes a folder that runs on a machine with an NVIDIA GPU and PyTorch, without Rust and without a
# network: the command, its benches and its CUDA tests, linked to that PyTorch's libtorch, goldens, and
# the Python packages that the comparison with the gist needs. No GPU is needed here.
#
#   scripts/cuda_bundle.sh --gist debug_diffusion_vae.py [--out DIR] [--python 3.12 ...]
#
# Then copy DIR [default: target/cuda-bundle] to that machine, and run ./run.sh in it.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# The PyTorch of the GPU machine; torch-sys is 0.(its minor version + 13).
torch=2.11.0
torch_sys=0.24.0
limit=60000000

gist=
out=$root/target/cuda-bundle
pythons=()
while [ $# -gt 0 ]; do
  case $1 in
    --gist | --out | --python)
      if [ $# -lt 2 ]; then
        echo "error: $1 needs a value" >&2
        exit 2
      fi
      case $1 in
        --gist) gist=$(realpath "$2") ;;
        --out) out=$(realpath -m "$2") ;;
        --python) pythons+=("$2") ;;
      esac
      shift 2
      ;;
    *)
      echo "error: $1: not an option of this script" >&2
      echo '  next: scripts/cuda_bundle.sh --gist PATH [--out DIR] [--python 3.12 ...]' >&2
      exit 2
      ;;
  esac
done
if [ ! -f "$gist" ]; then
  echo "error: ${gist:---gist}: the gist's path is needed (debug_diffusion_vae.py)" >&2
  exit 2
fi
# It is emptied below.
if [ -e "$out" ] && [ ! -d "$out/steps" ] && ! rmdir "$out" 2>/dev/null; then
  echo "error: $out: there already, and no bundle" >&2
  echo '  next: --out DIR, a folder that need not exist' >&2
  exit 2
fi
cd "$root"

# 1. PyTorch as the GPU machine has it, and what it is compared with.
venv=$root/.cuda-venv
wanted=$(sha256sum scripts/cuda/requirements.txt | cut -d' ' -f1)
if [ "$(cat "$venv/requirements.sha256" 2>/dev/null)" != "$wanted" ]; then
  echo "Setting up $venv (PyTorch $torch for CUDA): 5 GB, and some minutes the first time" >&2
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip --disable-pip-version-check install --quiet -r scripts/cuda/requirements.txt
  echo "$wanted" >"$venv/requirements.sha256"
fi
libtorch=$("$venv/bin/python" -c 'import os, torch; print(os.path.dirname(torch.__file__))')

"$venv/bin/python" scripts/cuda/check_kernels.py

# 2. The sources, with the tch that is made for that libtorch.
work=$root/target/cuda-work
rm -rf "$work/source"
mkdir -p "$work/source"
# With their times, so that cargo builds anew only what changed.
git ls-files -z --cached --others --exclude-standard -- \
  Cargo.toml Cargo.lock build.rs build src crates tests benches golden examples .cargo README.md |
  tar --null --files-from=- --create | tar --extract --directory "$work/source"
sed -i "s/^\(tch = \"=\)[^\"]*/\1$torch_sys/; s/^\(torch-sys = \"=\)[^\"]*/\1$torch_sys/" \
  "$work/source/Cargo.toml"
touch -r Cargo.toml "$work/source/Cargo.toml"
# As `cargo package` notes it: what --version says on the machine with the GPU.
printf '{"git":{"sha1":"%s"}}\n' "$(git rev-parse HEAD)" >"$work/source/.cargo_vcs_info.json"
cd "$work/source"
cargo update --quiet --precise "$torch_sys" torch-sys
cargo update --quiet --precise "$torch_sys" tch

# 3. Binaries. This crate in several pieces: nothing here is timed on the CPU.
export LIBTORCH=$libtorch CARGO_TARGET_DIR=$work/target CARGO_PROFILE_RELEASE_STRIP=symbols
built=$( # lines of name and path
  python3 "$root/scripts/vae_fidelity_tools/checkout.py" executables --named \
    build --release --locked --features tch --bin vae-fidelity --bench autoencoder_kl --test cuda \
    --config 'profile.release.package.vae-fidelity.codegen-units=16' \
    --config 'profile.release.package.vae-fidelity.opt-level=2'
)

# 4. The folder.
cd "$root"
rm -rf "$out"
mkdir -p "$out/bin" "$out/steps" "$out/wheels"
for name in vae-fidelity autoencoder_kl cuda; do
  binary=$(awk -v name="$name" '$1 == name {print $2}' <<<"$built" | tail -n 1)
  cp "$binary" "$out/bin/$name"
done
cp scripts/cuda/run.sh "$out/run.sh"
cp scripts/cuda/*.py scripts/cuda/carried.txt "$out/steps/"
tools=scripts/vae_fidelity_tools
mkdir -p "$out/steps/vae_fidelity_tools/goldens"
cp "$tools/__init__.py" "$tools/checkout.py" "$tools/arguments.py" "$out/steps/vae_fidelity_tools/"
cp "$tools"/goldens/*.py "$out/steps/vae_fidelity_tools/goldens/"
echo "$torch" >"$out/steps/torch_version.txt"
cp "$gist" "$out/debug_diffusion_vae.py"
cp -r golden "$out/golden"
[ ${#pythons[@]} -gt 0 ] || pythons=(3.12)
for python in "${pythons[@]}"; do
  "$venv/bin/python" -m pip --disable-pip-version-check download --quiet --no-deps --only-binary=:all: \
    --python-version "$python" --implementation cp --abi "cp${python/./}" --abi abi3 --abi none \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
    --dest "$out/wheels" -r scripts/cuda/carried.txt
done
"$venv/bin/python" scripts/cuda/check_bundle.py "$out" --libtorch "$libtorch"
# run.sh unpacks them: as they are they would take 60 MB.
for folder in bin golden; do
  tar --create --xz --file "$out/$folder.tar.xz" --directory "$out" "$folder"
  rm -r "${out:?}/$folder"
done
size=$(du -sb "$out" | cut -f1)
echo "$out: $size bytes, at most $limit"
[ "$size" -le "$limit" ]
