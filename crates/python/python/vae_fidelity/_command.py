"""The command `vae-fidelity`, which is the extension's."""

import signal
import sys

from vae_fidelity import _native


def main() -> None:
    """Runs the command with the process's arguments and exits with its code."""
    # Python would only take a note of Ctrl-C until the command returns.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(_native.run(["vae-fidelity", *sys.argv[1:]]))
