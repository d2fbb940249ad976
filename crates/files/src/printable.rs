//! Text of others, made fit for a terminal: a file's name must not recolor, clear or retitle it.

use std::borrow::Cow;
use std::fmt::{Display, Write};

/// Whether a terminal may act on `c` in place of showing it: control characters, and what turns the
/// direction of the text around it or breaks a line.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `text` with an escape such as `\n` or `\u{1b}` in place of each character that a terminal would act
/// on. What has been escaped stays as it is.
pub fn printable(text: &str) -> Cow<'_, str> {
    printable_but(text, |_| false)
}

/// As [`printable`], but for characters that `keeps` names.
pub fn printable_but(text: &str, keeps: impl Fn(char) -> bool) -> Cow<'_, str> {
    let escapes = |c: char| acts(c) && !keeps(c);
    if !text.contains(escapes) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match escapes(c) {
            true => escaped.extend(c.escape_default()),
            false => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// What `value` displays as, [`printable`].
pub fn shown(value: impl Display) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(text, "{value}");
    match printable(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(escaped) => escaped,
    }
}

/// Longer texts of others are cut in messages.
const LONGEST: usize = 120;

/// `text` of a file, cut where it is longer than a message bears.
pub fn shortened(text: &str) -> Cow<'_, str> {
    shortened_to(text, LONGEST)
}

/// `text`, of which `most` characters are shown.
pub(crate) fn shortened_to(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        None => Cow::Borrowed(text),
        Some((end, _)) => {
            let more = text[end..].chars().count();
            Cow::Owned(format!("{}... ({more} characters more)", &text[..end]))
        }
    }
}

/// A shape as messages show it, cut where it has more axes than any tensor.
pub fn shown_shape(shape: &[usize]) -> String {
    const MOST: usize = 16;
    match shape.len() {
        ..=MOST => format!("{shape:?}"),
        axes => format!("{:?} and {} axes more", &shape[..MOST], axes - MOST),
    }
}

/// The line of JSON `json` with escapes of JSON's own for what a terminal would act on. (serde_json
/// leaves characters above U+007E as they are, and they stand in strings only.)
pub fn printable_json(json: &str) -> Cow<'_, str> {
    if !json.contains(acts) {
        return Cow::Borrowed(json);
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        match acts(c) {
            // All of them are below U+10000.
            true => drop(write!(escaped, "\\u{:04x}", u32::from(c))),
            false => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_acts_on_is_escaped_once() {
        let hostile = "a\u{1b}[2Jb\u{9b}31m\n\u{202e}\u{7f}";
        let escaped = printable(hostile);
        assert_eq!(escaped, "a\\u{1b}[2Jb\\u{9b}31m\\n\\u{202e}\\u{7f}");
        assert_eq!(printable(&escaped), escaped);
        assert_eq!(shown(hostile), escaped);
        assert_eq!(printable_but("a\nb\t", |c| c == '\n'), "a\nb\\t");
        for plain in ["", "photo.png", "bücher/写真 1.png", "C:\\x"] {
            assert!(matches!(printable(plain), Cow::Borrowed(same) if same == plain));
        }
    }

    #[test]
    fn what_is_long_is_cut() {
        assert_eq!(shortened("short"), "short");
        let long = "ü".repeat(100_000);
        assert_eq!(shortened(&long).chars().filter(|&c| c == 'ü').count(), LONGEST);
        assert!(shortened(&long).ends_with("(99880 characters more)"));
        assert_eq!(shown_shape(&[1, 2]), "[1, 2]");
        assert!(shown_shape(&[1; 20_000]).ends_with("1] and 19984 axes more"));
    }

    #[test]
    fn json_stays_the_same_json() {
        let line = "{\"path\":\"a\u{9b}\u{202e}\u{7f}ü\"}";
        assert_eq!(printable_json(line), "{\"path\":\"a\\u009b\\u202e\\u007fü\"}");
    }
}
