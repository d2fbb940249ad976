//! What finite values of the expected shape say: the line between them and the expected ones, and which
//! change of the picture or of the latents leaves the least.

use std::cell::LazyCell;

use ndarray::Array4;

use super::super::affine::Affine;
use super::super::changes::{explanations, resizings};
use super::super::codes::Code;
use super::super::compared::Judged;
use super::super::competition::Outcome;
use super::super::evidence::Evidence;
use super::super::finding::Finding;
use super::super::fit::{Line, rms_difference, spread};
use super::super::latents_differ::LATENTS_DIFFER;
use super::super::legitimate::{self, QUALITY};
use super::super::reading::readings;
use super::super::region::Region;
use super::super::scaling;
use super::channels::odd_channels;
use super::noise::{ENOUGH, coarseness, noise, posterior_noise};
use super::search::{PRECISE, ROUNDING, Search};
use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::Rgb8;

/// Latents that correlate less than this are of no picture with other colours.
const RELATED: f64 = 0.3;
/// What other encoders of JPEG and WebP may do to latents, as a multiple of what the imitated ones do: of 100
/// pictures (25 sources in two sizes, two VAEs) up to 1.26 times as much where there is detail, and of one
/// colour all over, which moves by a level or two, 2.06 times. A picture of one latent is one block of JPEG: of 360
/// runs (60 such pictures, two VAEs, JPEG and WebP) four passed 1.5 times, up to 1.74.
const COMPRESSED: f64 = 1.5;
const COMPRESSED_LITTLE: f64 = 2.5;

