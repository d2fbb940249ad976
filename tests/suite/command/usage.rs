//! The command line itself: help, mistakes in it, pipes that break, and silence.

use super::sandbox::{Ran, Refusal, Sandbox, parsed, picture};

#[test]
fn a_wrong_command_line_is_json_for_those_who_asked() {
    let sandbox = Sandbox::new();
    for arguments in [&["--json", "nonsense"][..], &["compare", "a.png", "--json"]] {
        let ran = sandbox.run(arguments).exits(2);
        let refusal: Refusal = parsed(&ran, 0);
        ran.check(refusal.error.code == "option", "code");
        ran.check(ran.stderr.is_empty(), "expected nothing on stderr");
    }
    let ran = sandbox.run(&["compare", "a.png", "b.png", "--min-ssim", "1.5"]).exits(2);
    ran.notes("at most 1");
}

/// In a checkout the commit is git's; a packed crate, or a machine without git, has to say it is
/// not known, or what was packed.
#[test]
fn the_version_says_what_was_built() {
    let sandbox = Sandbox::new();
    let short = sandbox.run(&["-V"]).exits(0).says(env!("CARGO_PKG_VERSION"));
    short.check(short.stdout.lines().count() == 1, "expected one line");
    let long = sandbox.run(&["--version"]).exits(0).says(env!("CARGO_PKG_VERSION"));
    let said = |row: &str| {
        let line = long.stdout.lines().find_map(|line| line.strip_prefix(row));
        line.map(str::trim).filter(|rest| !rest.is_empty())
    };
    for row in ["commit ", "date ", "engines ", "features ", "libtorch ", "target "] {
        long.check(said(row).is_some(), row);
    }
    let engines = if cfg!(feature = "tch") { "reference, fast" } else { "fast" };
    long.check(said("engines ") == Some(engines), "expected the engines that are built in");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let shown = ["show", "--no-patch", "--format=%H %cs", "HEAD"];
    let git = std::process::Command::new("git").arg("-C").arg(root).args(shown).output();
    let Some(git) = git.ok().filter(|git| root.join(".git").exists() && git.status.success())
    else {
        return;
    };
    let git = String::from_utf8(git.stdout).expect("UTF-8");
    let (commit, date) = git.trim().split_once(' ').expect("a commit and its date");
    long.check(said("commit ") == Some(&commit[..12]), commit);
    long.check(said("date ") == Some(date), date);
    short.check(short.stdout.contains(&commit[..12]), commit);
}

#[test]
fn help_and_version_are_results() {
    let sandbox = Sandbox::new();
    sandbox.run(&["--version"]).exits(0).says(env!("CARGO_PKG_VERSION"));
    sandbox.run(&["--help"]).exits(0).says("Exit codes: 0 pass");
    sandbox.run(&["compare", "--help"]).exits(0).says("--rtol");
    sandbox.run::<&str>(&[]).exits(2).notes("Usage:");
}

/// A reader that goes away is no reason to complain, nor to change the verdict.
#[test]
fn a_broken_pipe_is_quiet() {
    let sandbox = Sandbox::new();
    sandbox.write("other.png", picture(40, 24, 3));
    for (arguments, code) in [
        (&["compare", "photo.png", "photo.png"][..], 0),
        (&["compare", "photo.png", "other.png", "--json"], 1),
        (&["--help"], 0),
    ] {
        // The sleep lets `true` close the pipe first.
        let script = "(sleep 0.3; \"$0\" \"$@\"; echo $? > code) | true; sleep 1; cat code";
        let ran = Ran::of(sandbox.shell(script, arguments));
        ran.check(ran.stdout.trim() == code.to_string(), "expected the verdict's exit code");
        ran.check(ran.stderr.is_empty(), "expected nothing on stderr");
    }
}

#[test]
fn colour_only_where_it_is_wanted() {
    let sandbox = Sandbox::new();
    let same = ["compare", "photo.png", "photo.png"];
    let ran = sandbox.run(&same);
    ran.check(!ran.stdout.contains('\x1b'), "expected no colour in a pipe");
    let mut command = sandbox.command(&same);
    command.env("CLICOLOR_FORCE", "1");
    Ran::of(command).exits(0).says("\x1b[");
    let mut command = sandbox.command(&same);
    command.env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1");
    let ran = Ran::of(command).exits(0);
    ran.check(!ran.stdout.contains('\x1b'), "expected NO_COLOR to win");
}

#[test]
fn quiet_leaves_the_exit_code() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&["compare", "photo.png", "photo.png", "--quiet"]).exits(0);
    ran.check(ran.stdout.is_empty() && ran.stderr.is_empty(), "expected nothing");
    let ran = sandbox.run(&["compare", "-q", "photo.png", "photo.png", "--json"]).exits(0);
    ran.object();
}

#[cfg(target_os = "linux")]
#[test]
fn help_that_cannot_be_printed_is_no_success() {
    let sandbox = Sandbox::new();
    for flag in ["--help", "--version"] {
        let ran = Ran::of(sandbox.shell("\"$0\" \"$@\" > /dev/full", &[flag])).exits(2);
        ran.check(ran.stderr.contains("no space left"), "expected why");
    }
}

#[test]
fn outputs_are_refused_before_the_run_where_their_names_cannot_be() {
    let sandbox = Sandbox::new();
    let long = format!("{}.png", "x".repeat(300));
    for (flag, name, part) in [
        ("--save-decoded", "x.npy", "writes safetensors"),
        ("--save-latents", "x.pt", "writes safetensors"),
        ("--save-trace", "x.txt", "writes JSON"),
        ("--report", "-", "--report -"),
        ("--out", long.as_str(), "too long"),
        ("--out", "photo.png/x.png", "found the file photo.png"),
    ] {
        sandbox.refuses(&["photo.png", flag, name], &[part]);
    }
}

/// Nor does a page or a table that is written.
#[cfg(unix)]
#[test]
fn no_file_for_people_has_control_characters_of_a_name() {
    let sandbox = Sandbox::new();
    let name = "a\u{1b}[31m\u{7}\u{9b}.png";
    sandbox.write(name, picture(40, 24, 3));
    let files = ["--report", "r.html", "--table", "t.csv", "--sarif", "s.json", "--junit", "j.xml"];
    sandbox.check(&[&[name][..], &files].concat()).exits(0);
    for file in ["r.html", "t.csv", "s.json", "j.xml"] {
        let text = String::from_utf8(sandbox.read(file)).unwrap();
        let acts = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
        assert!(!text.contains(acts), "{file}");
    }
    assert!(serde_json::from_slice::<serde_json::Value>(&sandbox.read("s.json")).is_ok());
}
