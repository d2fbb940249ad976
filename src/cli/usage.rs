//! Help, the version, and what is wrong with a command line.

use std::ffi::OsString;
use std::io::Write;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::printable::printable_but;

use super::args::command;
use super::console::{Console, written};
use super::outcome::Outcome;

/// Flags and commands of other programs, and what to say here in their place.
const OF_OTHERS: [(&str, &str); 14] = [
    ("--size", "give --width W and --height H"),
    ("--resolution", "give --width W and --height H"),
    ("--image-size", "give --width W and --height H"),
    ("--batch", "name several pictures, or their folder: each is judged by itself"),
    ("--batch-size", "name several pictures, or their folder: each is judged by itself"),
    ("--gpu", "give --device cuda, or cuda:N for one of several"),
    ("--cuda", "give --device cuda, or cuda:N for one of several"),
    ("--cpu", "give --device cpu"),
    ("--fp16", "give --dtype f16"),
    ("--half", "give --dtype f16"),
    ("--bf16", "give --dtype bf16"),
    (
        "--verbose",
        "leave it out: what is worth knowing is printed; vae-fidelity trace shows every layer",
    ),
    ("-v", "leave it out, or ask for the version with -V"),
    ("encode", "use check, which encodes and decodes, with --save-latents F.safetensors"),
];

/// Prints what `usage` is about, for the command line `arguments`.
pub fn explain(usage: &clap::Error, arguments: &[OsString], console: Console) -> Outcome {
    match usage.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let text = usage.render();
            let mut stdout = anstream::stdout().lock();
            let printed = write!(stdout, "{}", text.ansi()).and_then(|()| stdout.flush());
            drop(stdout);
            // As for `Console::result`, a reader that went away is no error.
            match written(printed) {
                Ok(()) => return Outcome::Passed,
                Err(error) => drop(Console { json: false, ..console }.error(&error, None)),
            }
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand if !console.json => {
            let _ = write!(anstream::stderr(), "{}", usage.render().ansi());
        }
        _ => {
            // The exit code tells it even if nobody reads it.
            let _ = console.failure("option", &message(usage), &next(usage, arguments));
        }
    }
    Outcome::NotJudged
}

/// The first paragraph of clap's, which says what is wrong. It repeats arguments, which a shell may have made of
/// files' names.
fn message(usage: &clap::Error) -> String {
    let text = usage.render().to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = paragraph.split([' ', '\n']).filter(|word| !word.is_empty()).collect();
    let message = words.join(" ");
    let message = message.strip_prefix("error: ").unwrap_or(&message);
    printable_but(message, |_| false).into_owned()
}

fn next(usage: &clap::Error, arguments: &[OsString]) -> String {
    let text = |kind| match usage.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        Some(ContextValue::Strings(texts)) => texts.first().map(String::as_str),
        _ => None,
    };
    let name = chosen_command(arguments);
    let help = match &name {
        Some(name) => format!("see vae-fidelity {name} --help"),
        None => "see vae-fidelity --help".to_owned(),
    };
    let found = match usage.kind() {
        ErrorKind::UnknownArgument => text(ContextKind::InvalidArg),
        ErrorKind::InvalidSubcommand => text(ContextKind::InvalidSubcommand),
        _ => return help,
    };
    let Some(found) = found.and_then(|found| found.split('=').next()) else { return help };
    if let Some(file) = file_like(found, arguments) {
        return format!("if it is a file, name it as ./{file}; else {help}");
    }
    if let Some((_, next)) = OF_OTHERS.into_iter().find(|(known, _)| *known == found) {
        return next.to_owned();
    }
    let others = commands_with(found);
    if !others.is_empty() && !others.iter().any(|other| Some(other) == name.as_ref()) {
        return format!("it is a flag of {}; {help}", others.join(" and "));
    }
    let suggested = text(ContextKind::SuggestedArg).or(text(ContextKind::SuggestedSubcommand));
    match suggested {
        Some(suggested) => format!("did you mean {suggested}? Else {help}"),
        None => help,
    }
}

