#!/usr/bin/env python3
"""Trains the small AutoencoderKL that the command-line tool carries inside itself.

Why: the tool must show a real VAE at work (encode, posterior, decode) without any download, so
the repository holds one that is small enough to embed (float16, below 4.8 MB) and still gives back
pictures that look like what went in. Everything needed to make it again is here: the photographs come
from Debian packages (training_set.py), the model is diffusers' own class, and training fits two CPU
cores and about an hour and a half.

The learning rate follows the clock (--minutes), not a step count, so that a busy machine trains
less but always ends its schedule.  A run that was cut off goes on from its checkpoint; a new run
starts from random weights, or from stored ones (--from).  Quality is measured on photographs that
scikit-image and scikit-learn ship, which are never trained on.
"""

import math
import multiprocessing
import os
import random
import shutil
import sys
import time
from pathlib import Path

from vae_fidelity_tools import arguments
from vae_fidelity_tools.checkout import MODELS, program
from vae_fidelity_tools.training.training_set import CACHE, fetch_packages, held_out, load_training_set

# glibc hands freed memory back to the kernel and asks for it again at every step; keeping it makes
# a step about 1.5 times faster.  The variables only count when the process starts, hence the exec.
if __name__ == "__main__" and "MALLOC_TOP_PAD_" not in os.environ:
    os.environ.update(MALLOC_MMAP_THRESHOLD_="4294967296", MALLOC_TRIM_THRESHOLD_="17179869184", MALLOC_TOP_PAD_="268435456")
    os.execv(sys.executable, [*program("training.builtin"), *sys.argv[1:]])

import numpy as np
import torch
import torch.distributed as dist

BUILTIN = MODELS / "builtin"
CONFIG = {
    "in_channels": 3, "out_channels": 3, "latent_channels": 16, "sample_size": 256, "norm_num_groups": 8,
    "block_out_channels": (16, 32, 64, 112), "layers_per_block": 1, "act_fn": "silu",
    "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
    "force_upcast": False,
}  # fmt: skip


def to_model(arrays):
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 127.5 - 1


def hue_and_saturation(rng, n):
    """n random colour matrices: a turn around the grey axis, a saturation, a contrast."""
    grey = torch.full((3, 3), 1 / 3)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    out = []
    for _ in range(n):
        turn = rng.uniform(-math.pi, math.pi) if rng.random() < 0.25 else rng.gauss(0, 0.08)
        chroma = math.exp(rng.gauss(0.2, 0.4))
        plane = math.cos(turn) * (torch.eye(3) - grey) + math.sin(turn) * cross
        out.append((grey + chroma * plane) * math.exp(rng.gauss(0, 0.1)))
    return torch.stack(out)


def sample_batch(rng, pictures, cumulative, progress):
    """Random crops, half of them the busier of two; first small ones, later more large ones."""
    size, count = (64, 8) if rng.random() > 0.05 + 0.6 * progress else (128, 2)
    if size == 128 and rng.random() < 0.2:
        size, count = 192, 1
    crops = []
    while len(crops) < count:
        scales = rng.choices(pictures, cum_weights=cumulative)[0]
        scales = [(w, a) for w, a in scales if min(a.shape[:2]) >= size]
        if not scales:
            continue
        array = rng.choices([a for _, a in scales], [w for w, _ in scales])[0]
        tries = []
        for _ in range(rng.choice((1, 2))):
            y, x = (rng.randrange(n - size + 1) for n in array.shape[:2])
            tries.append(array[y : y + size, x : x + size])
        crop = max(tries, key=lambda c: np.abs(np.diff(c[::2, :, 1].astype(np.int16))).mean())
        crops.append(crop[:, ::-1] if rng.random() < 0.5 else crop)
    batch = to_model(crops)
    batch = torch.einsum("nij,njhw->nihw", hue_and_saturation(rng, count), batch)
    return batch.clamp(-1, 1)


def new_model(start=None):
    from diffusers import AutoencoderKL

    if start:
        from safetensors.torch import load_file

        model = AutoencoderKL.from_config(AutoencoderKL.load_config(start / "vae"))
        stored = load_file(start / "vae" / "diffusion_pytorch_model.safetensors")
        model.load_state_dict({k: v.float() for k, v in stored.items()})
        return model
    model = AutoencoderKL(**CONFIG)
    for name, parameter in model.named_parameters():
        if name.endswith(("conv2.weight", "to_out.0.weight")):
            torch.nn.init.zeros_(parameter)  # every residual branch starts at nothing
    return model


