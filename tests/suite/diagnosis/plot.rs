//! The files of a pipeline, made from a run in which one thing was done otherwise.

use ndarray::{Array4, ArrayD, Axis};
use vae_fidelity::diagnosis::UserFiles;
use vae_fidelity::image_processor::denormalize;
use vae_fidelity::{Dtype, Result, Rgb8, Vae};

use super::runs::{Model, Run};

/// What a fault has to work with.
pub struct Plot<'a> {
    /// What ran.
    pub vae: &'a dyn Vae,
    /// Where other implementations of it are.
    #[cfg_attr(not(feature = "tch"), expect(dead_code, reason = "those take libtorch"))]
    pub model: &'a Model,
    pub run: &'a Run,
    pub seed: u64,
}

pub fn latents(values: Array4<f32>) -> Result<Option<UserFiles>> {
    Ok(Some(UserFiles { latents: Some(values.into_dyn()), ..UserFiles::default() }))
}

pub fn fed(values: Array4<f32>) -> Result<Option<UserFiles>> {
    let preprocessed: ArrayD<f32> = values.into_dyn();
    Ok(Some(UserFiles { preprocessed: Some(preprocessed), ..UserFiles::default() }))
}

pub fn picture(decoded: &Array4<f32>) -> Result<Option<UserFiles>> {
    let decoded_image = Some(denormalize(decoded.view(), Dtype::F32)?.into());
    Ok(Some(UserFiles { decoded_image, ..UserFiles::default() }))
}

pub fn decoded_in(tiles: Result<Option<Array4<f32>>>) -> Result<Option<UserFiles>> {
    match tiles? {
        Some(whole) => picture(&whole),
        None => Ok(None),
    }
}

/// Latents as a diffusion pipeline has them.
pub fn expected(plot: &Plot) -> Array4<f32> {
    let config = plot.vae.config().autoencoder_kl().unwrap();
    let factor = config.scaling_factor as f32;
    let mut latents = plot.run.encoded.latents.clone();
    match (&config.latents_mean, &config.latents_std) {
        (Some(mean), Some(std)) => {
            for (channel, mut values) in latents.axis_iter_mut(Axis(1)).enumerate() {
                let (mean, std) = (mean[channel] as f32, std[channel] as f32);
                values.mapv_inplace(|z| (z - mean) * factor / std);
            }
            latents
        }
        _ => shift_by(plot, 1.0),
    }
}

pub fn shift_by(plot: &Plot, times: f64) -> Array4<f32> {
    let config = plot.vae.config().autoencoder_kl().unwrap();
    let shift = (config.shift_factor.unwrap_or(0.0) * times) as f32;
    plot.run.encoded.latents.mapv(|z| (z - shift) * config.scaling_factor as f32)
}

pub fn shifted(plot: &Plot, times: f64) -> Result<Option<UserFiles>> {
    latents(shift_by(plot, times))
}

pub fn scaled_by(plot: &Plot, factor: f64) -> Result<Option<UserFiles>> {
    // Strong is what is seen: another factor by a tenth at least.
    latents(plot.run.encoded.latents.mapv(|z| z * factor as f32))
}

/// Latents of which each channel is the one that `from` says.
pub fn copied(plot: &Plot, from: impl Fn(usize) -> usize) -> Result<Option<UserFiles>> {
    let channels: Vec<usize> = (0..plot.run.latents.dim().1).map(from).collect();
    latents(plot.run.latents.select(Axis(1), &channels))
}

pub fn encoded(plot: &Plot, sample: Array4<f32>) -> Result<Option<UserFiles>> {
    let raw = plot.vae.encode(sample.view(), None)?.latents;
    let factor = plot.vae.config().scaling_factor().unwrap() as f32;
    latents(raw * factor)
}

pub fn converted(plot: &Plot, level: impl Fn(f32) -> u8) -> Result<Option<UserFiles>> {
    let decoded = &plot.run.decoded;
    let (_, _, height, width) = decoded.dim();
    let bytes = (0..height * width * 3)
        .map(|i| level(decoded[[0, i % 3, i / 3 / width, i / 3 % width]]))
        .collect();
    let decoded_image = Some(Rgb8::new(width, height, bytes)?.into());
    Ok(Some(UserFiles { decoded_image, ..UserFiles::default() }))
}

pub fn decoded(plot: &Plot, change: impl Fn(f32) -> f32) -> Result<Option<UserFiles>> {
    let latents = plot.run.encoded.latents.mapv(change);
    picture(&plot.vae.decode(latents.view())?)
}

/// What `sample` becomes on its way through encoder and decoder.
pub fn trip(vae: &dyn Vae, sample: &Array4<f32>) -> Result<Option<UserFiles>> {
    let raw = vae.encode(sample.view(), None)?.latents;
    picture(&vae.decode(raw.view())?)
}

/// (C, H, W) as (H, W, C) in memory, read as (C, H, W) again.
pub fn reshaped(tensor: &Array4<f32>) -> Array4<f32> {
    let last = tensor.view().permuted_axes([0, 2, 3, 1]);
    Array4::from_shape_vec(tensor.dim(), last.iter().copied().collect()).unwrap()
}

/// Whether exchanging red and blue moves levels by 8 on average: else nobody sees it.
pub fn colourful(run: &Run) -> bool {
    let pixels = run.seen.data().chunks_exact(3);
    let sum: u64 = pixels.clone().map(|pixel| u64::from(pixel[0].abs_diff(pixel[2]))).sum();
    sum >= 8 * pixels.len() as u64
}

/// A standard deviation of at least 30 levels of green.
pub fn contrasty(picture: &Rgb8) -> bool {
    let greens = || picture.data().chunks_exact(3).map(|pixel| f64::from(pixel[1]));
    let count = (picture.width() * picture.height()) as f64;
    let mean = greens().sum::<f64>() / count;
    (greens().map(|green| (green - mean).powi(2)).sum::<f64>() / count).sqrt() >= 30.0
}

/// The nearest pixel, by OpenCV's rule.
pub fn picked(source: &Rgb8, size: &Rgb8) -> Rgb8 {
    let (width, height) = (size.width(), size.height());
    let bytes = (0..width * height).flat_map(|i| {
        let (x, y) = (i % width, i / width);
        let at = |i: usize, from: usize, to: usize| (i as f64 * from as f64 / to as f64) as usize;
        source.pixel(at(x, source.width(), width), at(y, source.height(), height))
    });
    Rgb8::new(width, height, bytes.collect()).unwrap()
}

pub fn to_sample(pixels: &Rgb8) -> Array4<f32> {
    vae_fidelity::image_processor::normalize(pixels, Dtype::F32)
}
