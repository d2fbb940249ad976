//! What is tried on the reference's tensors to come to the user's picture.

use ndarray::{Array4, Axis};

use super::super::changes::{
    CHANNEL_ORDERS, CHANNEL_SWAP, Change, LAYOUT_SCRAMBLED, SYMMETRIES, Tried, explanations,
};
use super::super::codes::Cause;
use super::super::colour_fit::least;
use super::super::evidence::Evidence;
use super::super::latents::normalised;
use super::super::latents::patched::treated_otherwise;
use super::super::layout::Layout;
use super::super::legitimate::Distance;
use super::super::padded::Padding;
use super::super::region::Region;
use super::super::scaling::{SCALING_FACTOR_MISMATCH, SHIFT_FACTOR_DROPPED};
use super::super::seams::TILE_SEAMS;
use super::super::tiles::{self, TILE_BLEND_UNITS, Tiles};
use super::search::Search;
use vae_fidelity_core::config::{Family, VaeConfig};
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::image_processor::denormalize;
use vae_fidelity_core::scaling::{PerChannel, PerChannelForm, Scaling};
use vae_fidelity_core::tiling::UnitMistake;
use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::Rgb8;

/// Decoded tensors with channels, axes or sides exchanged.
pub(super) fn rearranged(
    decoded: &Array4<f32>,
    config: &VaeConfig,
    orientation: Option<u16>,
) -> Vec<(&'static Cause, String, Array4<f32>)> {
    let first = decoded.index_axis(Axis(0), 0);
    let orders = CHANNEL_ORDERS.map(|(order, name)| {
        let what = format!("with its channels in {name} order");
        (&CHANNEL_SWAP, what, first.select(Axis(0), &order))
    });
    let layouts = Layout::of_pixels(config)
        .into_iter()
        .map(|(layout, what)| (&LAYOUT_SCRAMBLED, format!("with {what}"), layout.apply(first)));
    let turned = SYMMETRIES.into_iter().map(|(symmetry, name)| {
        (symmetry.cause(orientation), symmetry.in_words(name), symmetry.apply(first))
    });
    orders
        .into_iter()
        .chain(layouts)
        .chain(turned)
        .map(|(cause, what, changed)| (cause, what, changed.insert_axis(Axis(0))))
        .collect()
}

/// Tries factors and shifts between latents and decoder.
pub(super) fn by_latents(
    evidence: &Evidence,
    raw: &Array4<f32>,
    search: &mut Search,
) -> Result<()> {
    let config = evidence.vae.config();
    if let Scaling::PatchedBatchNorm(rule) = evidence.vae.scaling()? {
        for (cause, what, latents) in treated_otherwise(&rule, raw)? {
            search.attempt(cause, &what, || picture_of(evidence, latents).map(Some))?;
            if search.done() {
                break;
            }
        }
        return Ok(());
    }
    by_statistics(evidence, raw, search)?;
    if search.done() {
        return Ok(());
    }
    let Some(own) = config.scaling_factor() else { return Ok(()) };
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
    factors.retain(|(k, _)| search.is_plausible(*k));
    let mut nearest: Option<(f64, f64)> = None;
    for (k, what) in factors {
        let what = format!("decoded from latents {what}");
        let theirs = search.theirs;
        search.attempt(&SCALING_FACTOR_MISMATCH, &what, || {
            let candidate = picture_of(evidence, raw.mapv(|z| z * k as f32))?;
            let left = Distance::between(&candidate, theirs).rms;
            if nearest.is_none_or(|(_, least)| left < least) {
                nearest = Some((k, left));
            }
            Ok(Some(candidate))
        })?;
        if search.done() {
            return Ok(());
        }
    }
    for (shift, what) in
        [(-1.0, "without the shift being added back"), (1.0, "with the shift added twice")]
    {
        let Some(by) = config.shift_factor().filter(|by| *by != 0.0) else { break };
        let latents = || raw.mapv(|z| z + (shift * by) as f32);
        let what = format!("decoded {what}");
        search
            .attempt(&SHIFT_FACTOR_DROPPED, &what, || picture_of(evidence, latents()).map(Some))?;
    }
    if let (Some((k, _)), false) = (nearest, search.done()) {
        another_factor(evidence, raw, k, search)?;
    }
    // Where no factor was new, shifts were looked for as well.
    let again = search.leaves_nothing_out && nearest.is_none();
    if search.done() || again {
        return Ok(());
    }
    another_shift(evidence, raw, search)
}

/// Tries the config's statistics left out, twice or otherwise: their means may be so far from 0 that such a
/// picture has nothing of the reference's.
pub(super) fn by_statistics(
    evidence: &Evidence,
    raw: &Array4<f32>,
    search: &mut Search,
) -> Result<()> {
    let config = evidence.vae.config();
    let Some((mean, std)) = config.latents_statistics() else { return Ok(()) };
    let form = match Scaling::of_config(config) {
        Some(Scaling::PerChannel(rule)) => rule.form,
        _ => PerChannelForm::Reciprocal,
    };
    let rule = PerChannel { mean: mean.to_vec(), std: std.to_vec(), form };
    for (cause, what, latents) in normalised::treated_otherwise(&rule, config.class(), raw)? {
        search.attempt(cause, &what, || picture_of(evidence, latents).map(Some))?;
        if search.done() {
            break;
        }
    }
    Ok(())
}

