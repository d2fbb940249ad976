//! `--forecast`: what f16 and bf16 would do to one picture, from runs in f32.

use ndarray::Array4;
use vae_fidelity::autoencoder_kl::{AutoencoderKL, Device, rounded_trip};
use vae_fidelity::diagnosis::{F16_MAX, Finding, extreme, f16_headroom};
use vae_fidelity::image_processor::denormalise;
use vae_fidelity::metrics::PixelMetrics;
use vae_fidelity::report::{DtypeForecast, Forecast, Headroom};
use vae_fidelity::trace::{Stage, Trace};
use vae_fidelity::{Checkpoint, Dtype, Result, Rgb8, Vae};

/// The layers with the least room that a forecast lists.
const TIGHTEST: usize = 5;

/// Forecast and warnings for the picture `seen`, whose sample in f32 is `sample`.
pub fn forecast(
    checkpoint: &Checkpoint,
    seen: &Rgb8,
    sample: &Array4<f32>,
) -> Result<(Forecast, Vec<Finding>)> {
    let vae = AutoencoderKL::load(checkpoint, Device::CPU, Dtype::F32)?;
    let latents = vae.encode(sample.view(), None)?.latents;
    let traced = |stage, input: &Array4<f32>| -> Result<Trace> {
        vae.trace(stage, input.view()).unwrap_or_else(|| Ok(Trace::new()))
    };
    let (encode, decode) = (traced(Stage::Encode, sample)?, traced(Stage::Decode, &latents)?);
    let expected = denormalise(vae.decode(latents.view())?.view(), Dtype::F32)?;
    let psnr = |a: &Rgb8, b: &Rgb8| PixelMetrics::of(a, b).map(|metrics| metrics.psnr_db);
    let dtypes = [Dtype::F16, Dtype::Bf16].into_iter().map(|dtype| {
        let decoded = rounded_trip(checkpoint, sample.view(), dtype)?.decoded;
        let non_finite = decoded.iter().filter(|value| !value.is_finite()).count();
        let sound = non_finite == 0 && seen.data().len() == expected.data().len();
        let picture = denormalise(decoded.view(), Dtype::F32)?;
        let loss = |picture: &Rgb8| match sound {
            true => psnr(seen, picture),
            false => Ok(None),
        };
        let cost = loss(&expected)?.zip(loss(&picture)?).map(|(f32, rounded)| f32 - rounded);
        Ok(DtypeForecast {
            dtype,
            non_finite,
            psnr_from_f32_db: if sound { psnr(&expected, &picture)? } else { None },
            psnr_cost_db: cost,
        })
    });
    let dtypes = dtypes.collect::<Result<Vec<_>>>()?;
    let mut headroom: Vec<Headroom> = encode
        .iter()
        .chain(&decode)
        .filter_map(|activation| {
            let largest = extreme(activation)?;
            let headroom = F16_MAX / largest;
            Some(Headroom { module: activation.module.clone(), largest, headroom })
        })
        .collect();
    headroom.sort_by(|a, b| b.largest.total_cmp(&a.largest));
    headroom.truncate(TIGHTEST);
    Ok((Forecast { dtypes, tightest: headroom }, f16_headroom(&encode, &decode)))
}
