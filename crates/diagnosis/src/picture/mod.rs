//! The user's decoded picture beside the one that the same latents decode to here.

mod alpha;
pub(super) mod matched;
pub(super) mod preview;
mod reference;
mod search;
mod tried;

use ndarray::{Array4, Axis};

use super::changes::SYMMETRIES;
use super::codes::{Cause, Code};
use super::compared::{Difference, Judged};
use super::competition::Outcome;
use super::decided_by::DecidedBy;
use super::draw;
use super::evidence::{Evidence, UserPicture};
use super::filtered;
use super::finding::Finding;
use super::fit::psnr;
use super::jpeg::coded_as;
use super::legitimate::{Compressed, Distance, QUALITY};
use super::non_finite::black_picture;
use super::padded::first_padding;
use super::quantisation::{self, Conversion};
use super::reading::readings;
use super::recolouring::is_of_colours;
use super::region::Region;
use super::seams;
use super::severity::Severity;
use super::sizes::other_size;
use reference::{Reference, reference};
use search::Search;
use vae_fidelity_core::config::VaeConfig;
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::image_processor::denormalize;
use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::Rgb8;

pub(super) const DECODED_DIFFERS: Cause = Cause {
    code: Code::DecodedDiffers,
    severity: Severity::Error,
    title: "your picture is not this VAE's, and no rule says why",
    meaning: "It comes from other latents, other weights, or a fault that has no rule here.",
    rule: "Your picture is further from the reference's than JPEG at quality 75 would bring it (over \
           the whole and in each block of 8 x 8), than WebP would, and than another draw from the \
           posterior would, and no other rule explains it.",
    remedy: "compare step by step: `preprocessed`, `latents`, then `against` a trace",
    diffusers: "save latents and the tensor that went in, and pass them as well",
    comfyui: "save the latent, and pass it as well",
    ports: "save a trace of your decoder, and pass it with `against`",
    sources: &[],
    decided_by: &[DecidedBy::DecodedImage],
};

/// From here on only the conversion to 8 bits is looked into; half precision stays above.
const AGREES_DB: f64 = 40.0;
/// A picture further off than this is altered so that a person sees it.
const ALTERED_DB: f64 = 35.0;
/// Pictures whose levels correlate less than this come from no such latents.
const RELATED: f64 = 0.3;
/// Unless they are this near.
const NEAR_DB: f64 = 30.0;

/// Pictures whose levels vary less than this, as a standard deviation, are alike whatever they show.
const CONTRAST: f64 = 32.0;

/// From here on a picture is the expected one.
const SAME_DB: f64 = 50.0;

/// From here on the reference's picture, saved as the user's was, is the user's: one level off in one of fifteen
/// values.
const EXACT_DB: f64 = 60.0;

/// What is wrong with the user's picture, if anything, and how far off it is.
pub(super) fn judged(evidence: &Evidence, picture: &UserPicture) -> Result<Judged> {
    let theirs = &picture.pixels;
    let reference = reference(evidence)?;
    let ours = denormalize(reference.decoded.view(), Dtype::F32)?;
    if let Some(finding) = turned(evidence, &reference.decoded, theirs)? {
        return Ok(finding.into());
    }
    if size(&ours) != size(theirs) {
        return Ok(evidence.known(resized(evidence, &ours, theirs)).into());
    }
    let what = match evidence.has_users_latents() {
        true => "what this VAE decodes from your latents",
        false => "what this VAE decodes",
    };
    let mut judged = of_one_size(evidence, &reference, &ours, picture)?;
    // What alters the colours, as mirroring does, alters alpha too.
    if judged.findings.iter().all(|finding| finding.severity == Severity::Info) {
        judged.findings.extend(evidence.known(alpha::finding(
            &DECODED_DIFFERS,
            &reference.decoded,
            picture,
        )?));
    }
    Ok(judged.at(Difference::of_pictures(&ours, theirs, what)))
}

