//! What is wrong with a file of JSON, for who did not write the program that reads it.

use serde_json::Error;
use serde_json::error::Category;

use vae_fidelity_files::printable::shortened;

/// Rust's names of what is expected, and everybody's.
const WORDS: [(&str, &str); 13] = [
    ("usize", "a whole number"),
    ("u64", "a whole number"),
    ("u32", "a whole number"),
    ("u8", "a whole number"),
    ("i64", "a whole number"),
    ("f64", "a number"),
    ("f32", "a number"),
    ("a sequence", "a list"),
    ("a map", "an object"),
    ("map", "an object"),
    ("a borrowed string", "a string"),
    ("a boolean", "true or false"),
    ("unit", "null"),
];

/// What `error` says, and where in the file.
///
/// ```
/// let error = serde_json::from_str::<u32>("\"a\"").unwrap_err();
/// let problem = vae_fidelity_core::json_problem::of(&error);
/// assert_eq!(problem, "invalid type: string \"a\", expected a whole number (line 1, column 3)");
/// ```
pub fn of(error: &Error) -> String {
    let at = format!("line {}, column {}", error.line(), error.column());
    match error.classify() {
        Category::Syntax => format!("is not valid JSON from {at} on"),
        Category::Eof => format!("is not valid JSON: it is cut off at {at}"),
        Category::Io | Category::Data => {
            let text = error.to_string();
            let text = text.split(" at line ").next().unwrap_or_default();
            // The names of all fields are the program's own affair.
            let text = match text.split_once(", expected ") {
                Some((found, _)) if found.starts_with("unknown field") => found.to_owned(),
                Some((found, expected)) => format!("{found}, expected {}", plain(expected)),
                None => text.to_owned(),
            };
            let text = text.replace('`', "");
            match error.line() {
                // A value that was read before has no place.
                0 => shortened(&text).into_owned(),
                _ => format!("{} ({at})", shortened(&text)),
            }
        }
    }
}

fn plain(expected: &str) -> &str {
    if expected.starts_with("struct ") {
        return "an object";
    }
    WORDS.into_iter().find(|(rust, _)| *rust == expected).map_or(expected, |(_, plain)| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_rust_is_said() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Parsed {
            #[expect(dead_code, reason = "only read")]
            shard: u32,
        }
        for (text, expected) in [
            ("{", "is not valid JSON: it is cut off at line 1, column 1"),
            ("nonsense", "is not valid JSON from line 1, column 2 on"),
            (r#"{"foo": 1}"#, "unknown field foo (line 1, column 6)"),
            ("{}", "missing field shard (line 1, column 2)"),
            (
                r#"{"shard": []}"#,
                "invalid type: sequence, expected a whole number (line 1, column 10)",
            ),
            ("3", "invalid type: integer 3, expected an object (line 1, column 1)"),
        ] {
            assert_eq!(of(&serde_json::from_str::<Parsed>(text).unwrap_err()), expected);
        }
    }
}
