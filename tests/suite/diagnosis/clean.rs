//! Runs without a fault: files as they should be, in the ways in which they may differ and in every
//! combination, with trained VAEs in every form that does its job.

use ndarray::Array4;
use vae_fidelity::diagnosis::{LatentsScale, UserFiles};
use vae_fidelity::trace::{Stage, TraceFile};
use vae_fidelity::{Dtype, Result, Rgb8, Vae};

use super::faults::{Plant, tiles};
use super::legitimate;
use super::matrix::Matrix;
use super::plot::*;
use super::runs::{Model, Numbers, Run};
use super::tiles::overlapping;

/// Every clean run of one picture with one VAE, and with what another implementation makes of it.
pub fn measure(matrix: &mut Matrix, name: &str, model: &Model, picture: (&str, &Rgb8)) {
    #[cfg(feature = "tch")]
    let of_ports = super::ports::clean();
    #[cfg(not(feature = "tch"))]
    let of_ports = Vec::new();
    of_vae(matrix, (name, &model.vae), model, of_ports, picture);
}

fn of_vae(
    matrix: &mut Matrix,
    (form, vae): (&str, &dyn Vae),
    model: &Model,
    more: Vec<(&'static str, Plant)>,
    (picture, source): (&str, &Rgb8),
) {
    let run = Run::of(vae, source).unwrap();
    let plot = Plot { vae, model, run: &run, seed: 7 };
    let mut judge = |case: &str, files: &UserFiles| {
        let found = run.diagnosis(vae, files, None).unwrap().findings;
        matrix.clean(case, form, picture, &found);
    };
    let mut cases = alone();
    cases.extend(legitimate::clean());
    cases.extend(more);
    for (case, files) in cases {
        if let Some(files) = files(&plot).unwrap() {
            judge(case, &files);
        }
    }
    for (case, files) in together(&plot).unwrap() {
        judge(&case, &files);
    }
}

/// Files one by one.
fn alone() -> Vec<(&'static str, Plant)> {
    vec![
        ("no files", |_| Ok(Some(UserFiles::default()))),
        ("the same latents", |plot| latents(expected(plot))),
        ("latents in f16", |plot| latents(expected(plot).mapv(|z| Dtype::F16.round(z)))),
        ("latents in bf16", |plot| latents(expected(plot).mapv(|z| Dtype::Bf16.round(z)))),
        ("raw latents", |plot| {
            let files = latents(plot.run.encoded.latents.clone())?;
            Ok(files.map(|files| UserFiles { latents_scale: LatentsScale::Raw, ..files }))
        }),
        ("latents with channels last", |plot| {
            latents(expected(plot).permuted_axes([0, 2, 3, 1]).as_standard_layout().to_owned())
        }),
        ("the same tensor fed", |plot| fed(plot.run.sample.clone())),
        ("the tensor in bf16", |plot| fed(plot.run.sample.mapv(|x| Dtype::Bf16.round(x)))),
        ("the same picture", |plot| picture(&plot.run.decoded)),
        ("a picture in diffusers' tiles", |plot| {
            tiles(plot, |vae, z| overlapping(vae, z, 4, |overlap| (overlap, overlap)))
        }),
        ("a picture with noise of 2 levels", |plot| {
            let mut numbers = Numbers(plot.seed);
            picture(&plot.run.decoded.mapv(|value| value + numbers.normal() * 2.0 / 127.5))
        }),
        ("a picture of a draw", |plot| {
            let mut numbers = Numbers(plot.seed);
            let std = plot.run.encoded.std.as_ref().unwrap();
            let drawn = &plot.run.encoded.latents + &std.mapv(|std| std * numbers.normal());
            picture(&plot.vae.decode(drawn.view())?)
        }),
    ]
}

/// Every combination of two files and more.
fn together(plot: &Plot) -> Result<Vec<(String, UserFiles)>> {
    let bf16 = expected(plot).mapv(|z| Dtype::Bf16.round(z));
    let raw = plot.run.encoded.latents.clone();
    let scaled = LatentsScale::Scaled;
    let latents = [
        None,
        Some(("latents", scaled, expected(plot))),
        Some(("latents in bf16", scaled, bf16)),
        Some(("raw latents", LatentsScale::Raw, raw)),
    ];
    let tensors = [None, Some(("the tensor", plot.run.sample.clone()))];
    let decoded = |files: Option<UserFiles>| files.and_then(|files| files.decoded_image);
    let whole = decoded(picture(&plot.run.decoded)?);
    let compressed = decoded(legitimate::compressed(&plot.run.decoded, 85.0)?);
    let pictures = [
        None,
        whole.map(|picture| ("the picture", picture)),
        compressed.map(|picture| ("the picture as JPEG at quality 85", picture)),
    ];
    let traces = [None, trace(plot)?];
    let mut together = Vec::new();
    for latents in &latents {
        for tensor in &tensors {
            for picture in &pictures {
                for trace in &traces {
                    let names: Vec<&str> = [
                        latents.as_ref().map(|(name, ..)| *name),
                        tensor.as_ref().map(|(name, _)| *name),
                        picture.as_ref().map(|(name, _)| *name),
                        trace.as_ref().map(|_| "a trace"),
                    ]
                    .into_iter()
                    .flatten()
                    .collect();
                    if names.len() < 2 {
                        continue;
                    }
                    let scale = latents.as_ref().map_or(scaled, |(_, scale, _)| *scale);
                    let files = UserFiles {
                        latents: latents.as_ref().map(|(.., values)| values.clone().into_dyn()),
                        latents_scale: scale,
                        decoded_image: picture.as_ref().map(|(_, picture)| picture.clone()),
                        preprocessed: tensor.as_ref().map(|(_, t)| t.clone().into_dyn()),
                        against: trace.clone(),
                    };
                    together.push((names.join(", "), files));
                }
            }
        }
    }
    Ok(together)
}

/// A trace of this VAE, where it makes one.
fn trace(plot: &Plot) -> Result<Option<TraceFile>> {
    let of = |stage, input: &Array4<f32>| plot.vae.trace(stage, input.view()).transpose();
    let encode = of(Stage::Encode, &plot.run.sample)?;
    let decode = of(Stage::Decode, &plot.run.encoded.latents)?;
    Ok(encode.zip(decode).map(|(encode, decode)| TraceFile::new(encode, decode)))
}

/// A few pictures, each with every VAE of `forms`: other weights than `model`'s, nearly.
#[cfg(feature = "tch")]
pub fn measure_forms(
    matrix: &mut Matrix,
    forms: &[(&'static str, Box<dyn Vae>)],
    (name, model): (&str, &Model),
    pictures: &[&(String, Rgb8)],
) {
    for (form, vae) in forms {
        let form = format!("{name}, {form}");
        for (picture, source) in pictures {
            of_vae(matrix, (&form, vae.as_ref()), model, Vec::new(), (picture, source));
        }
        eprintln!("clean {form}: {} runs so far", matrix.clean.len());
    }
}
