//! The config of an `AsymmetricAutoencoderKL`.

use serde::Serialize;
use serde_json::Value;

use super::autoencoder_kl::{Activation, SampleSize};
use super::fields::Fields;
use vae_fidelity_files::error::Result;

/// The fields of diffusers' `AsymmetricAutoencoderKL.__init__`
/// (`models/autoencoders/autoencoder_asym_kl.py`, diffusers 0.42.1), validated as
/// [`super::AutoencoderKLConfig`] is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AsymmetricAutoencoderKLConfig {
    /// Channels of the input picture.
    pub in_channels: usize,
    /// Channels of the decoded picture.
    pub out_channels: usize,
    /// One name per level of the encoder; only `DownEncoderBlock2D` is run.
    pub down_block_types: Vec<String>,
    /// Channels of each level of the encoder, from the picture inwards.
    pub down_block_out_channels: Vec<usize>,
    /// Resnets in a level of the encoder.
    pub layers_per_down_block: usize,
    /// One name per level of the decoder; only `UpDecoderBlock2D` is run.
    pub up_block_types: Vec<String>,
    /// Channels of each level of the decoder, from the picture inwards too.
    pub up_block_out_channels: Vec<usize>,
    /// Resnets in a level of the decoder, which has one more.
    pub layers_per_up_block: usize,
    /// Activation inside the resnets. `conv_act` is SiLU whatever this says, as in diffusers.
    pub act_fn: Activation,
    /// Channels of the latents.
    pub latent_channels: usize,
    /// Groups of every `GroupNorm`.
    pub norm_num_groups: usize,
    /// Side, or (height, width), that the model was made for. The class has no tiles that it would set.
    pub sample_size: SampleSize,
    /// What latents are multiplied by before diffusion.
    pub scaling_factor: f64,
    /// Fields the file left out, so that diffusers' default stands.
    #[serde(skip)]
    pub defaulted: Vec<&'static str>,
    /// Fields that the class does not know; diffusers ignores them too.
    #[serde(skip)]
    pub unknown: Vec<String>,
}

/// Fields that the class writes beside those of its `__init__`, and does not read.
const WRITTEN_BY_THE_CLASS: [&str; 2] = ["block_out_channels", "force_upcast"];

impl AsymmetricAutoencoderKLConfig {
    /// Takes the class's fields, whichever class the file names.
    pub(super) fn from_fields(mut fields: Fields) -> Result<Self> {
        let one = |name: &str| vec![name.to_owned()];
        let mut config = Self {
            in_channels: fields.take("in_channels", || 3)?,
            out_channels: fields.take("out_channels", || 3)?,
            down_block_types: fields.take("down_block_types", || one("DownEncoderBlock2D"))?,
            down_block_out_channels: fields.take("down_block_out_channels", || vec![64])?,
            layers_per_down_block: fields.take("layers_per_down_block", || 1)?,
            up_block_types: fields.take("up_block_types", || one("UpDecoderBlock2D"))?,
            up_block_out_channels: fields.take("up_block_out_channels", || vec![64])?,
            layers_per_up_block: fields.take("layers_per_up_block", || 1)?,
            act_fn: fields.take_activation("silu")?,
            latent_channels: fields.take("latent_channels", || 4)?,
            norm_num_groups: fields.take("norm_num_groups", || 32)?,
            sample_size: fields.take_sample_size(32)?,
            scaling_factor: fields.take("scaling_factor", || 0.18215)?,
            defaulted: Vec::new(),
            unknown: Vec::new(),
        };
        for name in WRITTEN_BY_THE_CLASS {
            let _: Value = fields.take(name, || Value::Null)?;
        }
        fields.defaulted.retain(|name| !WRITTEN_BY_THE_CLASS.contains(name));
        config.defaulted = std::mem::take(&mut fields.defaulted);
        config.unknown = fields.left_over();
        config.validate(&fields)?;
        Ok(config)
    }

