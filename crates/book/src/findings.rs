//! Every code of a finding, from the table that `explain` prints.

use std::fmt::Write;

use vae_fidelity::diagnosis::codes;

pub(crate) fn page() -> String {
    let mut text = super::generated("Findings", "the table of codes in `crates/diagnosis`");
    text += "What `check` and `inspect` can find; `vae-fidelity explain CODE` prints the same. A finding \
             may be milder than its code here says, never graver.\n\n| code | severity | cause |\n|---|---|---|\n";
    for row in codes() {
        line(
            &mut text,
            format_args!("| [`{0}`](#{0}) | {1} | {2} |", row.code, row.severity, row.title),
        );
    }
    for row in codes() {
        line(
            &mut text,
            format_args!("\n## {}\n\n**{}:** {}.\n", row.code, row.severity, row.title),
        );
        line(&mut text, format_args!("{}\n", row.meaning));
        line(&mut text, format_args!("- **Rule:** {}", row.rule));
        match row.decided_by {
            [] => line(&mut text, format_args!("- **Decided by:** no rule of this version")),
            commands => {
                let commands: Vec<String> =
                    commands.iter().map(|command| format!("`{command}`")).collect();
                line(&mut text, format_args!("- **Decided by:** {}", commands.join(", ")));
            }
        }
        line(&mut text, format_args!("- **Remedy:** {}", row.remedy));
        line(&mut text, format_args!("- **diffusers:** {}", row.diffusers));
        line(&mut text, format_args!("- **ComfyUI:** {}", row.comfyui));
        line(&mut text, format_args!("- **Your own code:** {}", row.ports));
        let reports: Vec<String> = row
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
    text
}

fn line(text: &mut String, line: std::fmt::Arguments) {
    // Writing to a string never fails.
    let _ = writeln!(text, "{line}");
}
