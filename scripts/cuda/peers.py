"""diffusers on one device: eager, channels-last and torch.compile, timed as the benches time this crate.

Inputs and outputs stay on the device, every timed region ends with a synchronisation, figures are
medians in ms. Each row also has the PSNR of its decoded sample to the same model in f32 (without
TF32), and the peak of torch's allocator. The last line of stdout is JSON; rows are written to stderr
as they come.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from diffusers.utils import logging

from vae_fidelity_tools.goldens.recipe import repository

logging.set_verbosity_error()
ROUNDS = 15
DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


def median_ms(run, device, rounds=ROUNDS):
    for _ in range(3):
        run()
    synchronize(device)
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        run()
        synchronize(device)
        times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times)


def picture(side, device, dtype):
    """The benches' gradient, (1, 3, side, side) in [-1, 1]."""
    c, y, x = torch.meshgrid(torch.arange(3.0), torch.arange(float(side)), torch.arange(float(side)), indexing="ij")
    ramp = (x * (c + 1) + y) / (side * (c + 2))
    return (((ramp * 2 - 1) * 0.8 + 0.2 * ((x * y + c) * 0.05).sin())[None]).to(device, dtype)


def psnr_db(found, expected):
    """Of samples in [-1, 1] as the picture has them, clamped; None where they are equal, NaN where one is NaN."""
    found, expected = (tensor.float().clamp(-1, 1) for tensor in (found, expected))
    if torch.equal(found, expected):
        return None
    return float(10 * torch.log10(4 / (found - expected).square().mean().double()))


def halves(vae, how):
    """Encode and decode; of compiled ones the decoder alone, as torch.compile makes it by default: it takes half a minute."""
    encode, decode = (lambda x: vae.encode(x).latent_dist.mode()), (lambda z: vae.decode(z).sample)
    return encode, torch.compile(decode) if how == "compiled" else decode


def rows(folder, model, how, dtype, args):
    vae = AutoencoderKL.from_pretrained(folder, subfolder="vae", torch_dtype=dtype).to(args.device).eval()
    if how != "eager":
        vae = vae.to(memory_format=torch.channels_last)
    encode, decode = halves(vae, how)
    for side in args.sides:
        sample = picture(side, args.device, dtype)
        if how != "eager":
            sample = sample.contiguous(memory_format=torch.channels_last)
        if args.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        latents = encode(sample)
        decoded = decode(latents)
        synchronize(args.device)
        row = {"model": model, "how": how, "dtype": str(dtype).removeprefix("torch."), "side": side,
               "first_call_s": round(time.perf_counter() - started, 2)}  # fmt: skip
        row["decode_ms"] = median_ms(lambda: decode(latents), args.device)
        if how != "compiled":
            row["encode_ms"] = median_ms(lambda: encode(sample), args.device)
            row["round_trip_ms"] = median_ms(lambda: decode(encode(sample)), args.device)
        if args.device == "cuda":
            row["peak_bytes"] = torch.cuda.max_memory_allocated()
        row["psnr_to_f32_db"] = psnr_db(decoded, args.expected(folder, side))
        print(json.dumps(row), file=sys.stderr, flush=True)
        yield row


def expected_of(args):
    """What the model decodes in f32, without TF32: made once a model and side."""
    known = {}

    def expected(folder, side):
        if (folder, side) not in known:
            tf32 = torch.backends.cudnn.allow_tf32
            torch.backends.cudnn.allow_tf32 = False
            vae = AutoencoderKL.from_pretrained(folder, subfolder="vae").to(args.device).eval()
            known[folder, side] = vae.decode(vae.encode(picture(side, args.device, torch.float32)).latent_dist.mode()).sample
            torch.backends.cudnn.allow_tf32 = tf32
        return known[folder, side]

    return expected


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--golden", type=Path, required=True)
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--device", default="cuda", choices=("cpu", "cuda"))
    parser.add_argument("--sides", type=int, nargs="+")
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, help="[default: f16 on CUDA, f32 on the CPU]")
    parser.add_argument("--compiled", action="store_true", help="torch.compile, and nothing else")
    args = parser.parse_args()
    on_gpu = args.device == "cuda"
    args.sides = args.sides or ([512, 1024] if args.compiled else [256, 512, 1024] if on_gpu else [64])
    args.dtypes = args.dtypes or (["f16"] if on_gpu else ["f32"])
    args.expected = expected_of(args)
    ways = ("compiled",) if args.compiled else ("eager", "channels_last")
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        for model in args.models:
            folder = str(repository(args.golden / "models" / model, temporary))
            for how in ways:
                for dtype in map(DTYPES.get, args.dtypes):
                    found += rows(folder, model, how, dtype, args)
    print(json.dumps({"rows": found}))


if __name__ == "__main__":
    main()
