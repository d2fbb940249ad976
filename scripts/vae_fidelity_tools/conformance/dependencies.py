"""Holds every dependency to deny.toml with cargo-deny: licences, banned crates, and where they come from.

    scripts/python.sh -m vae_fidelity_tools.conformance.dependencies
    scripts/python.sh -m vae_fidelity_tools.conformance.dependencies --manifest-path examples/candle/Cargo.toml

Each kind of thing that deny.toml refuses is planted first, in a package of its own, and has to be
refused for what it is. Exits 1 where it is not, and where a dependency is refused.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from vae_fidelity_tools import arguments
from vae_fidelity_tools.checkout import ROOT

CARGO_DENY = Path(sys.executable).with_name("cargo-deny")
# A dependency's manifest, how it is depended upon, and the code of cargo-deny's refusal; one may pass.
PLANTED = {
    "a crate like any other": ('name = "planted"\nlicense = "MIT"', "path", None),
    "a licence that is not allowed": ('name = "planted"\nlicense = "GPL-3.0-only"', "path", "rejected"),
    "two licences, one of them not allowed": ('name = "planted"\nlicense = "MIT AND MPL-2.0"', "path", "rejected"),
    "no licence": ('name = "planted"', "path", "unlicensed"),
    "a banned crate": ('name = "openssl-sys"\nlicense = "MIT"', "path", "banned"),
    "a crate from a git repository": ('name = "planted"\nlicense = "MIT"', "git", "source-not-allowed"),
}


def deny(manifest, *options):
    command = [CARGO_DENY, "--manifest-path", manifest, "--config", ROOT / "deny.toml", *options]
    return subprocess.run([*command, "check", "licenses", "bans", "sources"], capture_output=True, text=True)


def package(folder, lines, dependencies=""):
    (folder / "src").mkdir(parents=True)
    (folder / "src/lib.rs").touch()
    (folder / "Cargo.toml").write_text(f'[package]\n{lines}\nversion = "1.0.0"\nedition = "2021"\n{dependencies}')
    return folder / "Cargo.toml"


def git(folder, *words):
    identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@localhost"]
    subprocess.run(["git", "-C", folder, *identity, *words], check=True, capture_output=True)


def refusals(what, lines, kind):
    """The codes of cargo-deny's errors about a package that depends on the planted one."""
    with tempfile.TemporaryDirectory() as temporary:
        planted, name = Path(temporary, "planted"), lines.split('"')[1]
        package(planted, lines)
        where = str(planted)
        if kind == "git":
            git(planted, "init", "--quiet")
            git(planted, "add", ".")
            git(planted, "commit", "--quiet", "-m", "planted")
            where = planted.as_uri()
        uses = f'[dependencies]\n{name} = {{ {kind} = "{where}", version = "1" }}\n'
        manifest = package(Path(temporary, "user"), 'name = "user"\nlicense = "MIT"\npublish = false', uses)
        done = deny(manifest, "--format", "json")
        said = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
        errors = {one["fields"]["code"] for one in said if one["fields"].get("severity") == "error"}
        if bool(errors) != bool(done.returncode):
            sys.exit(f"{what}: cargo-deny ends with status {done.returncode}\n{done.stderr}")
        return errors


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("--manifest-path", type=Path, default=ROOT / "Cargo.toml", help="(default: the workspace)")
    manifest = parser.parse_args().manifest_path
    for what, (lines, kind, expected) in PLANTED.items():
        found = refusals(what, lines, kind)
        if found != ({expected} if expected else set()):
            sys.exit(f"{what} was planted: cargo-deny gives {found or 'no error'}, not {expected or 'none'}")
    done = deny(manifest, "--locked")
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}  next: drop the crate, or allow it in deny.toml with a reason")
    print(f"{manifest}: {done.stderr.strip() or done.stdout.strip()}; {len(PLANTED) - 1} planted crates were refused")


if __name__ == "__main__":
    main()
