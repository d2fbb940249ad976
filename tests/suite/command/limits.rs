//! What a system does not give: memory, threads and the size of files. Each run ends with a verdict or
//! with one message, and nothing is lost.

use super::sandbox::{Ran, Sandbox};

/// From next to nothing, with which no process starts, to enough.
#[test]
fn limits_of_memory_end_in_one_message() {
    let sandbox = Sandbox::new();
    let arguments = ["check", "--repo", "model", "photo.png", "--width", "256", "--height", "256"];
    let mut said = 0;
    for mebibytes in [60, 80, 100, 120, 150, 200, 300, 430, 440, 450, 460, 470, 480, 500, 800] {
        let script = format!("ulimit -v {}; exec timeout 60 \"$0\" \"$@\"", mebibytes << 10);
        let ran = Ran::of(sandbox.shell(&script, &arguments));
        // libtorch's own loading ends in an abort before any code of this project runs.
        let in_loading = ran.stderr.contains("std::bad_alloc") && !ran.stderr.contains("note:");
        if ran.code == Some(127) || ran.stderr.contains("error while loading") || in_loading {
            continue;
        }
        let ran = verdict_or_error(ran);
        if ran.code == Some(2) {
            said += 1;
            ran.check(ran.stderr.contains("memory"), "expected why");
        }
    }
    assert!(said > 0, "no limit was met: this test saw nothing");
}

/// What a library's own `exit(1)` leaves behind is neither.
fn verdict_or_error(ran: Ran) -> Ran {
    match ran.code {
        Some(0 | 1) => ran.check(ran.stdout.contains("verdict"), "expected a verdict"),
        Some(2) => ran.check(ran.stderr.matches("error: ").count() == 1, "expected one error"),
        _ => ran.check(false, "expected a verdict or an error"),
    }
    ran
}

#[test]
fn thousands_of_threads() {
    let sandbox = Sandbox::new();
    let engines: &[&str] = if cfg!(feature = "tch") { &["fast", "reference"] } else { &["fast"] };
    for script in
        ["exec timeout 60 \"$0\" \"$@\"", "ulimit -v 900000; exec timeout 60 \"$0\" \"$@\""]
    {
        for engine in engines {
            let arguments =
                ["check", "--repo", "model", "photo.png", "--engine", engine, "--threads", "4096"];
            verdict_or_error(Ran::of(sandbox.shell(script, &arguments)));
        }
    }
}

/// Without a trap in the shell: the signal is not what ends the run.
#[test]
fn a_limit_on_the_size_of_files() {
    let sandbox = Sandbox::new();
    let arguments =
        ["check", "--repo", "model", "photo.png", "--save-decoded", "saved.safetensors"];
    let before = sandbox.contents();
    let ran = Ran::of(sandbox.shell("ulimit -f 8; exec \"$0\" \"$@\"", &arguments)).exits(2);
    ran.check(ran.stderr.contains("cannot be written"), "expected why");
    ran.check(sandbox.contents() == before, "expected all files as they were");
}
