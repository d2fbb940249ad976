//! Planted faults are found, and clean runs are left alone.
//!
//! `cargo test --test suite diagnosis` runs a part of the suite on two photographs of the repository;
//! `vae_fidelity_tools.measurement.calibration` runs all of it on others and writes the confusion matrix.

mod asymmetric;
#[cfg(feature = "tch")]
mod calibration;
mod clean;
pub mod colours;
mod consequences;
mod dc;
pub mod faults;
mod flux2;
mod hunyuan;
mod tiny;
mod jpeg;
mod legitimate;
mod matrix;
pub mod plot;
#[cfg(feature = "tch")]
mod ports;
mod readings;
mod runs;
pub mod tiles;
mod visible;
mod wan;
#[cfg(feature = "tch")]
mod values;
#[cfg(feature = "tch")]
mod weights;

use std::path::Path;

use vae_fidelity::Rgb8;
#[cfg(feature = "tch")]
use vae_fidelity::Vae;
#[cfg(feature = "tch")]
use vae_fidelity::diagnosis::Reference;
use vae_fidelity::diagnosis::{Code, DecidedBy, Diagnosis, Finding, Severity, UserFiles};
use vae_fidelity::pixels::{self, resize_bicubic};

use matrix::{Injection, Matrix};
use plot::Plot;
use runs::{Model, Run, UNTOUCHED};

#[cfg(feature = "tch")]
use crate::planted::port as planted;

/// Models of the packed crate.
const MODELS: [&str; 5] = ["builtin", "sd-small", "act-relu", "flux1-small", "playground-small"];

/// Narrow ones of the other classes.
#[cfg(feature = "tch")]
const OF_OTHER_CLASSES: [&str; 11] = [
    "flux2-small",
    "tiny-small",
    "asymmetric-small",
    "wan-small",
    "wan2.2-small",
    "qwen-image-small",
    "qwen-image-2.1-uneven",
    "dc-uneven",
    "dc-mix-small",
    "hunyuanimage-uneven",
    "hunyuanimage-flat",
];

/// A photograph of the repository at a small size that has to be resized.
fn photograph(name: &str) -> Rgb8 {
    let opened = pixels::open(&Path::new("golden/images").join(name)).unwrap();
    resize_bicubic(&opened.pixels, 85, 77).unwrap()
}

#[test]
fn strong_faults_are_found_on_photographs_of_the_repository() {
    let pictures = [("astronaut".to_owned(), photograph("astronaut.png"))];
    let matrix = measured(&MODELS, &pictures, true, false);
    matrix.assert_no_innocent_blamed();
    matrix.assert_strong_ones_found();
    assert!(matrix.planted.len() >= 90, "only {} were planted", matrix.planted.len());
}

/// A sky with few stars: levels hardly correlate, and contrast says nothing.
#[test]
fn strong_faults_are_found_in_a_dark_picture() {
    let mut numbers = runs::Numbers(11);
    let mut levels = vec![6.0; 85 * 77 * 3];
    for _ in 0..60 {
        let (x, y) = ((numbers.unit() * 83.0) as usize, (numbers.unit() * 75.0) as usize);
        let brightness = (20.0 * (1.0 - numbers.unit()).powf(-0.9)).min(255.0);
        for (dx, dy) in [(1, 1), (0, 1), (2, 1), (1, 0), (1, 2)] {
            let share = if (dx, dy) == (1, 1) { 1.0 } else { 0.3 };
            for c in 0..3 {
                levels[((y + dy) * 85 + x + dx) * 3 + c] +=
                    share * brightness * (1.0 - 0.2 * c as f64);
            }
        }
    }
    let noisy = levels.iter().map(|level| level + 1.5 * f64::from(numbers.normal()));
    let bytes = noisy.map(|level| level.round().clamp(0.0, 255.0) as u8).collect();
    let night = ("night".to_owned(), Rgb8::new(85, 77, bytes).unwrap());
    // It has no colours to exchange, and no light that could wrap.
    let matrix = measured(&["builtin"], &[night], true, false);
    matrix.assert_no_innocent_blamed();
    matrix.assert_seen_ones_found();
    assert!(matrix.planted.len() >= 50, "only {} were planted", matrix.planted.len());
}

