//! The config of a file that has none: what shapes settle is read off them, the rest is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use super::dc_shapes::{self, is_dc};
use super::entry::Entry;
use super::fit::half;
use super::hunyuan_image_shapes::{self, is_hunyuan_image};
use super::layout::{CONDITION_ENCODER, expected_tensors};
use super::tiny_shapes::{self, is_tiny};
use super::wan_shapes::{self, is_wan};
use vae_fidelity_core::config::{Class, Family, VaeConfig};
use vae_fidelity_core::scaling::RUNNING_MEAN;
use vae_fidelity_files::error::{Error, ErrorKind, Result};

/// Every published family has 32 groups in its norms; no shape shows their number.
const PUBLISHED_GROUPS: usize = 32;

/// The graph that the shapes of `vae` describe. Scaling and sample size are still diffusers'
/// defaults: [`Family::apply`] has to set them.
///
/// Fails if this is of no class that is run; the error names the tensor that shows it.
pub(super) fn graph(vae: &BTreeMap<String, Entry>, origin: &Path) -> Result<VaeConfig> {
    if is_tiny(vae) {
        return match half(vae) {
            Some(half) => Err(Error::checkpoint(origin, half, "name the file of the whole VAE")),
            None => described_by(&tiny_shapes::fields(vae, origin)?, origin),
        };
    }
    if is_dc(vae) {
        return match half(vae) {
            Some(half) => Err(Error::checkpoint(origin, half, "name the file of the whole VAE")),
            None => described_by(&dc_shapes::fields(vae, origin)?, origin),
        };
    }
    if is_hunyuan_image(vae) {
        return match half(vae) {
            Some(half) => Err(Error::checkpoint(origin, half, "name the file of the whole VAE")),
            None => described_by(&hunyuan_image_shapes::fields(vae, origin)?, origin),
        };
    }
    if is_wan(vae) {
        return match half(vae) {
            Some(half) => Err(Error::checkpoint(origin, half, "name the file of the whole VAE")),
            None => described_by(&wan_shapes::fields(vae, origin)?, origin),
        };
    }
    let size = |name: &str, dimensions: usize, which: usize| {
        let entry = vae.get(name).ok_or_else(|| no_vae(origin, name, vae))?;
        match entry.shape.get(which) {
            Some(&size) if entry.shape.len() == dimensions && size > 0 => Ok(size),
            _ => Err(Error::checkpoint(
                origin,
                format!(
                    "{name}: expected {dimensions} dimensions, found {:?} of {}",
                    entry.shape, entry.encoding
                ),
                format!("check that this is a VAE of images ({})", Class::names()),
            )),
        }
    };
    let count = |name: &dyn Fn(usize) -> String| {
        (0..vae.len()).take_while(|&index| vae.contains_key(&name(index))).count()
    };
    let levels = count(&|level| format!("encoder.down_blocks.{level}.resnets.0.conv1.weight"));
    let layers = count(&|layer| format!("encoder.down_blocks.0.resnets.{layer}.conv1.weight"));
    let widths = (0..levels)
        .map(|level| size(&format!("encoder.down_blocks.{level}.resnets.0.conv1.weight"), 4, 0))
        .collect::<Result<Vec<_>>>()?;
    // Widths that 32 groups do not divide are of no published family; with one group they can still
    // be described in the question that follows.
    let published = widths.iter().all(|width| width.is_multiple_of(PUBLISHED_GROUPS));
    let mut text = json!({
        "in_channels": size("encoder.conv_in.weight", 4, 1)?,
        "out_channels": size("decoder.conv_out.weight", 4, 0)?,
        "latent_channels": size("decoder.conv_in.weight", 4, 1)?,
        "down_block_types": vec!["DownEncoderBlock2D"; levels],
        "up_block_types": vec!["UpDecoderBlock2D"; levels],
        "block_out_channels": &widths,
        "layers_per_block": layers,
        "norm_num_groups": if published { PUBLISHED_GROUPS } else { 1 },
        "use_quant_conv": vae.contains_key("quant_conv.weight"),
        "use_post_quant_conv": vae.contains_key("post_quant_conv.weight"),
        "mid_block_add_attention":
            vae.contains_key("encoder.mid_block.attentions.0.to_q.weight"),
    });
    let decoder_widths = || {
        (0..levels)
            .rev()
            .map(|level| size(&format!("decoder.up_blocks.{level}.resnets.0.conv1.weight"), 4, 0))
            .collect::<Result<Vec<_>>>()
    };
    if vae.keys().any(|name| name.starts_with(CONDITION_ENCODER)) {
        let layers_up = count(&|layer| format!("decoder.up_blocks.0.resnets.{layer}.conv1.weight"));
        text = json!({
            "_class_name": Class::AsymmetricAutoencoderKL.name(),
            "in_channels": text["in_channels"],
            "out_channels": text["out_channels"],
            "latent_channels": text["latent_channels"],
            "down_block_types": text["down_block_types"],
            "up_block_types": text["up_block_types"],
            "down_block_out_channels": &widths,
            "up_block_out_channels": decoder_widths()?,
            "layers_per_down_block": layers,
            "layers_per_up_block": layers_up.saturating_sub(1),
            "norm_num_groups": text["norm_num_groups"],
        });
    }
    // The statistics of FLUX.2's latents, whose decoder may be narrower than its encoder.
    else if vae.contains_key(RUNNING_MEAN) {
        let decoder = decoder_widths()?;
        text["_class_name"] = json!(Class::AutoencoderKLFlux2.name());
        text["decoder_block_out_channels"] = json!((decoder != widths).then_some(decoder));
    }
    described_by(&text, origin)
}

