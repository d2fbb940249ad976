//! `inspect A B`: which files were compared is said, and each side has its own variant and key.

use std::fs;

use super::sandbox::Sandbox;

const BUILTIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/models/builtin/vae");
const VARIANT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/checkpoints/variant");

#[test]
fn the_files_that_were_compared_are_named() {
    let sandbox = Sandbox::new();
    // A folder beside its own fp16 twin: both sides take the same file, and that shows.
    let twice = ["inspect", VARIANT, VARIANT, "--variant", "fp16"];
    let ran = sandbox.run(&twice).exits(0).says("diffusion_pytorch_model.fp16.safetensors");
    ran.notes("A and B are read from the same files");
    let ran = sandbox.run(&[&twice[..], &["--json"]].concat()).exits(0);
    let object = ran.object();
    for side in ["files_a", "files_b"] {
        let files = object[side].as_array().unwrap();
        assert!(files[0].as_str().unwrap().ends_with("fp16.safetensors"), "{side}: {files:?}");
    }
}

#[test]
fn each_side_has_its_own_variant() {
    let sandbox = Sandbox::new();
    let arguments = ["inspect", VARIANT, VARIANT, "--other-variant", "fp16", "--json"];
    let object = sandbox.run(&arguments).exits(1).object();
    let name = |side: &str| object[side][0].as_str().unwrap().to_owned();
    assert!(name("files_a").ends_with("diffusion_pytorch_model.bin"), "{}", name("files_a"));
    assert!(name("files_b").ends_with("fp16.safetensors"), "{}", name("files_b"));
    // Without a second source it says nothing.
    sandbox.run(&["inspect", VARIANT, "--other-variant", "fp16"]).exits(2);
}

#[test]
fn each_side_has_its_own_key() {
    let sandbox = Sandbox::new();
    let bytes = fs::read(format!("{BUILTIN}/diffusion_pytorch_model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let named = file.iter().flat_map(|(name, view)| {
        let again =
            safetensors::tensor::TensorView::new(view.dtype(), view.shape().to_vec(), view.data());
        [(format!("a.{name}"), view), (format!("b.{name}"), again.unwrap())]
    });
    sandbox.write("both.safetensors", safetensors::serialize(named, None).unwrap());
    let pair = ["inspect", "both.safetensors", "both.safetensors"];
    sandbox.run(&pair).exits(2).notes("--key a");
    sandbox
        .run(&[&pair[..], &["--key", "a", "--other-key", "b"]].concat())
        .exits(0)
        .notes("under b are read");
}
