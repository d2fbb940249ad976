//! Every command and flag, from clap.

use clap_markdown::{MarkdownOptions, help_markdown_command_custom};

pub(crate) fn page() -> String {
    let options = MarkdownOptions::new()
        .title("Commands".to_owned())
        .show_footer(false)
        .show_table_of_contents(false);
    let page = help_markdown_command_custom(&vae_fidelity::cli::command(), &options);
    let body = page.strip_prefix("# Commands\n\n").unwrap_or(&page);
    let mut text = super::generated("Commands", "the command line's own help");
    text += "Of a binary without libtorch; where libtorch was built in, the default of `--engine` is `reference`.\n\n";
    text + body
}
