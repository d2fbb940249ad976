//! Every command and every option of the command line is in what a release holds.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use vae_fidelity_dist::{SHELLS, completions, man_pages};

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("the folder was written");
    entries
        .map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8"))
        .collect()
}

/// Of the command and all below it: the name of its page, and its visible long options.
fn pages(command: &clap::Command, prefix: &str, found: &mut Vec<(String, Vec<String>)>) {
    let name = format!("{prefix}{}", command.get_name());
    let visible = command.get_arguments().filter(|argument| !argument.is_hide_set());
    let options = visible.filter_map(|argument| argument.get_long()).map(str::to_owned).collect();
    found.push((format!("{name}.1"), options));
    for below in command.get_subcommands() {
        pages(below, &format!("{name}-"), found);
    }
}

#[test]
fn every_command_has_a_page_with_every_option() {
    let folder = tempfile::tempdir().expect("a folder");
    man_pages(folder.path()).expect("pages");
    // `help` prints what the pages say, and has none of its own.
    let mut command = vae_fidelity::cli::command().disable_help_subcommand(true);
    command.build();
    let mut expected = Vec::new();
    pages(&command, "", &mut expected);
    assert!(expected.iter().any(|(name, _)| name == "vae-fidelity-golden-list.1"), "nested ones");
    let wanted: BTreeSet<String> = expected.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names(folder.path()), wanted);
    for (name, options) in expected {
        let page = fs::read_to_string(folder.path().join(&name)).expect("a page");
        for option in options {
            let written = format!("\\-\\-{}", option.replace('-', "\\-"));
            assert!(page.contains(&written), "{name}: no {written}");
        }
        assert!(!page.contains("features "), "{name}: the table of --version");
    }
}

#[test]
fn every_shell_completes_every_command() {
    let folder = tempfile::tempdir().expect("a folder");
    completions(folder.path()).expect("completions");
    let files = names(folder.path());
    assert_eq!(files.len(), SHELLS.len(), "{files:?}");
    for file in files {
        let script = fs::read_to_string(folder.path().join(&file)).expect("a script");
        for word in
            ["check", "trace", "compare", "inspect", "explain", "golden", "export", "min-psnr"]
        {
            assert!(script.contains(word), "{file}: no {word}");
        }
    }
}

/// The function names the state that each word leads to, and has a case for each such state.
#[test]
fn bash_knows_every_state_that_it_sets() {
    let folder = tempfile::tempdir().expect("a folder");
    completions(folder.path()).expect("completions");
    let script = fs::read_to_string(folder.path().join("vae-fidelity.bash")).expect("a script");
    let set = |line: &str| Some(line.trim().strip_prefix("cmd=\"")?.strip_suffix('"')?.to_owned());
    let states: BTreeSet<String> =
        script.lines().filter_map(set).filter(|state| !state.is_empty()).collect();
    assert!(states.len() > 10, "{states:?}");
    for state in states {
        assert!(script.lines().any(|line| line.trim() == format!("{state})")), "no case {state}");
    }
}