/// The config of these fields, which are all that shapes say.
fn described_by(fields: &Value, origin: &Path) -> Result<VaeConfig> {
    let subject = format!("{} (its shapes)", origin.display());
    let graph = VaeConfig::from_json(&fields.to_string(), &subject).map_err(|error| {
        let next = "pass the model's config.json with `config`";
        Error::new(ErrorKind::Config, &subject, error.problem(), next)
    })?;
    // The file left nothing out: it has no config at all, and that is said elsewhere.
    Ok(graph.with_nothing_defaulted())
}

/// The config of a file without one: `family`'s, checked against the shapes; without a family,
/// the one whose other models are in the file; else a question.
pub(super) fn config(
    vae: &BTreeMap<String, Entry>,
    others: &BTreeMap<String, Entry>,
    family: Option<Family>,
    origin: &Path,
) -> Result<(VaeConfig, String)> {
    let graph = graph(vae, origin)?;
    refuse_strangers(&graph, vae, origin)?;
    if let Some(family) = family {
        let note = format!("no config.json: shapes give the graph, `family` {family} the rest");
        return Ok((family.apply(graph)?, note));
    }
    let candidates = Family::with_graph_of(&graph);
    if let Some((family, evidence)) = family_of_pipeline(others)
        && candidates.contains(&family)
    {
        let note = format!("no config.json: taken as {family}, since the file also has {evidence}");
        return Ok((family.apply(graph)?, note));
    }
    // No other class has such statistics, and nothing that a config says of its scaling lies elsewhere.
    if let (Class::AutoencoderKLFlux2, [family]) = (graph.class(), candidates.as_slice()) {
        let note = format!(
            "no config.json: taken as {family}, since only that has the statistics bn and these shapes"
        );
        return Ok((family.apply(graph)?, note));
    }
    // Both of this family scale latents alike.
    if let (Class::AsymmetricAutoencoderKL, [family]) = (graph.class(), candidates.as_slice()) {
        let note = format!(
            "no config.json: taken as {family}, since only that has an encoder of masked pictures and these \
             shapes"
        );
        return Ok((family.apply(graph)?, note));
    }
    // DC-AE's mixes have the shapes of models that were trained on ImageNet, and those other factors.
    if let [family @ (Family::Sana | Family::HunyuanImage)] = candidates.as_slice() {
        let note = format!("no config.json: taken as {family}, since only that has these shapes");
        return Ok((family.apply(graph)?, note));
    }
    // Their published configs differ in nothing, not even in how latents are scaled.
    let differ_in_nothing =
        [Class::AutoencoderTiny, Class::AutoencoderKLWan, Class::AutoencoderKLQwenImage21];
    if let (true, [family, others @ ..]) =
        (differ_in_nothing.contains(&graph.class()), candidates.as_slice())
    {
        let others: String = others.iter().map(|other| format!(" and of {other}")).collect();
        let note = format!(
            "no config.json: taken as {family}, since its shapes are those of {family}{others}"
        );
        return Ok((family.apply(graph)?, note));
    }
    let shapes =
        format!("{} latent channels, {}", graph.latent_channels(), graph.levels_in_words());
    let names: Vec<String> = candidates.iter().map(Family::to_string).collect();
    let (problem, next) = match names.as_slice() {
        [] => (
            format!("has no config.json, and no published family has its shapes ({shapes})"),
            "pass the model's config.json with `config`".to_owned(),
        ),
        [one] => (
            format!(
                "has no config.json; of the published families only {one} has its shapes ({shapes})"
            ),
            format!(
                "pass `family` {one} if that is what it is, or the model's config.json with `config`"
            ),
        ),
        several => (
            format!(
                "has no config.json, and its shapes ({shapes}) are those of {}, which scale latents \
                 differently",
                several.join(", ")
            ),
            format!(
                "pass `family` with one of {}, or `config` with the model's config.json",
                several.join(", ")
            ),
        ),
    };
    Err(Error::new(ErrorKind::Config, origin.display(), problem, next))
}