fn of_one_size(
    evidence: &Evidence,
    Reference { latents, decoded }: &Reference,
    ours: &Rgb8,
    picture: &UserPicture,
) -> Result<Judged> {
    let theirs = &picture.pixels;
    let before = psnr(ours, theirs);
    if before == f64::INFINITY {
        return Ok(Judged::default());
    }
    let one_colour = theirs.only_colour().filter(|_| ours.only_colour().is_none());
    if one_colour == Some([0, 0, 0]) && evidence.knows(Code::NonFiniteOutput) {
        let finding = black_picture().evidence("psnr_db", before);
        return Ok(or_dark(evidence, decoded, finding)?.into());
    }
    let distance = Distance::between(ours, theirs);
    let compression = Compressed::of(ours)?;
    let compressed = compression.distance();
    // The reference's, saved as theirs was.
    let saved = match &picture.jpeg {
        Some(coding) => Some(coded_as(ours, coding)?),
        None => None,
    };
    let same_way = saved.as_ref().unwrap_or(ours);
    if saved.is_some() && psnr(same_way, theirs) >= EXACT_DB && distance.is_within(&compressed) {
        return Ok(Judged::passing("that is what your JPEG makes of it"));
    }
    if let Some(finding) = quantisation::exact(evidence, decoded, same_way, picture)? {
        return Ok(finding.into());
    }
    let mut search = Search::new(evidence, ours, same_way, picture)?;
    by_pixels(evidence, decoded, &mut search)?;
    if !evidence.latents_are_given {
        matched::offer(evidence.seen, &mut search)?;
    }
    if before < SAME_DB && !evidence.has_users_latents() {
        // Before regions: transparent pixels often lie in a part of the picture, or around it, and what was
        // mirrored or turned may differ there alone. What a file hides is there to be read otherwise, whatever
        // colours were fitted.
        tried::by_input(evidence, readings(), &mut search)?;
        if !search.done() {
            let rearranged = tried::rearranged_before(evidence, &search);
            tried::by_input(evidence, rearranged, &mut search)?;
        }
    }
    if before < SAME_DB
        && !explains(&search.competition.outcome(f64::INFINITY))
        && let Some(finding) = by_region(evidence, same_way, picture, &compression)?
    {
        return Ok(finding.evidence("psnr_db", before).into());
    }
    let agrees = before >= AGREES_DB && distance.is_within(&compressed);
    let softened = agrees
        && before < SAME_DB
        && filtered::blur(ours, theirs)?.is_some_and(|blur| blur.is_all_of(distance.rms));
    if agrees && !softened {
        // So little is blamed only where there is no doubt.
        let exact = search.competition.outcome(0.0);
        if let (Outcome::Clear(_, true), true) = (&exact, before < SAME_DB)
            && let Some(finding) = exact.finding(SUBJECT, false)
        {
            return Ok(at(evidence.vae.config(), finding, &exact).into());
        }
        return Ok(match evidence.known(quantisation::lost_levels(decoded, ours, picture)?) {
            Some(finding) => finding.into(),
            None if before >= SAME_DB => Judged::default(),
            None => Judged::passing("half precision, JPEG and WebP do as much"),
        });
    }
    // Flat pictures have no levels that could correlate.
    let related = search.correlation.abs() >= RELATED || before >= NEAR_DB;
    let resized = evidence.source.data().len() != evidence.seen.data().len();
    let looks_compressed = distance.is_within(&compressed) && !distance.moves_blocks(&compressed);
    if related && (resized || !looks_compressed) {
        if !search.done() && !looks_compressed {
            tried::by_latents(evidence, latents, &mut search)?;
        }
        if !search.done() && !evidence.has_users_latents() {
            tried::by_input(evidence, tried::only_before(evidence), &mut search)?;
        }
        if !search.done() && !looks_compressed {
            tried::by_paddings(evidence, latents, &mut search)?;
        }
        if !search.done() && !looks_compressed {
            tried::by_tiles(evidence, latents, &mut search)?;
        }
    }
    // Last: what they lead to is like nothing else, and dark pictures are like one another.
    if !search.done() && !looks_compressed && one_colour.is_none() {
        tried::by_layouts(evidence, latents, &mut search)?;
    }
    if !search.done() && !looks_compressed && one_colour.is_none() {
        tried::by_statistics(evidence, latents, &mut search)?;
    }
    let mut allowed = compressed;
    let mut outcome = search.competition.outcome(allowed.rms);
    if !explains(&outcome)
        && !distance.is_within(&allowed)
        && let Some(drawn) = of_another_draw(evidence)?
    {
        allowed = allowed.or(Distance::between(ours, &drawn));
        outcome = search.competition.outcome(allowed.rms);
    }
    let altered = before < ALTERED_DB;
    if looks_compressed && outcome.doubts(is_of_colours) {
        outcome = Outcome::Unexplained;
    }
    let blurred = filtered::blur(ours, theirs)?;
    // What saved runs of the VAE so far goes by how levels vary.
    let unsure = !related || search.contrast < CONTRAST;
    let may_be_more = altered && !looks_compressed && blurred.is_none() && one_colour.is_none();
    if unsure && may_be_more && !explains(&outcome) {
        tried::by_everything(evidence, latents, &mut search)?;
        if search.done() {
            outcome = search.competition.outcome(allowed.rms);
        }
    }
    let mut nearest = None;
    if let Some(finding) = outcome.finding(SUBJECT, altered) {
        let finding = at(evidence.vae.config(), finding, &outcome);
        if explains(&outcome) || !altered || distance.is_within(&compressed) {
            return Ok(finding.into());
        }
        nearest = Some(finding);
    }
    if nearest.is_none() {
        let mut finding = evidence.known(seams::seams(ours, theirs));
        if finding.is_none() {
            finding = evidence.known(quantisation::lost_levels(decoded, ours, picture)?);
        }
        if let Some(finding) = finding {
            return Ok(finding.evidence("psnr_db", before).into());
        }
    }
    let left = blurred.map_or(f64::INFINITY, |blur| blur.left_rms_levels);
    let left = outcome.first().map_or(left, |one| left.min(one.left));
    if let Some(finding) = evidence.known(preview::preview(latents, ours, theirs, left)) {
        return Ok(finding.evidence("psnr_db", before).into());
    }
    let blurred = blurred.map(|blur| blur.sigma_pixels);
    if blurred.is_none() && distance.is_within(&compressed) {
        return Ok(Judged::passing(format!("JPEG or WebP at quality {QUALITY} does as much")));
    }
    if blurred.is_none() && distance.is_within(&allowed) {
        return Ok(Judged::passing("another draw from the posterior is as far off"));
    }
    let title = match &blurred {
        Some(sigma) => format!(
            "your picture is the reference's, blurred by about {sigma} pixels: after decoding, or in the \
             decoder, by upsampling that interpolates where this model repeats pixels"
        ),
        None if one_colour.is_some() => {
            "your picture is one colour all over, and what this VAE decodes is not".to_owned()
        }
        None if !evidence.latents_are_given && psnr(evidence.seen, theirs) >= AGREES_DB => {
            "your picture is the input itself, not what this VAE decodes".to_owned()
        }
        None => "your picture is not what this VAE decodes, and no rule says why".to_owned(),
    };
    let mut finding = Finding::new(&DECODED_DIFFERS, title).evidence("psnr_db", before);
    if !evidence.latents_are_given {
        finding = finding
            .evidence("psnr_of_reference_to_input_db", psnr(evidence.seen, ours))
            .evidence("psnr_of_yours_to_input_db", psnr(evidence.seen, theirs));
    }
    let finding = finding
        .evidence("rms_levels", distance.rms)
        .evidence("rms_levels_of_worst_block", distance.worst_block);
    let finding = compression
        .told(finding)
        .evidence("correlation", search.correlation)
        .evidence("blurred_by_pixels", blurred)
        .evidence("ruled_out", search.competition.ruled_out());
    let judged = Judged::from(evidence.known(finding));
    Ok(match nearest {
        Some(nearest) => judged.beside(nearest),
        None => judged,
    })
}

