//! The protocols that are built in. Each file says where its choices were read.

/// Their names: this project's own, then those of published scripts.
pub const NAMES: [&str; 7] = [
    "vae-fidelity",
    "vae-fidelity-256",
    "llamagen",
    "lightningdit",
    "dc-ae",
    "lavinal712",
    "torch-fidelity",
];

/// The TOML of the built-in protocol `name`.
pub(super) fn text(name: &str) -> Option<&'static str> {
    Some(match name {
        "vae-fidelity" => include_str!("published/vae-fidelity.toml"),
        "vae-fidelity-256" => include_str!("published/vae-fidelity-256.toml"),
        "llamagen" => include_str!("published/llamagen.toml"),
        "lightningdit" => include_str!("published/lightningdit.toml"),
        "dc-ae" => include_str!("published/dc-ae.toml"),
        "lavinal712" => include_str!("published/lavinal712.toml"),
        "torch-fidelity" => include_str!("published/torch-fidelity.toml"),
        _ => return None,
    })
}
