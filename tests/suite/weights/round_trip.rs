//! What `check` says of weights that do not do their job, and of those that do.

use std::path::Path;

use vae_fidelity::Pipeline;
use vae_fidelity::diagnosis::{Code, Finding, Severity};
use vae_fidelity::pixels::{self, encode_png, resize_bicubic};
use vae_fidelity::{Engine, Rgb8};

use super::planted::{
    As, Draws, Folder, TRAINED, Tensors, each, grouped, kernels, layers, tensors,
};

/// A photograph at 128 x 128 in `folder`.
pub(super) fn photograph(folder: &Path, name: &str) -> std::path::PathBuf {
    let opened = pixels::open(&Path::new("golden/images").join(name)).unwrap();
    let path = folder.join(name).with_extension("png");
    let small = resize_bicubic(&opened.pixels, 128, 128).unwrap();
    std::fs::write(&path, encode_png(&small).unwrap()).unwrap();
    path
}

fn findings(repo: &str, picture: &Path) -> Vec<Finding> {
    let pipeline = Pipeline::builder().repo(repo).engine(Engine::Fast).build().unwrap();
    pipeline.check(picture).unwrap().findings
}

fn checked(model: &str, picture: &Path, change: &dyn Fn(&mut Tensors)) -> Vec<Finding> {
    let mut tensors = tensors(model);
    change(&mut tensors);
    findings(Folder::of(model, &tensors, As::F32).path(), picture)
}

fn noisy(tensors: &mut Tensors, by: f32) {
    let mut draws = Draws(5);
    layers(tensors, "", |_, values| {
        let size = values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32;
        values.iter_mut().for_each(|v| *v += by * size.sqrt() * draws.normal());
    });
}

#[test]
fn weights_that_pass_nothing_on_are_an_error_and_no_factor_is_blamed() {
    type Fault = (&'static str, &'static str, fn(&mut Tensors));
    let faults: [Fault; 8] = [
        ("passes-nothing", "half", |t| each(t, |v| v * 0.5)),
        ("passes-nothing", "four fifths", |t| each(t, |v| v * 0.8)),
        ("passes-nothing", "kernels turned", |t| {
            kernels(t, |row, column, rows, columns| (rows - 1 - row, columns - 1 - column));
        }),
        ("passes-nothing", "merged with noise", |t| noisy(t, 1.0)),
        ("dead-encoder", "an encoder that is cut", |t| {
            layers(t, "encoder.conv_out", |_, values| {
                values.iter_mut().for_each(|v| *v *= 1e-9);
            });
        }),
        ("dead-decoder", "a decoder that is cut", |t| {
            layers(t, "decoder.conv_in", |_, values| {
                values.iter_mut().for_each(|v| *v *= 1e-9);
            });
        }),
        ("weights-zero", "a decoder of zeros", |t| {
            layers(t, "decoder.conv_in", |_, values| values.fill(0.0));
        }),
        ("weights-untrained", "fresh weights", |t| {
            let mut draws = Draws(9);
            layers(t, "", |shape, values| {
                let fan_in: usize = shape[1..].iter().product();
                let bound = 1.0 / (fan_in as f32).sqrt();
                values.iter_mut().for_each(|v| *v = draws.uniform() * bound);
            });
        }),
    ];
    let folder = tempfile::tempdir().unwrap();
    let picture = photograph(folder.path(), "coffee.jpg");
    for model in TRAINED {
        for (code, what, change) in &faults {
            let found = checked(model, &picture, change);
            let codes: Vec<&str> = found.iter().map(|finding| finding.code.as_str()).collect();
            let planted = found.iter().find(|finding| finding.code.as_str() == *code);
            let planted = planted.unwrap_or_else(|| panic!("{model}, {what}: {codes:?}"));
            assert_eq!(planted.severity, Severity::Error, "{model}, {what}");
            let blamed = [Code::ScalingFactorMismatch, Code::WrongFamilyValues];
            assert!(!found.iter().any(|f| blamed.contains(&f.code)), "{model}, {what}: {codes:?}");
        }
    }
}

/// As a picture of an eye or of a planet is: its statistics are no photograph's.
#[test]
fn weights_that_pass_nothing_on_are_an_error_on_other_pictures_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen = pixels::open(&photograph(folder.path(), "coffee.jpg")).unwrap().pixels;
    let mut bytes = seen.data().to_vec();
    let within = |i: usize| (i % 128).abs_diff(64).pow(2) + (i / 128).abs_diff(64).pow(2) < 40 * 40;
    for (i, pixel) in bytes.chunks_exact_mut(3).enumerate() {
        if !within(i) {
            pixel.fill(0);
        }
    }
    seen = Rgb8::new(128, 128, bytes).unwrap();
    let picture = folder.path().join("eye.png");
    std::fs::write(&picture, encode_png(&seen).unwrap()).unwrap();
    for model in TRAINED {
        for (what, change, broken) in [
            ("as they are", (|_| {}) as fn(&mut Tensors), false),
            ("merged with noise", |t| noisy(t, 1.0), true),
        ] {
            let found = checked(model, &picture, &change);
            let lost = found.iter().any(|finding| finding.code == Code::PassesNothing);
            assert_eq!(lost, broken, "{model}, {what}: {found:?}");
        }
    }
}