/// The argument that clap read as the short flag `found` and more, and that looks like a file's name.
fn file_like(found: &str, arguments: &[OsString]) -> Option<String> {
    let is_short = found.len() == 2 && !found.starts_with("--");
    let mut of_short = arguments.iter().skip(1).filter_map(|argument| argument.to_str());
    let argument = of_short.find(|argument| argument.starts_with(found) && argument.len() > 2)?;
    (is_short && argument.contains('.')).then(|| argument.to_owned())
}

/// The command that is called, with that below `golden`.
fn chosen_command(arguments: &[OsString]) -> Option<String> {
    let mut at = command();
    let mut names = Vec::new();
    for argument in arguments.iter().skip(1).filter_map(|argument| argument.to_str()) {
        let Some(below) = at.find_subcommand(argument) else { continue };
        names.push(argument.to_owned());
        at = below.clone();
    }
    (!names.is_empty()).then(|| names.join(" "))
}

/// The commands that have the flag `flag`.
fn commands_with(flag: &str) -> Vec<String> {
    let Some(long) = flag.strip_prefix("--") else { return Vec::new() };
    let mut found = Vec::new();
    let mut left = vec![(command(), String::new())];
    while let Some((at, name)) = left.pop() {
        if at.get_arguments().any(|argument| argument.get_long() == Some(long)) {
            found.push(name.clone());
        }
        left.extend(at.get_subcommands().map(|below| {
            let gap = if name.is_empty() { "" } else { " " };
            (below.clone(), format!("{name}{gap}{}", below.get_name()))
        }));
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn said(arguments: &[&str]) -> (String, String) {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let usage = super::super::args::Cli::try_parse_from(&arguments).unwrap_err();
        (message(&usage), next(&usage, &arguments))
    }

    #[test]
    fn each_mistake_has_a_next_step_of_its_own() {
        for (arguments, part) in [
            (&["v", "check", "a.png", "--batch", "2"][..], "several pictures"),
            (&["v", "check", "a.png", "--gpu"], "--device cuda"),
            (&["v", "check", "a.png", "--atol", "1"], "a flag of compare and trace"),
            (&["v", "check", "-dash.png"], "./-dash.png"),
            (&["v", "check", "a.png", "--out", "-x.png"], "./-x.png"),
            (&["v", "encode", "a.png"], "--save-latents"),
            (&["v", "chekc", "a.png"], "did you mean check?"),
            (&["v", "check", "a.png", "--heigth", "8"], "did you mean --height?"),
            (&["v", "golden", "export"], "vae-fidelity golden export --help"),
            (&["v", "--nonsense"], "see vae-fidelity --help"),
        ] {
            let (message, next) = said(arguments);
            assert!(next.contains(part), "{arguments:?}: {message}\n{next}");
            assert!(!message.contains("tip:") && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn numbers_are_refused_in_our_own_words() {
        for flags in [
            &["--threads"][..],
            &["--tiling", "--tile-size"],
            &["--max-memory"],
            &["--width"],
            &["--sample", "--seed"],
            &["--min-psnr"],
            &["--device"],
        ] {
            for value in
                ["nan", "1e3x", "99999999999999999999999999999999999999999", "cuda:99999999999"]
            {
                let flags = [&["v", "check", "a.png"], flags, &[value]].concat();
                let arguments: Vec<OsString> = flags.iter().map(OsString::from).collect();
                let Err(usage) = super::super::args::Cli::try_parse_from(&arguments) else {
                    continue;
                };
                let message = message(&usage);
                assert!(message.contains("expected"), "{flags:?}: {message}");
                for of_rust in ["invalid digit", "too large to fit", "parse"] {
                    assert!(!message.contains(of_rust), "{flags:?}: {message}");
                }
            }
        }
    }
}
