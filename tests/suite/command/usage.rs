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

#[test]
fn help_and_version_are_results() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&["--version"]).exits(0).says(env!("CARGO_PKG_VERSION"));
    ran.check(ran.stdout.contains("libtorch"), "expected libtorch's version");
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
