//! LPIPS in `evaluate`: which weights are found, that they are part of what a run is about, and that nothing of how
//! it runs changes a number. That the numbers are the authors' is tested where they are computed.

use vae_fidelity::recipe::Recipe;

use super::evaluate::{evaluate, same};
use super::explain_gap::{adds_up, choices, explain_gap, metric};
use super::sandbox::{Sandbox, Tensor, picture, safetensors_of};

/// torchvision's AlexNet: place, inputs, outputs, side of the kernel.
const ALEX: [(usize, usize, usize, usize); 5] =
    [(0, 3, 64, 11), (3, 64, 192, 5), (6, 192, 384, 3), (8, 384, 256, 3), (10, 256, 256, 3)];

/// Tensors whose values follow from their names, each changed by `of`.
pub fn by_recipe(named: &[(String, Vec<usize>)], of: fn(f32) -> f32) -> Vec<Tensor> {
    let recipe = Recipe { hash: Recipe::HASH.to_owned(), ..Recipe::default() };
    let of = |(name, shape): &(String, Vec<usize>)| {
        let values: Vec<f32> = recipe.values(name, shape).into_iter().map(of).collect();
        Tensor::new(name, shape, &values)
    };
    named.iter().map(of).collect()
}

/// A file of the same without signs, as heads are.
fn safetensors(named: &[(String, Vec<usize>)]) -> Vec<u8> {
    safetensors_of(&by_recipe(named, f32::abs))
}

fn trunk() -> Vec<(String, Vec<usize>)> {
    let of = |(at, inputs, outputs, side): (usize, usize, usize, usize)| {
        let name = |kind: &str| format!("features.{at}.{kind}");
        [(name("weight"), vec![outputs, inputs, side, side]), (name("bias"), vec![outputs])]
    };
    ALEX.into_iter().flat_map(of).collect()
}

/// SqueezeNet 1.1's: place, inputs, squeezed, expanded.
const FIRES: [(usize, usize, usize, usize); 8] = [
    (3, 64, 16, 64),
    (4, 128, 16, 64),
    (6, 128, 32, 128),
    (7, 256, 32, 128),
    (9, 256, 48, 192),
    (10, 384, 48, 192),
    (11, 384, 64, 256),
    (12, 512, 64, 256),
];

fn squeeze_trunk() -> Vec<(String, Vec<usize>)> {
    let conv = |name: String, outputs: usize, inputs: usize, side: usize| {
        let weight = vec![outputs, inputs, side, side];
        [(format!("{name}.weight"), weight), (format!("{name}.bias"), vec![outputs])]
    };
    let fire = |(at, inputs, squeezed, expanded): (usize, usize, usize, usize)| {
        let name = |kind: &str| format!("features.{at}.{kind}");
        [
            conv(name("squeeze"), squeezed, inputs, 1),
            conv(name("expand1x1"), expanded, squeezed, 1),
            conv(name("expand3x3"), expanded, squeezed, 3),
        ]
    };
    let first = conv("features.0".to_owned(), 64, 3, 3);
    first.into_iter().chain(FIRES.into_iter().flat_map(fire).flatten()).collect()
}

fn heads(channels: &[usize]) -> Vec<(String, Vec<usize>)> {
    let named = channels.iter().enumerate();
    named.map(|(at, count)| (format!("lin{at}.model.1.weight"), vec![1, *count, 1, 1])).collect()
}

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    for index in 0..3 {
        sandbox.write(&format!("data/{index}.png"), picture(72, 64, 40 * index));
    }
    sandbox.write("data/small.png", picture(24, 24, 7));
    sandbox.write("weights/alexnet-owt-recipe.safetensors", safetensors(&trunk()));
    sandbox.write("weights/v0.1/alex.safetensors", safetensors(&heads(&[64, 192, 384, 256, 256])));
    sandbox
}

const WEIGHTS: [&str; 2] = ["--metric-weights", "weights"];

