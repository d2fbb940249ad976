"""`python -m vae_fidelity`: the command."""

from vae_fidelity._command import main

main()
