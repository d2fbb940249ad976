//! `--junit` and `--sarif`: what CI systems are given. SARIF is held against its schema here, JUnit XML
//! against its own by `vae_fidelity_tools.conformance.junit`.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};

use super::junit::Junit;
use super::sandbox::{CONFIG, RECIPE, Sandbox, Tensor, picture, safetensors_of};

const BOTH: [&str; 4] = ["--junit", "run.xml", "--sarif", "run.json"];

static SCHEMA: LazyLock<(Schemas, SchemaIndex)> = LazyLock::new(|| {
    let name = "tests/fixtures/schemas/sarif-schema-2.1.0.json";
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.enable_format_assertions();
    compiler.add_resource("sarif.json", serde_json::from_str(&text).unwrap()).unwrap();
    let index = compiler.compile("sarif.json", &mut schemas).unwrap();
    (schemas, index)
});

fn violation(log: &Value) -> Option<String> {
    let (schemas, index) = &*SCHEMA;
    schemas.validate(log, *index).err().map(|error| error.to_string())
}

/// The run of a log that is what the schema says.
fn sarif(sandbox: &Sandbox) -> Value {
    let mut log: Value = serde_json::from_slice(&sandbox.read("run.json")).unwrap();
    assert_eq!(violation(&log), None, "{log:#}");
    let run = log["runs"][0].take();
    for result in run["results"].as_array().unwrap() {
        let rule = &run["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().unwrap() as usize];
        assert_eq!(rule["id"], result["ruleId"], "{log:#}");
    }
    run
}

/// Where the results of a run lie: rule, level, file and layer.
fn results(run: &Value) -> Vec<[&str; 4]> {
    let results = run["results"].as_array().unwrap().iter();
    let results = results.map(|result| {
        let at = &result["locations"][0];
        [
            result["ruleId"].as_str().unwrap(),
            result["level"].as_str().unwrap(),
            at["physicalLocation"]["artifactLocation"]["uri"].as_str().unwrap_or_default(),
            at["logicalLocations"][0]["fullyQualifiedName"].as_str().unwrap_or_default(),
        ]
    });
    results.collect()
}

#[test]
fn a_pass_has_its_numbers_and_no_failure() {
    let sandbox = Sandbox::new();
    let ran = sandbox.check(&[&["photo.png", "--json"], &BOTH[..]].concat()).exits(0);
    let junit = Junit::read(&sandbox);
    assert_eq!(junit.counts(), [1, 0, 0]);
    let case = junit.one("testcase");
    assert_eq!(case.attributes["name"], "photo.png");
    assert_eq!(case.attributes["classname"], "vae-fidelity.check");
    assert!(case.attributes["time"].parse::<f64>().unwrap() > 0.0);
    // In every digit: as text.
    let psnr = junit.property("psnr_db").unwrap();
    ran.check(ran.stdout.contains(&format!("\"psnr_db\":{psnr},")), psnr);
    assert_eq!(junit.property("model.source"), Some("model"));
    assert!(junit.one("system-out").text.contains(&format!("psnr_db {psnr}\n")));
    let run = sarif(&sandbox);
    assert_eq!(run["invocations"], json!([{ "executionSuccessful": true }]));
    assert_eq!(results(&run), [[""; 4]; 0]);
    assert_eq!(run["artifacts"][0]["properties"]["psnr_db"], ran.object()["metrics"]["psnr_db"]);
    let driver = &run["tool"]["driver"];
    assert_eq!((&driver["name"], &driver["version"]), (&json!("vae-fidelity"), &json!("0.1.0")));
}

#[test]
fn what_was_asked_for_and_missed_is_a_failure() {
    let sandbox = Sandbox::new();
    let asked = ["photo.png", "--min-psnr", "99", "--json"];
    let report = sandbox.check(&[&asked, &BOTH[..]].concat()).exits(1).object();
    let reason = report["verdict_reasons"][0].as_str().unwrap();
    let junit = Junit::read(&sandbox);
    assert_eq!(junit.counts(), [1, 1, 0]);
    let failure = junit.one("failure");
    assert_eq!(failure.attributes["type"], "verdict");
    assert_eq!((failure.attributes["message"].as_str(), failure.text.trim()), (reason, reason));
    let run = sarif(&sandbox);
    assert_eq!(results(&run), [["verdict", "error", "photo.png", ""]]);
    assert_eq!(run["results"][0]["message"]["text"], reason);
}

#[test]
fn a_finding_has_code_title_layer_and_remedy() {
    let sandbox = Sandbox::new();
    sandbox.store_weights(|tensors| {
        let broken = tensors.iter_mut().find(|tensor| tensor.name == "decoder.conv_in.bias");
        broken.unwrap().values.fill(f32::NAN);
    });
    let report = sandbox.check(&[&["photo.png", "--json"], &BOTH[..]].concat()).exits(1).object();
    let finding = &report["findings"][0];
    let of_finding = |name: &str| finding[name].as_str().unwrap();
    let layer = of_finding("layer");
    assert_eq!(layer, "decoder.conv_in");
    let junit = Junit::read(&sandbox);
    let failure = junit.one("failure");
    assert_eq!(failure.attributes["type"], of_finding("code"));
    for part in ["code", "title", "layer", "remedy"].map(of_finding) {
        assert!(failure.text.contains(part), "{part}: {}", failure.text);
    }
    let run = sarif(&sandbox);
    assert_eq!(results(&run)[0], [of_finding("code"), "error", "photo.png", layer]);
    let message = run["results"][0]["message"]["text"].as_str().unwrap();
    assert!(message.contains(of_finding("title")) && message.contains(of_finding("remedy")));
    assert_eq!(run["results"][0]["properties"]["evidence"], finding["evidence"]);
    let rule = &run["tool"]["driver"]["rules"][0];
    assert_eq!(rule["defaultConfiguration"]["level"], "error");
    assert!(rule["help"]["text"].as_str().unwrap().contains("In diffusers: "));
}

#[test]
#[cfg(unix)]
fn names_that_xml_and_uris_cannot_have_as_they_are() {
    let sandbox = Sandbox::new();
    let named = ["a<&>\"'%#?.png", "b \u{1b}[31m\n\u{85}.png", "c\u{ffff}ü{0}.png", "gone.png"];
    for name in &named[..3] {
        sandbox.write(name, picture(40, 24, 3));
    }
    let ran = sandbox.check(&[&named[..], &["--out-dir", "out"], &BOTH[..]].concat()).exits(2);
    ran.check(ran.stderr.contains("gone.png"), "the one that cannot be read is named");
    let junit = Junit::read(&sandbox);
    assert_eq!(junit.counts(), [4, 0, 1]);
    let shown = ["a<&>\"'%#?.png", "b \\u{1b}[31m\\n\\u{85}.png", "c\\u{ffff}ü{0}.png", "gone.png"];
    assert_eq!(junit.each("testcase", "name"), shown);
    let error = junit.one("error");
    assert_eq!(error.attributes["type"], "image");
    assert!(error.attributes["message"].contains("gone.png") && error.text.contains("next: "));
    assert!(junit.property("gone.png: psnr_db").is_none());
    assert!(junit.property(&format!("{}: psnr_db", shown[0])).is_some());
    let run = sarif(&sandbox);
    let artifacts = run["artifacts"].as_array().unwrap().iter();
    let uris: Vec<_> = artifacts.map(|artifact| artifact["location"]["uri"].as_str()).collect();
    let encoded = [
        "a%3C%26%3E%22%27%25%23%3F.png",
        "b%20%1B%5B31m%0A%C2%85.png",
        "c%EF%BF%BF%C3%BC%7B0%7D.png",
        "gone.png",
    ];
    assert_eq!(uris, encoded.map(Some));
    let invocation = &run["invocations"][0];
    assert_eq!(invocation["executionSuccessful"], false);
    let notification = &invocation["toolExecutionNotifications"][0];
    assert_eq!(notification["descriptor"]["id"], "image");
    let at = &notification["locations"][0]["physicalLocation"]["artifactLocation"];
    assert_eq!(at["uri"], "gone.png");
}

#[test]
fn a_run_that_cannot_judge_says_so_in_both() {
    let sandbox = Sandbox::new();
    let refused = |error: &str, uri: &str, checkpoint: bool| {
        let junit = Junit::read(&sandbox);
        assert_eq!(junit.counts(), [1, 0, 1]);
        assert_eq!(junit.one("error").attributes["type"], error);
        let run = sarif(&sandbox);
        let notification = &run["invocations"][0]["toolExecutionNotifications"][0];
        let at = &notification["locations"][0]["physicalLocation"]["artifactLocation"];
        assert_eq!(at["uri"], uri);
        // What its files show without running it.
        assert_eq!(!results(&run).is_empty(), checkpoint);
    };
    sandbox.check(&[&["gone.png"], &BOTH[..]].concat()).exits(2);
    refused("image", "gone.png", false);
    sandbox.store_weights(|tensors| drop(tensors.pop()));
    sandbox.check(&[&["photo.png"], &BOTH[..]].concat()).exits(2);
    refused("checkpoint", "photo.png", true);
    sandbox.write("z.safetensors", "version https://git-lfs.github.com/spec/v1\n");
    sandbox.run(&[&["inspect", "z.safetensors"], &BOTH[..]].concat()).exits(1);
    assert_eq!(results(&sarif(&sandbox))[0][2], "z.safetensors");
}

#[test]
fn a_checkpoint_is_one_case_in_its_file() {
    let sandbox = Sandbox::new();
    sandbox.store_weights(|tensors| drop(tensors.pop()));
    let weights = "model/vae/diffusion_pytorch_model.safetensors";
    let report =
        sandbox.run(&[&["inspect", "model", "--json"], &BOTH[..]].concat()).exits(1).object();
    let junit = Junit::read(&sandbox);
    assert_eq!(junit.counts(), [1, 1, 0]);
    assert_eq!(junit.each("testcase", "name"), ["model"]);
    assert_eq!(junit.one("failure").attributes["type"], "weights-missing");
    assert_eq!(junit.property("parameters"), Some(&*report["parameters"].to_string()));
    let run = sarif(&sandbox);
    assert_eq!(results(&run)[0][..3], ["weights-missing", "error", weights]);
    // Two sources have a verdict and no findings.
    sandbox.write("other/vae/config.json", CONFIG);
    sandbox.write("other/vae/recipe.json", RECIPE.as_str());
    sandbox.run(&[&["inspect", "model", "other"], &BOTH[..]].concat()).exits(1);
    let junit = Junit::read(&sandbox);
    assert_eq!(junit.counts(), [1, 1, 0]);
    assert_eq!(junit.each("testcase", "name"), ["model and other"]);
    assert_eq!(results(&sarif(&sandbox))[0][..3], ["verdict", "error", weights]);
}

#[test]
fn latents_are_a_case_each_and_a_probe_is_one() {
    let sandbox = Sandbox::new();
    let two = Tensor::new("latents", &[2, 4, 3, 5], &[0.1; 120]);
    sandbox.write("z.safetensors", safetensors_of(&[two]));
    let decode = ["decode", "z.safetensors", "--repo", "model", "--out-dir", "out"];
    let ran = sandbox.run(&[&decode, &BOTH[..]].concat());
    ran.check(ran.code.is_some_and(|code| code < 2), "expected a verdict");
    let junit = Junit::read(&sandbox);
    assert_eq!(junit.counts()[0], 2);
    let rows = ["z.safetensors, row 0", "z.safetensors, row 1"];
    assert_eq!(junit.each("testcase", "name"), rows);
    assert_eq!(sarif(&sandbox)["artifacts"][0]["location"]["uri"], "z.safetensors");

    let probe = ["probe", "--repo", "model", "--size", "128"];
    sandbox.run(&[&probe, &BOTH[..]].concat()).exits(1);
    let junit = Junit::read(&sandbox);
    assert_eq!(junit.counts(), [1, 1, 0]);
    assert!(junit.property("score_db").is_some());
    let run = sarif(&sandbox);
    assert!(results(&run).iter().any(|result| result[..2] == ["verdict", "error"]), "{run:#}");
}

#[test]
fn places_that_cannot_be_written_are_refused_before_anything_runs() {
    let sandbox = Sandbox::new();
    for flag in ["--junit", "--sarif"] {
        let refuses = |name: &str, parts: &[&str]| {
            sandbox.refuses(&["photo.png", flag, name], parts);
        };
        refuses("gone/run", &["gone/run", "does not exist"]);
        refuses("model", &["model", "directory"]);
        refuses("run.png", &[flag, ".png"]);
    }
    let both = ["photo.png", "--junit", "run", "--sarif", "./run"];
    sandbox.refuses(&both, &["--sarif and --junit", "one file"]);
    let trace = ["photo.png", "--save-trace", "t.json", "--sarif", "t.json"];
    sandbox.refuses(&trace, &["--sarif and --save-trace", "one file"]);
    let config = "model/vae/config.json";
    sandbox.refuses(&["photo.png", "--sarif", config], &[config, "replace an input"]);
    let before = sandbox.contents();
    let inspect = sandbox.run(&["inspect", "model", "--sarif", config]).exits(2);
    inspect.notes("replace an input");
    sandbox.run(&["probe", "--repo", "model", "--sarif", config]).exits(2);
    sandbox.write("z.json", "no latents");
    sandbox.run(&["decode", "z.json", "--sarif", "z.json"]).exits(2);
    fs::remove_file(sandbox.path("z.json")).unwrap();
    assert_eq!(sandbox.contents(), before);
}

#[test]
fn folders_are_left_out_on_request_and_never_needed_below_the_working_directory() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("photo.png").canonicalize().unwrap();
    let folder = folder.parent().unwrap().to_str().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let outside = outside.path().canonicalize().unwrap();
    fs::write(outside.join("far.png"), picture(40, 24, 9)).unwrap();
    let far = Path::new("..").join(outside.file_name().unwrap()).join("far.png");
    let far = far.to_str().unwrap();
    let [near, model] = ["photo.png", "model"].map(|name| format!("{folder}/{name}"));
    fs::write(sandbox.path("other.png"), picture(40, 24, 5)).unwrap();
    let pictures = [&near, "model/../other.png", far];
    let flags = ["--repo", &model, "--out-dir", "out", "--quiet"];
    let arguments = [&["check"], &pictures[..], &flags, &BOTH].concat();
    let shows = |more: &[&str]| {
        sandbox.run(&[&arguments[..], more].concat()).exits(0);
        let artifacts = sarif(&sandbox)["artifacts"].take();
        let uri = |at: &Value| at["location"]["uri"].as_str().unwrap().to_owned();
        let uris: Vec<String> = artifacts.as_array().unwrap().iter().map(uri).collect();
        let text = ["run.xml", "run.json"].map(|name| sandbox.read(name)).concat();
        let text = String::from_utf8(text).unwrap();
        let named = [folder, outside.to_str().unwrap()].map(|folder| text.contains(folder));
        (uris, named)
    };
    let (uris, named) = shows(&[]);
    let uri = format!("file://{}/far.png", outside.display());
    assert_eq!((uris, named), (vec!["photo.png".into(), "other.png".into(), uri], [true, true]));
    let (uris, named) = shows(&["--strip-paths"]);
    assert_eq!((&*uris.concat(), named), ("photo.pngother.pngfar.png", [false, false]));
    let cases = Junit::read(&sandbox);
    assert_eq!(cases.each("testcase", "name"), ["photo.png", "model/../other.png", far]);
}

