//! Weights that do not do their job: a round trip that gives back less of the picture than one colour
//! for each block would.

use ndarray::{Array4, ArrayView4, Axis, concatenate, s};

use super::changes::{CHANNEL_ORDERS, CHANNEL_SWAP, INPUT_NOT_NORMALISED};
use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::evidence::{Evidence, colours};
use super::finding::Finding;
use super::fit::{Line, rms_difference, spread};
use super::natural::{is_large_enough, is_natural};
use super::round_trip::{OUTPUT_NOT_DENORMALISED, is_lifted_to_unit};
use super::severity::Severity;
use vae_fidelity_core::recipe::{name_hash, scrambled};
use vae_fidelity_files::error::{Error, Result};

pub(super) const PASSES_NOTHING: Cause = Cause {
    code: Code::PassesNothing,
    severity: Severity::Error,
    title: "the round trip is worse than one colour for each block",
    meaning: "A latent stands for a block of the picture. Where the block's mean colour alone would \
              have come nearer to the picture than what was decoded, the weights do not do their \
              job: merged, mis-scaled, transposed or read in another type, or never trained. What \
              latents spread by then says nothing about a scaling factor.",
    rule: "On a photograph, the mean squared error of what was decoded exceeds that of the picture \
           with one colour for each block; a block's side is what the model shrinks a side by (8, \
           usually). On another picture it is more than four times that, wherever blocks begin, and \
           the round trip is below 20 dB; sides are 64 pixels or more. Withheld where a channel \
           order or a range explains the loss.",
    remedy: "take the original weights: vae-fidelity inspect ORIGINAL THESE says how the two differ",
    diffusers: "load the original repository's vae with from_pretrained, and compare the two",
    comfyui: "load the original VAE with Load VAE; merges of checkpoints should keep one VAE whole",
    ports: "compare layer by layer with a trace of diffusers: the first that differs is the cause",
    sources: &["ltdrdata/ComfyUI-Impact-Pack#103", "ml-explore/mlx-examples#971"],
    decided_by: &[DecidedBy::Check],
};

pub(super) const DEAD_ENCODER: Cause = Cause {
    code: Code::DeadEncoder,
    severity: Severity::Error,
    title: "the latents carry nothing of the picture",
    meaning: "Whatever picture is encoded, the same latents come out: something in the encoder cuts \
              the way.",
    rule: "The round trip is worse than one colour for each block, and the picture and its mirrored \
           negative have latents that differ by less than a thousandth.",
    remedy: "take the original weights, or look in the encoder for a tensor that is zero or a layer \
             that is left out",
    diffusers: "compare vae.encode of two pictures; reload the original weights",
    comfyui: "load another copy of the VAE",
    ports: "trace the encoder: the first layer whose output is constant is the cause",
    sources: &[],
    decided_by: &[DecidedBy::Check],
};

pub(super) const DEAD_DECODER: Cause = Cause {
    code: Code::DeadDecoder,
    severity: Severity::Error,
    title: "what is decoded does not depend on the latents",
    meaning: "Whatever latents are decoded, the same picture comes out, usually grey.",
    rule: "The round trip is worse than one colour for each block, and two draws of noise as latents \
           decode to pictures that differ by less than one level of 255.",
    remedy: "take the original weights, or look in the decoder for a tensor that is zero or a layer \
             that is left out",
    diffusers: "compare vae.decode of two latents; reload the original weights",
    comfyui: "load another copy of the VAE",
    ports: "trace the decoder: the first layer whose output is constant is the cause",
    sources: &[],
    decided_by: &[DecidedBy::Check],
};

/// A trip that is nearer than this is no loss, whatever the blocks are.
pub(super) const NEAR_DB: f64 = 30.0;
/// On what is no photograph one colour for each block may be all there is: a trip that is lost there too is
/// this far off, and this much further than blocks that begin elsewhere.
const LOST_DB: f64 = 20.0;
const BEHIND_DB: f64 = 6.0;
/// Pixels a side at which a half is asked whether it is dead: little beside the trip itself.
const SIDE: usize = 64;
/// Latents that differ by less than this share of their size are the same.
const SAME: f64 = 1e-3;
/// One level of 255, of values in [-1, 1].
const LEVEL: f64 = 2.0 / 255.0;