/// Shapes describe the whole graph only if there is nothing beside it: attention in other blocks,
/// for example, would be a different model.
fn refuse_strangers(graph: &VaeConfig, vae: &BTreeMap<String, Entry>, origin: &Path) -> Result<()> {
    let known: BTreeSet<String> =
        expected_tensors(graph).into_iter().map(|spec| spec.name).collect();
    let Some(stranger) = vae.keys().find(|name| !known.contains(*name)) else { return Ok(()) };
    Err(Error::checkpoint(
        origin,
        format!(
            "{stranger} is no tensor of an {} with the shapes of the others",
            graph.class().name()
        ),
        "pass the model's config.json with `config` if it is one all the same",
    ))
}

fn no_vae(origin: &Path, name: &str, vae: &BTreeMap<String, Entry>) -> Error {
    if let Some(half) = half(vae) {
        return Error::checkpoint(origin, half, "name the file of the whole VAE");
    }
    let found = match vae.len() {
        0 => "no tensor of a VAE".to_owned(),
        count => format!("{count} other tensors of a VAE"),
    };
    Error::checkpoint(
        origin,
        format!("expected {name} (by itself, or behind vae. or first_stage_model.), found {found}"),
        format!("check that the file holds the VAE ({}) of an image model", Class::names()),
    )
}

/// The family that a VAE shares its file with, by tensors that only this family's other models
/// have; these are the ones that diffusers 0.42.1 asks (`infer_diffusers_model_type`).
fn family_of_pipeline(others: &BTreeMap<String, Entry>) -> Option<(Family, &'static str)> {
    let has = |name: &str| others.contains_key(name);
    let last = |name: &str| others.get(name).and_then(|entry| entry.shape.last().copied());
    const ATTENTION: &str =
        "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight";
    const PLAYGROUND: &str = "edm_mean";
    const SDXL: &str = "conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias";
    const REFINER: &str = "conditioner.embedders.0.model.transformer.resblocks.9.mlp.c_proj.bias";
    const UPSCALER: &str = "model.diffusion_model.input_blocks.10.0.skip_connection.bias";
    const SD3: &str = "model.diffusion_model.joint_blocks.0.context_block.adaLN_modulation.1.bias";
    const FLUX: &str = "model.diffusion_model.double_blocks.0.img_attn.norm.key_norm.scale";
    const LUMINA: &str = "model.diffusion_model.cap_embedder.0.weight";
    const Z_IMAGE: &str = "model.diffusion_model.layers.0.adaLN_modulation.0.weight";
    match last(ATTENTION) {
        Some(1024) => return Some((Family::Sd2, "a U-Net that attends to 1024 channels")),
        Some(768) => return Some((Family::Sd1, "a U-Net that attends to 768 channels")),
        _ => {}
    }
    [
        (PLAYGROUND, Family::PlaygroundV25, "edm_mean"),
        (SDXL, Family::Sdxl, "SDXL's text encoders"),
        (REFINER, Family::Sdxl, "the SDXL refiner's text encoder"),
        (UPSCALER, Family::X4Upscaler, "the x4 upscaler's U-Net"),
        (SD3, Family::Sd3, "Stable Diffusion 3's transformer"),
        (FLUX, Family::Flux1, "FLUX.1's transformer"),
        (LUMINA, Family::Flux1, "Lumina 2's transformer"),
        (Z_IMAGE, Family::Flux1, "Z-Image's transformer"),
    ]
    .into_iter()
    .find_map(|(name, family, evidence)| has(name).then_some((family, evidence)))
}