/// What becomes of faults that no rule knows: each without the rules of its own code.
#[test]
fn strong_faults_that_no_rule_knows_blame_no_other_cause() {
    let pictures = [("coffee".to_owned(), photograph("coffee.jpg"))];
    measured(&["builtin"], &pictures, true, true).assert_unknown_ones_pass_unblamed();
}

#[test]
fn clean_files_have_no_error() {
    let pictures = [("coffee".to_owned(), photograph("coffee.jpg"))];
    let mut matrix = Matrix::default();
    let model = Model::load("builtin");
    for (name, source) in pictures.iter().chain(&awkward()) {
        clean::measure(&mut matrix, "builtin", &model, (name, source));
    }
    let alarms = matrix.false_alarms();
    assert!(alarms.is_empty(), "{alarms:#?}");
}

#[cfg(feature = "tch")]
#[test]
fn faults_in_weights_and_config_are_found() {
    let source = photograph("coffee.jpg");
    let mut matrix = Matrix::default();
    weights::measure(&mut matrix, "builtin", &[("coffee".to_owned(), source)]);
    matrix.assert_strong_ones_found();
    matrix.assert_no_innocent_blamed();
    matrix.assert_unknown_ones_pass_unblamed();
}

#[cfg(feature = "tch")]
#[test]
fn every_code_with_a_rule_is_planted_or_said_not_to_be() {
    // Not planted here: about the file itself, about full-size graphs, or about whole families.
    let elsewhere = [
        "size-rounded",
        "expected-loss",
        // Planted in a test of its own, below.
        "device-kernel-broken",
        "wrong-family-values",
        // Of files and configs; planted in `command/inspect.rs`.
        "weights-missing",
        "weights-unexpected",
        "weights-shape",
        "weights-non-finite",
        "config-defaults",
        "defective-release",
        "wrong-class",
        "lfs-pointer",
        "file-truncated",
        "file-damaged",
    ];
    let faults = faults::faults();
    let planted = faults.iter().map(|f| f.code).chain(weights::CODES);
    let planted = planted.chain(readings::CODES);
    let planted: Vec<&str> = planted.chain(crate::weights::CODES).collect();
    // Of models in memory, which Python has.
    let in_python = include_str!("../../../crates/python/tests/live_faults.py");
    let by_a_run =
        |code: &&Code| code.cause().decided_by.iter().any(|by| *by != DecidedBy::Inspect);
    for code in Code::ALL.iter().filter(by_a_run) {
        let covered = planted.contains(&code.as_str())
            || elsewhere.contains(&code.as_str())
            || in_python.contains(&format!("\"{code}\""))
            || in_python.contains(&format!("\"{code} "));
        assert!(covered, "{code} has a rule and no fault");
    }
}

/// What is said of files beside what is only information, and beside drawn weights' passing nothing on.
fn said_of_files(diagnosis: &Diagnosis) -> Vec<&Finding> {
    let findings = diagnosis.findings.iter();
    let told = findings.filter(|finding| finding.severity != Severity::Info);
    told.filter(|finding| finding.code.as_str() != "passes-nothing").collect()
}

/// Nothing is said of a run's own files; what the diagnosis came to.
fn own_files_pass(model: &str) -> Diagnosis {
    let model = Model::load(model);
    let run = Run::of(&model.vae, &photograph("coffee.jpg")).unwrap();
    let files = UserFiles {
        latents: Some(run.latents.clone().into_dyn()),
        preprocessed: Some(run.sample.clone().into_dyn()),
        decoded_image: plot::picture(&run.decoded).unwrap().unwrap().decoded_image,
        ..UserFiles::default()
    };
    let diagnosis = run.diagnosis(&model.vae, &files, None).unwrap();
    let said = said_of_files(&diagnosis);
    assert!(said.is_empty(), "{said:?}");
    diagnosis
}

