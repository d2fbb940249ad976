//! Every command and flag, from clap.

use clap_markdown::{MarkdownOptions, help_markdown_command_custom};

use super::heading::generated;

pub(crate) fn page() -> String {
    let options = MarkdownOptions::new()
        .title("Commands".to_owned())
        .show_footer(false)
        .show_table_of_contents(false);
    let page = help_markdown_command_custom(&vae_fidelity::cli::command(), &options);
    // What stands before the first command is about the page.
    let body = page.find("\n## ").map_or(page.as_str(), |start| &page[start + 1..]);
    let mut text = generated("Commands", "the command line's own help");
    text += "Of a binary without libtorch; where libtorch was built in, the default of `--engine` is `reference`.\n\n";
    // Lists of options are no chapters.
    text + &escaped(body).replace("###### **", "**")
}

/// `text` with `<` outside of code escaped: what stands for a value in a sentence, as in DIR/<case>, is
/// no HTML.
fn escaped(text: &str) -> String {
    let mut in_code = false;
    let escape = |c: char| {
        in_code ^= c == '`';
        let escape = c == '<' && !in_code;
        [escape.then_some('\\'), Some(c)].into_iter().flatten()
    };
    text.chars().flat_map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn values_in_sentences_are_no_html() {
        assert_eq!(escaped("`<DIR>` has DIR/<case>/x"), "`<DIR>` has DIR/\\<case>/x");
    }
}