/// What is wrong with finite latents of the expected shape.
pub(super) fn finite(evidence: &Evidence, affine: &Affine, found: &Array4<f32>) -> Result<Judged> {
    let expected = &evidence.encoded.latents;
    if spread(found) == 0.0 && evidence.knows(Code::LatentsDiffer) {
        let title = "your latents are one constant: the encoder's output did not reach the file";
        return Ok(Finding::new(&LATENTS_DIFFER, title).into());
    }
    let wide = posterior_noise(evidence);
    let std = evidence.encoded.std.as_ref();
    if affine.per_channel()
        && let Some(findings) = scaling::per_channel(affine, expected, found, std)
            .and_then(|findings| evidence.all_known(findings))
    {
        return Ok(findings.into());
    }
    // A draw is wider than some channels are.
    let odd = odd_channels(affine, expected, found, None)
        .or_else(|| odd_channels(affine, expected, found, Some(std?)));
    if let Some(finding) = evidence.known(odd) {
        return Ok(finding.into());
    }
    let Some(line) = Line::through(expected, found) else { return Ok(Judged::default()) };
    let residual = line.residual / line.spread[1];
    // A wide posterior hides the line, but not from who knows where to look.
    if let (false, Some(finding)) =
        (affine.per_channel(), noise(evidence, affine.line(), found, wide))
    {
        return Ok(finding.into());
    }
    if line.slope != 0.0 {
        let drawn = noise(evidence, (line.slope, line.offset), found, wide);
        // What a draw or nothing at all leaves needs no other explanation.
        if (drawn.is_some() && found.len() >= ENOUGH || residual <= PRECISE)
            && let Some(mut findings) = evidence.all_known(scaling::line(affine, &line))
        {
            findings.extend(drawn);
            return Ok(findings.into());
        }
    }
    let spread = line.spread[1];
    let pixels = evidence.vae.config().downsampling();
    let region =
        |scaled: &Array4<f32>| Region::of_latents(&affine.apply(expected), scaled, spread, pixels);
    // Two runs of the encoder, which most latents need not.
    let compressed = LazyCell::new(|| of_compressed(evidence));
    let compressed = || compressed.as_ref().map_err(Clone::clone);
    let rectangle = || -> Result<Option<Finding>> {
        if evidence.known(region(found).rectangle("your latents")).is_none() {
            return Ok(None);
        }
        // Compression before the encoder differs most where there is detail.
        let [jpeg, webp] = compressed()?.each_ref().map(|latents| region(&affine.apply(latents)));
        let beyond = region(found).beyond(&jpeg.or(&webp));
        let finding = evidence.known(beyond.rectangle("your latents"));
        Ok(finding.map(|finding| finding.evidence("relative_residual", residual)))
    };
    let mut search = Search::new(evidence, affine, found);
    search.offer_line(&line);
    search.offer_unit_range();
    search.offer_layouts();
    // Rounding may hide another resize, and nothing else.
    search.offer_encoded(match residual <= ROUNDING {
        true => resizings(evidence),
        false => readings().into_iter().chain(explanations(evidence)).collect(),
    })?;
    let related = line.correlation.abs() >= RELATED;
    // Fine detail that moves by half a pixel has little in common with itself.
    if residual > ROUNDING && !search.competition.done() {
        search.offer_paddings(region(found).stands_out_at_the_border())?;
    }
    if residual > ROUNDING && related && !search.competition.done() {
        search.offer_fitted()?;
    }
    let allowed = ROUNDING.max((2.0 * wide).min(0.5)) * line.spread[1];
    let outcome = search.competition.outcome(allowed);
    let explained = matches!(outcome, Outcome::Clear(..) | Outcome::OneOf(..));
    let mut nearest = None;
    if let Some(findings) = search.findings(&outcome, &line) {
        if explained || !search.altered() {
            return Ok(findings.into());
        }
        nearest = findings.into_iter().next();
    }
    if nearest.is_none() && !explained {
        nearest = rectangle()?;
    }
    // Of a class whose config has statistics they have been told of already.
    if !evidence.vae.config().class().is_of_clips()
        && let Some(findings) = scaling::per_channel(affine, expected, found, std)
            .and_then(|findings| evidence.all_known(findings))
    {
        return Ok(findings.into());
    }
    let before = search.before() / line.spread[1];
    if (before <= ROUNDING.max(2.0 * coarseness(found)) || residual <= ROUNDING)
        && let Some(findings) = evidence.all_known(scaling::line(affine, &line))
    {
        return Ok(findings.into());
    }
    let [by_jpeg, by_webp] =
        compressed()?.each_ref().map(|latents| rms_difference(expected, latents) / line.spread[0]);
    let little = found.len() < ENOUGH || evidence.seen.only_colour().is_some();
    let room = if little { COMPRESSED_LITTLE } else { COMPRESSED };
    let as_compressed = before <= room * by_jpeg.max(by_webp);
    if let (true, Some(nearest)) = (as_compressed, &nearest) {
        return Ok(nearest.clone().into());
    }
    if as_compressed {
        return Ok(Judged::passing(format!(
            "JPEG or WebP of the picture at quality {QUALITY} does as much"
        )));
    }
    let title = "your latents are not this VAE's latents of this picture, and no rule says why";
    let finding = Finding::new(&LATENTS_DIFFER, title)
        .evidence("correlation", line.correlation)
        .evidence("relative_residual", residual)
        .evidence("relative_difference", before)
        .evidence("relative_residual_of_jpeg_at_75", by_jpeg)
        .evidence("relative_residual_of_webp_at_75", by_webp)
        .evidence("ruled_out", search.competition.ruled_out());
    let judged = Judged::from(evidence.known(finding));
    Ok(match nearest {
        Some(nearest) => judged.beside(nearest),
        None => judged,
    })
}

/// Raw latents of the picture as JPEG and as WebP at the least quality that is no fault.
fn of_compressed(evidence: &Evidence) -> Result<[Array4<f32>; 2]> {
    let encoded = |picture: &Rgb8| -> Result<Array4<f32>> {
        Ok(evidence.vae.encode(evidence.sample_of(picture)?.view(), None)?.latents)
    };
    let [jpeg, webp] = legitimate::compressed(evidence.seen)?;
    Ok([encoded(&jpeg)?, encoded(&webp)?])
}
