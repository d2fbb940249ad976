//! The beginning of a page.

/// What every generated page begins with.
pub(crate) fn generated(title: &str, from: &str) -> String {
    format!(
        "# {title}\n\n<!-- Generated from {from} by `cargo run -p vae-fidelity-book`: change it there. -->\n\n"
    )
}
