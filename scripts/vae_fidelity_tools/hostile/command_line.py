"""Hostile command lines, drawn at random: what may be named, the flags, and values for them."""

from vae_fidelity_tools.hostile.folder import EARLIER, ESCAPES

INPUTS = [
    "photo.png",
    "photo.png",
    "photo.png",
    "other.png",
    ESCAPES + ".png",
    "with space.png",
    b"\xff\xfe.png",
    "./-dash.png",
    "exif_rotated.jpg",
    "progressive_420.jpg",
    "broken.png",
    "empty.png",
    "text.png",
    "sparse.ppm",
    "garbage.safetensors",
    "garbage.npy",
    "latents.npy",
    "garbage.json",
    "deep.json",
    "model",
    "pictures",
    "empty",
    "pipe",
    "socket",
    "loop",
    "link.png",
    "twin.png",
    "dangling",
    "gone.png",
    "/dev/zero",
    "/dev/null",
    "/dev/full",
    "/proc/kmsg",
    "/proc/kcore",
    "/proc/self/mem",
    "-",
    "",
    ".",
    "..",
    "/",
    "a" * 300,
    "a/" * 3000,
    "model/vae/config.json",
]
SOURCES = [
    "model",
    "model",
    "model",
    "builtin",
    "wide",
    "strange",
    "nan",
    "shards",
    "empty",
    "model/vae",
    "gone",
    "garbage.safetensors",
    "photo.png",
    "pipe",
    "/dev/zero",
    "/proc/kmsg",
    "a/b",
    "https://x/y",
    "",
    "socket",
    "loop",
    "model/vae/recipe.json",
    "a/b/c",
    "../..",
    "/",
]
OUTPUTS = [
    *EARLIER,
    *EARLIER,
    "new.png",
    "new.json",
    "new.safetensors",
    "new.html",
    *INPUTS,
    "token",
    "list",
    "cache/new.png",
    "cache/models--a--b/blobs/blob",
    "shards/part-one",
    "model/model_index.json",
    "new/x.png",
]
# None that lists the whole machine, which takes what it takes.
DATA = [
    *("pictures" for _ in range(8)),
    *(name for name in INPUTS if name not in ("..", "/")),
    "pictures.tar",
    "broken.tar",
    "broken.parquet",
    "list.txt",
    "endless.txt",
]
RESULTS = [
    *("result-a" for _ in range(6)),
    *("result-b" for _ in range(6)),
    "part-0",
    "part-1",
    "result-a/result.json",
    "cut-rows",
    "deep-result",
    "other-numbers",
    *INPUTS,
]
NUMBERS = [
    "0",
    "1",
    "-1",
    "8",
    "16",
    "64",
    "7",
    "1e9",
    "nan",
    "inf",
    "-inf",
    "999999999999999999999",
    "0x10",
    "",
    "13000",
    "4096",
    "1.5",
    "-0",
]


OUTPUT_FLAGS = {
    "--out": "png",
    "-o": "png",
    "--save-input": "png",
    "--heatmap": "png",
    "--montage": "png",
    "--report": "html",
    "--save-latents": "safetensors",
    "--save-decoded": "safetensors",
    "--save-trace": "json",
    "--junit": "xml",
    "--sarif": "json",
    "--out-dir": "d",
}


PROTOCOLS = ["vae-fidelity", "vae-fidelity-256", "llamagen", "dc-ae", "own.toml", "broken.toml", "result-a/protocol.toml", "x"]


def value(draw, command, flag):
    if flag in ("--repo", "--vae", "--model"):
        return draw.choice(SOURCES) if draw.random() < 0.4 else "model"
    if command in ("evaluate", "merge") and flag == "--out":
        return draw.choice([*RESULTS, *OUTPUTS]) if draw.random() < 0.4 else "new"
    if flag == "--data":
        return draw.choice(DATA)
    if flag == "--protocol":
        return draw.choice([*PROTOCOLS, *INPUTS])
    if flag in OUTPUT_FLAGS:
        usual = f"{draw.choice(['new', 'earlier', 'other', 'with space'])}.{OUTPUT_FLAGS[flag]}"
        return draw.choice(OUTPUTS) if draw.random() < 0.5 else usual
    if flag in (
        "--config",
        "--against",
        "--baseline",
        "--latents",
        "--decoded-image",
        "--preprocessed",
        "--image",
        "--latents-key",
    ):
        return draw.choice(INPUTS)
    if flag in (
        "--width",
        "--height",
        "--threads",
        "--tile-size",
        "--seed",
        "--min-psnr",
        "--min-ssim",
        "--min-ms-ssim",
        "--atol",
        "--rtol",
        "--model-a",
        "--model-b",
        "--sample",
    ):
        return draw.choice(NUMBERS)
    words = {
        # Charts of 4096 pixels a side take longer than a run may.
        "--size": ["128", "192", "64", "0", "-1", "nan", "13000", ""],
        "--dtype": ["f32", "f16", "bf16", "fp16", "auto", "x"],
        "--engine": ["fast", "reference", "x"],
        "--device": ["cpu", "cuda", "cuda:99", "auto", "x"],
        "--latents-scale": ["raw", "scaled", "x"],
        "--exif": ["apply", "ignore", "x"],
        "--max-memory": ["1", "1M", "200M", "1G", "99T", "x"],
        "--family": ["sd1", "sdxl", "flux", "x"],
        "--variant": ["fp16", "..", "/", ""],
        "--subfolder": ["vae", "..", "/", "", "gone"],
        "--revision": ["main", "..", "x"],
        "--only": ["builtin", "x", ESCAPES],
        "--format": ["npy", "safetensors", "both", "x"],
        "--shard": ["0/1", "0/2", "1/2", "2/2", "0/0", "-1/2", "1", "0/999999999999", "x"],
    }
    return draw.choice(words.get(flag, ["x"]))