/// Whether nothing remains to be explained.
fn explains(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Clear(..) | Outcome::OneOf(..))
}

/// Dark pictures are black as well where [-1, 1] was taken for [0, 1]: `finding` as one of two there.
fn or_dark(evidence: &Evidence, decoded: &Array4<f32>, finding: Finding) -> Result<Finding> {
    for (conversion, cause, what) in Conversion::RANGES {
        let black = conversion.apply(decoded)?.only_colour() == Some([0, 0, 0]);
        if black && evidence.knows(cause.code) {
            let what = format!("it is the reference's {what}");
            return Ok(finding.or(cause, &what));
        }
    }
    Ok(finding)
}

/// Where it differs, beyond what compression or another draw makes there.
fn by_region(
    evidence: &Evidence,
    ours: &Rgb8,
    UserPicture { pixels: theirs, jpeg, .. }: &UserPicture,
    compression: &Compressed,
) -> Result<Option<Finding>> {
    let of = |picture: &Rgb8| match jpeg {
        Some(_) => Region::of_pictures(ours, picture).kept_as_jpeg(),
        None => Region::of_pictures(ours, picture),
    };
    let [jpeg, webp] = compression.pictures.each_ref().map(of);
    let compressed = jpeg.or(&webp);
    let found =
        |region: Region| evidence.known(region.beyond(&compressed).rectangle("your picture"));
    let Some(finding) = found(of(theirs)) else { return Ok(None) };
    Ok(match of_another_draw(evidence)? {
        Some(drawn) => found(of(theirs).beyond(&of(&drawn))),
        None => Some(finding),
    })
}

