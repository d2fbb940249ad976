//! The user's decoded picture beside the one that the same latents decode to here.

use ndarray::{Array4, Axis};

use super::changes::{
    CHANNEL_ORDERS, CHANNEL_SWAP, Change, Explanation, LAYOUT_SCRAMBLED, Layout, SYMMETRIES,
    explanations,
};
use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::evidence::{Evidence, LatentsScale};
use super::finding::Finding;
use super::fit::psnr;
use super::input::EXIF_IGNORED;
use super::quantisation::{self, Conversion};
use super::scaling::{SCALING_FACTOR_MISMATCH, SHIFT_FACTOR_DROPPED};
use super::seams::{self, TILE_SEAMS};
use super::severity::Severity;
use super::sizes::other_size;
use super::tiles::{self, TILE_BLEND_UNITS, Tiles};
use vae_fidelity_core::config::Family;
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::image_processor::denormalize;
use vae_fidelity_core::tiling::UnitMistake;
use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::Rgb8;

pub(super) const DECODED_DIFFERS: Cause = Cause {
    code: Code::DecodedDiffers,
    severity: Severity::Warning,
    title: "your picture is not this VAE's, and no rule says why",
    meaning: "It comes from other latents, other weights, or a fault that has no rule here.",
    rule: "The PSNR between your picture and the reference's is below 30 dB, and yours is \
           further from the input than the reference's by over 1 dB, and no other rule \
           explains it.",
    remedy: "compare step by step: `preprocessed`, `latents`, then `against` a trace",
    diffusers: "save latents and the tensor that went in, and pass them as well",
    comfyui: "save the latent, and pass it as well",
    ports: "save a trace of your decoder, and pass it with `against`",
    sources: &[],
    decided_by: &[DecidedBy::DecodedImage],
};

/// From here on only the conversion to 8 bits is looked into; JPEG at high quality and half
/// precision stay above.
const AGREES_DB: f64 = 40.0;
/// How much nearer an explanation has to bring the picture, and how near.
const GAIN_DB: f64 = 4.0;
const NEAR_DB: f64 = 27.0;
/// A match like this ends the search.
const SAME_DB: f64 = 45.0;
/// An unexplained picture is worth a word below this, and this much worse than the reference's.
const DIFFERS_DB: f64 = 30.0;
const WORSE_DB: f64 = 1.0;

/// What is wrong with the user's picture; empty where it is the expected one.
pub(super) fn findings(evidence: &Evidence, theirs: &Rgb8) -> Result<Vec<Finding>> {
    let Reference { latents, decoded } = reference(evidence)?;
    let ours = denormalize(decoded.view(), Dtype::F32)?;
    if let Some(finding) = resized(&ours, theirs) {
        return Ok(vec![finding]);
    }
    let before = psnr(&ours, theirs);
    if before == f64::INFINITY {
        return Ok(Vec::new());
    }
    let conversion = quantisation::findings(&decoded, &ours, theirs);
    if before >= AGREES_DB || conversion.is_some() {
        return Ok(conversion.into_iter().collect());
    }
    let mut search = Search { theirs, ours: &ours, best: None };
    for (conversion, cause, what) in Conversion::RANGES {
        search.offer(cause, what, &conversion.apply(&decoded)?, 0);
    }
    for (cause, what, changed) in rearranged(&decoded) {
        search.offer(cause, &what, &denormalize(changed.view(), Dtype::F32)?, 0);
    }
    if !search.done() {
        by_latents(evidence, &latents, &mut search)?;
    }
    if !search.done() && evidence.files.latents.is_none() {
        by_input(evidence, &mut search)?;
    }
    if !search.done() {
        by_tiles(evidence, &latents, &mut search)?;
    }
    if let Some(finding) = search.found() {
        return Ok(vec![finding]);
    }
    if let Some(finding) = seams::seams(&ours, theirs) {
        return Ok(vec![finding.evidence("psnr_db", before)]);
    }
    let loss = (psnr(evidence.seen, &ours), psnr(evidence.seen, theirs));
    let differs = before < DIFFERS_DB && loss.1 < loss.0 - WORSE_DB;
    Ok(differs
        .then(|| {
            let title = "your picture is not what this VAE decodes, and no rule says why";
            Finding::new(&DECODED_DIFFERS, title)
                .evidence("psnr_db", before)
                .evidence("psnr_of_reference_to_input_db", loss.0)
                .evidence("psnr_of_yours_to_input_db", loss.1)
        })
        .into_iter()
        .collect())
}

/// What the user's picture is held against.
struct Reference {
    /// Raw, (1, C, h, w).
    latents: Array4<f32>,
    /// Decoded from them, (1, 3, H, W).
    decoded: Array4<f32>,
}