#[test]
fn a_log_that_is_not_in_the_schema_is_noticed() {
    let sandbox = Sandbox::new();
    sandbox.check(&[&["photo.png", "--min-psnr", "99"], &BOTH[..]].concat()).exits(1);
    let right: Value = serde_json::from_slice(&sandbox.read("run.json")).unwrap();
    assert_eq!(violation(&right), None);
    let mistakes: [(&str, Value); 6] = [
        ("/version", json!("2.0.0")),
        ("/runs/0/tool/driver/name", Value::Null),
        ("/runs/0/results/0/level", json!("info")),
        ("/runs/0/results/0/message", json!({})),
        ("/runs/0/invocations/0", json!({ "exitCode": 1 })),
        ("/runs/0/artifacts/0/location/uri", json!("a b")),
    ];
    for (at, mistake) in mistakes {
        let mut log = right.clone();
        *log.pointer_mut(at).unwrap() = mistake;
        assert!(violation(&log).is_some(), "{at}");
    }
}

#[test]
fn a_trace_and_a_comparison_are_cases_too() {
    let sandbox = Sandbox::new();
    sandbox.run(&[&["trace", "photo.png", "--save-trace", "t.json"], &BOTH[..]].concat()).exits(0);
    assert_eq!(Junit::read(&sandbox).counts(), [1, 0, 0]);
    assert_eq!(results(&sarif(&sandbox)), [[""; 4]; 0]);
    sandbox.write("other.png", picture(40, 32, 200));
    let against = ["trace", "other.png", "--against", "t.json"];
    sandbox.run(&[&against, &BOTH[..]].concat()).exits(1);
    assert_eq!(Junit::read(&sandbox).counts(), [1, 1, 0]);

    let compare = ["compare", "photo.png", "other.png", "--json"];
    let report = sandbox.run(&[&compare, &BOTH[..]].concat()).exits(1).object();
    let junit = Junit::read(&sandbox);
    assert_eq!(junit.counts(), [1, 1, 0]);
    assert_eq!(junit.one("testcase").attributes["classname"], "vae-fidelity.compare");
    let reason = report["verdict_reasons"][0].as_str().unwrap();
    assert_eq!(junit.one("failure").attributes["message"], reason);
    assert_eq!(results(&sarif(&sandbox)), [["verdict", "error", "photo.png", ""]]);

    // None of them lies on what is read.
    sandbox.write("a.json", sandbox.read("photo.png"));
    sandbox.run(&["compare", "a.json", "photo.png", "--sarif", "a.json"]).exits(2).notes("--sarif");
    assert_eq!(sandbox.read("a.json"), sandbox.read("photo.png"));
    sandbox.write("a.json", sandbox.read("t.json"));
    let onto = ["trace", "photo.png", "--against", "a.json", "--sarif", "a.json"];
    sandbox.run(&onto).exits(2).notes("--sarif");
    assert_eq!(sandbox.read("a.json"), sandbox.read("t.json"));
}
