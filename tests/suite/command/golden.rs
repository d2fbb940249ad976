//! `golden list` and `golden verify`.

use serde::Deserialize;

use super::sandbox::{Ran, Refusal, Sandbox, parsed};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    schema_version: u32,
    suite: String,
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Case {
    name: String,
    model: String,
    image: String,
    width: Option<usize>,
    height: Option<usize>,
    posterior: serde_json::Value,
    dtype: String,
    device: String,
    tiling: bool,
    slicing: bool,
    clip: bool,
    shows: String,
}

#[test]
fn the_suite_that_the_binary_was_built_beside_is_listed_from_anywhere() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&["golden", "list", "--json"]).exits(0);
    let list: List = parsed(&ran, 0);
    assert_eq!(list.schema_version, 1);
    // The folder of the data crate, whatever it is called where it was unpacked.
    assert!(std::path::Path::new(&list.suite).join("manifest.json").is_file());
    assert!(list.cases.len() > 20);
    let only = ["golden", "list", "--only", "sd-small"];
    let ran = sandbox.run(&[&only[..], &["--json"]].concat()).exits(0);
    let some: List = parsed(&ran, 0);
    assert!(some.cases.len() < list.cases.len());
    assert!(some.cases.iter().all(|case| case.model == "sd-small"));
    let f16 = |case: &&Case| case.dtype == "f16" && case.device == "cuda";
    assert_eq!(some.cases.iter().filter(f16).count(), 1);
    // One of AutoencoderKL, and one of AutoencoderTiny.
    assert_eq!(list.cases.iter().filter(|case| case.slicing && case.tiling).count(), 2);
    let clips = list.cases.iter().filter(|case| case.clip);
    assert!(clips.clone().count() >= 10 && clips.clone().all(|case| !case.slicing));
    let clip = ["golden", "list", "--only", "wan-small-clip"];
    sandbox.run(&clip).exits(0).says("a clip of 5 frames");
    sandbox.run(&only).exits(0).says("sd-small-mode").says("f16 on cuda");
    let unknown = sandbox.run(&["golden", "list", "--only", "nothing", "--json"]).exits(2);
    let refusal: Refusal = parsed(&unknown, 0);
    unknown.check(refusal.error.code == "golden", "code");
    sandbox.run(&["golden", "list", "--golden", "gone"]).exits(2).notes("gone/manifest.json");
}

#[test]
fn one_case_is_verified() {
    let sandbox = Sandbox::new();
    let verify = ["golden", "verify", "--only", "sd-small-mode"];
    sandbox.run(&verify).exits(0).says("1 cases run, 0 failed");
    let object = sandbox.run(&[&verify[..], &["--json"]].concat()).exits(0).object();
    assert_eq!((&object["schema_version"], &object["passed"]), (&1.into(), &true.into()));
}

/// A suite that holds another model's weights must fail, not merely differ.
#[test]
fn weights_that_are_not_those_of_the_golden_fail() {
    let sandbox = Sandbox::new();
    let suite = concat!(env!("CARGO_MANIFEST_DIR"), "/golden");
    let copy = "cp -r \"$1\" golden && sed -i 's/\"hash\"/\"multiply\": {\"decoder.conv_in.weight\": 1.01}, \
                \"hash\"/' golden/models/sd-small/vae/recipe.json";
    Ran::of(sandbox.shell(copy, &[suite])).exits(0);
    let ran = sandbox.run(&["golden", "verify", "--only", "sd-small-mode"]).exits(1);
    ran.says("decoder.conv_in");
}