#[test]
fn what_has_weights_is_computed_and_the_rest_is_left_out_and_named() {
    let sandbox = sandbox();
    let ran = evaluate(&sandbox, "out", &[&WEIGHTS[..], &["--json"]].concat()).exits(0);
    ran.check(
        ran.stderr.contains("left out, no weights of it in weights: lpips_vgg, lpips_squeeze"),
        "expected what is left out",
    );
    let report = ran.object();
    let metrics = &report["models"][0]["metrics"];
    assert_eq!(metrics["psnr_db"]["pictures"], 4);
    // One is too small for AlexNet.
    assert_eq!(metrics["lpips_alex"]["pictures"], 3);
    assert!(metrics["lpips_alex"]["mean"].as_f64().unwrap() > 0.0, "{metrics}");
    assert!(metrics["lpips_vgg"].is_null() && metrics["lpips_squeeze"].is_null(), "{metrics}");
    let weights = report["protocol"]["metric_weights"].as_array().unwrap();
    assert_eq!(weights.len(), 1);
    assert_eq!(weights[0]["metric"], "lpips_alex");
    assert_eq!(weights[0]["sha256"].as_array().unwrap().len(), 2);
    let page = String::from_utf8(sandbox.read("out/report.html")).unwrap();
    assert!(
        page.contains("<th scope=\"row\">LPIPS (alex)")
            && !page.contains("<th scope=\"row\">LPIPS (vgg)")
    );
}

#[test]
fn without_weights_it_is_left_out_and_a_protocol_without_it_has_no_note() {
    let sandbox = sandbox();
    let ran = evaluate(&sandbox, "out", &[]).exits(0);
    ran.check(ran.stderr.contains("left out without --metric-weights: lpips_alex"), "expected it");
    let text = String::from_utf8(sandbox.read("out/protocol.toml")).unwrap();
    let none = ["alex", "vgg", "squeeze"]
        .into_iter()
        .fold(text, |text, net| text.replace(&format!("{net} = true"), &format!("{net} = false")));
    sandbox.write(
        "none.toml",
        none.replace("dists = true", "dists = false").replace("\"pytorch-fid\"", "\"none\""),
    );
    let ran = evaluate(&sandbox, "none", &["--protocol", "none.toml"]).exits(0);
    ran.check(!ran.stderr.contains("left out"), "expected no word of it");
}

#[test]
fn shards_and_threads_change_no_bit() {
    let sandbox = sandbox();
    evaluate(&sandbox, "whole", &[&WEIGHTS[..], &["--threads", "1"]].concat()).exits(0);
    for (shard, out) in [("0/2", "first"), ("1/2", "second")] {
        let more = [&WEIGHTS[..], &["--threads", "2", "--shard", shard]].concat();
        evaluate(&sandbox, out, &more).exits(0);
    }
    sandbox.run(&["merge", "second", "first", "--out", "merged"]).exits(0);
    same(&sandbox, "whole", "merged");
}

#[test]
fn runs_with_other_weights_are_told_apart() {
    let sandbox = sandbox();
    evaluate(&sandbox, "first", &[&WEIGHTS[..], &["--shard", "0/2"]].concat()).exits(0);
    evaluate(&sandbox, "second", &["--shard", "1/2"]).exits(0);
    let ran = sandbox.run(&["merge", "first", "second", "--out", "merged"]).exits(2);
    ran.check(ran.stderr.contains("metrics' weights"), "expected in what they differ");
    let ran = evaluate(&sandbox, "first", &["--shard", "0/2"]).exits(2);
    ran.check(ran.stderr.contains("metrics' weights"), "expected what it was begun with");
}

