//! The reference pages of the book, made from what the code says of itself. The examples of the
//! hand-written pages are tests of this crate.

mod heading;
mod commands;
mod findings;
mod json;

/// The generated pages: the file's name below `docs/src/reference`, and its text.
pub fn pages() -> Vec<(&'static str, String)> {
    let schema = vae_fidelity::cli::json_schema();
    vec![
        ("commands.md", commands::page()),
        ("findings.md", findings::page()),
        ("json.md", json::page(&schema)),
        ("schema.json", format!("{schema:#}\n")),
    ]
}

/// Each Rust example of a hand-written page is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/src/library.md")]
pub struct Library;
