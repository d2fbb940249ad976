//! The user's latents of FLUX.2 beside the expected ones: patches of 2 x 2 as channels (c, ph, pw), then
//! normalised by statistics in the checkpoint.

use ndarray::{Array4, ArrayD, ArrayView4, Ix3};

use super::super::affine::Affine;
use super::super::codes::{Cause, Code};
use super::super::compared::{Difference, Judged};
use super::super::decided_by::DecidedBy;
use super::super::evidence::{Evidence, LatentsScale, with_batch};
use super::super::finding::Finding;
use super::super::fit::{rms_difference, spread};
use super::super::non_finite::NON_FINITE_OUTPUT;
use super::super::patch_order::PatchOrder;
use super::super::severity::Severity;
use super::noise::posterior_noise;
use super::repeated::repeated;
use super::search::ROUNDING;
use super::shape::{as_nchw, turned};
use super::values::finite;
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::scaling::{PatchedBatchNorm, patched, unpatched};
use vae_fidelity_files::error::Result;

pub(in super::super) const BATCH_NORM_STATISTICS: Cause = Cause {
    code: Code::BatchNormStatistics,
    severity: Severity::Error,
    title: "FLUX.2's latents were not normalised by the statistics in the checkpoint, or twice",
    meaning: "FLUX.2 has no scaling_factor: each channel of its patched latents is normalised by \
              bn.running_mean and bn.running_var of its VAE. Without it, or with it twice, pictures are \
              washed out or too harsh, and a round trip does not show it.",
    rule: "Your latents match, channel by channel, the expected ones without the statistics, with them \
           twice or the wrong way round, or with only one of the two, and not the expected ones. Or \
           your picture is what latents so treated decode to. decode, which has no original, finds \
           the treatment without which the latents' own picture encodes to them again.",
    remedy: "normalise once, after patching: (z - running_mean) / sqrt(running_var + batch_norm_eps); \
             before decoding z * sqrt(running_var + batch_norm_eps) + running_mean, then unpatch",
    diffusers: "Flux2Pipeline does both itself; with vae.encode and vae.decode alone it is yours to do, \
                with vae.bn.running_mean, vae.bn.running_var and vae.config.batch_norm_eps",
    comfyui: "its VAE normalises inside encode and decode where the file has bn.*: do not do it again",
    ports: "load bn.running_mean and bn.running_var with the weights; batch_norm_eps is 1e-4, added to \
            the variance before the root",
    sources: &[
        "invoke-ai/InvokeAI#8838",
        "leejet/stable-diffusion.cpp#1007",
        "madebyollin/taesd#35",
    ],
    decided_by: &[DecidedBy::Latents, DecidedBy::DecodedImage],
};

pub(in super::super) const LATENT_PATCH_ORDER: Cause = Cause {
    code: Code::LatentPatchOrder,
    severity: Severity::Error,
    title: "patches of FLUX.2's latents are in another order, or latents are not patched",
    meaning: "2 x 2 latents become four channels each, in the order (c, ph, pw). In another order every \
              patch is put together wrongly: a checkerboard of pixels, or a picture of noise.",
    rule: "Your latents match the expected ones with channels in the order (c, pw, ph), (ph, pw, c) or \
           (pw, ph, c), or unpatched. Or your picture is what latents so ordered decode to. decode, \
           which has no original, finds the order in which the latents' own picture encodes to them \
           again.",
    remedy: "view (N, C, h / 2, 2, w / 2, 2), permute to (N, C, 2, 2, h / 2, w / 2), rows of a patch \
             before its columns, then reshape to (N, 4C, h / 2, w / 2)",
    diffusers: "Flux2Pipeline._patchify_latents and _unpatchify_latents",
    comfyui: "its VAE patches inside encode and decode where the file has bn.*",
    ports: "einops: '... c (i pi) (j pj) -> ... (c pi pj) i j'; Wan 2.2 has (c, pw, ph), Ideogram 4's \
            tokens (ph, pw, c)",
    sources: &["NVIDIA/flashdreams#338"],
    decided_by: &[DecidedBy::Latents, DecidedBy::DecodedImage],
};

/// Latents that are this much nearer to a wrong treatment than to the right one were treated so.
const NEARER: f64 = 0.5;

/// The order of FLUX.2's patches.
pub(in super::super) const RIGHT: PatchOrder = PatchOrder::ChannelRowColumn;

/// The form of the user's tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// (N, 4C, h / 2, w / 2), or the tokens of it (N, h / 2 * w / 2, 4C).
    Patched,
    /// (N, C, h, w).
    Unpatched,
}