#[test]
fn weights_that_do_their_job_are_left_alone() {
    type Clean = (&'static str, fn(&mut Tensors));
    let clean: [Clean; 4] = [
        ("as they are", |_| {}),
        ("tuned", |t| noisy(t, 0.03)),
        ("4 bits", |t| layers(t, "", |_, values| grouped(values, 64, 16))),
        ("noisy", |t| noisy(t, 0.06)),
    ];
    let folder = tempfile::tempdir().unwrap();
    let pictures = ["coffee.jpg", "astronaut.png"].map(|name| photograph(folder.path(), name));
    for model in TRAINED {
        for (what, change) in &clean {
            for picture in &pictures {
                let found = checked(model, picture, change);
                let errors = found.iter().find(|finding| finding.severity == Severity::Error);
                assert!(errors.is_none(), "{model}, {what}: {errors:?}");
            }
        }
    }
}

/// One colour for each block has all of a flat or blocky picture, and noise is in no VAE's reach.
#[test]
fn pictures_that_are_no_photographs_fail_no_sound_weights() {
    let mut draws = Draws(2);
    let noise: Vec<u8> =
        (0..128 * 128 * 3).map(|_| (draws.uniform() * 127.5 + 127.5) as u8).collect();
    let mut blocks = vec![0u8; 128 * 128 * 3];
    for (at, value) in blocks.iter_mut().enumerate() {
        let (x, y) = (at / 3 % 128 / 8, at / 3 / 128 / 8);
        *value = (x * 53 + y * 91 + at % 3 * 37) as u8;
    }
    let drawn = |level: &dyn Fn(usize, usize) -> u8| -> Vec<u8> {
        (0..128 * 128).flat_map(|at| [level(at % 128, at / 128); 3]).collect()
    };
    let pictures = [
        ("noise", noise),
        ("blocks", blocks),
        ("grey", drawn(&|_, _| 127)),
        ("black", drawn(&|_, _| 0)),
        ("ramp", drawn(&|x, _| (x * 2) as u8)),
        ("checkers of a pixel", drawn(&|x, y| ((x + y) % 2 * 255) as u8)),
        ("stripes", drawn(&|x, _| (x / 3 % 2 * 255) as u8)),
        ("chart", drawn(&|x, y| if x % 16 == 8 || y > 128 - x { 0 } else { 255 })),
        ("checkers of a block", drawn(&|x, y| ((x / 8 + y / 8) % 2 * 255) as u8)),
        ("checkers of two blocks", drawn(&|x, y| ((x / 16 + y / 16) % 2 * 255) as u8)),
        ("checkers between blocks", drawn(&|x, y| (((x + 4) / 8 + (y + 4) / 8) % 2 * 255) as u8)),
        ("wide stripes", drawn(&|x, _| (x / 32 % 2 * 255) as u8)),
        ("cells", drawn(&|x, y| ((x / 32 * 5 + y / 32 * 3) * 37 % 256) as u8)),
        ("weak noise", drawn(&|x, y| 120 + ((x * 7919 + y * 104_729) % 17) as u8)),
    ];
    let folder = tempfile::tempdir().unwrap();
    for model in TRAINED {
        let pipeline = Pipeline::builder().repo(model).engine(Engine::Fast).build().unwrap();
        for (name, bytes) in &pictures {
            let picture = Rgb8::new(128, 128, bytes.clone()).unwrap();
            let path = folder.path().join(format!("{name}.png"));
            std::fs::write(&path, encode_png(&picture).unwrap()).unwrap();
            let found = pipeline.check(&path).unwrap().findings;
            let errors = found.iter().find(|finding| finding.severity == Severity::Error);
            assert!(errors.is_none(), "{model}, {name}: {errors:?}");
        }
    }
}

#[test]
fn a_layer_beyond_f16_is_a_warning_by_default() {
    let folder = tempfile::tempdir().unwrap();
    let picture = photograph(folder.path(), "coffee.jpg");
    for (layer, code) in [
        ("decoder.conv_in", Code::Fp16OverflowDecoder),
        ("encoder.conv_in", Code::Fp16OverflowEncoder),
        ("decoder.up_blocks.2.resnets.1.conv1", Code::Fp16OverflowDecoder),
    ] {
        let grown = |tensors: &mut Tensors| {
            let of_layer = tensors.iter_mut().filter(|(name, ..)| name.starts_with(layer));
            of_layer.for_each(|(_, _, values)| values.iter_mut().for_each(|v| *v *= 1e6));
        };
        let found = checked(TRAINED[0], &picture, &grown);
        let found: Vec<&Finding> = found.iter().filter(|finding| finding.code == code).collect();
        let [found] = found.as_slice() else { panic!("{layer}: {found:?}") };
        assert_eq!(found.severity, Severity::Warning);
        assert_eq!(found.layer.as_deref(), Some(layer));
    }
    let sound = findings(TRAINED[0], &picture);
    assert!(!sound.iter().any(|finding| finding.code.as_str().starts_with("fp16")), "{sound:?}");
}
