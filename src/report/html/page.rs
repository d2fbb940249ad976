//! What all pages share: a template filled in, pictures and JSON inside.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};
use serde::Serialize;

use super::numbers;
use crate::error::{Error, ErrorKind, Result};
use crate::pixels::{Rgb8, encode_png};

/// `template`, up to the list under "Provenance", filled in with `context` and with what every page has: the
/// report, the command line, the start, the style, and its end.
pub(super) fn rendered(
    template: &str,
    report: &impl Serialize,
    command: &str,
    context: Value,
) -> Result<Vec<u8>> {
    filled(&format!("{template}{}", include_str!("end.html")), report, command, context)
}

/// As [`rendered`], of a template that has an end of its own.
pub(super) fn filled(
    template: &str,
    report: &impl Serialize,
    command: &str,
    context: Value,
) -> Result<Vec<u8>> {
    let context = context! {
        report => report,
        json => Value::from_safe_string(json_for_script(report)?),
        version => env!("CARGO_PKG_VERSION"),
        command => command,
        style => Value::from_safe_string(include_str!("style.css").to_owned()),
        ..context
    };
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_trim_blocks(true);
    numbers::add_filters(&mut environment);
    let template = format!("{}{template}", include_str!("start.html"));
    environment.render_str(&template, context).map(String::into_bytes).map_err(|error| {
        Error::new(ErrorKind::Output, "HTML report", error, "please report this as a bug")
    })
}

/// A picture as an address that holds it.
pub(super) fn embedded(picture: &Rgb8) -> Result<Value> {
    Ok(embedded_png(&encode_png(picture)?))
}

/// The same of a picture's file.
pub(super) fn embedded_png(png: &[u8]) -> Value {
    let bytes = BASE64_STANDARD.encode(png);
    Value::from_safe_string(format!("data:image/png;base64,{bytes}"))
}

/// `report` as `--json` prints it, and so that nothing in it ends the element that it stands in: `<` occurs
/// in strings alone, which may spell it otherwise.
fn json_for_script(report: &impl Serialize) -> Result<String> {
    let json = serde_json::to_string(report).map_err(|error| {
        Error::new(ErrorKind::Output, "JSON", error, "please report this as a bug")
    })?;
    Ok(json.replace('<', "\\u003c"))
}