SHARED = [
    "--repo",
    "--repo",
    "--device",
    "--dtype",
    "--threads",
    "--engine",
    "--width",
    "--height",
    "--seed",
    "--exif",
    "--config",
    "--family",
    "--variant",
    "--subfolder",
    "--revision",
]
FLAGS = {
    "check": [
        *SHARED,
        "--out",
        "--out",
        "--out-dir",
        "--image",
        "--tile-size",
        "--frames",
        "--max-memory",
        "--save-input",
        "--save-latents",
        "--save-decoded",
        "--save-trace",
        "--heatmap",
        "--montage",
        "--report",
        "--latents",
        "--latents-scale",
        "--decoded-image",
        "--preprocessed",
        "--against",
        "--min-psnr",
        "--min-ssim",
        "--min-ms-ssim",
        "--baseline",
        "--junit",
        "--sarif",
        "-o",
    ],
    "trace": [*SHARED, "--save-trace", "--against", "--atol", "--rtol", "--junit", "--sarif"],
    "decode": [
        *SHARED,
        "--out",
        "--out-dir",
        "--save-decoded",
        "--latents-key",
        "--latents-scale",
        "--decoded-image",
        "--tile-size",
        "--max-memory",
        "--junit",
        "--sarif",
    ],
    "probe": [*SHARED, "--out", "--out", "--report", "--junit", "--sarif", "--size", "-o"],
    "compare": ["--heatmap", "--montage", "--min-psnr", "--min-ssim", "--min-ms-ssim", "--atol", "--rtol", "--junit", "--sarif"],
    "inspect": ["--config", "--family", "--variant", "--subfolder", "--revision", "--junit", "--sarif"],
    "explain": [],
    "evaluate": [
        *(flag for flag in SHARED if flag not in ("--width", "--height", "--seed", "--exif")),
        "--protocol",
        "--protocol",
        "--shard",
        "--shard",
        "--max-memory",
        "--min-psnr",
        "--min-ssim",
        "--min-ms-ssim",
    ],
    "merge": ["--min-psnr", "--min-ssim", "--min-ms-ssim"],
    "explain-gap": [
        "--data",
        "--data",
        "--repo",
        "--model-a",
        "--model-b",
        "--sample",
        "--device",
        "--dtype",
        "--threads",
        "--engine",
    ],
}
SWITCHES = {
    "check": ["--sample", "--tiling", "--slicing", "--cross-check", "--forecast", "--show", "--json", "--quiet", "--strip-paths"],
    "trace": ["--sample", "--json", "--quiet", "--strip-paths"],
    "decode": ["--tiling", "--json", "--quiet", "--strip-paths"],
    "probe": ["--json", "--quiet", "--strip-paths"],
    "compare": ["--json", "--quiet"],
    "inspect": ["--tensors", "--json", "--strip-paths"],
    "explain": ["--json"],
    "evaluate": ["--json", "--quiet", "--offline"],
    "merge": ["--json", "--quiet"],
    "explain-gap": ["--json", "--quiet"],
}


def command_line(draw):
    commands = {"check": 10, "trace": 3, "decode": 3, "probe": 2, "compare": 3, "inspect": 3, "explain": 1}
    commands |= {"evaluate": 4, "merge": 2, "explain-gap": 2}
    command = draw.choices(list(commands), list(commands.values()))[0]
    arguments = [command]
    counts = {"check": draw.choice([1, 1, 1, 2, 0, 5]), "compare": 2, "trace": 1, "decode": 1, "probe": 0}
    counts |= {"evaluate": 1, "merge": draw.choice([2, 2, 1, 3]), "explain-gap": 2}
    count = counts.get(command, draw.choice([1, 2, 0]))
    pools = {
        "inspect": (SOURCES, SOURCES[:4]),
        "evaluate": (DATA, DATA[:8]),
        "merge": (RESULTS, ["part-0", "part-1"]),
        "explain-gap": (RESULTS, RESULTS[:12]),
        "decode": (INPUTS, ["latents.npy", "garbage.npy", "garbage.safetensors"]),
    }
    pool, usual = pools.get(command, (INPUTS, INPUTS[:9]))
    arguments += [draw.choice(pool if draw.random() < 0.4 else usual) for _ in range(count)]
    for flag in draw.sample(FLAGS[command], min(len(FLAGS[command]), draw.choice([0, 1, 2, 3, 5]))):
        arguments += [flag, value(draw, command, flag)]
    if command in ("evaluate", "merge"):
        arguments += ["--out", value(draw, command, "--out")]
    if command in ("check", "trace", "decode", "probe", "evaluate") and not {"--repo", "--vae"} & {
        a for a in arguments if isinstance(a, str)
    }:
        arguments += ["--repo", "model"]
    arguments += [switch for switch in SWITCHES[command] if draw.random() < 0.15]
    if draw.random() < 0.03:
        arguments.insert(draw.randrange(len(arguments) + 1), draw.choice([ESCAPES, "--size", "--", b"\xff", "--nonsense"]))
    return arguments