/// What is wrong with the user's latents, if anything, and how far off they are.
pub(super) fn judged(
    evidence: &Evidence,
    rule: &PatchedBatchNorm,
    tensor: &ArrayD<f32>,
) -> Result<Judged> {
    let (found, form) = match in_a_known_form(evidence, tensor) {
        Ok(known) => known,
        Err(finding) => {
            let raw = with_batch(tensor)
                .filter(|tensor| tensor.dim().1 == rule.mean.len())
                .map(|tensor| rule.unscale(tensor, Dtype::F32).map(Array4::into_dyn))
                .transpose()?;
            let turned = turned(evidence, raw.as_ref().unwrap_or(tensor))?;
            return Ok(evidence.known(turned.unwrap_or(*finding)).into());
        }
    };
    let non_finite = found.iter().filter(|value| !value.is_finite()).count();
    if non_finite > 0 && evidence.knows(Code::NonFiniteOutput) {
        let title = format!("{non_finite} values of your latents are NaN or infinite");
        let finding = Finding::new(&NON_FINITE_OUTPUT, title).evidence("non_finite", non_finite);
        return Ok(finding.at("encoder").into());
    }
    let raw = patched(evidence.encoded.latents.view(), rule.patch_size)?;
    let normalised = rule.normalised(&raw, Dtype::F32);
    let scale = evidence.files.latents_scale;
    let expected = match scale {
        LatentsScale::Scaled => &normalised,
        LatentsScale::Raw => &raw,
    };
    let what = match (evidence.drawn, scale) {
        (false, LatentsScale::Scaled) => "this VAE's mode, patched and normalised",
        (false, LatentsScale::Raw) => "this VAE's mode, as the model makes it",
        (true, LatentsScale::Scaled) => "this run's draw, patched and normalised",
        (true, LatentsScale::Raw) => "this run's draw, as the model makes it",
    };
    let difference = Difference::of_tensors(expected, &found, what);
    if let Some(finding) = evidence.known(repeated(expected, &found)) {
        return Ok(Judged::from(finding).at(difference));
    }
    if let Some(finding) = explained(evidence, rule, &raw, form, &found) {
        return Ok(Judged::from(finding).at(difference));
    }
    // What else there is to find is looked for in latents as the model makes them.
    let as_made = match scale {
        LatentsScale::Scaled => rule.unscale(found.view(), Dtype::F32)?,
        LatentsScale::Raw => unpatched(found, rule.patch_size)?,
    };
    let affine = Affine::of(evidence.vae.config(), scale);
    Ok(finite(evidence, &affine, &as_made)?.at(difference))
}

/// The user's tensor in patches, and the form that it had; or what is wrong with its shape.
fn in_a_known_form(
    evidence: &Evidence,
    tensor: &ArrayD<f32>,
) -> std::result::Result<(Array4<f32>, Form), Box<Finding>> {
    let (scaled, raw) = (evidence.latents, &evidence.encoded.latents);
    let (n, channels, height, width) = scaled.dim();
    if tensor.shape() == [n, height * width, channels]
        && let Ok(tokens) = tensor.view().into_dimensionality::<Ix3>()
    {
        let patches = Array4::from_shape_fn(scaled.dim(), |(image, channel, y, x)| {
            tokens[[image, y * width + x, channel]]
        });
        return Ok((patches, Form::Patched));
    }
    let four = with_batch(tensor).map(|tensor: ArrayView4<f32>| tensor.dim());
    if four.is_some_and(|(_, first, _, last)| first == channels || last == channels) {
        return Ok((as_nchw(evidence, tensor, scaled)?, Form::Patched));
    }
    let unpatched = as_nchw(evidence, tensor, raw)?;
    let [patch_height, patch_width] = [raw.dim().2 / height, raw.dim().3 / width];
    match patched(unpatched.view(), [patch_height, patch_width]) {
        Ok(patches) => Ok((patches, Form::Unpatched)),
        // `as_nchw` has made the shape that of `raw`, which was patched already.
        Err(error) => Err(Box::new(Finding::new(&LATENT_PATCH_ORDER, error.problem().to_owned()))),
    }
}