/// What the user's latents decode to here where they are given and fit, else this run's output.
fn reference(evidence: &Evidence) -> Result<Reference> {
    let latents = evidence.files.latents.as_ref().and_then(|latents| {
        let latents = match latents.ndim() {
            3 => latents.clone().insert_axis(Axis(0)),
            _ => latents.clone(),
        };
        let latents = latents.into_dimensionality::<ndarray::Ix4>().ok()?;
        let fits = latents.dim() == evidence.encoded.latents.dim();
        (fits && latents.iter().all(|value| value.is_finite())).then_some(latents)
    });
    match latents {
        None => Ok(Reference {
            latents: evidence.vae.unscale(evidence.latents.view())?,
            decoded: evidence.decoded.clone(),
        }),
        Some(latents) => {
            let config = evidence.vae.config();
            let raw =
                match (evidence.files.latents_scale, &config.latents_mean, &config.latents_std) {
                    (LatentsScale::Raw, ..) => latents,
                    (LatentsScale::Scaled, Some(mean), Some(std)) => {
                        let mut raw = latents;
                        for (channel, mut values) in raw.axis_iter_mut(Axis(1)).enumerate() {
                            let scale = (std[channel] / config.scaling_factor) as f32;
                            values.mapv_inplace(|z| z * scale + mean[channel] as f32);
                        }
                        raw
                    }
                    (LatentsScale::Scaled, ..) => {
                        let shift = config.shift_factor.unwrap_or(0.0) as f32;
                        latents.mapv(|z| z / config.scaling_factor as f32 + shift)
                    }
                };
            Ok(Reference { decoded: evidence.vae.decode(raw.view())?, latents: raw })
        }
    }
}

fn resized(ours: &Rgb8, theirs: &Rgb8) -> Option<Finding> {
    let size = |picture: &Rgb8| (picture.width(), picture.height());
    let (expected, found) = (size(ours), size(theirs));
    if expected == found {
        return None;
    }
    let title = format!(
        "your picture is {} x {}, expected {} x {}",
        found.0, found.1, expected.0, expected.1
    );
    let exchanged = (found.1, found.0) == expected;
    Some(other_size(title, exchanged, &[expected.0, expected.1], &[found.0, found.1]))
}

/// Decoded tensors with channels, axes or sides exchanged.
fn rearranged(decoded: &Array4<f32>) -> Vec<(&'static Cause, String, Array4<f32>)> {
    let first = decoded.index_axis(Axis(0), 0);
    let orders = CHANNEL_ORDERS.map(|(order, name)| {
        let what = format!("with its channels in {name} order");
        (&CHANNEL_SWAP, what, first.select(Axis(0), &order))
    });
    let layouts = [
        (Layout::HwcAsChw, "with (H, W, C) in memory read as (C, H, W)"),
        (Layout::ChwAsHwc, "with (C, H, W) in memory read as (H, W, C)"),
    ]
    .map(|(layout, what)| (&LAYOUT_SCRAMBLED, what.to_owned(), layout.apply(first)));
    let square = first.dim().1 == first.dim().2;
    let turned =
        SYMMETRIES.into_iter().filter(|(s, _)| square || !s.transposed).map(|(symmetry, name)| {
            let plain = symmetry.transposed && !symmetry.mirrored && !symmetry.upside_down;
            let cause = if plain { &LAYOUT_SCRAMBLED } else { &EXIF_IGNORED };
            (cause, name.to_owned(), symmetry.apply(first))
        });
    orders
        .into_iter()
        .chain(layouts)
        .chain(turned)
        .map(|(cause, what, changed)| (cause, what, changed.insert_axis(Axis(0))))
        .collect()
}

/// Tries factors and shifts between latents and decoder.
fn by_latents(evidence: &Evidence, raw: &Array4<f32>, search: &mut Search) -> Result<()> {
    let config = evidence.vae.config();
    let own = config.scaling_factor;
    let mut factors = vec![(own, "not divided by scaling_factor".to_owned())];
    for family in Family::PUBLISHED {
        let Some(other) = family.scaling_factor() else { continue };
        if (other / own - 1.0).abs() < 0.01 || factors.iter().any(|(k, _)| *k == own / other) {
            continue;
        }
        factors.push((own / other, format!("divided by {other}, {family}'s factor, not {own}")));
        factors.push((other / own, format!("scaled by {other}, {family}'s factor, not {own}")));
    }
    factors.push((1.0 / own, format!("divided by {own} twice")));
    for (k, what) in factors {
        let latents = raw.mapv(|z| z * k as f32);
        let decoded = evidence.vae.decode(latents.view())?;
        let what = format!("decoded from latents {what}");
        search.offer(&SCALING_FACTOR_MISMATCH, &what, &denormalize(decoded.view(), Dtype::F32)?, 0);
        if search.done() {
            return Ok(());
        }
    }
    for (shift, what) in
        [(-1.0, "without the shift being added back"), (1.0, "with the shift added twice")]
    {
        let Some(by) = config.shift_factor.filter(|by| *by != 0.0) else { break };
        let latents = raw.mapv(|z| z + (shift * by) as f32);
        let decoded = evidence.vae.decode(latents.view())?;
        let what = format!("decoded {what}");
        search.offer(&SHIFT_FACTOR_DROPPED, &what, &denormalize(decoded.view(), Dtype::F32)?, 0);
    }
    Ok(())
}

