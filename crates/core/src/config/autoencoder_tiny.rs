//! The config of an `AutoencoderTiny`.

use serde::Serialize;
use serde_json::Value;

use super::autoencoder_kl::Activation;
use super::fields::Fields;
use vae_fidelity_files::error::Result;

/// The fields of diffusers' `AutoencoderTiny.__init__`
/// (`models/autoencoders/autoencoder_tiny.py`, diffusers 0.42.1), validated as
/// [`super::AutoencoderKLConfig`] is, and that of `taesd.py` which diffusers does not have.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AutoencoderTinyConfig {
    /// Channels of the input picture.
    pub in_channels: usize,
    /// Channels of the decoded picture.
    pub out_channels: usize,
    /// Channels of each level of the encoder, from the picture inwards: one number, since each level
    /// begins with a convolution that keeps it.
    pub encoder_block_out_channels: Vec<usize>,
    /// The same of the decoder, from the latents outwards.
    pub decoder_block_out_channels: Vec<usize>,
    /// Activation inside the blocks and behind the decoder's first convolution. Blocks end in ReLU
    /// whatever this says, as in diffusers.
    pub act_fn: Activation,
    /// How the decoder enlarges; only `nearest` is run.
    pub upsample_fn: String,
    /// Channels of the latents.
    pub latent_channels: usize,
    /// By how much each level of the decoder but the last enlarges.
    pub upsampling_scaling_factor: usize,
    /// Blocks in each level of the encoder.
    pub num_encoder_blocks: Vec<usize>,
    /// Blocks in each level of the decoder.
    pub num_decoder_blocks: Vec<usize>,
    /// What `scale_latents` takes for the largest latent; encoding and decoding do without it.
    pub latent_magnitude: f64,
    /// Where `scale_latents` puts 0; encoding and decoding do without it.
    pub latent_shift: f64,
    /// Whether pipelines run this VAE in f32. The class sets it to false whatever the file says.
    pub force_upcast: bool,
    /// What latents are multiplied by before diffusion. They are made to the diffusion model's scale, so
    /// that published configs have 1.
    pub scaling_factor: f64,
    /// What diffusion pipelines subtract before scaling: 0 in published configs.
    pub shift_factor: f64,
    /// Whether the blocks nearest to the latents begin with a pool, as TAESD's for FLUX.2 do. diffusers'
    /// class has no such field; the name is that of `taesd.py`.
    #[serde(skip_serializing_if = "is_false")]
    pub use_midblock_gn: bool,
    /// Fields the file left out, so that diffusers' default stands.
    #[serde(skip)]
    pub defaulted: Vec<&'static str>,
    /// Fields that the class does not know; diffusers ignores them too.
    #[serde(skip)]
    pub unknown: Vec<String>,
}

/// For serde, which hands over a reference.
fn is_false(value: &bool) -> bool {
    !value
}

impl AutoencoderTinyConfig {
    /// Takes the class's fields, whichever class the file names.
    pub(super) fn from_fields(mut fields: Fields) -> Result<Self> {
        let mut config = Self {
            in_channels: fields.take("in_channels", || 3)?,
            out_channels: fields.take("out_channels", || 3)?,
            encoder_block_out_channels: fields
                .take("encoder_block_out_channels", || vec![64; 4])?,
            decoder_block_out_channels: fields
                .take("decoder_block_out_channels", || vec![64; 4])?,
            act_fn: fields.take_activation("relu")?,
            upsample_fn: fields.take("upsample_fn", || "nearest".to_owned())?,
            latent_channels: fields.take("latent_channels", || 4)?,
            upsampling_scaling_factor: fields.take("upsampling_scaling_factor", || 2)?,
            num_encoder_blocks: fields.take("num_encoder_blocks", || vec![1, 3, 3, 3])?,
            num_decoder_blocks: fields.take("num_decoder_blocks", || vec![3, 3, 3, 1])?,
            latent_magnitude: fields.take("latent_magnitude", || 3.0)?,
            latent_shift: fields.take("latent_shift", || 0.5)?,
            force_upcast: fields.take("force_upcast", || false)?,
            scaling_factor: fields.take("scaling_factor", || 1.0)?,
            shift_factor: fields.take("shift_factor", || 0.0)?,
            use_midblock_gn: fields.take("use_midblock_gn", || false)?,
            defaulted: Vec::new(),
            unknown: Vec::new(),
        };
        // Written beside the others by the class itself, which does not read it.
        let _: Value = fields.take("block_out_channels", || Value::Null)?;
        let not_of_the_class = ["block_out_channels", "use_midblock_gn"];
        fields.defaulted.retain(|name| !not_of_the_class.contains(name));
        config.force_upcast = false;
        config.defaulted = std::mem::take(&mut fields.defaulted);
        config.unknown = fields.left_over();
        config.validate(&fields)?;
        Ok(config)
    }

    /// How many times smaller the latents are than the picture, a side: `2^(levels - 1)`.
    pub fn downsampling(&self) -> usize {
        1 << (self.encoder_block_out_channels.len() - 1)
    }

