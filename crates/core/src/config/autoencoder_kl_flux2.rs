//! The config of an `AutoencoderKLFlux2`.

use serde::Serialize;

use super::autoencoder_kl::{Activation, SampleSize};
use super::fields::Fields;
use vae_fidelity_files::error::Result;

/// The fields of diffusers' `AutoencoderKLFlux2.__init__`
/// (`models/autoencoders/autoencoder_kl_flux2.py`, diffusers 0.42.1), validated as
/// [`super::AutoencoderKLConfig`] is. What latents are scaled by lies in the checkpoint (`bn.*`).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AutoencoderKLFlux2Config {
    /// Channels of the input picture.
    pub in_channels: usize,
    /// Channels of the decoded picture.
    pub out_channels: usize,
    /// One name per level of the encoder; only `DownEncoderBlock2D` is run.
    pub down_block_types: Vec<String>,
    /// One name per level of the decoder; only `UpDecoderBlock2D` is run.
    pub up_block_types: Vec<String>,
    /// Channels of each level, from the picture inwards.
    pub block_out_channels: Vec<usize>,
    /// The same of the decoder, where it is another; the small decoder of FLUX.2 is narrower.
    pub decoder_block_out_channels: Option<Vec<usize>>,
    /// Resnets in a level of the encoder; the decoder has one more.
    pub layers_per_block: usize,
    /// Activation inside the resnets. `conv_act` is SiLU whatever this says, as in diffusers.
    pub act_fn: Activation,
    /// Channels of the latents before they are patched.
    pub latent_channels: usize,
    /// Groups of every `GroupNorm`.
    pub norm_num_groups: usize,
    /// Side, or (height, width), that the model was made for; sets diffusers' tile size.
    pub sample_size: SampleSize,
    /// Whether a 1x1 `quant_conv` follows the encoder.
    pub use_quant_conv: bool,
    /// Whether a 1x1 `post_quant_conv` precedes the decoder.
    pub use_post_quant_conv: bool,
    /// Whether the mid blocks have attention.
    pub mid_block_add_attention: bool,
    /// What is added to the variance of `bn`.
    pub batch_norm_eps: f64,
    /// How fast `bn` learned its statistics; nothing here depends on it.
    pub batch_norm_momentum: f64,
    /// Height and width of a patch of latents.
    pub patch_size: [usize; 2],
    /// Fields the file left out, so that diffusers' default stands.
    #[serde(skip)]
    pub defaulted: Vec<&'static str>,
    /// Fields that the class does not know; diffusers ignores them too.
    #[serde(skip)]
    pub unknown: Vec<String>,
}

impl AutoencoderKLFlux2Config {
    /// Takes the class's fields, whichever class the file names.
    pub(super) fn from_fields(mut fields: Fields) -> Result<Self> {
        let four = |name: &str| vec![name.to_owned(); 4];
        let mut config = Self {
            in_channels: fields.take("in_channels", || 3)?,
            out_channels: fields.take("out_channels", || 3)?,
            down_block_types: fields.take("down_block_types", || four("DownEncoderBlock2D"))?,
            up_block_types: fields.take("up_block_types", || four("UpDecoderBlock2D"))?,
            block_out_channels: fields.take("block_out_channels", || vec![128, 256, 512, 512])?,
            decoder_block_out_channels: fields.take("decoder_block_out_channels", || None)?,
            layers_per_block: fields.take("layers_per_block", || 2)?,
            act_fn: fields.take_activation("silu")?,
            latent_channels: fields.take("latent_channels", || 32)?,
            norm_num_groups: fields.take("norm_num_groups", || 32)?,
            sample_size: fields.take_sample_size(1024)?,
            use_quant_conv: fields.take("use_quant_conv", || true)?,
            use_post_quant_conv: fields.take("use_post_quant_conv", || true)?,
            mid_block_add_attention: fields.take("mid_block_add_attention", || true)?,
            batch_norm_eps: fields.take("batch_norm_eps", || 1e-4)?,
            batch_norm_momentum: fields.take("batch_norm_momentum", || 0.1)?,
            patch_size: fields.take("patch_size", || [2, 2])?,
            defaulted: Vec::new(),
            unknown: Vec::new(),
        };
        // An absent field and `null` both mean: as the encoder.
        fields.defaulted.retain(|name| *name != "decoder_block_out_channels");
        // As Python's `or` reads it.
        config.decoder_block_out_channels =
            config.decoder_block_out_channels.filter(|widths| !widths.is_empty());
        config.defaulted = std::mem::take(&mut fields.defaulted);
        config.unknown = fields.left_over();
        config.validate(&fields)?;
        Ok(config)
    }

    /// Channels of each level of the decoder, from the picture inwards.
    pub fn decoder_widths(&self) -> &[usize] {
        self.decoder_block_out_channels.as_deref().unwrap_or(&self.block_out_channels)
    }

    fn validate(&self, fields: &Fields) -> Result<()> {
        let groups = self.norm_num_groups;
        fields.check_channels("norm_num_groups", groups)?;
        fields.check_widths("block_out_channels", &self.block_out_channels, groups)?;
        fields.check_widths("decoder_block_out_channels", self.decoder_widths(), groups)?;
        let down = self.block_out_channels.len();
        let up = self.decoder_widths().len();
        if up != down {
            return Err(fields.bad(
                "decoder_block_out_channels",
                format!("expected {down} levels, as block_out_channels has, found {up}"),
            ));
        }
        fields.check_blocks(
            "down_block_types",
            &self.down_block_types,
            ("block_out_channels", down),
            "DownEncoderBlock2D",
        )?;
        let levels = ("block_out_channels", up);
        fields.check_blocks("up_block_types", &self.up_block_types, levels, "UpDecoderBlock2D")?;
        for (name, channels) in [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("latent_channels", self.latent_channels),
        ] {
            fields.check_channels(name, channels)?;
        }
        fields.check_layers("layers_per_block", self.layers_per_block)?;
        if self.patch_size != [2, 2] {
            return Err(fields.bad(
                "patch_size",
                format!(
                    "expected [2, 2], as FLUX.2's pipelines have it, found {:?}",
                    self.patch_size
                ),
            ));
        }
        if !(self.batch_norm_eps >= 0.0 && (self.batch_norm_eps as f32).is_finite()) {
            return Err(fields.bad(
                "batch_norm_eps",
                format!("expected a finite number from 0, found {}", self.batch_norm_eps),
            ));
        }
        Ok(())
    }
}
