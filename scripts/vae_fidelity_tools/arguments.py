"""Command-line arguments that several programs share."""

import argparse
import sys


def parser(documentation):
    """Explains itself with the module's documentation, and names itself as it is run."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    name = f"scripts/python.sh -m {spec.name}" if spec else None
    return argparse.ArgumentParser(prog=name, description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_gist(to):
    to.add_argument("--gist", required=True, help="path of the unmodified gist, debug_diffusion_vae.py")


def add_binary(to, built):
    """`built`: how it is built where it is not given."""
    to.add_argument("--binary", help=f"vae-fidelity; built with {built} if not given")
