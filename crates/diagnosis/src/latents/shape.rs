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