/// `dead-encoder`, `dead-decoder`, or `passes-nothing`.
pub(super) fn findings(evidence: &Evidence) -> Result<Vec<Finding>> {
    let side = evidence.vae.config().downsampling();
    let loss = Loss::of(evidence.sample.view(), evidence.decoded.view(), side);
    // NaN is no loss: another rule is about that.
    let is_lost = loss.trip_db() < loss.blocks_db() && loss.trip_db() < NEAR_DB;
    if !is_lost {
        return Ok(Vec::new());
    }
    let told = |finding: Finding| {
        finding
            .evidence("psnr_db", loss.trip_db())
            .evidence("psnr_of_one_colour_for_each_block_db", loss.blocks_db())
            .evidence("block", side)
    };
    let mut dead = Vec::new();
    if evidence.knows(Code::DeadEncoder)
        && let Some(change) = encoder_is_dead(evidence, side)?
    {
        let title = "the latents carry nothing of the picture: another one has the same";
        let finding = Finding::new(&DEAD_ENCODER, title).at("encoder");
        dead.push(told(finding).evidence("relative_change", change));
    }
    if evidence.knows(Code::DeadDecoder)
        && let Some(change) = decoder_is_dead(evidence)?
    {
        let title = "what is decoded does not depend on the latents: others decode to the same";
        let finding = Finding::new(&DEAD_DECODER, title).at("decoder");
        dead.push(told(finding).evidence("rms_change", change));
    }
    if !dead.is_empty() || !(is_natural(evidence.seen) || is_far_behind(evidence, &loss, side)) {
        return Ok(dead);
    }
    if let Some(finding) = explained(evidence, &loss, side) {
        return Ok(vec![told(finding)]);
    }
    let title = format!(
        "the round trip ({:.1} dB) is worse than one colour for each {side} x {side} block \
         ({:.1} dB): these weights do not do their job",
        loss.trip_db(),
        loss.blocks_db()
    );
    let finding = evidence.known(told(Finding::new(&PASSES_NOTHING, title)));
    Ok(finding.into_iter().collect())
}

/// Whether the trip is so far off that no picture explains it, be it a photograph or not.
fn is_far_behind(evidence: &Evidence, loss: &Loss, side: usize) -> bool {
    let behind = |blocks: &Loss| loss.trip_db() < blocks.blocks_db() - BEHIND_DB;
    is_large_enough(evidence.seen)
        && loss.trip_db() < LOST_DB
        && behind(loss)
        && Loss::between_blocks(evidence.sample.view(), evidence.decoded.view(), side)
            .is_some_and(|shifted| behind(&shifted))
}