/// All `faults` of a class are strong, and found on a photograph, and no innocent is blamed.
fn assert_strong_ones_found_of(models: &[&str], faults: usize) {
    let pictures = [("astronaut".to_owned(), photograph("astronaut.png"))];
    let matrix = measured(models, &pictures, true, false);
    matrix.assert_no_innocent_blamed();
    matrix.assert_strong_ones_found();
    assert_eq!(matrix.planted.len(), faults);
}

/// Every fault in files, on every picture and model; only strong ones where asked. Strong ones that are
/// `unknown` are run again by rules that do not know their code.
fn measured(
    models: &[&str],
    pictures: &[(String, Rgb8)],
    only_strong: bool,
    unknown: bool,
) -> Matrix {
    let mut matrix = Matrix::default();
    for &name in models {
        let model = Model::load(name);
        for picture in pictures.iter().enumerate() {
            measure(&mut matrix, (name, &model), picture, only_strong, unknown);
        }
    }
    matrix
}

/// Every fault in files, on one picture and model.
fn measure(
    matrix: &mut Matrix,
    (name, model): (&str, &Model),
    (number, (picture, source)): (usize, &(String, Rgb8)),
    only_strong: bool,
    unknown: bool,
) {
    // Rules on tensors do not look at what is in the picture: four are enough there.
    let trained = matches!(name, "builtin" | UNTOUCHED);
    if !trained && number >= 4 && only_for_pictures(name) {
        return;
    }
    let started = std::time::Instant::now();
    let run = Run::of(&model.vae, source).unwrap();
    let (vae, seed) = (&model.vae, 1000 + number as u64);
    let plot = Plot { vae, model, run: &run, seed };
    for fault in faults::faults() {
        if !fault.models.contains(&name) || (only_strong && !fault.strong) {
            continue;
        }
        if fault.strong {
            matrix.due(fault.cause, name);
        }
        let Some(files) = (fault.plant)(&plot).unwrap() else { continue };
        let found = run.diagnosis(vae, &files, None).unwrap().findings;
        for finding in &found {
            let code = finding.code;
            assert!(is_decided(&files, code), "{}: not said to find {code}", fault.cause);
        }
        let (cause, strong) = (fault.cause, fault.strong);
        let code = Code::from_name(fault.code).unwrap();
        let without = (unknown && strong)
            .then(|| run.diagnosis_without(code, vae, &files, None).unwrap().findings);
        let seen = visible::in_files(vae, &run, &files).unwrap();
        let in_weights = false;
        let injection = Injection { cause, code, strong, seen, in_weights, model: name, picture };
        matrix.planted(injection, &found, without.as_deref());
    }
    if trained {
        readings::measure(matrix, name, model, (picture, source), unknown);
    }
    eprintln!("{name} {picture} {:.0} s", started.elapsed().as_secs_f64());
}

/// Whether a run in f32 with these files is said to find `code`.
fn is_decided(files: &UserFiles, code: Code) -> bool {
    code.cause().decided_by.iter().any(|by| match by {
        DecidedBy::Latents => files.latents.is_some(),
        DecidedBy::Preprocessed => files.preprocessed.is_some(),
        DecidedBy::DecodedImage => files.decoded_image.is_some(),
        DecidedBy::Against => files.against.is_some(),
        by => *by == DecidedBy::Check,
    })
}

/// Models that stand for a rule that no other model can show get every picture.
fn only_for_pictures(name: &str) -> bool {
    !matches!(name, "flux1-small" | "playground-small" | "act-relu")
}

