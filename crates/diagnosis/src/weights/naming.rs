//! Tensors by their names, in titles and evidence.

use serde_json::json;

use crate::codes::Cause;
use crate::finding::Finding;

/// How many names a title gives.
const NAMED: usize = 5;

/// The module that a tensor belongs to.
pub(super) fn layer(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(module, _)| module)
}

/// `3 tensors (a, b, ...)`.
pub(super) fn counted(names: &[&str], what: &str) -> String {
    let plural = if names.len() == 1 { "" } else { "s" };
    let more = if names.len() > NAMED { ", ..." } else { "" };
    let shown = names[..names.len().min(NAMED)].join(", ");
    format!("{} {what}{plural} ({shown}{more})", names.len())
}

pub(super) fn named(cause: &'static Cause, title: String, names: &[&str]) -> Finding {
    let shown: Vec<&str> = names.iter().copied().take(20).collect();
    Finding::new(cause, title).evidence("count", names.len()).evidence("tensors", json!(shown))
}