/// A range or an order of channels that the weights have wrong, where that is what is lost. Warnings: where
/// the picture shows them clearly, `round_trip` has found them already.
fn explained(evidence: &Evidence, loss: &Loss, side: usize) -> Option<Finding> {
    let better = |cause: &Cause, changed: Array4<f32>| {
        if !evidence.knows(cause.code) {
            return None;
        }
        let changed = Loss::of(evidence.sample.view(), changed.view(), side);
        (changed.trip < loss.blocks).then(|| changed.trip_db())
    };
    let warning = |cause, title: String, psnr: f64| {
        Finding::new(cause, title).severity(Severity::Warning).evidence("psnr_once_undone_db", psnr)
    };
    if let Some(psnr) = better(&INPUT_NOT_NORMALISED, evidence.decoded.mapv(|y| 2.0 * y - 1.0)) {
        let title = "the output looks like the input's [0, 1] taken for [-1, 1]".to_owned();
        let finding = warning(&INPUT_NOT_NORMALISED, title, psnr);
        // A picture that hardly varies has no line, but a brightness.
        let lifted = Line::through(colours(evidence.sample), colours(evidence.decoded))
            .is_some_and(|line| is_lifted_to_unit(&line));
        return Some(if lifted { finding.severity(Severity::Error) } else { finding });
    }
    if let Some(psnr) = better(&OUTPUT_NOT_DENORMALISED, evidence.decoded.mapv(|y| (y + 1.0) / 2.0))
    {
        let title = "the output has twice the input's range, moved down".to_owned();
        return Some(warning(&OUTPUT_NOT_DENORMALISED, title, psnr));
    }
    // The order in which the input's channels came out: each goes back to its place.
    CHANNEL_ORDERS.into_iter().find_map(|(order, name)| {
        let mut changed = evidence.decoded.clone();
        for (from, to) in order.into_iter().enumerate() {
            let channel = evidence.decoded.index_axis(Axis(1), from);
            changed.index_axis_mut(Axis(1), to).assign(&channel);
        }
        let psnr = better(&CHANNEL_SWAP, changed)?;
        let title = format!("the output fits the input in {name} order");
        Some(warning(&CHANNEL_SWAP, title, psnr).evidence("order", name))
    })
}

/// Mean squared errors against a picture in [-1, 1].
pub(super) struct Loss {
    trip: f64,
    blocks: f64,
}

impl Loss {
    /// Over the blocks of `side` pixels that lie in both as a whole.
    pub fn of(sample: ArrayView4<f32>, decoded: ArrayView4<f32>, side: usize) -> Self {
        let whole = |axis: usize| sample.shape()[axis].min(decoded.shape()[axis]) / side * side;
        // Without alpha, which hardly any picture has.
        let area = s![0..1, ..sample.dim().1.min(3), ..whole(2), ..whole(3)];
        let (sample, decoded) = (sample.slice(area), decoded.slice(area));
        let (mut trip, mut blocks) = (0.0, 0.0);
        let block = (1, 1, side, side);
        for (seen, came) in sample.exact_chunks(block).into_iter().zip(decoded.exact_chunks(block))
        {
            let mean = seen.iter().map(|&x| f64::from(x)).sum::<f64>() / (side * side) as f64;
            for (&x, &y) in seen.iter().zip(&came) {
                trip += f64::from(x - y.clamp(-1.0, 1.0)).powi(2);
                blocks += (f64::from(x) - mean).powi(2);
            }
        }
        let count = sample.len() as f64;
        Self { trip: trip / count, blocks: blocks / count }
    }

    /// Of blocks that begin in the middle of the model's; `None` where none lies in the picture.
    fn between_blocks(
        sample: ArrayView4<f32>,
        decoded: ArrayView4<f32>,
        side: usize,
    ) -> Option<Self> {
        let (_, _, height, width) = sample.dim();
        let from = side / 2;
        let fits = from > 0 && height >= from + side && width >= from + side;
        fits.then(|| {
            let area = s![.., .., from.., from..];
            Self::of(sample.slice(area), decoded.slice(area), side)
        })
    }

    pub fn trip_db(&self) -> f64 {
        -10.0 * (self.trip / 4.0).log10()
    }

    pub fn blocks_db(&self) -> f64 {
        -10.0 * (self.blocks / 4.0).log10()
    }
}

/// `dead-decoder`, where the latents that are judged decode to one colour.
pub(super) fn dead_decoder(evidence: &Evidence) -> Result<Option<Finding>> {
    if spread(evidence.decoded) > LEVEL {
        return Ok(None);
    }
    let title = "what is decoded is one colour, and does not depend on the latents";
    let found =
        |change| Finding::new(&DEAD_DECODER, title).at("decoder").evidence("rms_change", change);
    Ok(decoder_is_dead(evidence)?.map(found))
}