def loss_of(model, batch):
    posterior = model.encode(batch).latent_dist
    output = model.decode(posterior.sample()).sample
    error = output - batch
    colour = error - error.mean(1, keepdim=True)  # counted extra, or reds and greens come out alike
    kl = posterior.kl().sum() / posterior.mean.numel()
    return 0.2 * error.abs().mean() + 4 * error.square().mean() + 8 * colour.square().mean() + 1e-4 * kl


@torch.no_grad()
def psnr(model, pictures):
    """PSNR in dB of the round trip through the posterior's mode, both sides as 8-bit pictures."""
    values = {}
    for name, array in pictures.items():
        output = model.decode(model.encode(to_model([array])).latent_dist.mode()).sample[0]
        output = ((output.clamp(-1, 1) + 1) * 127.5).round().permute(1, 2, 0).numpy()
        values[name] = 10 * math.log10(255**2 / np.square(output - array).mean())
    return values


@torch.no_grad()
def latent_statistics(model, pictures, count):
    """Standard deviation of the latents over `count` training pictures, and their logvar range."""
    squares = [a for scales in pictures for _, a in scales if min(a.shape[:2]) == 256]
    means, logvars = [], []
    for array in random.Random(0).sample(squares, min(count, len(squares))):
        y, x = ((n - 256) // 2 for n in array.shape[:2])
        posterior = model.encode(to_model([array[y : y + 256, x : x + 256]])).latent_dist
        means.append(posterior.mean)
        logvars.append(posterior.logvar)
    logvars = torch.cat(logvars)
    return torch.cat(means).std().item(), logvars.min().item(), logvars.max().item()


class Optimizer:
    """Muon (orthogonalised momentum) for the weight matrices and kernels, Adam for the rest."""

    def __init__(self, model):
        self.matrices = [p for n, p in model.named_parameters() if p.ndim > 1 and is_hidden(n)]
        others = [p for n, p in model.named_parameters() if p.ndim == 1 or not is_hidden(n)]
        self.adam = torch.optim.Adam(others, betas=(0.9, 0.98), foreach=True)
        self.momenta = [torch.zeros_like(p) for p in self.matrices]

    @torch.no_grad()
    def step(self, scale):
        self.adam.param_groups[0]["lr"] = 2e-3 * scale
        self.adam.step()
        groups = {}
        for parameter, momentum in zip(self.matrices, self.momenta):
            momentum.lerp_(parameter.grad, 0.05)
            update = parameter.grad.lerp(momentum, 0.95).flatten(1)
            groups.setdefault(update.shape, []).append((parameter, update))
        for (rows, columns), members in groups.items():
            updates = orthogonalise(torch.stack([u for _, u in members]))
            size = 0.02 * scale * math.sqrt(max(1, rows / columns))
            for (parameter, _), update in zip(members, updates):
                parameter.sub_(size * update.view_as(parameter))


def is_hidden(name):
    return not name.startswith(("encoder.conv_in", "decoder.conv_out"))


def orthogonalise(x):
    """Newton-Schulz iteration: brings all singular values of each matrix near 1."""
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(4):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.775 * gram + 2.0315 * gram @ gram) @ x
    return x.mT if tall else x


def export(ema, pictures, options, last):
    """Measure the averaged weights as float16 and put them into the output folder; return the PSNR."""
    model = new_model(options.start)
    model.load_state_dict({k: v.half().float() for k, v in ema.items()})
    model.eval()
    values = psnr(model, held_out())
    std, low, high = latent_statistics(model, pictures, 150 if last else 24)
    print(
        f"held-out PSNR {mean(values):.2f} dB",
        {k: round(v, 2) for k, v in values.items()},
        f"latent std {std:.3f}, logvar {low:.1f} to {high:.1f}",
        flush=True,
    )
    model.register_to_config(scaling_factor=float(f"{1 / std:.5g}"))
    fresh, final = CACHE / "export", options.out / "vae"
    model.half().save_pretrained(fresh)
    final.mkdir(parents=True, exist_ok=True)
    for name in ("diffusion_pytorch_model.safetensors", "config.json"):
        shutil.copyfile(fresh / name, final / f".{name}")
        os.replace(final / f".{name}", final / name)
    return mean(values)


def mean(values):
    return sum(values.values()) / len(values)


