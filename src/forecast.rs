//! What f16 and bf16 would do to one picture, from runs in f32.

use ndarray::{Array4, ArrayView4};

use crate::checkpoint::Checkpoint;
use crate::diagnosis::{F16_MAX, Finding, extreme, f16_headroom};
use crate::dtype::Dtype;
use crate::engine::Execution;
use crate::error::Result;
use crate::image_processor::denormalize;
use crate::metrics::PixelMetrics;
use crate::pixels::Rgb8;
use crate::report::{DtypeForecast, Forecast, Headroom};
use crate::trace::{Stage, Trace};

/// The layers with the least room that a forecast lists.
const TIGHTEST: usize = 5;

/// Forecast and warnings for the picture `seen`, whose sample in f32 is `sample`, through the VAE of
/// `checkpoint` on the CPU.
///
/// # Errors
///
/// Returns an error if the VAE cannot be loaded or run.
pub fn forecast(
    execution: &Execution,
    checkpoint: &Checkpoint,
    seen: &Rgb8,
    sample: ArrayView4<f32>,
) -> Result<(Forecast, Vec<Finding>)> {
    let vae = execution.load_f32(checkpoint)?;
    let latents = vae.encode(sample, None)?.latents;
    let traced = |stage, input: ArrayView4<f32>| -> Result<Trace> {
        vae.trace(stage, input).unwrap_or_else(|| Ok(Trace::new()))
    };
    let (encode, decode) = (traced(Stage::Encode, sample)?, traced(Stage::Decode, latents.view())?);
    let expected = denormalize(vae.decode(latents.view())?.view(), Dtype::F32)?;
    let dtypes = [Dtype::F16, Dtype::Bf16].into_iter().map(|dtype| {
        let decoded = execution.decoded_in(checkpoint, sample, dtype)?;
        of_dtype(dtype, &decoded, seen, &expected)
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

/// What `dtype` made of the picture `seen`, beside what f32 made of it.
fn of_dtype(
    dtype: Dtype,
    decoded: &Array4<f32>,
    seen: &Rgb8,
    expected: &Rgb8,
) -> Result<DtypeForecast> {
    let non_finite = decoded.iter().filter(|value| !value.is_finite()).count();
    let sound = non_finite == 0 && seen.data().len() == expected.data().len();
    let picture = denormalize(decoded.view(), Dtype::F32)?;
    let psnr = |a: &Rgb8, b: &Rgb8| PixelMetrics::of(a, b).map(|metrics| metrics.psnr_db);
    let loss = |picture: &Rgb8| match sound {
        true => psnr(seen, picture),
        false => Ok(None),
    };
    let cost = loss(expected)?.zip(loss(&picture)?).map(|(f32, rounded)| f32 - rounded);
    Ok(DtypeForecast {
        dtype,
        non_finite,
        psnr_from_f32_db: if sound { psnr(expected, &picture)? } else { None },
        psnr_cost_db: cost,
    })
}
