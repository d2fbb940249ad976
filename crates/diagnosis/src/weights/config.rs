//! The config beside the weights: its class, what it leaves out, and the latent channels.

use crate::codes::{Cause, Code};
use crate::decided_by::DecidedBy;
use crate::finding::Finding;
use crate::severity::Severity;
use crate::sizes::WRONG_FAMILY_CHANNELS;
use vae_fidelity_checkpoint::{Contents, ResolvedConfig};
use vae_fidelity_core::config::Class;

pub(crate) const CONFIG_DEFAULTS: Cause = Cause {
    code: Code::ConfigDefaults,
    severity: Severity::Error,
    title: "the config was not found, and class defaults stand in for it",
    meaning: "AutoencoderKL's defaults describe a VAE of one level of 64 channels that nobody \
              published.",
    rule: "block_out_channels is absent, and the first convolution has another width than the \
           default. Information where it has that width.",
    remedy: "pass the config.json that the model's authors published",
    diffusers: "check subfolder='vae', and that config.json lies beside the weights",
    comfyui: "configs are detected from the weights there",
    ports: "make fields without a sensible default mandatory",
    sources: &["Vchitect/Latte#66"],
    decided_by: &[DecidedBy::Inspect, DecidedBy::Check],
};

pub(crate) const WRONG_CLASS: Cause = Cause {
    code: Code::WrongClass,
    severity: Severity::Error,
    title: "config or weights are of a class that is not run, or of two classes",
    meaning: "HunyuanVideo's, HunyuanVideo 1.5's and others share names and compute something else. So do \
              AutoencoderKL and AutoencoderKLFlux2: FLUX.2's latents are patched, and normalised by \
              statistics in the checkpoint. A TAESD is of AutoencoderTiny, whatever VAE it stands \
              for. An AsymmetricAutoencoderKL has an AutoencoderKL's encoder and another decoder. \
              AutoencoderKLWan and AutoencoderKLQwenImage are of clips; AutoencoderKLQwenImage21 \
              (Qwen-Image 2.1) has their names without kernels over time. AutoencoderDC is DC-AE, \
              Sana's; Sana's TAESD is not. AutoencoderKLHunyuanImage has the original names of \
              AutoencoderKL, and squares of pixels for its strides.",
    rule: "_class_name is none of AutoencoderKL, FlaxAutoencoderKL, AutoencoderKLFlux2, \
           AutoencoderTiny, AsymmetricAutoencoderKL, AutoencoderKLWan, AutoencoderKLQwenImage, \
           AutoencoderDC, AutoencoderKLHunyuanImage and AutoencoderKLQwenImage21, or the files have \
           tensors that only another class has, or lack those and have other shapes.",
    remedy: "take config and weights of one model; for a class that is not run, use a tool for it",
    diffusers: "AutoModel.from_pretrained picks the class by itself",
    comfyui: "the loader picks the class by the weights",
    ports: "check _class_name before loading",
    sources: &[],
    decided_by: &[DecidedBy::Inspect, DecidedBy::Check],
};

pub(super) fn wrong_class(contents: &Contents) -> Option<Finding> {
    let ResolvedConfig::OtherClass(class) = contents.resolved_config() else { return None };
    let title = match (contents.recognised_class(), contents.asked_class()) {
        (Some(recognised), Some(asked)) => {
            format!("the weights are {recognised}; the config's class is {}", asked.name())
        }
        (Some(recognised), None) => {
            format!("the weights are {recognised}, none of {}", Class::names())
        }
        (None, _) => format!("the config's class is {class}, none of {}", Class::names()),
    };
    Some(Finding::new(&WRONG_CLASS, title).evidence("class", class))
}

pub(super) fn config_defaults(contents: &Contents) -> Option<Finding> {
    let ResolvedConfig::Config(config) = contents.resolved_config() else { return None };
    let left_out = |field: &&str| config.defaulted().contains(field);
    let fields = ["block_out_channels", "down_block_out_channels", "base_dim"];
    let field = fields.into_iter().find(left_out)?;
    let width = width_of(contents, "encoder.conv_in.weight", 0);
    let fits = width.is_none_or(|width| width == config.block_out_channels()[0]);
    let title = match width {
        Some(width) if !fits => format!(
            "the config leaves out {field}: diffusers would build {:?}, the first convolution has \
             {width} channels",
            config.block_out_channels()
        ),
        _ => format!("the config leaves out {field}: diffusers' defaults stand in"),
    };
    let finding = Finding::new(&CONFIG_DEFAULTS, title).evidence("defaulted", config.defaulted());
    Some(if fits { finding.severity(Severity::Info) } else { finding })
}

pub(super) fn wrong_channels(contents: &Contents) -> Option<Finding> {
    let ResolvedConfig::Config(config) = contents.resolved_config() else { return None };
    let first = match config.class() {
        Class::AutoencoderKL
        | Class::AutoencoderKLFlux2
        | Class::AsymmetricAutoencoderKL
        | Class::AutoencoderKLWan
        | Class::AutoencoderKLQwenImage
        | Class::AutoencoderKLQwenImage21
        | Class::AutoencoderDC
        | Class::AutoencoderKLHunyuanImage => "decoder.conv_in",
        Class::AutoencoderTiny => "decoder.layers.0",
    };
    let found = width_of(contents, &format!("{first}.weight"), 1)?;
    let asked = config.latent_channels();
    if found == asked {
        return None;
    }
    let title = format!("the weights have {found} latent channels, the config {asked}");
    let finding = Finding::new(&WRONG_FAMILY_CHANNELS, title).at(first);
    Some(finding.evidence("config", asked).evidence("weights", found))
}

fn width_of(contents: &Contents, name: &str, dimension: usize) -> Option<usize> {
    let info = contents.tensors().into_iter().find(|info| info.name == name)?;
    [4, 5].contains(&info.shape.len()).then(|| info.shape[dimension])
}
