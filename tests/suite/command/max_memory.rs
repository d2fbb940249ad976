//! `--max-memory` where it cannot be kept: exit code 2, and words.

use std::process::Command;

use vae_fidelity::Engine;

use super::sandbox::Sandbox;

#[test]
fn what_cannot_be_limited_is_refused_in_words() {
    let sandbox = Sandbox::new();
    let limited = |size| ["photo.png", "--engine", "fast", "--max-memory", size];
    if Engine::default() == Engine::Reference {
        let reference = ["photo.png", "--max-memory", "8G"];
        sandbox.refuses(&reference, &["--max-memory", "reference engine"]);
    }
    sandbox.refuses(&limited("1M"), &["--max-memory 1M", "expected at least", "40 x 24"]);
}

#[test]
fn a_folder_in_memory_or_without_a_place_is_no_disk() {
    let sandbox = Sandbox::new();
    for (folder, said) in [("/dev/shm", "a folder in memory"), ("/nowhere", "/nowhere")] {
        let ran = Command::new(env!("CARGO_BIN_EXE_vae-fidelity"))
            .args(["check", "--engine", "fast", "--max-memory", "8G", "--repo"])
            .args([sandbox.path("model"), sandbox.path("photo.png"), "--out".into()])
            .arg(sandbox.path("out.png"))
            .env("TMPDIR", folder)
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(said) && stderr.contains("TMPDIR"), "{stderr}");
        assert!(!sandbox.path("out.png").exists());
    }
}
