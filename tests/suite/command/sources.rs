//! `check --repo` with files, variants and families, through the command line.

use std::fs;
use std::path::Path;

use super::sandbox::Sandbox;

/// A committed checkpoint of torch's, and its config.
fn with_fixtures() -> Sandbox {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints");
    let sandbox = Sandbox::new();
    sandbox.write("model.ckpt", fs::read(fixtures.join("full/model.ckpt")).unwrap());
    sandbox.write("given.json", fs::read(fixtures.join("config.json")).unwrap());
    sandbox
}

#[test]
fn a_checkpoint_file_runs_with_a_config() {
    let sandbox = with_fixtures();
    let arguments = ["photo.png", "--repo", "model.ckpt", "--config", "given.json", "--json"];
    let ran = sandbox.check(&arguments).notes("argparse.Namespace").notes("first_stage_model.");
    let object = ran.object();
    ran.check(object["model"]["source"] == "model.ckpt", "expected the file as source");
    ran.check(object["latents"]["shape"][1] == 3, "expected the three channels of the fixture");
}

#[test]
fn a_checkpoint_file_without_a_config_is_asked_about() {
    let sandbox = with_fixtures();
    let file = ["photo.png", "--repo", "model.ckpt"];
    sandbox.refuses(&file, &["model.ckpt", "no published family", "3 latent channels"]);
    sandbox.refuses(&[&file[..], &["--family", "sdxl"]].concat(), &["--family sdxl", "expected 4"]);
    sandbox.refuses(&[&file[..], &["--variant", "fp16"]].concat(), &["--variant fp16"]);
    sandbox.refuses(&[&file[..], &["--subfolder", "vae"]].concat(), &["a file has no subfolders"]);
}

#[test]
fn a_variant_that_is_not_there_is_said() {
    let sandbox = Sandbox::new();
    sandbox.store_weights(|_| ());
    sandbox.check(&["photo.png", "--variant", "fp16"]).notes("no weights of variant fp16");
}

#[test]
fn a_run_does_not_write_over_the_file_it_reads() {
    let sandbox = with_fixtures();
    let file = ["photo.png", "--repo", "model.ckpt", "--config", "given.json"];
    let over = ["--save-latents", "model.ckpt"];
    sandbox.refuses(&[&file[..], &over].concat(), &["would replace an input"]);
}
