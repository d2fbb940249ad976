//! Files that are not bit for bit the expected ones, and no fault.

use ndarray::Array4;
use vae_fidelity::diagnosis::{UserFiles, UserPicture};
use vae_fidelity::{Dtype, Result, Rgb8, image_processor, pixels};

use super::faults::Plant;
use super::plot::*;

/// `picture` through a JPEG of this quality, as libjpeg's kin writes it.
pub fn through_jpeg(picture: &Rgb8, quality: f32) -> UserPicture {
    let mut compress = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_RGB);
    compress.set_size(picture.width(), picture.height());
    compress.set_fastest_defaults();
    compress.set_quality(quality);
    let mut started = compress.start_compress(Vec::new()).unwrap();
    started.write_scanlines(picture.data()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.jpg");
    std::fs::write(&path, started.finish().unwrap()).unwrap();
    pixels::open(&path).unwrap().into()
}

pub fn compressed(decoded: &Array4<f32>, quality: f32) -> Result<Option<UserFiles>> {
    let written = image_processor::denormalize(decoded.view(), Dtype::F32)?;
    let decoded_image = Some(through_jpeg(&written, quality));
    Ok(Some(UserFiles { decoded_image, ..UserFiles::default() }))
}

/// The same as a lossy WebP.
fn as_webp(decoded: &Array4<f32>, quality: f32) -> Result<Option<UserFiles>> {
    let written = image_processor::denormalize(decoded.view(), Dtype::F32)?;
    let decoded_image = Some(through_webp(&written, quality)?.into());
    Ok(Some(UserFiles { decoded_image, ..UserFiles::default() }))
}

/// `picture` through a lossy WebP of this quality, as libwebp writes it.
fn through_webp(picture: &Rgb8, quality: f32) -> Result<Rgb8> {
    let (width, height) = (picture.width() as u32, picture.height() as u32);
    let compressed = webp::Encoder::from_rgb(picture.data(), width, height).encode(quality);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.webp");
    std::fs::write(&path, &*compressed).unwrap();
    Ok(pixels::open(&path)?.pixels)
}

/// Levels of 16 bits, written to a PNG file and opened again.
fn in_16_bits(decoded: &Array4<f32>) -> Result<Option<UserFiles>> {
    let (_, _, height, width) = decoded.dim();
    let level = |x: u32, y: u32, c: usize| {
        let unit = decoded[[0, c, y as usize, x as usize]] / 2.0 + 0.5;
        (unit.clamp(0.0, 1.0) * 65535.0).round() as u16
    };
    let deep = image::ImageBuffer::from_fn(width as u32, height as u32, |x, y| {
        image::Rgb([0, 1, 2].map(|c| level(x, y, c)))
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.png");
    deep.save(&path).unwrap();
    let decoded_image = Some(pixels::open(&path)?.into());
    Ok(Some(UserFiles { decoded_image, ..UserFiles::default() }))
}

/// Cases that have to be left alone.
pub fn clean() -> Vec<(&'static str, Plant)> {
    vec![
        ("a picture as JPEG at quality 75", |plot| compressed(&plot.run.decoded, 75.0)),
        ("a picture as JPEG at quality 92", |plot| compressed(&plot.run.decoded, 92.0)),
        ("a picture as WebP at quality 75", |plot| as_webp(&plot.run.decoded, 75.0)),
        ("a picture as WebP at quality 90", |plot| as_webp(&plot.run.decoded, 90.0)),
        ("a picture as PNG of 16 bits", |plot| in_16_bits(&plot.run.decoded)),
        ("a picture decoded from latents in bf16", |plot| {
            let latents = plot.run.encoded.latents.mapv(|z| Dtype::Bf16.round(z));
            picture(&plot.vae.decode(latents.view())?)
        }),
        ("a tensor of the picture as JPEG at quality 75", |plot| {
            fed(to_sample(&through_jpeg(&plot.run.seen, 75.0).pixels))
        }),
        ("a tensor of the picture as WebP at quality 75", |plot| {
            fed(to_sample(&through_webp(&plot.run.seen, 75.0)?))
        }),
        ("latents of the picture as JPEG at quality 85", |plot| {
            encoded(plot, to_sample(&through_jpeg(&plot.run.seen, 85.0).pixels))
        }),
        ("latents of the picture as WebP at quality 75", |plot| {
            encoded(plot, to_sample(&through_webp(&plot.run.seen, 75.0)?))
        }),
    ]
}
