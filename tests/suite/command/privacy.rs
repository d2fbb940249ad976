//! What leaves this machine: nothing on the network unless a hub is named, no token in what is printed or
//! written, and on request no folder.

use super::hub_world::World;
use super::sandbox::{Ran, Sandbox};
use crate::hub_server::READER;

#[test]
fn nothing_is_asked_of_a_hub_unless_one_is_named() {
    let world = World::new(|repository| repository);
    let runs: [(&[&str], i32); 9] = [
        (&["check", "photo.png"], 0),
        (&["check", "photo.png", "--repo", "model", "--forecast", "--report", "page.html"], 0),
        (&["trace", "photo.png", "--repo", "model"], 0),
        (&["check", "photo.png", "--save-latents", "z.safetensors"], 0),
        (&["decode", "z.safetensors"], 0),
        (&["probe", "--repo", "model", "--size", "128"], 1),
        (&["inspect", "model"], 0),
        (&["compare", "photo.png", "photo.png"], 0),
        (&["explain", "channel-swap"], 0),
    ];
    for (arguments, code) in runs {
        let ran = Ran::of(world.prepare(world.sandbox.command(arguments), &[]));
        ran.exits(code);
    }
    assert_eq!(world.hub.requests(), []);
    world.check(&[], &[]).exits(0);
    assert!(!world.hub.requests().is_empty(), "the hub that is named is asked");
}

#[test]
fn a_token_is_in_nothing_that_is_printed_or_written() {
    let world =
        World::new(|repository| crate::hub_server::Repository { private: true, ..repository });
    let flags = ["--report", "page.html", "--save-trace", "trace.json"];
    for style in [&["--json"][..], &[]] {
        let ran = world.check(&[&flags, style].concat(), &[("HF_TOKEN", READER)]).exits(0);
        let written = world.sandbox.contents();
        let files = written.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned());
        for text in files.chain([ran.stdout.clone(), ran.stderr.clone()]) {
            assert!(!text.contains(READER));
        }
    }
}

#[test]
fn folders_of_this_machine_are_left_out_on_request() {
    let sandbox = Sandbox::new();
    sandbox.write("private/photo.png", sandbox.read("photo.png"));
    let folder = sandbox.path("private").canonicalize().unwrap();
    let folder = folder.parent().unwrap().to_str().unwrap();
    let [picture, model, page] =
        ["private/photo.png", "model", "page.html"].map(|name| format!("{folder}/{name}"));
    let arguments = ["check", &picture, "--repo", &model, "--report", &page, "--json"];
    let escaped = folder.replace('/', "&#x2f;");
    let shows = |ran: &Ran| {
        let written = String::from_utf8(sandbox.read("page.html")).unwrap();
        let page = written.contains(folder) || written.contains(&escaped);
        (ran.stdout.contains(folder), page)
    };
    let plain = sandbox.run(&arguments).exits(0);
    assert_eq!(shows(&plain), (true, true), "without the flag");
    let stripped = sandbox.run(&[&arguments[..], &["--strip-paths"]].concat()).exits(0);
    assert_eq!(shows(&stripped), (false, false));
    let object = stripped.object();
    assert_eq!(object["input"]["path"], "photo.png");
    assert_eq!(object["model"]["source"], "model");
    let missing = format!("{folder}/private/absent.png");
    let refused = sandbox.run(&["check", &missing, "--strip-paths"]).exits(2);
    refused.check(!refused.stderr.contains(folder), "no folder in an error");
    refused.check(refused.stderr.contains("absent.png"), "the file's name");
}
