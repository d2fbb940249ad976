"""Everything in Python that writes, checks or measures what the crate is held to.

    scripts/python.sh -m vae_fidelity_tools                           lists the programs
    scripts/python.sh -m vae_fidelity_tools.conformance.pillow --help

scripts/python.sh brings the packages and puts this folder's parent on Python's path. Programs may be
run from any folder.
"""
