#!/usr/bin/env python3
"""Holds the crate's hub against Python's huggingface_hub and diffusers, on a hub of this machine.

    scripts/python.sh -m vae_fidelity_tools.conformance.hub

`examples/hub_server.rs` is the hub. Python's client is asked first what it makes of it: it has to
download from it, and to raise the error that is meant for each refusal. Then, for each layout:
diffusers downloads, and the crate opens Python's cache offline; the crate downloads, and diffusers
opens the crate's cache offline; all tensors are compared bit for bit, and so are the two caches.
Last, https, and where both look for the cache and the token in different environments. Exits 1 on
any difference, also if one that was made on purpose does not show.
"""

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path
from types import SimpleNamespace

READER = "hf_reader0123456789"  # as in tests/suite/hub_server/mod.rs


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


PORT = free_port()
for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING", "TRANSFORMERS_OFF", "XDG_CACHE"))]:
    del os.environ[name]
# Read when the modules are imported.
os.environ |= {"HF_ENDPOINT": f"http://127.0.0.1:{PORT}", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

import importlib

import diffusers
import huggingface_hub
from diffusers import AutoencoderKL
from huggingface_hub import errors, hf_hub_download
from huggingface_hub.utils import build_hf_headers

from vae_fidelity_tools import arguments
from vae_fidelity_tools.conformance import examples
from vae_fidelity_tools.conformance.checkpoint_layouts import (
    DTYPES,
    WEIGHTS,
    folder,
    folder_of_root,
    missing_variant,
    vae,
    variant_beside_plain,
)
from vae_fidelity_tools.conformance.checkpoints import differences, spoil, wanted

# Owner and name, what writes it, and how it is asked for.
LAYOUTS = {
    "a/safetensors": (lambda at: folder(at, vae()), {}),
    "a/bin": (lambda at: folder(at, vae(), safe_serialization=False), {}),
    "a/sharded": (lambda at: folder(at, vae(), max_shard_size="4KB"), {}),
    "a/variant": (lambda at: folder(at, vae(), "f16", "fp16"), {"variant": "fp16"}),
    "a/sharded-variant": (lambda at: folder(at, vae(), "f16", "fp16", max_shard_size="4KB"), {"variant": "fp16"}),
    "b/top": (lambda at: folder_of_root(at, vae()), {}),
    "b/variant-beside-plain": (lambda at: variant_beside_plain(at, vae()), {"variant": "fp16"}),
    "b/without-the-variant": (lambda at: missing_variant(at, vae()), {"variant": "fp16"}),
    "b/branches": (lambda at: folder(at, vae()), {}),
    "b/branches@a-branch": (lambda at: folder(at, vae(seed=3)), {}),
    "c/private-model": (lambda at: folder(at, vae(seed=4)), {}),
    "c/gated-model": (lambda at: folder(at, vae(seed=5)), {}),
}


class Crate:
    """The built examples."""

    def __init__(self):
        self.examples = examples.build("checkpoint_dump", "hub_server")

    def open(self, job, variables):
        """The crate's answer to one job, in an environment of nothing but `variables`."""
        done = subprocess.run(
            [self.examples["checkpoint_dump"]], input=json.dumps(job), env=variables, stdout=subprocess.PIPE, text=True, check=True
        )
        return json.loads(done.stdout)


class Hub:
    def __init__(self, crate, served):
        command = [crate.examples["hub_server"], served, str(PORT)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline().strip() == os.environ["HF_ENDPOINT"]

    def requests(self):
        """Those since the last call."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def split(name):
    repo, _, branch = name.partition("@")
    return repo, branch or None


def tree(cache, repo):
    """Blobs with their sizes, refs and snapshots of a repository in a cache, without what only says that a file is not there."""
    at = Path(cache, "models--" + repo.replace("/", "--"))
    found = {}
    for path in sorted(at.rglob("*")):
        name = path.relative_to(at).as_posix()
        if path.is_symlink():
            found[name] = "-> " + os.readlink(path)
        elif path.is_file() and not name.startswith((".no_exist", "trees/", ".tree")):
            found[name] = path.read_text() if name.startswith("refs/") else path.stat().st_size
    return found


def expect(raised, name, **arguments):
    try:
        hf_hub_download(name, **{"filename": "vae/config.json", "cache_dir": tempfile.mkdtemp(), **arguments})
    except raised:
        return []
    except Exception as error:
        return [f"{name} {arguments}: huggingface_hub raises {type(error).__name__}, not {raised.__name__}: {error}"]
    return [f"{name} {arguments}: huggingface_hub raises nothing, not {raised.__name__}"]


def refusals():
    """What huggingface_hub makes of the hub's refusals: if this is right, so are the tests in Rust that use the same hub."""
    problems = expect(errors.RepositoryNotFoundError, "a/nothing")
    problems += expect(errors.RepositoryNotFoundError, "a/nothing", token=READER)
    problems += expect(errors.RepositoryNotFoundError, "c/private-model")
    problems += expect(errors.GatedRepoError, "c/gated-model")
    problems += expect(errors.GatedRepoError, "c/gated-model", token="hf_stranger987654321")
    problems += expect(errors.HfHubHTTPError, "a/bin", token="hf_mistyped")
    problems += expect(errors.RevisionNotFoundError, "a/bin", revision="nothing")
    problems += expect(errors.RemoteEntryNotFoundError, "a/bin", filename="vae/nothing.json")
    return problems


def layout(crate, hub, name, asked, load, dtype, token, folder_of_caches):
    """What is wrong with one layout, both ways; and how many tensors were compared."""
    repo, branch = split(name)
    subfolder = {} if name in ("b/top", "b/variant-beside-plain", "b/without-the-variant") else {"subfolder": "vae"}
    # A model alone that lacks the variant is refused by diffusers; in a pipeline it falls back, as the crate does.
    variant = {} if name == "b/without-the-variant" else asked
    unsafe = {"use_safetensors": False} if name == "a/bin" else {}
    ours, theirs = (Path(folder_of_caches, name.replace("/", "-"), whose) for whose in ("ours", "theirs"))
    variables = {"HF_ENDPOINT": os.environ["HF_ENDPOINT"], **({"HF_TOKEN": token} if token else {})}
    job = {"repo": repo, "revision": branch, **asked}

    def from_pretrained(cache, **more):
        model = AutoencoderKL.from_pretrained(
            repo, revision=branch, cache_dir=cache, token=token, torch_dtype=DTYPES[dtype], **variant, **subfolder, **unsafe, **more
        )
        return model.state_dict()

    expected = wanted(load(), dtype)
    problems = []

    if wanted(from_pretrained(theirs), dtype) != expected:
        problems.append("diffusers downloads something else than it saved")
    hub.requests()
    offline = crate.open(job, variables | {"HF_HUB_CACHE": os.fspath(theirs), "HF_HUB_OFFLINE": "1"})
    if hub.requests():
        problems.append("the crate asked the hub while it was offline")
    problems += ["Python's cache: " + problem for problem in differences(expected, offline)]

    online = crate.open(job, variables | {"HF_HUB_CACHE": os.fspath(ours)})
    problems += ["from the hub: " + problem for problem in differences(expected, online)]
    asked_for = hub.requests()
    if any("unused" in request["path"] for request in asked_for):
        problems.append("the crate downloads what no VAE needs")
    sent = {request["headers"].get("authorization") for request in asked_for if not request["content"]}
    if sent != {f"Bearer {token}" if token else None} or any("authorization" in r["headers"] for r in asked_for if r["content"]):
        problems.append(f"the token went to the wrong host, or not to the right one: {sent}")
    if problems:  # so does the cache differ, and diffusers would fail for it
        return problems, len(expected)
    if wanted(from_pretrained(ours, local_files_only=True), dtype) != expected:
        problems.append("diffusers finds something else in the crate's cache")
    if hub.requests():
        problems.append("diffusers asks the hub for what is in the crate's cache")
    # diffusers may fetch more, such as an index that it then does not use; never less.
    mine, python = tree(ours, repo), tree(theirs, repo)
    problems += [
        f"the crate's cache has {key}: {value!r}, Python's {python.get(key)!r}"
        for key, value in mine.items()
        if python.get(key) != value
    ]

    spoil(SimpleNamespace(repo=ours / ("models--" + repo.replace("/", "--")) / "blobs", dtype=dtype), load())
    spoilt = crate.open(job, variables | {"HF_HUB_CACHE": os.fspath(ours), "HF_HUB_OFFLINE": "1"})
    if len(differences(expected, spoilt)) != 1:
        problems.append("a bit of the cache was changed on purpose, and nothing shows")
    return problems, len(expected)


def environments(crate, hub, at):
    """Where Python and the crate look for the cache and the token."""
    home = Path(at, "home")
    (home / "hf").mkdir(parents=True)
    (home / "hf" / "token").write_text(f"\n{READER}\n")
    (home / ".cache" / "huggingface").mkdir(parents=True)
    (home / ".cache" / "huggingface" / "token").write_text(READER)
    Path(at, "a-token").write_text(READER)
    cases = [
        {},
        {"HF_HOME": "~/hf"},
        {"HF_HOME": "$HOME/hf/../hf"},
        {"HF_HOME": f"{at}/elsewhere"},
        {"XDG_CACHE_HOME": f"{at}/xdg"},
        {"XDG_CACHE_HOME": f"{at}/xdg", "HF_HOME": "~/hf"},
        {"HF_HUB_CACHE": "${HOME}/$NONE/hub"},
        {"HUGGINGFACE_HUB_CACHE": f"{at}/old", "HF_HOME": "~/hf"},
        {"HUGGINGFACE_HUB_CACHE": f"{at}/old", "HF_HUB_CACHE": f"{at}/new"},
        {"HF_TOKEN_PATH": f"{at}/a-token", "HF_HOME": f"{at}/elsewhere"},
        {"HF_TOKEN": f" {READER}\n", "HF_HOME": f"{at}/elsewhere"},
        {"HUGGING_FACE_HUB_TOKEN": READER, "HF_HOME": f"{at}/elsewhere"},
        {"HF_TOKEN": READER, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "yes"},
        {"HF_ENDPOINT": os.environ["HF_ENDPOINT"] + "//"},
        {"TRANSFORMERS_OFFLINE": "on"},
        {"HF_HUB_OFFLINE": "no", "TRANSFORMERS_OFFLINE": "on"},
    ]
    problems = []
    before = dict(os.environ)
    for case in cases:
        variables = {"HOME": os.fspath(home), "HF_ENDPOINT": before["HF_ENDPOINT"], **case}
        os.environ.clear()
        os.environ.update(variables)
        constants = importlib.reload(huggingface_hub.constants)
        cache, offline = Path(constants.HF_HUB_CACHE), constants.HF_HUB_OFFLINE
        token = build_hf_headers().get("authorization")
        hub.requests()
        crate.open({"repo": "a/bin"}, variables)
        requests = hub.requests()
        sent = {request["headers"].get("authorization") for request in requests if not request["content"]}
        there = (cache / "models--a--bin").is_dir()
        if offline:
            if requests:
                problems.append(f"{case}: the crate asks, and Python is offline")
        elif sent != {token}:
            problems.append(f"{case}: the crate sends {sent}, Python {token}")
        if there != (not offline):
            problems.append(f"{case}: the crate does not use Python's cache {cache}")
        subprocess.run(["rm", "-rf", cache / "models--a--bin"], check=True)
    os.environ.clear()
    os.environ.update(before)
    importlib.reload(huggingface_hub.constants)
    return problems, len(cases)


def encrypt(certificate, key):
    """Lets https on a new port lead to the hub; returns the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(client):
        with (
            contextlib.suppress(OSError),
            context.wrap_socket(client, server_side=True) as client,
            socket.create_connection(("127.0.0.1", PORT)) as hub,
        ):
            hub.sendall(client.recv(1 << 16))
            while data := hub.recv(1 << 16):
                client.sendall(data)

    def listen():
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=listen, daemon=True).start()
    return listener.getsockname()[1]


def encrypted(crate, at):
    """The crate asks a hub with a certificate that the system trusts, and no other; and does not follow it to plain HTTP."""
    at.mkdir()
    certificate, key = at / "certificate.pem", at / "key.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key, "-out", certificate, *names],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    variables = {"HF_ENDPOINT": f"https://localhost:{encrypt(certificate, key)}", "HF_HUB_CACHE": os.fspath(at / "cache")}
    problems = []
    for trusted, expected in ((False, "cannot be trusted"), (True, "a redirect from https to http")):
        more = {"SSL_CERT_FILE": os.fspath(certificate)} if trusted else {}
        answer = crate.open({"repo": "a/safetensors"}, variables | more)
        if expected not in answer.get("error", ""):
            problems.append(f"trusted: {trusted}: expected an error with {expected!r}, found {answer}")
        if bool(list((at / "cache").rglob("config.json"))) != trusted:
            problems.append(f"trusted: {trusted}: config.json came, or did not, against what was expected")
    return problems


def main():
    arguments.parser(__doc__).parse_args()
    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    warnings.filterwarnings("ignore", message=".*local_dir_use_symlinks.*")
    huggingface_hub.logging.set_verbosity_error()
    crate = Crate()
    wrong = compared = 0

    def show(name, problems):
        print(f"{'WRONG' if problems else 'same':6}{name}")
        for problem in problems[:5]:
            print(f"       {problem}")
        return bool(problems)

    with tempfile.TemporaryDirectory() as at:
        written = {}
        for name, (write, asked) in LAYOUTS.items():
            where = Path(at, "hub", name)
            where.mkdir(parents=True)
            written[name] = (write(where), asked)
            (where / "unused").mkdir()
            (where / "unused" / f"{WEIGHTS}.safetensors").write_bytes(bytes(1000))
        hub = Hub(crate, Path(at, "hub"))
        try:
            wrong += show("what huggingface_hub makes of the hub's refusals", refusals())
            for name, (written_as, asked) in written.items():
                token = READER if name.startswith("c/") else None
                problems, tensors = layout(crate, hub, name, asked, written_as.load, written_as.dtype, token, Path(at, "caches"))
                compared += 3 * tensors
                wrong += show(f"{name}, {tensors} tensors", problems)
            wrong += show("https, with a certificate that is trusted and without", encrypted(crate, Path(at, "https")))
            problems, cases = environments(crate, hub, Path(at, "environments"))
            wrong += show(f"cache and token in {cases} environments", problems)
        finally:
            hub.close()
    versions = f"diffusers {diffusers.__version__} and huggingface_hub {huggingface_hub.__version__}"
    print(f"{len(written)} repositories, {compared} tensors compared with {versions}")
    if wrong:
        sys.exit(f"{wrong} parts differ from Python's")


if __name__ == "__main__":
    main()