/// Tries what can have happened to the picture before the encoder.
fn by_input(evidence: &Evidence, search: &mut Search) -> Result<()> {
    // Exchanged channels and sides look the same before and after: those were tried on the output.
    let only_before = |explanation: &Explanation| {
        matches!(explanation.change, Change::Range(_) | Change::Moved(_) | Change::Resized(_))
    };
    for Explanation { cause, what, change } in
        explanations(evidence).into_iter().filter(only_before)
    {
        let Some(sample) = change.apply(evidence)? else { continue };
        if sample.dim() != evidence.sample.dim() {
            continue;
        }
        let latents = evidence.vae.encode(sample.view(), None)?.latents;
        let decoded = denormalize(evidence.vae.decode(latents.view())?.view(), Dtype::F32)?;
        // A move changes the border in ways that only the real padding has.
        let border = if matches!(change, Change::Moved(_)) { 16 } else { 0 };
        search.offer(
            cause,
            &format!("of a picture that was {what} before encoding"),
            &decoded,
            border,
        );
        if search.done() {
            return Ok(());
        }
    }
    Ok(())
}

/// Tries tiles, blended as diffusers does and in wrong units.
fn by_tiles(evidence: &Evidence, raw: &Array4<f32>, search: &mut Search) -> Result<()> {
    for tiling in tiles::sizes(evidence.vae, raw.view()) {
        let mut tiles = Tiles::new(evidence.vae, tiling, raw.view());
        for mistake in [None].into_iter().chain(UnitMistake::ALL.map(Some)) {
            let cause = if mistake.is_some() { &TILE_BLEND_UNITS } else { &TILE_SEAMS };
            let decoded = denormalize(tiles.blended(mistake)?.view(), Dtype::F32)?;
            search.offer(cause, &tiles::described(tiling, mistake), &decoded, 0);
            if search.done() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The explanation that brings the reference nearest to the user's picture.
struct Search<'a> {
    theirs: &'a Rgb8,
    ours: &'a Rgb8,
    best: Option<Best>,
}

struct Best {
    /// Of the reference, and of the explanation, where both are compared.
    before: f64,
    after: f64,
    cause: &'static Cause,
    what: String,
}

impl Search<'_> {
    fn offer(&mut self, cause: &'static Cause, what: &str, candidate: &Rgb8, border: usize) {
        let Some(after) = inner_psnr(candidate, self.theirs, border) else { return };
        let Some(before) = inner_psnr(self.ours, self.theirs, border) else { return };
        if self.best.as_ref().is_none_or(|best| after > best.after) {
            self.best = Some(Best { before, after, cause, what: what.to_owned() });
        }
    }

    fn done(&self) -> bool {
        self.best.as_ref().is_some_and(|best| best.after >= SAME_DB)
    }

    fn found(self) -> Option<Finding> {
        let Best { before, after, cause, what } = self.best?;
        let found = after >= before + GAIN_DB && after >= NEAR_DB;
        found.then(|| {
            let finding = Finding::new(cause, format!("your picture is the reference's, {what}"))
                .evidence("psnr_db", before)
                .evidence("psnr_explained_db", Some(after).filter(|db| db.is_finite()));
            match cause.code {
                Code::SymmetricDownsamplePadding => {
                    finding.at("encoder.down_blocks.0.downsamplers.0")
                }
                // What goes in exchanged comes back nearly so; only after decoding is it exact.
                Code::ChannelSwap if after >= SAME_DB => finding.remedy(
                    "exchange the channels where the picture is saved (cv2.imwrite takes BGR): what \
                     was encoded had them in order",
                ),
                _ => finding,
            }
        })
    }
}

fn inner_psnr(a: &Rgb8, b: &Rgb8, border: usize) -> Option<f64> {
    if (a.width(), a.height()) != (b.width(), b.height()) {
        return None;
    }
    let (width, height) = (a.width(), a.height());
    if border == 0 || width <= 2 * border || height <= 2 * border {
        return Some(psnr(a, b));
    }
    let crop = |picture: &Rgb8| {
        let rows = picture.data().chunks_exact(width * 3).skip(border).take(height - 2 * border);
        let bytes = rows.flat_map(|row| &row[border * 3..(width - border) * 3]).copied().collect();
        Rgb8::new(width - 2 * border, height - 2 * border, bytes).ok()
    };
    Some(psnr(&crop(a)?, &crop(b)?))
}