def train(rank, options, pictures, chances):
    """One of two workers: each takes its own crops, the gradients are averaged."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{CACHE}/rendezvous", rank=rank, world_size=options.workers)
    torch.manual_seed(options.seed)
    model = new_model(options.start)
    optimizer, step, before = Optimizer(model), 0, 0.0
    ema = {k: v.detach().clone() for k, v in model.state_dict().items()}
    checkpoint = CACHE / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        model.load_state_dict(saved["model"])
        optimizer.adam.load_state_dict(saved["adam"])
        optimizer.momenta, ema = saved["momenta"], saved["ema"]
        step, before = saved["step"], saved["elapsed"]
    rng = random.Random(f"{options.seed} {rank} {step}")
    torch.manual_seed(hash((options.seed, rank, step)))
    cumulative = np.cumsum(chances).tolist()
    parameters = list(model.parameters())
    start = spoken = saved_at = time.monotonic()
    fraction, losses, quality = before / (60 * options.minutes), [], "not yet measured"
    exported_at = before

    while fraction < 1:
        loss = loss_of(model, sample_batch(rng, pictures, cumulative, fraction))
        model.zero_grad()
        loss.backward()
        now = time.monotonic()
        elapsed = before + now - start
        # One message holds the gradients, the loss, and the first worker's clock, which all follow.
        clock = elapsed / (60 * options.minutes) * options.workers if rank == 0 else 0.0
        parts = [p.grad.flatten() for p in parameters] + [torch.tensor([loss.item(), clock])]
        message = torch.cat(parts)
        dist.all_reduce(message)
        message /= options.workers
        losses.append(message[-2].item())
        fraction = message[-1].item()
        message[:-2] *= min(1.0, 1.0 / message[:-2].norm().item())
        place = 0
        for p in parameters:
            p.grad.copy_(message[place : place + p.numel()].view_as(p))
            place += p.numel()
        optimizer.step(min(1.0, (step + 1) / 60) * options.rate * max(0.0, 1 - fraction))
        step += 1
        if rank:
            continue
        weight = max(0.005, 10 / (step + 10))
        for k, v in model.state_dict().items():
            ema[k].lerp_(v, weight)
        if now - spoken > 30:
            spoken = now
            print(
                f"step {step}  loss {np.mean(losses[-100:]):.4f}  held-out {quality}  "
                f"{len(losses) / (now - start):.2f} steps/s  "
                f"{options.minutes - elapsed / 60:.1f} min left",
                flush=True,
            )
        if now - saved_at > 120:
            saved_at = now
            torch.save(
                {
                    "model": model.state_dict(),
                    "adam": optimizer.adam.state_dict(),
                    "momenta": optimizer.momenta,
                    "ema": ema,
                    "step": step,
                    "elapsed": elapsed,
                },
                CACHE / "checkpoint.new",
            )
            os.replace(CACHE / "checkpoint.new", checkpoint)
        if elapsed - exported_at > 60 * options.export_every:
            exported_at = elapsed
            quality = f"{export(ema, pictures, options, last=False):.2f} dB"
    if rank == 0:
        export(ema, pictures, options, last=True)
        print(f"finished: {step} steps, seed {options.seed}", flush=True)
        checkpoint.unlink(missing_ok=True)
    dist.barrier()


def main():
    parse = arguments.parser(__doc__)
    parse.add_argument("--minutes", type=float, default=80, help="length of the schedule (default %(default)s)")
    parse.add_argument(
        "--from", dest="start", type=Path, metavar="FOLDER", help="start from the model in FOLDER/vae instead of random weights"
    )
    parse.add_argument(
        "--out",
        type=Path,
        default=BUILTIN,
        metavar="FOLDER",
        help="write the weights to FOLDER/vae (default golden/models/builtin)",
    )
    parse.add_argument("--rate", type=float, default=0.4, help="factor on the learning rates (default %(default)s)")
    parse.add_argument("--workers", type=int, default=2, help="training processes, one core each (default %(default)s)")
    parse.add_argument(
        "--export-every",
        type=float,
        default=10,
        metavar="MINUTES",
        help="write the weights and measure them this often (default %(default)s)",
    )
    parse.add_argument("--seed", type=int, default=1, help="(default %(default)s)")
    parse.add_argument("--restart", action="store_true", help="drop the checkpoint of a run cut off")
    options = parse.parse_args()
    print("packages:", fetch_packages(), flush=True)
    if options.restart:
        (CACHE / "checkpoint.pt").unlink(missing_ok=True)
    (CACHE / "rendezvous").unlink(missing_ok=True)
    pictures, chances = load_training_set()
    fork = multiprocessing.get_context("fork")  # the workers share the loaded pictures
    workers = [fork.Process(target=train, args=(r, options, pictures, chances)) for r in range(options.workers)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    sys.exit(max(abs(worker.exitcode) for worker in workers))


if __name__ == "__main__":
    main()