/// What was done otherwise to `raw`, patched and in the right order, where that is what `found` shows.
fn explained(
    evidence: &Evidence,
    rule: &PatchedBatchNorm,
    raw: &Array4<f32>,
    form: Form,
    found: &Array4<f32>,
) -> Option<Finding> {
    let scale = evidence.files.latents_scale;
    let normalised = rule.normalised(raw, Dtype::F32);
    let expected = match scale {
        LatentsScale::Scaled => &normalised,
        LatentsScale::Raw => raw,
    };
    let size = spread(found);
    let before = rms_difference(expected, found);
    let noise = posterior_noise(evidence);
    let allowed = ROUNDING.max((2.0 * noise).min(0.5)) * size;
    let right_values = before <= ROUNDING * size;
    if right_values {
        // Only the form may be another.
        return evidence.known(another_form(form == Form::Patched, scale));
    }
    let mut tried = Vec::new();
    let mut offer = |cause: &'static Cause, title: String, candidate: &Array4<f32>| {
        if !evidence.knows(cause.code) {
            return;
        }
        let left = rms_difference(candidate, found);
        tried.push((left, cause, title));
    };
    let statistics = &BATCH_NORM_STATISTICS;
    match scale {
        LatentsScale::Scaled => {
            let left_out = match form {
                Form::Patched => "your latents are patched and not normalised by bn",
                Form::Unpatched => {
                    "your latents are as the model makes them: neither patched nor normalised by bn; \
                     `latents_scale` raw compares them as that"
                }
            };
            offer(statistics, left_out.to_owned(), raw);
            let twice = rule.normalised(&normalised, Dtype::F32);
            offer(statistics, "your latents are normalised by bn twice".to_owned(), &twice);
        }
        LatentsScale::Raw => {
            let title = "your latents are normalised by bn, and are called raw";
            offer(statistics, title.to_owned(), &normalised);
        }
    }
    let title = "the statistics bn were applied the wrong way round: z * std + mean";
    offer(statistics, title.to_owned(), &rule.denormalised(raw, Dtype::F32));
    let title = "bn.running_mean was subtracted, and nothing divided by the root of bn.running_var";
    offer(statistics, title.to_owned(), &rule.by_channel(raw, |z, mean, _| z - mean));
    let title = "your latents were divided by the root of bn.running_var, and bn.running_mean was not \
                 subtracted";
    offer(statistics, title.to_owned(), &rule.by_channel(raw, |z, _, std| z / std));
    for order in RIGHT.others() {
        let name = order.name();
        let mut order_of = |how: &str, candidate: &Array4<f32>| {
            let title =
                format!("channels of your latents are in the order {name}, not (c, ph, pw){how}");
            offer(&LATENT_PATCH_ORDER, title, candidate);
        };
        order_of("", &order.of(expected));
        if scale == LatentsScale::Scaled {
            let patched_so = order.of(raw);
            order_of(
                ", and bn was applied in the right order",
                &rule.normalised(&patched_so, Dtype::F32),
            );
            order_of(", and they are not normalised by bn", &patched_so);
        }
    }
    let (left, cause, title) = tried.into_iter().min_by(|a, b| a.0.total_cmp(&b.0))?;
    (left <= allowed && left <= NEARER * before).then(|| {
        Finding::new(cause, title)
            .evidence("relative_difference", before / size)
            .evidence("relative_difference_explained", left / size)
            .evidence("latents_scale", scale.name())
    })
}

/// Latents with the right values in the form of another model; `None` where the form is right.
pub(in super::super) fn another_form(is_patched: bool, scale: LatentsScale) -> Option<Finding> {
    (scale == LatentsScale::Scaled && !is_patched).then(|| {
        let title = "your latents are normalised and not patched, as FIBO 2's diffusion model takes \
                     them; FLUX.2's takes patches";
        Finding::new(&LATENT_PATCH_ORDER, title).severity(Severity::Warning)
    })
}

/// The picture's latents, treated otherwise between the two halves: cause, words, and what is decoded.
pub(in super::super) fn treated_otherwise(
    rule: &PatchedBatchNorm,
    raw: &Array4<f32>,
) -> Result<Vec<(&'static Cause, String, Array4<f32>)>> {
    let patches = patched(raw.view(), rule.patch_size)?;
    let back = |patches: Array4<f32>| unpatched(patches, rule.patch_size);
    let statistics = &BATCH_NORM_STATISTICS;
    let mut treated = vec![
        (
            statistics,
            "decoded from latents that bn was not taken back from".to_owned(),
            back(rule.normalised(&patches, Dtype::F32))?,
        ),
        (
            statistics,
            "decoded from latents that bn was taken back from twice, or that were never normalised"
                .to_owned(),
            back(rule.denormalised(&patches, Dtype::F32))?,
        ),
    ];
    for order in RIGHT.others() {
        let what =
            |how| format!("decoded from latents that were {how} in the order {}", order.name());
        let normalised = rule.normalised(&patches, Dtype::F32);
        let unpatched_so = rule.denormalised(&normalised, Dtype::F32);
        treated.push((&LATENT_PATCH_ORDER, what("unpatched"), back(order.undone(&unpatched_so))?));
        treated.push((&LATENT_PATCH_ORDER, what("patched"), back(order.of(&patches))?));
        // The statistics of one channel, taken back from another.
        for (how, so) in
            [("unpatched", order.undone(&normalised)), ("patched", order.of(&normalised))]
        {
            let what = format!("{}, and bn was taken back in the right order", what(how));
            let latents = back(rule.denormalised(&so, Dtype::F32))?;
            treated.push((&LATENT_PATCH_ORDER, what, latents));
        }
    }
    Ok(treated)
}