/// How much the latents of the picture's mirrored negative differ, as a share of their size, where that
/// is nothing.
fn encoder_is_dead(evidence: &Evidence, side: usize) -> Result<Option<f64>> {
    let (_, _, height, width) = evidence.sample.dim();
    let most = |length: usize| length.min(SIDE / side * side);
    let part = evidence.sample.slice(s![0..1, .., ..most(height), ..most(width)]);
    let other = part.slice(s![.., .., .., ..;-1]).mapv(|x| -x);
    if rms_difference(part, &other) < 0.1 {
        return Ok(None);
    }
    let latents = evidence.vae.encode(both(part, other.view())?.view(), None)?.latents;
    let (part, other) = latents.view().split_at(Axis(0), 1);
    let size = part.iter().map(|&z| f64::from(z).powi(2)).sum::<f64>() / part.len() as f64;
    let change = rms_difference(part, other);
    Ok((change <= SAME * size.sqrt())
        .then(|| if change > 0.0 { change / size.sqrt() } else { 0.0 }))
}

/// How much two draws of noise differ once they are decoded, where that is nothing.
fn decoder_is_dead(evidence: &Evidence) -> Result<Option<f64>> {
    let config = evidence.vae.config();
    // Even, for classes that patch their latents.
    let side = (SIDE / config.downsampling()).clamp(2, 16);
    let shape = evidence.vae.scaling()?.scaled_shape((1, config.latent_channels(), side, side));
    let spread = 3f64.sqrt();
    let draw = |name: &str| {
        let hash = name_hash(name);
        // Uniform in [-1, 1).
        let unit = |index: u64| (scrambled(hash, index) >> 40) as f64 / f64::from(1 << 23) - 1.0;
        let draws = (0..).map(|index| (unit(index) * spread) as f32);
        let count = shape.0 * shape.1 * shape.2 * shape.3;
        Array4::from_shape_vec(shape, draws.take(count).collect()).unwrap_or_default()
    };
    let latents = both(draw("one draw").view(), draw("another draw").view())?;
    let decoded = evidence.vae.decode(evidence.vae.unscale(latents.view())?.view())?;
    let (one, other) = decoded.view().split_at(Axis(0), 1);
    let change = rms_difference(one, other);
    Ok((change < LEVEL).then_some(change))
}

/// Two tensors as a batch of two, which an engine reads its weights for once.
fn both<'a>(one: ArrayView4<'a, f32>, other: ArrayView4<'a, f32>) -> Result<Array4<f32>> {
    concatenate(Axis(0), &[one, other]).map_err(|error| {
        let next = "report this with the command that shows it";
        Error::tensor("two tensors of one shape", error.to_string(), next)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_colour_for_each_block_is_the_bar() {
        let picture = Array4::from_shape_fn((1, 3, 16, 24), |(_, c, y, x)| {
            ((x * 7 + y * 5 + c) % 13) as f32 / 13.0 - 0.5
        });
        let blocks = Array4::from_shape_fn((1, 3, 16, 24), |(_, c, y, x)| {
            let (y, x) = (y / 8 * 8, x / 8 * 8);
            picture.slice(s![0, c, y..y + 8, x..x + 8]).mean().unwrap_or_default()
        });
        let loss = Loss::of(picture.view(), blocks.view(), 8);
        assert!((loss.trip - loss.blocks).abs() < 1e-6 && loss.blocks > 0.01, "{}", loss.blocks);
        let same = Loss::of(picture.view(), picture.view(), 8);
        assert!(same.trip == 0.0 && same.trip_db() > 1e3);
        // A decoded sample of another size is compared where both are.
        // Moved by half a block, the same grid is none.
        let between = Loss::between_blocks(blocks.view(), blocks.view(), 8).unwrap();
        assert!(between.trip == 0.0 && between.blocks > 0.0, "{}", between.blocks);
        assert!(
            Loss::between_blocks(picture.slice(s![.., .., ..8, ..]), picture.view(), 8).is_none()
        );
        let smaller = Loss::of(picture.view(), picture.slice(s![.., .., ..8, ..8]), 8);
        assert!(smaller.trip == 0.0 && smaller.blocks > 0.0);
    }
}
