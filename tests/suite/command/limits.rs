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
        let script = format!("ulimit -v {}; exec timeout 300 \"$0\" \"$@\"", mebibytes << 10);
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
        Some(2) => {
            // A library may have said something before.
            let errors = ran.stderr.lines().filter(|line| line.starts_with("error: "));
            ran.check(errors.count() == 1, "expected one error");
        }
        _ => ran.check(false, "expected a verdict or an error"),
    }
    ran
}

#[test]
fn thousands_of_threads() {
    let sandbox = Sandbox::new();
    let engines: &[&str] = if cfg!(feature = "tch") { &["fast", "reference"] } else { &["fast"] };
    for script in
        ["exec timeout 300 \"$0\" \"$@\"", "ulimit -v 900000; exec timeout 300 \"$0\" \"$@\""]
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

/// As the standard library does where a new thread finds no memory.
#[cfg(target_os = "linux")]
#[test]
fn an_abort_is_no_verdict() {
    use std::process::Stdio;

    let sandbox = Sandbox::new();
    // Waits for a list that does not come.
    let mut waiting = sandbox.command(&["check", "--repo", "model", "-"]);
    waiting.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = waiting.spawn().unwrap();
    let handles_aborts = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(caught.trim(), 16).unwrap() & (1 << (libc::SIGABRT - 1)) != 0
    };
    let ready = (0..3000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        handles_aborts()
    });
    assert!(ready, "the command never came to handle SIGABRT");
    // SAFETY: it is a process of this test, which has not been waited for.
    assert_eq!(unsafe { libc::kill(child.id().try_into().unwrap(), libc::SIGABRT) }, 0);
    let stdin = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("error: the process was aborted") && said.contains("next: "), "{said}");
}

/// The command then runs on a thread of its own.
#[test]
fn a_limit_on_the_stack() {
    let sandbox = Sandbox::new();
    let arguments = ["check", "--repo", "model", "photo.png", "--engine", "fast"];
    let ran = Ran::of(sandbox.shell("ulimit -s 1024; exec \"$0\" \"$@\"", &arguments)).exits(0);
    ran.check(ran.stdout.contains("verdict"), "expected a verdict");
}

/// What is being written goes with the process; what `kill -9` leaves goes with the next run.
#[test]
fn a_signal_leaves_nothing_unfinished() {
    let sandbox = Sandbox::new();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/golden");
    let left = || {
        let names = std::fs::read_dir(sandbox.path(".")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains("unfinished")).collect::<Vec<_>>()
    };
    let arguments = ["golden", "export", "out", "--golden", golden];
    let run = |signal: &str| {
        let script = format!("timeout -s {signal} 1 \"$0\" \"$@\"");
        Ran::of(sandbox.shell(&script, &arguments))
    };
    for signal in ["INT", "TERM", "HUP"] {
        let ran = run(signal);
        ran.check(!sandbox.exists("out"), "expected no folder yet");
        ran.check(left().is_empty(), "expected nothing left");
        ran.check(!ran.stderr.contains("error:"), "expected no message");
    }
    run("KILL");
    // The killed one may still be ending.
    std::thread::sleep(std::time::Duration::from_secs(1));
    sandbox.check(&["photo.png"]).exits(0);
    assert!(left().is_empty(), "{:?}", left());
}