/// Tries axes of the latents mixed up on their way to the decoder: such a picture has nothing of the reference's.
pub(super) fn by_layouts(
    evidence: &Evidence,
    raw: &Array4<f32>,
    search: &mut Search,
) -> Result<()> {
    let first = raw.index_axis(Axis(0), 0);
    for (layout, what) in Layout::ALL {
        let latents = layout.apply(first).insert_axis(Axis(0));
        let what = format!("decoded from latents with {what}");
        search.attempt(&LAYOUT_SCRAMBLED, &what, || picture_of(evidence, latents).map(Some))?;
        if search.done() {
            break;
        }
    }
    Ok(())
}

/// How far around the nearest known factor another one is looked for, as a logarithm, and in how
/// many steps.
const AROUND: f64 = 0.5;
const STEPS: usize = 7;
/// How far from 0 a shift is looked for, as a share of what the latents vary by.
const SHIFTED: f64 = 0.6;

/// Looks for a factor that nobody published, so that no line is blamed for it.
fn another_factor(
    evidence: &Evidence,
    raw: &Array4<f32>,
    near: f64,
    search: &mut Search,
) -> Result<()> {
    let scaled = |log: f64| raw.mapv(|z| z * log.exp() as f32);
    let found =
        nearest_to_theirs(evidence, scaled, near.ln() - AROUND, near.ln() + AROUND, search)?;
    let Some(k) = found.map(f64::exp).filter(|k| (k - 1.0).abs() > 0.02) else { return Ok(()) };
    let what = format!("decoded from latents {k:.3} times as large");
    let candidate = picture_of(evidence, raw.mapv(|z| z * k as f32))?;
    search.offer_fitted(&SCALING_FACTOR_MISMATCH, &what, &candidate, 1)
}

/// Looks for a shift that the config does not have, so that no line is blamed for it.
fn another_shift(evidence: &Evidence, raw: &Array4<f32>, search: &mut Search) -> Result<()> {
    let most = SHIFTED * f64::from(raw.std(0.0));
    let shifted = |by: f64| raw.mapv(|z| z + by as f32);
    let found = nearest_to_theirs(evidence, shifted, -most, most, search)?;
    let Some(by) = found.filter(|by| by.abs() > 0.02 * most) else { return Ok(()) };
    let what = format!(
        "decoded from latents that {:.3} was {}",
        by.abs(),
        if by > 0.0 { "added to" } else { "subtracted from" }
    );
    let candidate = picture_of(evidence, shifted(by))?;
    search.offer_fitted(&SHIFT_FACTOR_DROPPED, &what, &candidate, 1)
}

/// The number from `low` to `high` whose latents decode to what is nearest to the user's picture.
fn nearest_to_theirs(
    evidence: &Evidence,
    latents: impl Fn(f64) -> Array4<f32>,
    low: f64,
    high: f64,
    search: &Search,
) -> Result<Option<f64>> {
    let mut failed = None;
    let left = |number: f64| match picture_of(evidence, latents(number)) {
        Ok(candidate) => Distance::between(&candidate, search.theirs).rms,
        Err(error) => {
            failed = Some(error);
            f64::INFINITY
        }
    };
    let found = least(left, low, high, STEPS);
    if let Some(error) = failed {
        return Err(error);
    }
    found.map(|found| refined(evidence, latents, found, (high - low) / 20.0, search)).transpose()
}

/// `near`, moved by what least squares ask for: levels follow such a number nearly as a line so near to it. Pictures
/// are held against theirs saved as theirs was, so that what saving took away bends nothing.
fn refined(
    evidence: &Evidence,
    latents: impl Fn(f64) -> Array4<f32>,
    near: f64,
    step: f64,
    search: &Search,
) -> Result<f64> {
    let level = |level: &u8| f64::from(*level);
    let mut here = picture_of(evidence, latents(near))?;
    let there = picture_of(evidence, latents(near + step))?;
    let moves: Vec<f64> = there
        .data()
        .iter()
        .zip(here.data())
        .map(|(there, here)| level(there) - level(here))
        .collect();
    let across: f64 = moves.iter().map(|moves| moves * moves).sum();
    let mut number = near;
    for last in [false, true] {
        let saved = search.saved(&here)?;
        let left = search.theirs.data().iter().zip(saved.data()).zip(&moves);
        let along: f64 =
            left.map(|((theirs, saved), moves)| moves * (level(theirs) - level(saved))).sum();
        let steps = along / across;
        // NaN where nothing moves.
        if steps.is_nan() || steps.abs() > 1.0 {
            break;
        }
        number += step * steps;
        if !last {
            here = picture_of(evidence, latents(number))?;
        }
    }
    Ok(number)
}

fn picture_of(evidence: &Evidence, latents: Array4<f32>) -> Result<Rgb8> {
    denormalize(evidence.vae.decode(latents.view())?.view(), Dtype::F32)
}

