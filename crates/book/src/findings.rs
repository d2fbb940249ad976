//! Every code of a finding and its cause, as `explain` prints it.

use std::fmt::Write;

use vae_fidelity::cli::with_flags;
use vae_fidelity::diagnosis::{Cause, Code};

use super::heading::generated;

pub(crate) fn page() -> String {
    let mut text = generated("Findings", "the table of codes in `crates/diagnosis`");
    text += "What `check` and `inspect` can find; `vae-fidelity explain CODE` prints the same. A finding \
             may be milder than its code here says, never graver.\n\n| code | severity | cause |\n|---|---|---|\n";
    for Cause { code, severity, title, .. } in Code::ALL.iter().map(|code| code.cause()) {
        line(&mut text, format_args!("| [`{code}`](#{code}) | {severity} | {title} |"));
    }
    for cause in Code::ALL.iter().map(|code| code.cause()) {
        line(
            &mut text,
            format_args!("\n## {}\n\n**{}:** {}.\n", cause.code, cause.severity, cause.title),
        );
        line(&mut text, format_args!("{}\n", cause.meaning));
        line(&mut text, format_args!("- **Rule:** {}", cause.rule));
        let decided_by: Vec<String> = cause
            .decided_by
            .iter()
            .map(|by| format!("`{}`", with_flags(&by.to_string())))
            .collect();
        line(&mut text, format_args!("- **Decided by:** {}", decided_by.join(", ")));
        line(&mut text, format_args!("- **Remedy:** {}", cause.remedy));
        line(&mut text, format_args!("- **diffusers:** {}", cause.diffusers));
        line(&mut text, format_args!("- **ComfyUI:** {}", cause.comfyui));
        line(&mut text, format_args!("- **Your own code:** {}", cause.ports));
        let reports: Vec<String> = cause
            .sources
            .iter()
            .filter_map(|source| {
                let (repository, number) = source.split_once('#')?;
                Some(format!("[{source}](https://github.com/{repository}/issues/{number})"))
            })
            .collect();
        if !reports.is_empty() {
            line(&mut text, format_args!("- **Reports:** {}", reports.join(", ")));
        }
    }
    with_flags(&text).into_owned()
}

fn line(text: &mut String, line: std::fmt::Arguments) {
    // Writing to a string never fails.
    let _ = writeln!(text, "{line}");
}