/// What another draw decodes to, where their latents may be one.
fn of_another_draw(evidence: &Evidence) -> Result<Option<Rgb8>> {
    if evidence.has_users_latents() {
        return Ok(None);
    }
    let Some(draw) = draw::another_draw(evidence)? else { return Ok(None) };
    Ok(Some(denormalize(evidence.vae.decode(draw.view())?.view(), Dtype::F32)?))
}

/// Tries what needs no run of the VAE.
fn by_pixels(evidence: &Evidence, decoded: &Array4<f32>, search: &mut Search) -> Result<()> {
    let (config, orientation) = (evidence.vae.config(), evidence.orientation);
    for (conversion, cause, what) in Conversion::RANGES {
        search.offer(cause, what, &conversion.apply(decoded)?)?;
    }
    for (cause, what, changed) in tried::rearranged(decoded, config, orientation) {
        search.offer(cause, &what, &denormalize(changed.view(), Dtype::F32)?)?;
    }
    search.offer_recolourings()
}

const SUBJECT: &str = "your picture is the reference's, ";

/// Layer and remedy of those causes that know more here than in general.
fn at(config: &VaeConfig, finding: Finding, outcome: &Outcome) -> Finding {
    let exact = outcome.first().is_some_and(|one| one.left <= SAME_LEVELS);
    match finding.code {
        Code::SymmetricDownsamplePadding => finding.within(first_padding(config)),
        // What goes in exchanged comes back nearly so; only after decoding is it exact.
        Code::ChannelSwap if exact && matches!(outcome, Outcome::Clear(..)) => finding.remedy(
            "exchange the channels where the picture is saved (cv2.imwrite takes BGR): what was \
             encoded had them in order",
        ),
        // Each tile is what the VAE decodes: a price, not a fault.
        Code::TileSeams => finding.severity(Severity::Warning),
        _ => finding,
    }
}

/// RMS in levels of a match that leaves no doubt (45 dB).
const SAME_LEVELS: f64 = 1.434;

/// A picture whose sides are exchanged because it was turned.
fn turned(evidence: &Evidence, decoded: &Array4<f32>, theirs: &Rgb8) -> Result<Option<Finding>> {
    let (_, _, height, width) = decoded.dim();
    if height == width || (theirs.width(), theirs.height()) != (height, width) {
        return Ok(None);
    }
    for (symmetry, name) in SYMMETRIES.into_iter().filter(|(symmetry, _)| symmetry.transposed) {
        let cause = symmetry.cause(evidence.orientation);
        if !evidence.knows(cause.code) {
            continue;
        }
        let turned = symmetry.apply(decoded.index_axis(Axis(0), 0)).insert_axis(Axis(0));
        let psnr = psnr(&denormalize(turned.view(), Dtype::F32)?, theirs);
        if psnr >= TURNED_DB {
            let title = format!("your picture is the reference's, {name}");
            let finding = Finding::new(cause, title);
            return Ok(Some(finding.severity(Severity::Error).evidence("psnr_explained_db", psnr)));
        }
    }
    Ok(None)
}

/// A turned picture has to match the reference's by this; no two turns of a photograph do.
const TURNED_DB: f64 = 27.0;

fn size(picture: &Rgb8) -> (usize, usize) {
    (picture.width(), picture.height())
}

/// What is said of a picture that is not as large as the reference's.
fn resized(evidence: &Evidence, ours: &Rgb8, theirs: &Rgb8) -> Finding {
    let (expected, found) = (size(ours), size(theirs));
    let title = format!(
        "your picture is {} x {}, expected {} x {}",
        found.0, found.1, expected.0, expected.1
    );
    let exchanged = (found.1, found.0) == expected && evidence.knows(Code::LayoutScrambled);
    other_size(title, exchanged, &[expected.0, expected.1], &[found.0, found.1])
}