#[test]
fn a_file_that_is_another_is_named_with_what_it_lacks() {
    let sandbox = sandbox();
    sandbox.write("weights/v0.1/alex.safetensors", safetensors(&heads(&[64, 128, 256, 512, 512])));
    let ran = evaluate(&sandbox, "out", &WEIGHTS).exits(2);
    ran.check(
        ran.stderr.contains("lin1.model.1.weight: expected [1, 192, 1, 1]"),
        "expected where",
    );
    sandbox.write("weights/v0.1/alex.safetensors", "no tensors");
    evaluate(&sandbox, "out", &WEIGHTS).exits(2).notes("alex.safetensors");
    evaluate(&sandbox, "out", &["--metric-weights", "nowhere"]).exits(2).notes("nowhere");
}

/// Two evaluations: `a` with AlexNet's LPIPS, `b` with SqueezeNet's of floats.
fn two_networks() -> Sandbox {
    let sandbox = sandbox();
    sandbox.write("weights/squeezenet1_1-recipe.safetensors", safetensors(&squeeze_trunk()));
    let heads = heads(&[64, 128, 256, 384, 384, 512, 512]);
    sandbox.write("weights/squeeze.safetensors", safetensors(&heads));
    evaluate(&sandbox, "all", &WEIGHTS).exits(0);
    let text = String::from_utf8(sandbox.read("all/protocol.toml")).unwrap();
    let lpips = text.split("[metrics.lpips]").nth(1).unwrap();
    let with = |lpips: String| text.replace(text.split("[metrics.lpips]").nth(1).unwrap(), &lpips);
    let only = |net: &str| {
        ["alex", "vgg", "squeeze"]
            .into_iter()
            .filter(|of| *of != net)
            .fold(lpips.to_owned(), |text, net| {
                text.replace(&format!("{net} = true"), &format!("{net} = false"))
            })
    };
    sandbox.write("a.toml", with(only("alex")));
    sandbox.write("b.toml", with(only("squeeze").replace("\"rounded\"", "\"floats\"")));
    for name in ["a", "b"] {
        let protocol = format!("{name}.toml");
        evaluate(&sandbox, name, &[&WEIGHTS[..], &["--protocol", &protocol]].concat()).exits(0);
    }
    sandbox
}

#[test]
fn which_network_it_was_explains_a_gap() {
    let sandbox = two_networks();
    let report =
        explain_gap(&sandbox, &[&["a", "b", "--json"], &WEIGHTS[..]].concat()).exits(0).object();
    let lpips = metric(&report, "lpips");
    assert_eq!(choices(lpips)[0], "metrics.lpips", "{lpips}");
    let effect = &lpips["effects"][0];
    assert_eq!((&effect["a"], &effect["b"]), (&"alex".into(), &"squeeze".into()));
    assert!(choices(lpips).contains(&"metrics.lpips.values"), "{lpips}");
    adds_up(lpips);
    assert!(lpips["not_explained"].as_f64().unwrap().abs() < 1e-9, "{lpips}");
    // Which network it is decides nothing of PSNR, and the small picture has none by AlexNet.
    assert!(report["metrics"].as_array().unwrap().iter().all(|of| {
        of["metric"] == "lpips" || choices(of).iter().all(|choice| !choice.contains("lpips"))
    }));
    let text = explain_gap(&sandbox, &[&["a", "all"], &WEIGHTS[..]].concat()).exits(0);
    text.says("(alex)").says("no gap to speak of");
}

#[test]
fn a_gap_without_the_networks_leaves_lpips_out_and_says_so() {
    let sandbox = two_networks();
    let ran = explain_gap(&sandbox, &["a", "b", "--json"]).exits(0);
    let ran = ran.notes("left out, for want of their weights: lpips_alex, lpips_squeeze");
    let report = ran.object();
    assert!(report["metrics"].as_array().unwrap().iter().all(|of| of["metric"] != "lpips"));
    let mut heads = by_recipe(&heads(&[64, 128, 256, 384, 384, 512, 512]), f32::abs);
    heads[0].values[0] += 1.0;
    sandbox.write("weights/squeeze.safetensors", safetensors_of(&heads));
    let ran = explain_gap(&sandbox, &[&["a", "b"], &WEIGHTS[..]].concat()).exits(2);
    ran.notes("the weights of lpips_squeeze are others than B's");
}
