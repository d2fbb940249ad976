//! The shape of the user's latents: NHWC, moments, a picture that was turned before the encoder.

use ndarray::{Array4, ArrayD, Axis, s};

use super::super::changes::SYMMETRIES;
use super::super::codes::Code;
use super::super::evidence::{Evidence, with_batch};
use super::super::finding::Finding;
use super::super::fit::Line;
use super::super::severity::Severity;
use super::super::sizes::{WRONG_FAMILY_CHANNELS, other_size};
use vae_fidelity_core::scaling::unpatched;
use vae_fidelity_files::error::Result;

/// A shape other than (N, C, h, w) that latents are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// (N, 2 C, h, w): means and log-variances; also without the batch of one.
    Moments,
    /// (N, h w / 4, 4 C), likewise: diffusers' `FluxPipeline._pack_latents`.
    Packed,
    /// (N, h w, C), likewise.
    Tokens,
    /// (N C h w) or (N, C h w).
    Row,
}

impl Form {
    /// That of a tensor of `shape`, where (N, C, h, w) is expected.
    pub fn of(
        shape: &[usize],
        (n, channels, height, width): (usize, usize, usize, usize),
    ) -> Option<Self> {
        let values = channels * height * width;
        let even = height.is_multiple_of(2) && width.is_multiple_of(2);
        let is_tokens = |tokens: usize, width: usize| {
            shape == [n, tokens, width] || (n == 1 && shape == [tokens, width])
        };
        let moments = [n, 2 * channels, height, width];
        if shape == moments || (n == 1 && shape == &moments[1..]) {
            return Some(Self::Moments);
        }
        if even && is_tokens(height * width / 4, 4 * channels) {
            return Some(Self::Packed);
        }
        if is_tokens(height * width, channels) {
            return Some(Self::Tokens);
        }
        (shape == [n * values] || shape == [n, values]).then_some(Self::Row)
    }

    pub fn in_words(self) -> &'static str {
        match self {
            Self::Moments => "the means in a file that has log-variances behind them",
            Self::Packed => "tokens of 2 x 2 patches, as FLUX.1's pipelines pack them",
            Self::Tokens => "tokens, pixel after pixel",
            Self::Row => "values in one row",
        }
    }

    /// `tensor`, which has this form, as (N, C, h, w).
    fn unfolded(
        self,
        tensor: &ArrayD<f32>,
        (n, channels, height, width): (usize, usize, usize, usize),
    ) -> Option<Array4<f32>> {
        let shaped = |shape: (usize, usize, usize, usize)| {
            Array4::from_shape_vec(shape, tensor.iter().copied().collect()).ok()
        };
        let channels_last = |pixels: Array4<f32>| {
            pixels.permuted_axes([0, 3, 1, 2]).as_standard_layout().to_owned()
        };
        match self {
            Self::Moments => Some(
                shaped((n, 2 * channels, height, width))?
                    .slice(s![.., ..channels, .., ..])
                    .to_owned(),
            ),
            Self::Packed => {
                let patches = shaped((n, height / 2, width / 2, 4 * channels))?;
                unpatched(channels_last(patches), [2, 2]).ok()
            }
            Self::Tokens => shaped((n, height, width, channels)).map(channels_last),
            Self::Row => shaped((n, channels, height, width)),
        }
    }
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
    let form = Form::of(tensor.shape(), shape);
    if let Some(read) = form.and_then(|form| form.unfolded(tensor, shape)) {
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