/// Pictures that are no photographs.
fn awkward() -> Vec<(String, Rgb8)> {
    let drawn =
        |name: &str, width: usize, height: usize, level: &dyn Fn(usize, usize) -> [u8; 3]| {
            let bytes = (0..width * height).flat_map(|i| level(i % width, i / width)).collect();
            (name.to_owned(), Rgb8::new(width, height, bytes).unwrap())
        };
    let mut numbers = runs::Numbers(3);
    let noise: Vec<u8> = (0..96 * 96 * 3).map(|_| (numbers.unit() * 256.0) as u8).collect();
    vec![
        drawn("flat", 64, 64, &|_, _| [127; 3]),
        drawn("black", 64, 64, &|_, _| [0; 3]),
        drawn("red", 64, 64, &|_, _| [200, 10, 30]),
        drawn("ramp", 80, 80, &|x, y| [3 * x as u8, 3 * y as u8, (x + y) as u8]),
        drawn("blue", 80, 80, &|x, y| [x as u8 / 8, y as u8 / 8, 200 + x as u8 / 4]),
        drawn("line art", 96, 96, &|x, y| [if (x / 3 + y / 5) % 7 == 0 { 0 } else { 255 }; 3]),
        drawn("tiny", 8, 8, &|x, y| [(x * 30) as u8, (y * 30) as u8, 90]),
        ("tiny noise".to_owned(), Rgb8::new(8, 8, noise[..192].to_vec()).unwrap()),
        ("noise".to_owned(), Rgb8::new(96, 96, noise).unwrap()),
    ]
}

#[cfg(feature = "tch")]
#[test]
fn a_device_that_computes_wrongly_is_found_and_one_that_does_not_is_not() {
    let model = Model::load("builtin");
    let source = photograph("astronaut.png");
    for (fault, found) in [(planted::Fault::None, false), (planted::Fault::NoAttentionScale, true)]
    {
        let device = planted::Planted::load(&model.checkpoint, fault).unwrap();
        let run = Run::of(&device, &source).unwrap();
        let reference =
            || -> vae_fidelity::Result<Box<dyn Vae>> { Ok(Box::new(Model::load("builtin").vae)) };
        let reference = Reference { name: "the CPU", remedy: None, load: &reference };
        let diagnosis = run.diagnosis(&device, &UserFiles::default(), Some(reference)).unwrap();
        let broken = diagnosis.findings.iter().find(|f| f.code == Code::DeviceKernelBroken);
        assert_eq!(broken.is_some(), found, "{fault:?}: {:?}", diagnosis.findings);
        if let Some(broken) = broken {
            assert_eq!(broken.severity, Severity::Error);
            let layer = broken.layer.as_deref().unwrap();
            assert!(layer.contains("attentions.0"), "{layer}");
        }
    }
}

/// Decibels by which the forecast may be off: kernels round elsewhere too.
#[cfg(feature = "tch")]
const FORECAST_DB: f64 = 2.0;

#[cfg(feature = "tch")]
#[test]
fn the_forecast_is_what_really_running_in_half_precision_gives() {
    use vae_fidelity::Dtype;
    use vae_fidelity::autoencoder_kl::{AutoencoderKL, Device, rounded_trip};
    use vae_fidelity::image_processor::normalize;

    let model = Model::load("builtin");
    let small = resize_bicubic(&photograph("astronaut.png"), 32, 32).unwrap();
    let exact = Run::of(&model.vae, &small).unwrap();
    for dtype in [Dtype::F16, Dtype::Bf16] {
        let real = AutoencoderKL::load(&model.checkpoint, Device::CPU, dtype).unwrap();
        let real = Run::of(&real, &small).unwrap();
        let sample = normalize(&small, Dtype::F32);
        let forecast = rounded_trip(&model.checkpoint, sample.view(), dtype).unwrap();
        let distance = |decoded: &ndarray::Array4<f32>| -> f64 {
            let squares = decoded.iter().zip(&exact.decoded).map(|(a, b)| f64::from(a - b).powi(2));
            -10.0 * (squares.sum::<f64>() / 4.0 / decoded.len() as f64).log10()
        };
        let (real, forecast) = (distance(&real.decoded), distance(&forecast.decoded));
        eprintln!("{dtype}: really {real:.1} dB from f32, forecast {forecast:.1} dB");
        assert!((real - forecast).abs() <= FORECAST_DB, "{dtype}: {real} and {forecast}");
    }
}
