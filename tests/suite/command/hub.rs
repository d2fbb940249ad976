//! `check --repo OWNER/NAME` through the command line. Full and read-only disks: `tests/mounts.rs`.

use super::hub_world::{ID, World};
use crate::hub_server::{Place, READER, Repository, What};

#[test]
fn the_report_says_which_commit_was_judged() {
    let world = World::new(|repository| repository);
    let online = world.check(&["--json"], &[]).exits(0);
    let model = online.object()["model"].clone();
    online.check(model["source"] == ID, "expected the id as source");
    online.check(model["revision"] == world.commit.as_str(), "expected the commit as revision");
    let online = online.notes("downloaded 2 files");
    world.hub.requests();
    let offline = world.check(&["--json", "--offline", "--revision", "main"], &[]).exits(0);
    offline.check(offline.object()["model"]["revision"] == world.commit.as_str(), "the same");
    let by_variable = world.check(&["--revision", &world.commit], &[("HF_HUB_OFFLINE", "1")]);
    by_variable.exits(0).says(&format!("{ID} at {}", &world.commit[..12]));
    assert_eq!(world.hub.requests(), []);
    let local = world.sandbox.check(&["photo.png", "--json"]).exits(0);
    for part in ["latents", "decoded", "metrics"] {
        let parts = [&online, &local].map(|ran| ran.object()[part].clone());
        local.check(parts[0] == parts[1], "expected what the folder gives");
    }
}

#[test]
fn a_token_is_taken_from_the_variable_that_is_named() {
    let world = World::new(|repository| Repository { private: true, ..repository });
    let refused = world.check(&[], &[("MINE", READER)]).exits(2);
    refused.check(refused.stderr.contains("no token was sent"), "expected why");
    for flag in ["--hf-token-env", "--hf_token_env"] {
        world.check(&[flag, "MINE", "--json"], &[("MINE", READER)]).exits(0);
    }
    let wrong = world.check(&["--json"], &[("HF_TOKEN", "hf_mistyped")]).exits(0);
    wrong.notes("from the cache");
    let fresh = [("HF_TOKEN", "hf_mistyped"), ("HF_HUB_CACHE", "another")];
    let refused = world.check(&["--json"], &fresh).exits(2);
    let object = refused.object();
    refused.check(object["error"]["code"] == "hub", "expected the hub's code");
    refused.check(object["verdict"].is_null(), "expected no verdict");
    let printed = format!("{}{}", refused.stdout, refused.stderr);
    refused.check(!printed.contains("hf_mistyped"), "expected no token");
    refused.check(printed.contains("the token of HF_TOKEN was sent"), "expected which");
}

#[test]
fn a_repository_that_is_not_there_is_one_error() {
    let world = World::new(|repository| repository);
    world.hub.set(Vec::new());
    let ran = world.check(&[], &[]).exits(2);
    ran.check(ran.stdout.is_empty(), "expected nothing on stdout");
    ran.check(ran.stderr.matches("error: ").count() == 1, "expected one error");
    ran.check(ran.stderr.contains("\n next: check the name"), "expected what to do next");
    for flags in
        [&["--revision", "x", "--repo", "model"][..], &["--revision", "x", "--repo", "builtin"]]
    {
        let ran = world.check(flags, &[]).exits(2);
        ran.check(ran.stderr.contains("--revision x"), "expected the flag");
    }
    // Without a source on a hub, its variables do not matter.
    let odd = [("HF_HUB_DOWNLOAD_TIMEOUT", "soon")];
    world.check(&["--repo", "model"], &odd).exits(0);
    let ran = world.check(&[], &odd).exits(2);
    ran.check(ran.stderr.contains("HF_HUB_DOWNLOAD_TIMEOUT=soon"), "expected the variable");
}

/// The limit on file sizes stops a write half-way on any machine, as a full disk does.
#[test]
fn a_write_to_the_cache_that_stops_half_way() {
    let world = World::new(|repository| repository);
    let ran = world.shell("trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"", &[]).exits(2);
    ran.check(ran.stderr.contains("the hub's cache cannot be written"), "expected why");
    ran.check(ran.stderr.contains("free some disk space"), "expected what next");
    ran.check(!world.sandbox.exists("decoded.png"), "expected no picture");
    // What arrived is gone on with.
    world.hub.requests();
    world.check(&[], &[]).exits(0);
    let starts: Vec<_> =
        world.hub.requests().iter().filter(|r| r.content).map(|r| r.range_start()).collect();
    assert!(matches!(starts[..], [Some(1..)]), "expected to go on: {starts:?}");
}

#[test]
fn two_runs_at_once_download_once() {
    let world = World::new(|repository| repository);
    world.hub.fault(Place::Content, "", 1, What::StallAfter(1000));
    std::thread::scope(|scope| {
        for out in ["a.png", "b.png"] {
            let world = &world;
            scope.spawn(move || world.check(&["--out", out], &[]).exits(0));
        }
    });
    let content = world.hub.requests().iter().filter(|request| request.content).count();
    assert_eq!(content, 2, "expected one download, with its second try");
    assert_eq!(world.sandbox.read("a.png"), world.sandbox.read("b.png"));
}