/// Exchanged channels and sides, before the encoder: that looks nearly as it does after the decoder, where all
/// of them were tried, and is tried again only where it told something.
pub(super) fn rearranged_before(evidence: &Evidence, search: &Search) -> Vec<Tried> {
    let mut tried = explanations(evidence);
    tried.retain(|Tried { cause, change, .. }| {
        let rearranges = matches!(change, Change::Channels(_) | Change::Symmetry(_));
        rearranges && (search.leaves_nothing_out || search.competition.tells(cause.code))
    });
    tried
}

/// What else can have happened to the picture before the encoder, and nowhere else.
pub(super) fn only_before(evidence: &Evidence) -> Vec<Tried> {
    let mut tried = explanations(evidence);
    tried.retain(|Tried { change, .. }| matches!(change, Change::Range(_) | Change::Resized(_)));
    tried
}

/// Tries what can have happened to the picture before the encoder.
pub(super) fn by_input(evidence: &Evidence, tried: Vec<Tried>, search: &mut Search) -> Result<()> {
    for Tried { cause, what, change } in tried {
        let what = format!("of a picture that was {what} before encoding");
        let size = evidence.sample.dim();
        let offered = search.attempt(cause, &what, || {
            let sample = change.apply(evidence)?.filter(|sample| sample.dim() == size);
            let Some(sample) = sample else { return Ok(None) };
            let latents = evidence.vae.encode(sample.view(), None)?.latents;
            picture_of(evidence, latents).map(Some)
        })?;
        if offered && search.done() {
            return Ok(());
        }
    }
    Ok(())
}

/// Tries what was left out because it was unlikely: pictures that have little in common with the reference's, or
/// are dark all over, show no contrast to go by, and no border that stands out.
pub(super) fn by_everything(
    evidence: &Evidence,
    raw: &Array4<f32>,
    search: &mut Search,
) -> Result<()> {
    search.leaves_nothing_out = true;
    if !evidence.has_users_latents() {
        by_input(evidence, rearranged_before(evidence, search), search)?;
        if !search.done() {
            by_input(evidence, only_before(evidence), search)?;
        }
    }
    for by in [by_latents, by_paddings, by_tiles] {
        if !search.done() {
            by(evidence, raw, search)?;
        }
    }
    Ok(())
}

/// Tries convolutions that were padded otherwise: in the encoder, in the decoder, and in both. What does not stand
/// out at the border has all of them as they should be, but for the strided ones.
pub(super) fn by_paddings(
    evidence: &Evidence,
    raw: &Array4<f32>,
    search: &mut Search,
) -> Result<()> {
    let vae = evidence.vae;
    let at_the_border = search.leaves_nothing_out
        || Region::of_pictures(search.ours, search.theirs).stands_out_at_the_border();
    for padding in Padding::ALL {
        let (cause, what) = (padding.cause(), padding.in_words());
        let of = |place: &str| format!("with {what} in {place}");
        // The decoder has no strided convolution.
        let strided = padding == Padding::Symmetric;
        let tried = of(if strided { "the encoder" } else { "the decoder" });
        let may_be = strided || at_the_border;
        if !may_be || !evidence.knows(cause.code) || search.competition.has(cause, &tried) {
            continue;
        }
        let encoded = match evidence.has_users_latents() {
            true => None,
            false => padding.encode(vae, evidence.sample)?.filter(|by| by.dim() == raw.dim()),
        };
        let mut attempt = |place: &str, latents: &Array4<f32>, padded: bool| -> Result<()> {
            if search.done() {
                return Ok(());
            }
            search.attempt(cause, &of(place), || {
                let decoded = match padded {
                    true => padding.decode(vae, latents)?,
                    false => Some(vae.decode(latents.view())?),
                };
                decoded.map(|decoded| denormalize(decoded.view(), Dtype::F32)).transpose()
            })?;
            Ok(())
        };
        if !strided {
            if let Some(latents) = &encoded {
                attempt("encoder and decoder", latents, true)?;
            }
            attempt("the decoder", raw, true)?;
        }
        if let Some(latents) = &encoded {
            attempt("the encoder", latents, false)?;
        }
        if search.done() {
            break;
        }
    }
    Ok(())
}

/// Tries tiles, blended as diffusers does and in wrong units.
pub(super) fn by_tiles(evidence: &Evidence, raw: &Array4<f32>, search: &mut Search) -> Result<()> {
    for tiling in tiles::sizes(evidence.vae, raw.view()) {
        let mut tiles = Tiles::new(evidence.vae, tiling, raw.view());
        for mistake in [None].into_iter().chain(UnitMistake::ALL.map(Some)) {
            let cause = if mistake.is_some() { &TILE_BLEND_UNITS } else { &TILE_SEAMS };
            search.attempt(cause, &tiles::described(tiling, mistake), || {
                denormalize(tiles.blended(mistake)?.view(), Dtype::F32).map(Some)
            })?;
            if search.done() {
                return Ok(());
            }
        }
    }
    Ok(())
}
