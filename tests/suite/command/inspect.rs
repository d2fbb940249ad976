//! `inspect`: what is wrong with a checkpoint is found without running it, and all of it.

use std::fs;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

use super::sandbox::{CONFIG, Sandbox};

const BUILTIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/models/builtin/vae");
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/checkpoints");
const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";
const LAYER: &str = "decoder.mid_block.resnets.0.conv1.weight";

/// Name, dtype, shape and bytes.
type Stored = (String, Dtype, Vec<usize>, Vec<u8>);

/// The built-in VAE's files as `name/`, changed; it is the one trained VAE that is at hand.
fn write(sandbox: &Sandbox, name: &str, change: impl FnOnce(&mut Vec<Stored>)) {
    let bytes = fs::read(Path::new(BUILTIN).join(WEIGHTS)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<Stored> = file
        .iter()
        .map(|(name, view)| {
            (name.to_owned(), view.dtype(), view.shape().to_vec(), view.data().to_vec())
        })
        .collect();
    change(&mut tensors);
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        (name, TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    sandbox.write(&format!("{name}/{WEIGHTS}"), safetensors::serialize(views, None).unwrap());
    let config = fs::read(Path::new(BUILTIN).join("config.json")).unwrap();
    sandbox.write(&format!("{name}/config.json"), config);
}

fn tensor<'a>(tensors: &'a mut [Stored], name: &str) -> &'a mut Stored {
    tensors.iter_mut().find(|tensor| tensor.0 == name).unwrap()
}

fn report(sandbox: &Sandbox, arguments: &[&str], code: i32) -> Value {
    let arguments: Vec<&str> =
        ["inspect"].iter().chain(arguments).chain(&["--json"]).copied().collect();
    sandbox.run(&arguments).exits(code).object()
}