    fn validate(&self, fields: &Fields) -> Result<()> {
        let groups = self.norm_num_groups;
        fields.check_channels("norm_num_groups", groups)?;
        let down = ("down_block_out_channels", self.down_block_out_channels.len());
        let up = ("up_block_out_channels", self.up_block_out_channels.len());
        fields.check_widths(down.0, &self.down_block_out_channels, groups)?;
        fields.check_widths(up.0, &self.up_block_out_channels, groups)?;
        if up.1 != down.1 {
            return Err(fields.bad(
                up.0,
                format!("expected {} levels, as {} has, found {}", down.1, down.0, up.1),
            ));
        }
        let types = &self.down_block_types;
        fields.check_blocks("down_block_types", types, down, "DownEncoderBlock2D")?;
        fields.check_blocks("up_block_types", &self.up_block_types, up, "UpDecoderBlock2D")?;
        for (name, channels) in [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("latent_channels", self.latent_channels),
        ] {
            fields.check_channels(name, channels)?;
        }
        fields.check_layers("layers_per_down_block", self.layers_per_down_block)?;
        fields.check_layers("layers_per_up_block", self.layers_per_up_block)?;
        fields.check_scaling_factor(self.scaling_factor)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Class, Family, VaeConfig};
    use serde_json::{Value, json};

    fn published() -> Value {
        json!({
            "_class_name": "AsymmetricAutoencoderKL", "in_channels": 3, "out_channels": 3,
            "down_block_types": vec!["DownEncoderBlock2D"; 4],
            "down_block_out_channels": [128, 256, 512, 512], "layers_per_down_block": 2,
            "up_block_types": vec!["UpDecoderBlock2D"; 4],
            "up_block_out_channels": [192, 384, 768, 768], "layers_per_up_block": 3,
            "act_fn": "silu", "latent_channels": 4, "norm_num_groups": 32, "sample_size": 256,
            "scaling_factor": 0.18215,
        })
    }

    fn read(text: &Value) -> vae_fidelity_files::Result<VaeConfig> {
        VaeConfig::from_json(&text.to_string(), "config.json")
    }

    #[test]
    fn what_the_class_writes_beside_its_fields_is_no_news() {
        let mut text = published();
        (text["block_out_channels"], text["force_upcast"]) = (json!([192, 384]), json!(false));
        let config = read(&text).unwrap();
        assert_eq!((config.unknown().len(), config.defaulted().len()), (0, 0));
        assert_eq!(config, read(&published()).unwrap());
        assert_eq!((config.class(), config.downsampling()), (Class::AsymmetricAutoencoderKL, 8));
        assert_eq!(config.block_out_channels(), vec![128, 256, 512, 512]);
        assert_eq!(config.decoder_widths(), vec![192, 384, 768, 768]);
        assert_eq!(Family::of(&config), Family::Asymmetric);
        text["scaling_factor"] = json!(0.13025);
        assert_eq!(Family::of(&read(&text).unwrap()), Family::Unknown);
    }

    #[test]
    fn what_no_such_model_has_is_refused_by_the_field() {
        for (field, value, says) in [
            ("up_block_out_channels", json!([192, 384, 768]), "expected 4 levels"),
            ("up_block_out_channels", json!([190, 384, 768, 768]), "norm_num_groups"),
            ("down_block_out_channels", json!([128, 512, 512]), "expected 3 levels"),
            ("down_block_types", json!(["DownEncoderBlock2D"]), "as down_block_out_channels has"),
            ("up_block_types", json!(vec!["AttnUpDecoderBlock2D"; 4]), "AttnUpDecoderBlock2D"),
            ("layers_per_up_block", json!(0), "layers_per_up_block: expected 1 to 64"),
            ("layers_per_down_block", json!(99), "layers_per_down_block: expected 1 to 64"),
            ("scaling_factor", json!(0), "finite f32 other than 0"),
        ] {
            let mut text = published();
            text[field] = value;
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(says), "{field}: {error}");
        }
    }
}
