//! Whether a person sees what was planted: one rule for all faults. A strong fault that is not seen in some
//! picture (a blur where nothing is sharp, noise that is a hundredth of the latents) is a weak one there.

use ndarray::{Array4, ArrayD, Ix4};
use vae_fidelity::diagnosis::UserFiles;
use vae_fidelity::image_processor::denormalize;
use vae_fidelity::metrics::psnr;
use vae_fidelity::{Dtype, Result, Rgb8, Vae};

use super::runs::Run;

/// A picture that is worse than this beside the one without the fault looks altered.
const SEEN_DB: f64 = 35.0;

/// Whether `files` show a fault: what was fed, what latents decode to, or the picture itself is not what it
/// would be. Files of another shape, with values that are not finite, and traces show it.
pub fn in_files(vae: &dyn Vae, run: &Run, files: &UserFiles) -> Result<bool> {
    let mut seen = files.against.is_some();
    if let Some(fed) = &files.preprocessed {
        seen |= match of_shape(fed, &run.sample) {
            Some(fed) => in_tensor(&run.sample, &fed),
            None => true,
        };
    }
    if let Some(latents) = &files.latents {
        seen |= match of_shape(latents, &run.latents) {
            Some(latents) => {
                let decoded = vae.decode(vae.unscale(latents.view())?.view())?;
                let [ours, theirs] = [&run.decoded, &decoded].map(picture);
                in_pictures(&ours?, &theirs?)
            }
            None => true,
        };
    }
    if let Some(theirs) = &files.decoded_image {
        seen |= in_pictures(&picture(&run.decoded)?, &theirs.pixels);
    }
    Ok(seen)
}

/// Whether two pictures look different.
pub fn in_pictures(sound: &Rgb8, broken: &Rgb8) -> bool {
    psnr(sound, broken).is_none_or(|db| db < SEEN_DB)
}

/// The same of what two runs decode.
#[cfg(feature = "tch")]
pub fn in_runs(sound: &Run, broken: &Run) -> bool {
    match [sound, broken].map(|run| picture(&run.decoded)) {
        [Ok(sound), Ok(broken)] => in_pictures(&sound, &broken),
        _ => true,
    }
}

/// Of samples, whose values an encoder takes as they are, beyond [-1, 1] too.
fn in_tensor(sound: &Array4<f32>, broken: &Array4<f32>) -> bool {
    let off = sound.iter().zip(broken).map(|(a, b)| f64::from(a - b).powi(2));
    let rms = (off.sum::<f64>() / sound.len() as f64).sqrt();
    20.0 * (2.0 / rms).log10() < SEEN_DB
}

fn of_shape(file: &ArrayD<f32>, expected: &Array4<f32>) -> Option<Array4<f32>> {
    let file = file.clone().into_dimensionality::<Ix4>().ok()?;
    let fits = file.dim() == expected.dim() && file.iter().all(|value| value.is_finite());
    fits.then_some(file)
}

fn picture(decoded: &Array4<f32>) -> Result<Rgb8> {
    denormalize(decoded.view(), Dtype::F32)
}