/// Codes of the findings and their severities.
fn codes(report: &Value) -> Vec<(String, String)> {
    let findings = report["findings"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    findings.iter().map(|finding| (text(&finding["code"]), text(&finding["severity"]))).collect()
}

fn only(report: &Value, code: &str, severity: &str) {
    assert_eq!(codes(report), [(code.to_owned(), severity.to_owned())], "{report:#}");
}

#[test]
fn a_trained_vae_is_told_in_full_and_passes() {
    let sandbox = Sandbox::new();
    write(&sandbox, "vae", |_| ());
    let report = report(&sandbox, &["vae"], 0);
    assert_eq!(report["schema_version"], 1);
    assert_eq!(report["verdict"], "pass");
    assert_eq!(report["parameters"], 2_225_459);
    assert_eq!(report["dtypes"], json!({"f16": {"tensors": 188, "parameters": 2_225_459}}));
    assert_eq!(report["tensors"]["found"], 188);
    assert_eq!(report["config"]["values"]["latent_channels"], 16);
    assert_eq!(report["config"]["from"]["latent_channels"], "file");
    let file = &report["files"][0];
    assert_eq!(
        file["bytes"].as_u64().unwrap() as usize,
        sandbox.read(&format!("vae/{WEIGHTS}")).len()
    );
    assert_eq!(file["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(codes(&report), []);
    let each = report["tensors"]["each"].as_array().unwrap();
    assert!(each.iter().all(|tensor| tensor["statistics"]["kurtosis"].as_f64() != Some(0.0)));
    let text = sandbox.run(&["inspect", "vae", "--tensors"]).exits(0);
    text.says("188 found, 188 expected: 0 missing").says(&format!("{LAYER}  ")).says("pass");
    assert_eq!(report_of_builtin(&sandbox)["family"]["name"], "builtin");
}

fn report_of_builtin(sandbox: &Sandbox) -> Value {
    report(sandbox, &["builtin"], 0)
}

#[test]
fn every_misfit_is_listed_where_check_stops_at_the_first() {
    let sandbox = Sandbox::new();
    write(&sandbox, "vae", |tensors| {
        tensors.retain(|tensor| !tensor.0.starts_with("encoder.down_blocks.0.resnets.0.conv"));
        tensors.push(("decoder.extra.weight".into(), Dtype::F16, vec![1], vec![0, 60]));
        let layer = tensor(tensors, LAYER);
        layer.2 = vec![layer.2.iter().product()];
        let (_, dtype, ..) = tensor(tensors, "quant_conv.bias");
        *dtype = Dtype::I16;
    });
    let report = report(&sandbox, &["vae"], 1);
    assert_eq!(report["verdict"], "fail");
    let count = |what: &str| report["tensors"][what].as_array().unwrap().len();
    assert_eq!((count("missing"), count("unexpected"), count("misshapen")), (4, 1, 1));
    assert_eq!(report["tensors"]["misshapen"][0]["name"], LAYER);
    let found = codes(&report);
    let found: Vec<&str> = found.iter().map(|(code, _)| code.as_str()).collect();
    assert_eq!(
        found,
        ["weights-missing", "weights-missing", "weights-shape", "weights-unexpected"]
    );
    sandbox.run(&["inspect", "vae"]).exits(1).says("missing encoder.down_blocks.0.resnets.0.conv1");
}

#[test]
fn values_that_cannot_work_are_found() {
    let sandbox = Sandbox::new();
    write(&sandbox, "nan", |tensors| {
        tensor(tensors, LAYER).3[..4].copy_from_slice(&[0xff, 0x7f, 0x00, 0x7c]);
    });
    let found = report(&sandbox, &["nan"], 1);
    only(&found, "weights-non-finite", "error");
    assert_eq!(found["findings"][0]["evidence"]["values"], 2);
    assert_eq!(found["findings"][0]["layer"], "decoder.mid_block.resnets.0.conv1");
    write(&sandbox, "zero", |tensors| tensor(tensors, LAYER).3.fill(0));
    only(&report(&sandbox, &["zero"], 1), "weights-zero", "error");
    // A bias may be zero; a model of nothing else may not.
    write(&sandbox, "bias", |tensors| tensor(tensors, "quant_conv.bias").3.fill(0));
    assert_eq!(codes(&report(&sandbox, &["bias"], 0)), []);
    write(&sandbox, "zeros", |tensors| tensors.iter_mut().for_each(|tensor| tensor.3.fill(0)));
    let found = report(&sandbox, &["zeros"], 1);
    assert_eq!(found["findings"][0]["title"], "every tensor is zero");
}

#[test]
fn check_says_what_inspect_says_also_where_nothing_can_be_loaded() {
    let sandbox = Sandbox::new();
    write(&sandbox, "zero", |tensors| tensor(tensors, LAYER).3.fill(0));
    write(&sandbox, "part", |tensors| tensors.retain(|tensor| tensor.0 != "quant_conv.bias"));
    write(&sandbox, "shape", |tensors| tensor(tensors, "quant_conv.weight").2 = vec![1024, 1]);
    write(&sandbox, "nan", |tensors| tensor(tensors, LAYER).3[..2].copy_from_slice(&[0xff, 0x7f]));
    sandbox.write("pointer/config.json", fs::read(Path::new(BUILTIN).join("config.json")).unwrap());
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    sandbox.write(&format!("pointer/{WEIGHTS}"), pointer);
    let cases = [("zero", 1), ("nan", 1), ("part", 2), ("shape", 2), ("pointer", 2)];
    for (folder, code) in cases {
        let inspected = report(&sandbox, &[folder], 1);
        let ran = sandbox.run(&["check", "photo.png", "--repo", folder, "--json"]).exits(code);
        let checked = ran.object();
        let [inspected, checked] =
            [&inspected, &checked].map(|report| report["findings"].as_array().unwrap());
        assert!(!inspected.is_empty(), "{folder}");
        // Codes, layers and evidence; a run may find more.
        assert_eq!(checked[..inspected.len()], inspected[..], "{folder}");
        let text = sandbox.run(&["check", "photo.png", "--repo", folder]).exits(code);
        let printed = format!("{}{}", text.stdout, text.stderr);
        assert!(printed.contains(inspected[0]["code"].as_str().unwrap()), "{folder}: {printed}");
    }
    // Where the files are not to blame there is nothing to say of them.
    let ran = sandbox.run(&["check", "missing.png", "--repo", "zero", "--json"]).exits(2);
    assert!(ran.object().get("findings").is_none());
}

/// What `nn.Conv2d` and `nn.Linear` are initialised with: uniform within `1 / sqrt(fan_in)`.
fn initialise(tensor: &mut Stored, state: &mut u64) {
    let (name, dtype, shape, data) = tensor;
    let count: usize = shape.iter().product();
    let fan_in: usize = shape[1..].iter().product();
    let bound = 1.0 / (fan_in as f32).sqrt();
    let mut value = || {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        ((*state >> 40) as f32 / (1 << 23) as f32 - 1.0) * bound
    };
    *data = (0..count)
        .flat_map(|_| {
            let fresh = match (shape.len(), name.ends_with("weight")) {
                (1, true) => 1.0,
                (1, false) => 0.0,
                _ => value(),
            };
            fresh.to_le_bytes()
        })
        .collect();
    *dtype = Dtype::F32;
}

#[test]
fn weights_that_nobody_trained_are_found_and_so_is_one_such_layer() {
    let sandbox = Sandbox::new();
    let mut state = 0x9e37_79b9;
    write(&sandbox, "fresh", |tensors| {
        tensors.iter_mut().for_each(|tensor| initialise(tensor, &mut state));
    });
    let found = report(&sandbox, &["fresh"], 1);
    only(&found, "weights-untrained", "error");
    let evidence = &found["findings"][0]["evidence"];
    assert!((evidence["bound_of_default"].as_f64().unwrap() - 1.0).abs() < 0.01, "{evidence}");
    assert_eq!(evidence["norms"], evidence["norms_as_initialised"]);
    write(&sandbox, "layer", |tensors| initialise(tensor(tensors, LAYER), &mut state));
    let found = report(&sandbox, &["layer"], 1);
    only(&found, "weights-untrained", "error");
    assert_eq!(found["findings"][0]["evidence"]["tensors"], json!([LAYER]));
    // Norms alone are a warning: nothing says that they were meant to be trained.
    write(&sandbox, "norms", |tensors| {
        let is_norm = |tensor: &&mut Stored| tensor.0.contains("norm");
        tensors.iter_mut().filter(is_norm).for_each(|tensor| initialise(tensor, &mut state));
    });
    only(&report(&sandbox, &["norms"], 0), "weights-untrained", "warning");
    // The recipe of golden models is chance as well, within bounds of its own.
    sandbox.write("drawn/vae/config.json", CONFIG);
    let recipe = json!({"schema_version": 1, "hash": "fnv1a64-splitmix64"});
    sandbox.write("drawn/vae/recipe.json", recipe.to_string());
    only(&report(&sandbox, &["drawn"], 1), "weights-untrained", "error");
}

#[test]
fn damaged_files_are_named_by_their_damage() {
    let sandbox = Sandbox::new();
    write(&sandbox, "vae", |_| ());
    let file = format!("vae/{WEIGHTS}");
    let whole = sandbox.read(&file);
    sandbox
        .write(&file, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4471174\n");
    let found = report(&sandbox, &["vae"], 1);
    only(&found, "lfs-pointer", "error");
    assert!(found["findings"][0]["title"].as_str().unwrap().contains("4471174 bytes"));
    for length in [0, 5, 1000, whole.len() - 1] {
        sandbox.write(&file, &whole[..length]);
        only(&report(&sandbox, &["vae"], 1), "file-truncated", "error");
    }
    // Beside another there is nothing to judge.
    sandbox.run(&["inspect", "builtin", "vae"]).exits(2).notes("fetch it again to compare");
    // Pickles of both kinds.
    let config = format!("{FIXTURES}/config.json");
    for name in ["full/model.ckpt", "e5m2-before-1.6/vae.pt"] {
        let bytes = fs::read(Path::new(FIXTURES).join(name)).unwrap();
        sandbox.write("cut.ckpt", &bytes[..bytes.len() * 2 / 3]);
        only(&report(&sandbox, &["cut.ckpt", "--config", &config], 1), "file-truncated", "error");
        // Without a config there is nothing to say beside it.
        only(&report(&sandbox, &["cut.ckpt"], 1), "file-truncated", "error");
    }
    let mut bytes = fs::read(format!("{FIXTURES}/full/model.ckpt")).unwrap();
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes.clone())).unwrap();
    let at = archive.by_name("model/data/7").unwrap().data_start().unwrap() as usize;
    bytes[at] ^= 1;
    sandbox.write("flipped.ckpt", &bytes);
    only(&report(&sandbox, &["flipped.ckpt", "--config", &config], 1), "file-damaged", "error");
}

#[test]
fn configs_that_do_not_belong_are_found() {
    let sandbox = Sandbox::new();
    write(&sandbox, "vae", |_| ());
    let config: Value = serde_json::from_slice(&sandbox.read("vae/config.json")).unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut changed = config.clone();
        change(&mut changed);
        sandbox.write("config.json", changed.to_string());
        report(&sandbox, &["vae", "--config", "config.json"], 1)
    };
    let found = with(&|config| config["_class_name"] = "AutoencoderOobleck".into());
    only(&found, "wrong-class", "error");
    assert_eq!(found["config"]["other_class"], "AutoencoderOobleck");
    assert_eq!(found["tensors"]["found"], 188);
    let found = with(&|config| config["latent_channels"] = 4.into());
    assert_eq!(codes(&found)[0].0, "wrong-family-channels");
    assert!(codes(&found).iter().any(|(code, _)| code == "weights-shape"));
    sandbox.write("config.json", "{}");
    let found = report(&sandbox, &["vae", "--config", "config.json"], 1);
    assert_eq!(codes(&found)[0].0, "config-defaults");
    assert_eq!(found["config"]["from"]["block_out_channels"], "default");
}

#[test]
fn a_file_without_a_config_shows_what_shapes_settle() {
    let sandbox = Sandbox::new();
    let file = format!("{FIXTURES}/ldm-e4m3/vae.safetensors");
    sandbox.write("vae.safetensors", fs::read(file).unwrap());
    let ran = sandbox.run(&["inspect", "vae.safetensors", "--json"]);
    let report = ran.object();
    assert_eq!(report["config"]["from"]["latent_channels"], "shapes");
    assert_eq!(report["config"]["values"]["latent_channels"], 3);
    assert_eq!(report["config"]["values"]["scaling_factor"], Value::Null);
    assert_eq!(report["config"]["from"].get("scaling_factor"), None);
    assert_eq!(report["family"]["name"], "unknown");
    assert_eq!(report["dtypes"]["float8_e4m3fn"]["tensors"], 124);
}

#[test]
fn what_cannot_be_judged_exits_with_2() {
    let sandbox = Sandbox::new();
    sandbox.write("page.safetensors", "<html>no such file</html>");
    sandbox.write("empty/config.json", "{}");
    for source in ["page.safetensors", "empty", "absent.safetensors"] {
        let report = report(&sandbox, &[source], 2);
        assert_eq!(report["verdict"], Value::Null, "{source}");
        assert!(!report["error"]["next"].as_str().unwrap().is_empty());
    }
}

#[test]
fn two_checkpoints_are_told_apart_tensor_by_tensor() {
    let sandbox = Sandbox::new();
    write(&sandbox, "a", |_| ());
    write(&sandbox, "same", |_| ());
    write(&sandbox, "wide", |tensors| {
        for (_, dtype, _, data) in tensors.iter_mut() {
            let widened = data.chunks_exact(2).flat_map(|two| {
                // Values that f16 does not hold: rounding has to bring them back.
                let value = half::f16::from_le_bytes([two[0], two[1]]).to_f32();
                (value * (1.0 + 1e-5)).to_le_bytes()
            });
            (*dtype, *data) = (Dtype::F32, widened.collect());
        }
    });
    write(&sandbox, "decoder", |tensors| tensor(tensors, LAYER).3[0] ^= 1);
    write(&sandbox, "fewer", |tensors| tensors.retain(|tensor| tensor.0 != LAYER));
    let compare = |b: &str, code: i32, conclusion: &str| {
        let report = report(&sandbox, &["a", b], code);
        let said = report["conclusion"].as_str().unwrap();
        assert!(said.contains(conclusion), "{said}");
        report
    };
    let same = compare("same", 0, "the same weights, bit for bit");
    assert_eq!((&same["identical"], &same["bit_equal"]), (&json!(true), &json!(188)));
    compare("wide", 1, "A is B rounded to f16");
    let report = compare("decoder", 1, "the same encoder, quant_conv, post_quant_conv");
    assert_eq!(report["bit_equal"], 187);
    let other: Vec<&Value> = report["tensors"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|tensor| tensor["values"]["bit_equal"] == false)
        .collect();
    assert_eq!((other.len(), &other[0]["name"]), (1, &json!(LAYER)));
    assert_eq!(other[0]["values"]["differing"], 1);
    let report = compare("fewer", 1, "1 tensors only in A");
    assert_eq!(report["only_in_a"], json!([LAYER]));
    // The same weights under another config are not the same VAE.
    let config = String::from_utf8(sandbox.read("same/config.json")).unwrap();
    assert!(config.contains("0.42893"));
    sandbox.write("same/config.json", config.replace("0.42893", "0.5"));
    let report = compare("same", 1, "bit for bit; the configs differ in scaling_factor");
    assert_eq!(report["config"][0], json!({"field": "scaling_factor", "a": 0.42893, "b": 0.5}));
    sandbox.run(&["inspect", "a", "decoder"]).exits(1).says("1 values differ, by");
}