    fn validate(&self, fields: &Fields) -> Result<()> {
        for (name, channels) in [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("latent_channels", self.latent_channels),
        ] {
            fields.check_channels(name, channels)?;
        }
        let encoder = (&self.encoder_block_out_channels[..], &self.num_encoder_blocks[..]);
        let decoder = (&self.decoder_block_out_channels[..], &self.num_decoder_blocks[..]);
        check_half(fields, "encoder_block_out_channels", "num_encoder_blocks", encoder)?;
        check_half(fields, "decoder_block_out_channels", "num_decoder_blocks", decoder)?;
        if self.upsample_fn != "nearest" {
            let found = &self.upsample_fn;
            return Err(fields.bad("upsample_fn", format!("expected nearest, found {found:?}")));
        }
        let factor = self.upsampling_scaling_factor;
        if ![2, 4, 8].contains(&factor) {
            let problem = format!("expected 2, 4 or 8, found {factor}");
            return Err(fields.bad("upsampling_scaling_factor", problem));
        }
        let levels = self.decoder_block_out_channels.len();
        let enlarged = factor.pow(levels as u32 - 1);
        if enlarged != self.downsampling() {
            return Err(fields.bad(
                "decoder_block_out_channels",
                format!(
                    "{levels} levels that enlarge by {factor} make {enlarged} pixels of a latent, and \
                     the encoder makes one of {}",
                    self.downsampling()
                ),
            ));
        }
        fields.check_scaling_factor(self.scaling_factor)?;
        for (name, number) in [
            ("latent_magnitude", self.latent_magnitude),
            ("latent_shift", self.latent_shift),
            ("shift_factor", self.shift_factor),
        ] {
            if !(number as f32).is_finite() {
                return Err(fields.bad(name, format!("expected a finite f32, found {number}")));
            }
        }
        Ok(())
    }
}

/// Fails unless the widths of a half and its numbers of blocks are ones that diffusers runs.
fn check_half(
    fields: &Fields,
    widths_name: &str,
    blocks_name: &str,
    (widths, blocks): (&[usize], &[usize]),
) -> Result<()> {
    fields.check_widths(widths_name, widths, 1)?;
    if widths.len() != blocks.len() {
        return Err(fields.bad(
            blocks_name,
            format!(
                "expected {} entries, as {widths_name} has, found {}",
                widths.len(),
                blocks.len()
            ),
        ));
    }
    if let Some(other) = widths.iter().find(|&&width| width != widths[0]) {
        return Err(fields.bad(
            widths_name,
            format!(
                "expected one width in all levels, found {} and {other}: each level begins with a \
                 convolution that keeps its own width, and diffusers fails as well",
                widths[0]
            ),
        ));
    }
    blocks.iter().try_for_each(|&blocks| fields.check_blocks_in_level(blocks_name, blocks))
}

#[cfg(test)]
mod tests {
    use crate::config::{Activation, Class, VaeConfig};

    fn problem(fields: &str) -> String {
        let text = format!(r#"{{"_class_name": "AutoencoderTiny"{fields}}}"#);
        VaeConfig::from_json(&text, "config.json").unwrap_err().to_string()
    }

    #[test]
    fn a_config_that_says_nothing_is_taesd() {
        let text = r#"{"_class_name": "AutoencoderTiny", "block_out_channels": [64, 64, 64, 64]}"#;
        let config = VaeConfig::from_json(text, "config.json").unwrap();
        assert_eq!(config.class(), Class::AutoencoderTiny);
        assert_eq!((config.downsampling(), config.scaling_factor()), (8, Some(1.0)));
        assert!(!config.has_posterior());
        assert!(config.unknown().is_empty(), "{:?}", config.unknown());
        assert!(config.defaulted().contains(&"act_fn"));
        let VaeConfig::AutoencoderTiny(config) = config else { panic!() };
        assert_eq!(config.act_fn, Activation::Relu);
        let json = serde_json::to_string(&config).unwrap();
        assert!(!json.contains("use_midblock_gn"), "diffusers does not know it: {json}");
    }

    #[test]
    fn what_diffusers_does_not_run_is_refused_by_name() {
        let widths = r#", "encoder_block_out_channels": [32, 64, 64, 64]"#;
        assert!(problem(widths).contains("found 32 and 64"));
        assert!(problem(r#", "num_decoder_blocks": [3, 3]"#).contains("expected 4 entries"));
        assert!(problem(r#", "num_decoder_blocks": [3, 3, 65, 1]"#).contains("found 65"));
        assert!(problem(r#", "upsample_fn": "bilinear""#).contains("expected nearest"));
        assert!(problem(r#", "upsampling_scaling_factor": 3"#).contains("2, 4 or 8"));
        assert!(problem(r#", "upsampling_scaling_factor": 4"#).contains("64 pixels of a latent"));
        assert!(problem(r#", "scaling_factor": 0"#).contains("other than 0"));
        assert!(problem(r#", "latent_shift": 1e39"#).contains("finite f32"));
    }
}
