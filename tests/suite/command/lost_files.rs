//! No output lands on a file that a run reads, under any name, nor in the hub's cache.

use std::fs;
use std::os::unix::fs::symlink;

use super::hub_world::{ID, World};
use super::sandbox::{Ran, Sandbox};
use crate::hub_server::READER;

/// A shard has the name that its index gives it.
#[test]
fn a_shard_that_an_index_names() {
    let sandbox = Sandbox::new();
    sandbox.store_weights(|_| ());
    let folder = sandbox.path("model/vae");
    let whole = folder.join("diffusion_pytorch_model.safetensors");
    fs::rename(&whole, folder.join("part-one")).unwrap();
    let index = r#"{"metadata": {}, "weight_map": {"a": "part-one"}}"#;
    sandbox.write("model/vae/diffusion_pytorch_model.safetensors.index.json", index);
    sandbox.write("model/model_index.json", "{}");
    sandbox.check(&["photo.png", "--out", "fine.png"]).exits(0);
    let flags = ["--out", "--save-latents", "--save-trace", "--heatmap", "--save-decoded"];
    let twin = sandbox.path("twin");
    fs::hard_link(folder.join("part-one"), &twin).unwrap();
    symlink("model/vae/part-one", sandbox.path("link")).unwrap();
    for name in ["model/vae/part-one", "twin", "link", "model/model_index.json"] {
        for flag in flags {
            sandbox.refuses(&["photo.png", flag, name], &[name, "replace an input"]);
        }
    }
}

/// Anything else that lies beside a model is the user's to replace.
#[test]
fn an_earlier_result_in_the_models_folder_is_replaced() {
    let sandbox = Sandbox::new();
    for _ in 0..2 {
        let saved = "model/vae/latents.safetensors";
        sandbox.check(&["photo.png", "--out", "model/d.png", "--save-latents", saved]).exits(0);
    }
}

#[test]
fn the_list_on_standard_input_and_what_standard_output_is_redirected_to() {
    let sandbox = Sandbox::new();
    sandbox.write("list.png", "photo.png\n");
    let before = sandbox.contents();
    let arguments = ["check", "--repo", "model", "-", "--out", "list.png"];
    let ran = Ran::of(sandbox.shell("\"$0\" \"$@\" < list.png", &arguments)).exits(2);
    ran.check(ran.stderr.contains("replace an input"), "expected why");
    ran.check(sandbox.contents() == before, "expected all files as they were");
    let arguments = ["check", "--repo", "model", "photo.png", "--save-trace", "run.json"];
    let ran = Ran::of(sandbox.shell("\"$0\" \"$@\" --json > run.json", &arguments)).exits(2);
    ran.check(sandbox.read("run.json").starts_with(b"{"), "expected the error where it was sent");
}

#[test]
fn the_files_of_a_golden() {
    let sandbox = Sandbox::new();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/golden");
    let suite = vae_fidelity::golden::Suite::open(golden).unwrap();
    let case = suite.cases().iter().find(|case| case.trace.is_some()).unwrap();
    // A copy without the tensors of other cases.
    for name in ["manifest.json", "tolerances.json"] {
        sandbox.write(&format!("golden/{name}"), fs::read(format!("{golden}/{name}")).unwrap());
    }
    let of_case = format!("cases/{}", case.name);
    for entry in fs::read_dir(format!("{golden}/{of_case}")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        sandbox.write(&format!("golden/{of_case}/{name}"), fs::read(entry.path()).unwrap());
    }
    let trace = format!("golden/{of_case}/trace.json");
    let before = sandbox.contents();
    let files = fs::read_dir(sandbox.path(&format!("golden/{of_case}"))).unwrap().flatten();
    let names: Vec<String> = files
        .map(|entry| format!("golden/{of_case}/{}", entry.file_name().display()))
        .chain(["golden/manifest.json".to_owned(), "golden/tolerances.json".to_owned()])
        .collect();
    assert!(names.len() > 3);
    for name in &names {
        let arguments = ["trace", "photo.png", "--against", &trace, "--save-trace", name];
        let ran = sandbox.run(&arguments).exits(2);
        ran.check(ran.stderr.contains("replace an input"), "expected why");
    }
    assert!(sandbox.contents() == before, "expected all files as they were");
}

#[test]
fn the_hubs_cache_and_the_token() {
    let world = World::new(|repository| repository);
    let token = world.sandbox.path("token");
    fs::write(&token, READER).unwrap();
    let variables = [("HF_TOKEN_PATH", token.to_str().unwrap())];
    world.check(&["--out", "fine.png"], &variables).exits(0);
    let repository = format!("cache/models--{}", ID.replace('/', "--"));
    let snapshot = format!("{repository}/snapshots/{}", world.commit);
    let blobs = fs::read_dir(world.sandbox.path(&format!("{repository}/blobs"))).unwrap();
    let blob = blobs.flatten().next().unwrap().path();
    fs::hard_link(&blob, world.sandbox.path("twin")).unwrap();
    symlink("cache", world.sandbox.path("elsewhere")).unwrap();
    let weights = format!("{snapshot}/vae/diffusion_pytorch_model.safetensors");
    let through = weights.replace("cache/", "elsewhere/");
    let new = [format!("{snapshot}/new.png"), "cache/new.png".to_owned()];
    let before = world.sandbox.contents();
    let names = [&weights, &through, blob.to_str().unwrap(), &new[0], &new[1], "token"];
    for name in names.into_iter().chain(["twin"]) {
        // The source may be the hub, or its snapshot by path, or have nothing to do with it.
        for repo in [ID, snapshot.as_str(), "model"] {
            if name == "twin" && repo == "model" {
                continue;
            }
            let ran = world.check(&["--repo", repo, "--save-trace", name], &variables).exits(2);
            let said = ["replace an input", "lies in the hub's cache"];
            ran.check(said.iter().any(|said| ran.stderr.contains(said)), name);
        }
    }
    let folder = "cache/made/here";
    world.check(&["--out-dir", folder], &variables).exits(2);
    assert!(!world.sandbox.exists("cache/made"), "expected that no folder was made");
    assert!(world.sandbox.contents() == before, "expected all files as they were");
}
