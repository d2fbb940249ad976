//! Files of which Pillow's `convert("RGB")` drops something, read as other programs read them.

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use moxcms::ColorProfile;
use vae_fidelity::diagnosis::{Code, UserFiles};
use vae_fidelity::image_processor::normalize;
use vae_fidelity::pixels::{OpenedImage, Reading, open_bytes, resize_bicubic};
use vae_fidelity::{Result, Rgb8, Vae};

use super::matrix::{Injection, Matrix};
use super::plot;
use super::runs::{Model, Run};
use super::visible;

/// The codes that these faults have to be found by.
#[cfg(feature = "tch")]
pub const CODES: [&str; 3] = ["alpha-mismatch", "bit-depth-mismatch", "colour-profile-mismatch"];

/// What a file hides, and the readings of it that other programs have.
type Hidden = (fn(&Rgb8) -> Vec<u8>, &'static [(Reading, &'static str, &'static str)]);

const HIDDEN: [Hidden; 3] = [
    (
        cut_out,
        &[
            (Reading::OnWhite, "alpha on white", "alpha-mismatch"),
            (Reading::OnBlack, "alpha on black", "alpha-mismatch"),
            (Reading::OnGrey, "alpha on grey", "alpha-mismatch"),
        ],
    ),
    (sixteen_bits, &[(Reading::SixteenBitsScaled, "grey of 16 bits scaled", "bit-depth-mismatch")]),
    (display_p3, &[(Reading::ToSrgb, "Display P3 converted to sRGB", "colour-profile-mismatch")]),
];

/// Everything before a round oval with soft edges is transparent, and keeps its colours.
fn cut_out(picture: &Rgb8) -> Vec<u8> {
    let (width, height) = (picture.width(), picture.height());
    let rgba = (0..width * height).flat_map(|i| {
        let of = |at: usize, side: usize| 2.0 * (at as f64 + 0.5) / side as f64 - 1.0;
        let distance = of(i % width, width).hypot(of(i / width, height));
        let alpha = (255.0 * (0.8 - distance) / 0.2).clamp(0.0, 255.0) as u8;
        let [r, g, b] = picture.pixel(i % width, i / width);
        [r, g, b, alpha]
    });
    png(picture, &rgba.collect::<Vec<_>>(), ExtendedColorType::Rgba8, None)
}

/// The picture's green as grey of 16 bits, in the order of this machine.
fn sixteen_bits(picture: &Rgb8) -> Vec<u8> {
    let greens = picture.data().chunks_exact(3).map(|pixel| u16::from(pixel[1]));
    let bytes: Vec<u8> = greens.flat_map(|level| (level * 257).to_ne_bytes()).collect();
    png(picture, &bytes, ExtendedColorType::L16, None)
}

/// The picture's numbers, said to be those of Display P3.
fn display_p3(picture: &Rgb8) -> Vec<u8> {
    let profile = ColorProfile::new_display_p3().encode().unwrap();
    png(picture, picture.data(), ExtendedColorType::Rgb8, Some(profile))
}

fn png(of: &Rgb8, bytes: &[u8], kind: ExtendedColorType, profile: Option<Vec<u8>>) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = PngEncoder::new(&mut file);
    if let Some(profile) = profile {
        encoder.set_icc_profile(profile).unwrap();
    }
    encoder.write_image(bytes, of.width() as u32, of.height() as u32, kind).unwrap();
    file
}

fn opened(file: Vec<u8>) -> OpenedImage {
    open_bytes("picture.png".as_ref(), file).unwrap()
}

/// The files of a pipeline that fed `sample`: what was planted, by where it shows.
fn files(vae: &dyn Vae, sample: ndarray::Array4<f32>) -> Result<[(&'static str, UserFiles); 3]> {
    let raw = vae.encode(sample.view(), None)?.latents;
    let decoded = vae.decode(raw.view())?;
    let latents = plot::latents(vae.scale(raw.view())?)?;
    let made = [
        ("fed", plot::fed(sample)?),
        ("seen in latents", latents),
        ("seen in the picture", plot::picture(&decoded)?),
    ];
    Ok(made.map(|(name, files)| (name, files.unwrap())))
}

/// Plants every reading in a picture's files; strong ones are run again by rules that do not know their code
/// where they are to be `unknown`.
pub fn measure(
    matrix: &mut Matrix,
    name: &str,
    model: &Model,
    (picture, source): (&str, &Rgb8),
    unknown: bool,
) {
    for (hide, readings) in HIDDEN {
        let file = opened(hide(source));
        let run = Run::of(&model.vae, &file.pixels).unwrap().without(file.dropped);
        for &(reading, cause, code) in readings {
            let Some(read) = reading.apply(&run.source, &run.dropped).unwrap() else { continue };
            let read = resize_bicubic(&read, run.seen.width(), run.seen.height()).unwrap();
            let sample = normalize(&read, vae_fidelity::Dtype::F32);
            for (place, files) in files(&model.vae, sample).unwrap() {
                let found = run.diagnosis(&model.vae, &files, None).unwrap().findings;
                let code = Code::from_name(code).unwrap();
                let without = |code| run.diagnosis_without(code, &model.vae, &files, None);
                let without = unknown.then(|| without(code).unwrap().findings);
                let cause = format!("{cause}, {place}");
                let injection = Injection {
                    cause: &cause,
                    code,
                    strong: true,
                    seen: visible::in_files(&model.vae, &run, &files).unwrap(),
                    in_weights: false,
                    model: name,
                    picture,
                };
                matrix.planted(injection, &found, without.as_deref());
            }
        }
    }
}

/// A run's own files, and BGR, which has nothing to do with what is hidden.
#[test]
fn hidden_alpha_bits_and_profiles_are_not_blamed_for_what_they_did_not_do() {
    let model = Model::load("builtin");
    for (hide, _) in HIDDEN {
        let file = opened(hide(&super::photograph("coffee.jpg")));
        let run = Run::of(&model.vae, &file.pixels).unwrap().without(file.dropped);
        for (place, files) in files(&model.vae, run.sample.clone()).unwrap() {
            let diagnosis = run.diagnosis(&model.vae, &files, None).unwrap();
            let said = super::said_of_files(&diagnosis);
            assert!(said.is_empty(), "{place}: {said:?}");
        }
        if !plot::colourful(&run) {
            continue;
        }
        let swapped = run.sample.select(ndarray::Axis(1), &[2, 1, 0]);
        for (place, files) in files(&model.vae, swapped).unwrap() {
            let diagnosis = run.diagnosis(&model.vae, &files, None).unwrap();
            let said = super::said_of_files(&diagnosis);
            assert_eq!(said[0].code, Code::ChannelSwap, "{place}: {said:?}");
        }
    }
}
