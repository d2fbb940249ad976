//! Which faults of the calibration `probe` is ranked by, and why the others are not.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::faults;
use crate::weights::planted::TRAINED;

/// One fault under two names: what the calibration sees in a file, and what was done to a VAE.
const SAME: [(&str, &str); 30] = [
    ("BGR, seen in latents", "BGR fed"),
    ("[0, 1] into the encoder, seen in latents", "[0, 1] fed"),
    ("[0, 1] into the encoder, seen in the picture", "[0, 1] fed"),
    ("0 to 255 into the encoder, seen in latents", "0 to 255 fed"),
    ("a mirrored picture, seen in latents", "a mirrored picture fed"),
    ("a reshaped picture, seen in latents", "a reshaped picture fed"),
    ("video range, seen in latents", "video range fed"),
    ("video range fed, of 8 bits", "video range fed"),
    ("less contrast fed, of 8 bits", "less contrast fed"),
    ("linear light fed, of 8 bits", "linear light fed"),
    ("less contrast, seen in latents", "less contrast fed"),
    ("linear light, seen in latents", "linear light fed"),
    ("a power of 0.6, seen in latents", "a power of 0.6"),
    ("a part pasted in, seen in latents", "a part pasted in after caching"),
    ("padding on all sides, seen in latents", "padding on all sides"),
    ("padding on all sides, seen in the picture", "padding on all sides"),
    ("padding on all sides, in a trace", "padding on all sides"),
    ("circular padding, seen in the picture", "circular padding"),
    ("circular padding, seen in latents", "circular padding"),
    ("circular padding of the decoder alone", "circular padding"),
    ("BGR fed, seen in the picture", "BGR fed"),
    ("a mirrored picture fed, seen in the picture", "a mirrored picture fed"),
    ("attention without 1 / sqrt(d), in a trace", "attention without 1 / sqrt(d)"),
    ("interpolated upsampling, in a trace", "interpolated upsampling"),
    ("NaN in one layer, in a trace", "NaN in a weight"),
    ("NaN, seen in the picture", "NaN in a weight"),
    ("latents reshaped, seen in the picture", "latents reshaped, not permuted"),
    ("a shift between latents and decoder", "a shift that the config lacks"),
    // What reaches the decoder is off by the shift, as where the config has none.
    ("shift left out", "a shift that the config lacks"),
    ("shift of the wrong sign", "a shift that the config lacks"),
];

/// No VAE has them that is trained, or none at all: docs/src/probe.md says so.
const NOT_PLANTED: [&str; 15] = [
    // Of how a picture is made smaller: charts are drawn in their size.
    "nearest-neighbour resize, seen in latents",
    "nearest-neighbour resize fed",
    "cropped, not resized",
    // Nothing comes back that can be measured: `probe` ends with an error.
    "latents of another size",
    "latents of another family's channels",
    "a picture of another size",
    // Of configs that no trained VAE of the repository has.
    "latents_mean and latents_std ignored",
    "decoded without latents_mean and latents_std",
    "act_fn for the last activation, in a trace",
    // Of a pipeline that fits latents to another width: no VAE's halves do that.
    "the first channel in place of all",
    "half of the channels, twice",
    "the last channel a copy",
    // Of edges, for which circular padding stands.
    "reflecting padding, seen in the picture",
    "repeating padding, seen in the picture",
    // Takes the picture beside the VAE.
    "colours matched to the input",
];

#[test]
fn every_fault_of_the_calibration_is_planted_or_said_not_to_be() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/calibration.json");
    let measured: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let causes = measured["causes"].as_array().unwrap().iter();
    let mut names: BTreeSet<String> =
        causes.map(|of| of["cause"].as_str().unwrap().to_owned()).collect();
    let of_files = crate::diagnosis::faults::faults();
    names.extend(of_files.iter().map(|fault| fault.cause.to_owned()));
    assert!(names.len() > 80, "{}", names.len());

    let [all, unseen] = [faults::all(TRAINED[0]), faults::unseen(TRAINED[0])];
    let planted: BTreeSet<&str> = all.iter().chain(&unseen).map(|(name, _)| *name).collect();
    // No trained VAE of those classes is in the repository.
    let classes =
        ["FLUX.2: ", "TAESD: ", "asymmetric: ", "Wan: ", "Wan 2.2: ", "DC-AE: ", "HunyuanImage: "];
    names.retain(|name| !classes.iter().any(|class| name.starts_with(class)));
    // Of how a file is read: charts are drawn.
    let of_files = ["alpha on ", "grey of 16 bits scaled", "Display P3 converted"];
    names.retain(|name| !of_files.iter().any(|of| name.starts_with(of)));
    // Of how the picture was saved, which a VAE does not do.
    names.retain(|name| !name.ends_with(", kept as JPEG"));
    // Of how values are stored, not of what they do; those that pass nothing on have names of their own.
    names.retain(|name| !name.starts_with("weights: "));
    let accounted = |name: &str| {
        let name = SAME.iter().find(|(seen, _)| *seen == name).map_or(name, |(_, done)| done);
        planted.contains(name) || NOT_PLANTED.contains(&name)
    };
    let lost: Vec<_> = names.iter().filter(|name| !accounted(name)).collect();
    assert!(lost.is_empty(), "neither planted nor said not to be: {lost:?}");
    // Those of ports take libtorch.
    let known = |name: &str| names.contains(name) || cfg!(not(feature = "tch"));
    for name in SAME.iter().map(|(name, _)| name).chain(&NOT_PLANTED) {
        assert!(known(name), "no fault of the calibration: {name}");
    }
}
