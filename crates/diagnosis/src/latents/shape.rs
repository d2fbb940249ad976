//! The shape of the user's latents: NHWC, moments, a picture that was turned before the encoder.

use ndarray::{Array4, ArrayD, Axis, s};

use super::super::changes::SYMMETRIES;
use super::super::codes::Code;
use super::super::evidence::{Evidence, with_batch};
use super::super::finding::Finding;
use super::super::fit::Line;
use super::super::severity::Severity;
use super::super::sizes::{WRONG_FAMILY_CHANNELS, other_size};
use vae_fidelity_files::error::Result;

/// How [`as_nchw`] reads a tensor that is not (N, C, h, w), where that is worth a word.
pub(super) fn read_as(
    tensor: &ArrayD<f32>,
    (n, channels, height, width): (usize, usize, usize, usize),
) -> Option<&'static str> {
    let values = channels * height * width;
    let shape = tensor.shape();
    let even = height.is_multiple_of(2) && width.is_multiple_of(2);
    // What comes last may be a batch of one's tokens without the batch.
    let is_tokens = |tokens: usize, width: usize| {
        shape == [n, tokens, width] || (n == 1 && shape == [tokens, width])
    };
    if shape == [n, 2 * channels, height, width] {
        return Some("the means in a file that has log-variances behind them");
    }
    if even && is_tokens(height * width / 4, 4 * channels) {
        return Some("tokens of 2 x 2 patches, as FLUX.1's pipelines pack them");
    }
    if is_tokens(height * width, channels) {
        return Some("tokens, pixel after pixel");
    }
    (shape == [n * values] || shape == [n, values]).then_some("values in one row")
}

/// Tokens and rows of values as (N, C, h, w).
fn unfolded(
    tensor: &ArrayD<f32>,
    (n, channels, height, width): (usize, usize, usize, usize),
) -> Option<Array4<f32>> {
    read_as(tensor, (n, channels, height, width))?;
    let values = tensor.iter().copied().collect();
    let last = *tensor.shape().last()?;
    if last == 4 * channels && tensor.len() == n * channels * height * width {
        // diffusers' `FluxPipeline._unpack_latents`.
        let patches = ndarray::Array::from_shape_vec(
            ndarray::IxDyn(&[n, height / 2, width / 2, channels, 2, 2]),
            values,
        );
        let planes = patches.ok()?.permuted_axes(vec![0, 3, 1, 4, 2, 5]);
        let planes = planes.as_standard_layout().to_owned();
        return planes.into_shape_with_order((n, channels, height, width)).ok();
    }
    if last == channels {
        let pixels = Array4::from_shape_vec((n, height, width, channels), values).ok()?;
        return Some(pixels.permuted_axes([0, 3, 1, 2]).as_standard_layout().to_owned());
    }
    Array4::from_shape_vec((n, channels, height, width), values).ok()
}

/// The user's tensor as the expected shape, or what is wrong with its shape.
pub(super) fn as_nchw(
    evidence: &Evidence,
    tensor: &ArrayD<f32>,
    expected: &Array4<f32>,
) -> std::result::Result<Array4<f32>, Box<Finding>> {
    let shape = expected.dim();
    let (n, channels, height, width) = shape;
    let four = with_batch(tensor);
    let title = format!("your latents are {:?}, expected {:?}", tensor.shape(), expected.shape());
    let other_size = |exchanged: bool| {
        Err(Box::new(other_size(title.clone(), exchanged, expected.shape(), tensor.shape())))
    };
    if tensor.ndim() < 4
        && let Some(read) = unfolded(tensor, shape)
    {
        return Ok(read);
    }
    let Some(four) = four else { return other_size(false) };
    let found = four.dim();
    if found == shape {
        return Ok(four.to_owned());
    }
    if found == (n, height, width, channels) {
        return Ok(four.permuted_axes([0, 3, 1, 2]).as_standard_layout().to_owned());
    }
    // Moments: mean first.
    if found == (n, 2 * channels, height, width) {
        return Ok(four.slice(s![.., ..channels, .., ..]).to_owned());
    }
    if found == (n, channels, width, height) && evidence.knows(Code::LayoutScrambled) {
        return other_size(true);
    }
    let other_channels = found.1 != channels && found.3 != channels;
    if other_channels && evidence.knows(Code::WrongFamilyChannels) {
        let title = format!("{title}: {} channels are another family's", found.1);
        return Err(Box::new(
            Finding::new(&WRONG_FAMILY_CHANNELS, title)
                .evidence("expected", expected.shape())
                .evidence("found", tensor.shape()),
        ));
    }
    other_size(false)
}

/// Latents whose sides are exchanged because the picture was turned before the encoder.
pub(super) fn turned(evidence: &Evidence, tensor: &ArrayD<f32>) -> Result<Option<Finding>> {
    let (n, channels, height, width) = evidence.encoded.latents.dim();
    let exchanged = (n, channels, width, height);
    let Some(found) = with_batch(tensor).filter(|found| found.dim() == exchanged) else {
        return Ok(None);
    };
    let found = found.to_owned();
    for (symmetry, name) in SYMMETRIES.into_iter().filter(|(symmetry, _)| symmetry.transposed) {
        let cause = symmetry.cause(evidence.orientation);
        if !evidence.knows(cause.code) {
            continue;
        }
        let sample = symmetry.apply(evidence.sample.index_axis(Axis(0), 0)).insert_axis(Axis(0));
        let latents = evidence.vae.encode(sample.view(), None)?.latents;
        let Some(line) = Line::through(&latents, &found) else { continue };
        if line.correlation > 0.95 {
            let title = format!("your latents are those of the picture {name}");
            let finding = Finding::new(cause, title);
            let finding = finding.severity(Severity::Error);
            return Ok(Some(finding.evidence("correlation", line.correlation)));
        }
    }
    Ok(None)
}
