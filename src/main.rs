//! The `vae-fidelity` command.

fn main() {}
