//! Full and read-only disks, which are mounted for it; where that is not allowed, each of these is counted
//! as ignored, and the last line says so. What runs everywhere and comes close: the tests of the suite in
//! which a limit on the size of files stops a write half-way.

// The suite uses the rest of it.
#[allow(dead_code)]
#[path = "suite/command/hub_world.rs"]
mod hub_world;
#[path = "suite/hub_server/mod.rs"]
mod hub_server;
#[allow(dead_code)]
#[path = "suite/command/sandbox.rs"]
mod sandbox;
#[allow(unused_imports, reason = "its own test runs in the suite")]
#[path = "suite/command/schema.rs"]
mod schema;

use std::fs;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use hub_world::World;
use sandbox::{Ran, Sandbox};

/// Puts what follows where it may mount.
type Namespace = &'static str;

/// A test by its name.
type Named = (&'static str, fn(Namespace));

fn main() {
    let arguments = Arguments::from_args();
    let tests: [Named; 2] = [
        ("a_full_disk", a_full_disk),
        ("a_full_and_a_read_only_disk", a_full_and_a_read_only_disk),
    ];
    let trials = tests.map(|(name, test)| Trial::ignorable_test(name, move || run(test)));
    let conclusion = libtest_mimic::run(&arguments, trials.into());
    if conclusion.num_ignored > 0 {
        println!(
            "not run: {} (need mount rights: {})",
            conclusion.num_ignored,
            mountable().unwrap_err()
        );
    }
    conclusion.exit();
}

fn run(test: fn(Namespace)) -> Result<Completion, Failed> {
    match mountable() {
        Ok(namespace) => {
            test(namespace);
            Ok(Completion::Completed)
        }
        Err(reason) => Ok(Completion::ignored_with(reason)),
    }
}

/// The first namespace in which this machine lets us mount, or what it says.
fn mountable() -> Result<Namespace, String> {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("disk")).unwrap();
    let mut said = String::new();
    for namespace in ["unshare --mount", "unshare --user --map-root-user --mount"] {
        let output =
            sandbox.shell::<&str>(&on_a_disk(namespace, "16k", "true"), &[]).output().unwrap();
        if output.status.success() {
            return Ok(namespace);
        }
        said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    }
    Err(said)
}

/// A script in which `then` runs beside an empty `disk` of this size.
fn on_a_disk(namespace: Namespace, size: &str, then: &str) -> String {
    let mount = format!("mount -t tmpfs -o size={size} tmpfs disk");
    format!("exec {namespace} sh -c '{mount} || exit 9; {then}' \"$0\" \"$@\"")
}

fn a_full_disk(namespace: Namespace) {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("disk")).unwrap();
    let check = ["check", "--repo", "model", "photo.png", "--dtype", "bf16", "--device", "cpu"];
    let size = ["--width", "64", "--height", "64"];
    let saved = ["--save-decoded", "disk/saved.safetensors"];
    let then = "echo earlier > disk/saved.safetensors; \"$0\" \"$@\"; code=$?; ls -A disk; \
                cat disk/saved.safetensors; exit $code";
    let script = on_a_disk(namespace, "16k", then);
    let ran = Ran::of(sandbox.shell(&script, &[&check[..], &size, &saved].concat())).exits(2);
    ran.check(ran.stderr.contains("disk/saved.safetensors: cannot be written"), "expected why");
    ran.check(ran.stderr.contains("free some disk space"), "expected what next");
    ran.check(ran.stdout == "saved.safetensors\nearlier\n", "expected the earlier file only");
}

/// Where the hub's cache lies on it.
fn a_full_and_a_read_only_disk(namespace: Namespace) {
    let world = World::new(|repository| repository);
    fs::create_dir(world.sandbox.path("disk")).unwrap();
    let cache = [("HF_HUB_CACHE", "disk/hub")];
    let then = "\"$0\" \"$@\"; code=$?; find disk -size +4k; exit $code";
    let ran = world.shell(&on_a_disk(namespace, "16k", then), &cache).exits(2);
    ran.check(ran.stderr.contains("bytes free, and "), "expected how much");
    ran.check(ran.stderr.contains("free some disk space"), "expected what next");
    ran.check(!ran.stdout.contains("disk"), "expected nothing of the file");

    let then = "mount -o remount,ro disk; exec \"$0\" \"$@\"";
    let ran = world.shell(&on_a_disk(namespace, "4m", then), &cache).exits(2);
    ran.check(ran.stderr.contains("cannot be written: read-only file system"), "expected why");
    ran.check(ran.stderr.contains("HF_HUB_CACHE"), "expected what next");

    // A read-only cache that has everything is as good as any.
    world.check(&[], &[]).exits(0);
    let then = "cp -a cache disk/hub; mount -o remount,ro disk; exec \"$0\" \"$@\"";
    world.shell(&on_a_disk(namespace, "4m", then), &cache).exits(0);
}
