//! `--max-memory`: activations that do not fit lie in a file, and nothing that is computed changes.
#![cfg(target_os = "linux")]

use std::fs;

use ndarray::{Array4, s};
use tempfile::TempDir;
use vae_fidelity::report::peak_rss_bytes;
use vae_fidelity::{Checkpoint, Dtype, Encoded, FastAutoencoderKL, Result, Source, Vae};

/// Little arithmetic for the room that it takes: 134 MB an activation at 1024 x 1024, and 67 MB for
/// the weights of a wide layer while it runs.
const CONFIG: &str = r#"{
  "_class_name": "AutoencoderKL", "act_fn": "silu", "block_out_channels": [32, 32, 32, 512],
  "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
  "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"],
  "in_channels": 3, "out_channels": 3, "latent_channels": 4, "layers_per_block": 1,
  "norm_num_groups": 8, "sample_size": 64, "scaling_factor": 0.18215,
  "mid_block_add_attention": false
}"#;
const RECIPE: &str = r#"{"schema_version": 1, "hash": "fnv1a64-splitmix64"}"#;

const SIDE: usize = 1024;

fn checkpoint() -> (TempDir, Checkpoint) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("vae")).unwrap();
    fs::write(folder.path().join("vae/config.json"), CONFIG).unwrap();
    fs::write(folder.path().join("vae/recipe.json"), RECIPE).unwrap();
    let source = Source::Folder { path: folder.path().to_owned(), subfolder: None };
    let checkpoint = Checkpoint::open(&source, None).unwrap();
    (folder, checkpoint)
}

fn sample() -> Array4<f32> {
    Array4::from_shape_fn((1, 3, SIDE, SIDE), |(_, c, y, x)| {
        ((x * (c + 1) + y) as f32 * 0.01).sin() * 0.8
    })
}

fn round_trip(vae: &FastAutoencoderKL) -> Result<(Encoded, Array4<f32>)> {
    let encoded = vae.encode(sample().view(), None)?;
    let decoded = vae.decode(encoded.latents.view())?;
    Ok((encoded, decoded))
}

/// The size in the error of a limit that is too small.
fn least(vae: FastAutoencoderKL) -> u64 {
    let message = round_trip(&vae.with_max_memory(1 << 20)).unwrap_err().to_string();
    assert!(message.contains("`max_memory` 1M"), "{message}");
    let said = message.split("at least ").nth(1).unwrap_or_else(|| panic!("{message}"));
    said.split('M').next().unwrap().parse::<u64>().unwrap() << 20
}

/// Alone in its process: what other tests take would count, and is never forgotten.
#[test]
fn the_least_limit_works_is_kept_and_changes_no_bit() {
    let (_folder, checkpoint) = checkpoint();
    let load = || FastAutoencoderKL::load(&checkpoint, Some(2)).unwrap();
    let limit = least(load());
    // What would run modules alone holds more than the limit knows of.
    let conv_in = |vae: &FastAutoencoderKL| {
        let input = sample().slice_move(s![.., .., ..8, ..8]).into_dyn();
        vae.forward_module("encoder.conv_in", input.view()).is_some()
    };
    assert!(conv_in(&load()) && !conv_in(&load().with_max_memory(limit)));
    let (encoded, decoded) = round_trip(&load().with_max_memory(limit)).unwrap();
    let limited = peak_rss_bytes().unwrap();
    assert!(limited <= limit, "{limited} bytes were taken, {limit} allowed");

    // Half precision has its weights twice for a moment, as they are and rounded.
    let half = || load().rounded_to(Dtype::F16);
    let (in_half, _) = round_trip(&half().with_max_memory(least(half()))).unwrap();
    let limited = peak_rss_bytes().unwrap();
    assert!(limited <= limit, "{limited} bytes were taken in f16, {limit} allowed");

    let (expected, expected_decoded) = round_trip(&load()).unwrap();
    let unlimited = peak_rss_bytes().unwrap();
    assert!(unlimited > limit + limit / 4, "{unlimited} would have fitted into {limit}");
    assert_eq!(encoded.moments, expected.moments);
    assert_eq!(encoded.latents, expected.latents);
    assert_eq!(decoded, expected_decoded);
    assert_eq!(in_half, half().encode(sample().view(), None).unwrap());
}
