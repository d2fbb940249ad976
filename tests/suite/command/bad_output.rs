//! Places that cannot be written, and writes that stop: exit code 2, and the earlier file as it was.
//! Full disks: `tests/mounts.rs`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use vae_fidelity::pixels;

use super::sandbox::{EARLIER, Ran, Sandbox, picture};

#[test]
fn a_place_where_nobody_may_write() {
    let sandbox = Sandbox::new();
    sandbox.refuses(&["photo.png", "--out", "photo.png/x.png"], &["photo.png/x.png"]);
    sandbox.refuses(&["photo.png", "--out", "/proc/x.png"], &["/proc/x.png"]);
    sandbox.refuses(&["photo.png", "--out", "gone/x.png"], &["gone/x.png", "does not exist"]);
    sandbox.refuses(&["photo.png", "--out-dir", "photo.png/x"], &["photo.png/x"]);
}

#[test]
fn a_directory() {
    Sandbox::new().refuses(&["photo.png", "--out", "model"], &["model", "directory"]);
}

#[test]
fn the_input_under_any_name() {
    let sandbox = Sandbox::new();
    symlink("photo.png", sandbox.path("link.png")).unwrap();
    fs::hard_link(sandbox.path("photo.png"), sandbox.path("twin.png")).unwrap();
    for name in ["photo.png", "./photo.png", "model/../photo.png", "link.png", "twin.png"] {
        sandbox.refuses(&["photo.png", "--out", name], &[name, "replace an input"]);
        sandbox.refuses(&["photo.png", "--save-latents", name], &[name, "replace an input"]);
    }
    sandbox.refuses(&["photo.png", "--out-dir", "."], &["photo.png", "replace an input"]);
    let config = "model/vae/config.json";
    sandbox.refuses(&["photo.png", "--save-input", config], &[config, "replace an input"]);
}

#[test]
fn another_output_under_any_name() {
    let sandbox = Sandbox::new();
    symlink("later.png", sandbox.path("link.png")).unwrap();
    for name in ["later.png", "./later.png", "link.png"] {
        let both = ["photo.png", "--out", "later.png", "--save-input", name];
        sandbox.refuses(&both, &[name, "one file"]);
    }
    sandbox.write("a/photo.png", picture(8, 8, 1));
    let twins = ["photo.png", "a/photo.png", "--out-dir", "out"];
    fs::create_dir(sandbox.path("out")).unwrap();
    sandbox.refuses(&twins, &["one file"]);
}

#[test]
fn a_full_device() {
    Sandbox::new().refuses(&["photo.png", "--out", "/dev/full"], &["/dev/full", "space"]);
}

#[test]
fn a_later_output_that_fails_leaves_the_earlier_ones_too() {
    let sandbox = Sandbox::new();
    sandbox.refuses(&["photo.png", "--save-latents", "/dev/full"], &["/dev/full", "space"]);
}

/// The limit on file sizes stops a write half-way on any machine, as a full disk does.
#[test]
fn a_write_that_stops_half_way() {
    let sandbox = Sandbox::new();
    sandbox.write("saved.safetensors", EARLIER);
    let before = sandbox.contents();
    let arguments = ["check", "--repo", "model", "photo.png", "--dtype", "bf16", "--device", "cpu"];
    let saved = ["--save-decoded", "saved.safetensors"];
    let script = "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"";
    let ran = Ran::of(sandbox.shell(script, &[&arguments[..], &saved].concat())).exits(2);
    ran.check(ran.stderr.contains("saved.safetensors: cannot be written"), "expected why");
    ran.check(sandbox.contents() == before, "expected the earlier file, and no other");
}

#[test]
fn a_full_standard_output() {
    let sandbox = Sandbox::new();
    for json in [&[][..], &["--json"]] {
        let arguments = [&["compare", "photo.png", "photo.png"], json].concat();
        let ran = Ran::of(sandbox.shell("exec \"$0\" \"$@\" > /dev/full", &arguments)).exits(2);
        ran.check(ran.stderr.contains("standard output: cannot be written"), "expected why");
    }
}

/// Killed at any moment, a run leaves the old file or the whole new one under the final name.
#[test]
fn killed_while_writing() {
    let sandbox = Sandbox::new();
    let mut interrupted = 0;
    for round in 0..8 {
        sandbox.write("decoded.png", EARLIER);
        let arguments = ["check", "--repo", "model", "photo.png", "--device", "cpu"];
        let size = ["--width", "256", "--height", "256"];
        let mut command = sandbox.command(&[&arguments[..], &size].concat());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        kill_at_the_first_write(child, &sandbox, Duration::from_micros(round * 300));
        for half in half_written(&sandbox) {
            interrupted += 1;
            fs::remove_file(half).unwrap();
        }
        if sandbox.read("decoded.png") != EARLIER {
            let opened = pixels::open(&sandbox.path("decoded.png"));
            let pixels = opened.unwrap_or_else(|error| panic!("half a picture: {error}")).pixels;
            assert_eq!((pixels.width(), pixels.height()), (256, 256));
        }
    }
    assert!(interrupted > 0, "no run was killed while it wrote: this test saw nothing");
    println!("{interrupted} of 8 runs were killed while they wrote");
}

/// Waits for a temporary file that grows, a little longer, and kills the process.
fn kill_at_the_first_write(mut child: Child, sandbox: &Sandbox, longer: Duration) {
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() && started.elapsed() < Duration::from_secs(120) {
        if !half_written(sandbox).is_empty() {
            std::thread::sleep(longer);
            break;
        }
    }
    let _ = child.kill();
    child.wait().unwrap();
}

fn half_written(sandbox: &Sandbox) -> Vec<PathBuf> {
    let entries = fs::read_dir(sandbox.path(".")).unwrap().flatten();
    let temporary = entries.filter(|entry| {
        entry.file_name().to_string_lossy().starts_with(".vae-fidelity-")
            && entry.metadata().is_ok_and(|metadata| metadata.len() > 0)
    });
    temporary.map(|entry| entry.path()).collect()
}
