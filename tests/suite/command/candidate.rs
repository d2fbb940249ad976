//! `golden export` and `golden verify --candidate`: files of another program, through the command line.

use serde_json::json;
use vae_fidelity::golden::TensorFormat;

use super::sandbox::Sandbox;
use crate::golden::toy::TOY;
use crate::golden::toy_port::Port;

fn toy() -> String {
    format!("{}/{TOY}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_candidate_is_judged_with_exit_codes_and_json() {
    let sandbox = Sandbox::new();
    let port = Port::run(TensorFormat::Safetensors);
    let mine = port.folder.path().join("mine");
    let toy = toy();
    let verify = ["golden", "verify", "--golden", &toy, "--candidate", mine.to_str().unwrap()];
    sandbox.run(&verify).exits(0).says("3 cases run, 0 failed");
    port.change("mode", "decoded", |tensor| tensor[[0, 0, 0, 0]] += 1.0);
    let ran = sandbox.run(&[&verify[..], &["--json"]].concat()).exits(1);
    assert_eq!(ran.object()["passed"], false);
    let text = sandbox.run(&verify).exits(1);
    text.says("FAILED mode / decoded").says("next:   vae-fidelity compare");
    let gone = ["golden", "verify", "--golden", &toy, "--candidate", "gone", "--json"];
    let refusal = sandbox.run(&gone).exits(2).object();
    assert_eq!(refusal["error"]["code"], "golden");
}

#[test]
fn an_export_is_whole_or_not_there() {
    let sandbox = Sandbox::new();
    let toy = toy();
    let export = |folder: &'static str| ["golden", "export", folder, "--golden", &toy];
    let ran = sandbox.run(&export("out")).exits(0);
    ran.notes("3 cases of 1 models").says("out/README.md");
    let readme = String::from_utf8(sandbox.read("out/README.md")).unwrap();
    assert!(readme.contains("golden verify --candidate"));
    assert!(!sandbox.exists("out/cases/mode/decoded.safetensors"), "nothing expected is told");
    sandbox.run(&export("out")).exits(2).notes("expected an empty or new folder");
    sandbox.run(&export("photo.png")).exits(2).notes("found a file");
    sandbox.run(&export("a/b")).exits(2).notes("mkdir -p a");
    let left: Vec<_> = sandbox.contents().into_iter().map(|(path, _)| path).collect();
    assert!(left.iter().all(|path| !path.to_string_lossy().contains(".vae-fidelity-")));
    let only = [&export("one")[..], &["--only", "mode", "--format", "both", "--json"]].concat();
    let object = sandbox.run(&only).exits(0).object();
    assert_eq!((&object["cases"], &object["models"]), (&json!(1), &json!(1)));
    assert!(sandbox.exists("one/cases/mode/sample.npy"));
    assert!(sandbox.exists("one/models/toy/weights/encoder.conv_in.weight.npy"));
    assert!(!sandbox.exists("one/cases/sample/sample.npy"));
}
