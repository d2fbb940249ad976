"""One round trip with another implementation, for measurement.speed to time.

    scripts/python.sh -m vae_fidelity_tools.measurement.speed_peer prepare PEER MODEL SIDE CACHE
    scripts/python.sh -m vae_fidelity_tools.measurement.speed_peer run PEER MODEL SAMPLE.npy OUT.npz CACHE

`prepare` makes what a peer keeps between runs (an exported graph, compiled code); `run` loads that,
encodes and decodes once, writes latents and the decoded sample, and prints both times in seconds
as JSON. MODEL is a folder in diffusers' layout.
"""

# torch is imported where a peer needs it: it would count as the memory of those that do not.
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

THREADS = len(os.sched_getaffinity(0))


def diffusers_vae(model):
    import torch
    from diffusers import AutoencoderKL

    torch.set_num_threads(THREADS)
    torch.set_grad_enabled(False)
    return AutoencoderKL.from_pretrained(model, subfolder="vae", low_cpu_mem_usage=False).eval()


def halves(model):
    """Encode to the posterior's mean and decode, as modules of their own."""
    from vae_fidelity_tools.halves import Decode, Encode

    vae = diffusers_vae(model)
    return vae, Encode(vae, "mean").eval(), Decode(vae).eval()


def inputs(vae, side):
    import torch

    small = side // 2 ** (len(vae.config.block_out_channels) - 1)
    return torch.zeros(1, 3, side, side), torch.zeros(1, vae.config.latent_channels, small, small)


def export(model, side, cache):
    from vae_fidelity_tools.halves import export_onnx

    vae, encode, decode = halves(model)
    for name, module, example in zip(("encode", "decode"), (encode, decode), inputs(vae, side)):
        export_onnx(module, example, cache / f"{name}.onnx")


def eager(model, _):
    import torch

    _, encode, decode = halves(model)
    return (lambda x: encode(torch.from_numpy(x)).numpy()), (lambda x: decode(torch.from_numpy(x)).numpy())


def compiled(model, cache):
    import torch

    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache / "inductor")
    import torch._inductor.config

    torch._inductor.config.freezing = True
    _, encode, decode = halves(model)
    encode, decode = torch.compile(encode), torch.compile(decode)
    return (lambda x: encode(torch.from_numpy(x)).numpy()), (lambda x: decode(torch.from_numpy(x)).numpy())


def onnxruntime(_, cache):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.log_severity_level = 3
    sessions = [
        ort.InferenceSession(str(cache / f"{name}.onnx"), options, providers=["CPUExecutionProvider"])
        for name in ("encode", "decode")
    ]
    return [lambda x, session=session: session.run(None, {"input": x})[0] for session in sessions]


def openvino(_, cache):
    import openvino as ov

    core = ov.Core()
    core.set_property("CPU", {"INFERENCE_NUM_THREADS": THREADS, "INFERENCE_PRECISION_HINT": "f32"})
    models = [core.compile_model(str(cache / f"{name}.onnx"), "CPU") for name in ("encode", "decode")]
    return [lambda x, model=model: model(x)[0] for model in models]


PEERS = {"diffusers": eager, "torch.compile": compiled, "onnxruntime": onnxruntime, "openvino": openvino}


def prepare(peer, model, side, cache):
    cache.mkdir(parents=True, exist_ok=True)
    if peer in ("onnxruntime", "openvino") and not (cache / "decode.onnx").exists():
        export(model, side, cache)
    if peer == "torch.compile":
        encode, decode = compiled(model, cache)
        decode(encode(np.zeros((1, 3, side, side), np.float32)))


def run(peer, model, sample, out, cache):
    sample = np.load(sample)
    encode, decode = PEERS[peer](model, cache)
    if peer == "torch.compile":
        # Its compiled code comes from the cache, at the first call of each: not timed as such.
        decode(encode(np.zeros_like(sample)))
    started = time.perf_counter()
    latents = encode(sample)
    between = time.perf_counter()
    decoded = decode(latents)
    done = time.perf_counter()
    np.savez(out, latents=latents, decoded=decoded)
    print(json.dumps({"encode_s": between - started, "decode_s": done - between}))


def main():
    verb, peer, model = sys.argv[1:4]
    if verb == "prepare":
        prepare(peer, Path(model), int(sys.argv[4]), Path(sys.argv[5]))
    else:
        run(peer, Path(model), sys.argv[4], sys.argv[5], Path(sys.argv[6]))


if __name__ == "__main__":
    main()
