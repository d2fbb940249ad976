//! What `evaluate` says of sets, the Fréchet inception distance for one: that it is of the set, however the set is cut,
//! and which file has its weights; and equivariance. That the numbers are those of the packages is tested where they are
//! computed, and by the scripts.

use serde_json::Value;
use vae_fidelity::evaluation::Protocol;
use vae_fidelity::perceptual::Inception;
use vae_fidelity_kernels::threads::Threads;

use super::evaluate::{evaluate, same};
use super::evaluate_lpips::by_recipe;
use super::sandbox::{Sandbox, picture, safetensors_of};

const WEIGHTS: [&str; 2] = ["--metric-weights", "weights"];

/// Four pictures and one that is none, and InceptionV3 by recipe.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    for index in 0..4 {
        sandbox.write(&format!("data/{index}.png"), picture(40, 56, 40 * index));
    }
    sandbox.write("data/1-broken.png", "none");
    let mut tensors = Vec::new();
    Inception::with_weights(Threads::new(1), |name, shape| {
        tensors.push((name.to_owned(), shape.to_vec()));
        Ok(vec![1.0; shape.iter().product()])
    })
    .unwrap();
    let file = "weights/pt_inception-2015-12-05-recipe.safetensors";
    sandbox.write(file, safetensors_of(&by_recipe(&tensors, |value| value)));
    sandbox
}

#[test]
fn it_is_of_all_pictures_that_were_judged_and_shards_change_no_bit() {
    let sandbox = sandbox();
    let report =
        evaluate(&sandbox, "whole", &[&WEIGHTS[..], &["--json"]].concat()).exits(2).object();
    let rfid = &report["models"][0]["metrics"]["rfid"];
    assert_eq!(rfid["pictures"], 4);
    assert!(rfid["value"].as_f64().unwrap() > 0.0, "{rfid}");
    let weights = report["protocol"]["metric_weights"].as_array().unwrap();
    assert!(weights.iter().any(|of| of["metric"] == "rfid"), "{weights:?}");
    for (shard, out) in [("0/3", "first"), ("1/3", "second"), ("2/3", "third")] {
        let ran = evaluate(&sandbox, out, &[&WEIGHTS[..], &["--shard", shard]].concat());
        ran.check(
            [Some(0), Some(2)].contains(&ran.code),
            "expected a shard, with the broken picture or without",
        );
    }
    sandbox.run(&["merge", "third", "first", "second", "--out", "merged"]).exits(2);
    same(&sandbox, "whole", "merged");
    for name in ["features/input.npy", "features/model-0.npy"] {
        let [whole, merged] =
            ["whole", "merged"].map(|folder| sandbox.read(&format!("{folder}/{name}")));
        assert!(whole.starts_with(b"\x93NUMPY") && whole == merged, "{name}");
        assert_eq!(whole.len(), 128 + 4 * 4 * 2048);
    }
    // Again, from what is there.
    let again = evaluate(&sandbox, "whole", &[&WEIGHTS[..], &["--json"]].concat()).exits(2);
    assert_eq!(&again.object()["models"][0]["metrics"]["rfid"], rfid);
    let page = String::from_utf8(sandbox.read("whole/report.html")).unwrap();
    assert!(page.contains("<th scope=\"row\">rFID</th>"));
}

#[test]
fn what_torch_has_downloaded_is_found_and_said() {
    let sandbox = sandbox();
    evaluate(&sandbox, "without", &[]).exits(2).notes("left out without --metric-weights");
    let weights = sandbox.read("weights/pt_inception-2015-12-05-recipe.safetensors");
    let cached = "torch/hub/checkpoints/pt_inception-2015-12-05-6726825d.pth";
    sandbox.write(cached, weights);
    let ran = evaluate(&sandbox, "with", &["--json"]).exits(2);
    ran.check(ran.stderr.contains(cached), "expected the file to be said");
    assert!(ran.object()["models"][0]["metrics"]["rfid"]["value"].is_number());
    let given = evaluate(&sandbox, "given", &WEIGHTS).exits(2);
    given.check(!given.stderr.contains(cached), "the folder of the user's comes first");
}

#[test]
fn a_program_is_not_taken_for_weights() {
    let sandbox = Sandbox::new();
    sandbox.write("data/0.png", picture(40, 56, 0));
    sandbox.write("weights/inception-2015-12-05.pt", "PK");
    evaluate(&sandbox, "out", &WEIGHTS).exits(2).notes("is TorchScript");
}

#[test]
fn precision_and_recall_are_torch_fidelitys_and_kid_takes_more_pictures() {
    let sandbox = sandbox();
    let asked = [&WEIGHTS[..], &["--protocol", "torch-fidelity"]].concat();
    let ran = evaluate(&sandbox, "out", &asked).exits(2);
    ran.check(ran.stdout.contains("         precision "), "expected both shares");
    let report: Value = serde_json::from_slice(&sandbox.read("out/result.json")).unwrap();
    let metrics = &report["models"][0]["metrics"];
    for share in ["precision", "recall"] {
        assert_eq!(metrics[share]["pictures"], 4);
        assert!((0.0..=1.0).contains(&metrics[share]["value"].as_f64().unwrap()), "{metrics}");
    }
    assert_eq!(metrics["kid"], Value::Null);
    let page = String::from_utf8(sandbox.read("out/report.html")).unwrap();
    assert!(page.contains("<th scope=\"row\">Recall</th>") && !page.contains("KID"));
}

#[test]
fn equivariance_is_of_latents_that_can_be_turned_and_halved() {
    let sandbox = Sandbox::new();
    // Latents of 6 x 8, and of 5 x 7, which have no half.
    sandbox.write("data/even.png", picture(64, 48, 0));
    sandbox.write("data/odd.png", picture(56, 40, 90));
    let mut protocol = Protocol::named("vae-fidelity").unwrap();
    protocol.metrics.equivariance = true;
    sandbox.write("own.toml", protocol.to_toml().unwrap());
    let ran = evaluate(&sandbox, "out", &["--protocol", "own.toml", "--json"]).exits(0);
    let report = ran.object();
    let metrics = &report["models"][0]["metrics"];
    assert_eq!(metrics["rotation_psnr_db"]["pictures"], 2);
    assert_eq!(metrics["scaling_psnr_db"]["pictures"], 1);
    let of = |name: &str| metrics[name]["mean"].as_f64().unwrap();
    assert!(of("rotation_psnr_db") > 0.0 && of("scaling_psnr_db") > 0.0);
    let page = String::from_utf8(sandbox.read("out/report.html")).unwrap();
    assert!(page.contains("PSNR of turned latents, dB"));
    // Results are held against each other by all else.
    let gap = sandbox.run(&["explain-gap", "out", "out", "--repo", "model", "--json"]).exits(0);
    assert!(!gap.stdout.contains("rotation"), "{}", gap.stdout);
}
