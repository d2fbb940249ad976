//! The config of an `AutoencoderKLWan`.

use serde::Serialize;

use super::fields::Fields;
use vae_fidelity_files::error::Result;

/// Mean of each latent channel of Wan 2.1, which Qwen-Image took over.
pub(super) const LATENTS_MEAN: [f64; 16] = [
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134, -0.0715, 0.5517,
    -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
];

/// Standard deviation of each latent channel of Wan 2.1.
pub(super) const LATENTS_STD: [f64; 16] = [
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526, 2.8652, 1.5579,
    1.6382, 1.1253, 2.8251, 1.9160,
];

/// The fields of diffusers' `AutoencoderKLWan.__init__`
/// (`models/autoencoders/autoencoder_kl_wan.py`, diffusers 0.42.1), validated as
/// [`super::AutoencoderKLConfig`] is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AutoencoderKLWanConfig {
    /// Channels of the encoder at the picture's own size, of which each level has a multiple.
    pub base_dim: usize,
    /// The same of the decoder, where it is another.
    pub decoder_base_dim: Option<usize>,
    /// Channels of the latents.
    pub z_dim: usize,
    /// By how much each level is wider than `base_dim`, from the picture inwards.
    pub dim_mult: Vec<usize>,
    /// Residual blocks in a level of the encoder; the decoder has one more.
    pub num_res_blocks: usize,
    /// Scales with attention between blocks: none, since diffusers fails to run it.
    pub attn_scales: Vec<f64>,
    /// Whether each level but the last halves the number of frames; one picture is not halved.
    pub temperal_downsample: Vec<bool>,
    /// Of training alone.
    pub dropout: f64,
    /// Mean of each latent channel.
    pub latents_mean: Vec<f64>,
    /// Standard deviation of each latent channel.
    pub latents_std: Vec<f64>,
    /// Whether levels have shortcuts around them, as Wan 2.2's have.
    pub is_residual: bool,
    /// Channels that the encoder is given: those of the picture, times the values of a patch.
    pub in_channels: usize,
    /// The same of what the decoder makes.
    pub out_channels: usize,
    /// Side of the patches of pixels that become channels before the encoder.
    pub patch_size: Option<usize>,
    /// How many frames a latent stands for.
    pub scale_factor_temporal: Option<usize>,
    /// How many pixels a latent stands for, a side; sets the tiles of latents.
    pub scale_factor_spatial: usize,
    /// Fields the file left out, so that diffusers' default stands.
    #[serde(skip)]
    pub defaulted: Vec<&'static str>,
    /// Fields that the class does not know; diffusers ignores them too.
    #[serde(skip)]
    pub unknown: Vec<String>,
}

impl AutoencoderKLWanConfig {
    /// Takes the class's fields, whichever class the file names.
    pub(super) fn from_fields(mut fields: Fields) -> Result<Self> {
        let mut config = Self {
            base_dim: fields.take("base_dim", || 96)?,
            decoder_base_dim: fields.take("decoder_base_dim", || None)?,
            z_dim: fields.take("z_dim", || 16)?,
            dim_mult: fields.take("dim_mult", || vec![1, 2, 4, 4])?,
            num_res_blocks: fields.take("num_res_blocks", || 2)?,
            attn_scales: fields.take("attn_scales", Vec::new)?,
            temperal_downsample: fields.take("temperal_downsample", || vec![false, true, true])?,
            dropout: fields.take("dropout", || 0.0)?,
            latents_mean: fields.take("latents_mean", || LATENTS_MEAN.to_vec())?,
            latents_std: fields.take("latents_std", || LATENTS_STD.to_vec())?,
            is_residual: fields.take("is_residual", || false)?,
            in_channels: fields.take("in_channels", || 3)?,
            out_channels: fields.take("out_channels", || 3)?,
            patch_size: fields.take("patch_size", || None)?,
            scale_factor_temporal: fields.take("scale_factor_temporal", || Some(4))?,
            scale_factor_spatial: fields.take("scale_factor_spatial", || 8)?,
            defaulted: Vec::new(),
            unknown: Vec::new(),
        };
        // An absent field and `null` mean the same.
        let none_by_default = ["decoder_base_dim", "patch_size"];
        fields.defaulted.retain(|name| !none_by_default.contains(name));
        config.defaulted = std::mem::take(&mut fields.defaulted);
        config.unknown = fields.left_over();
        config.validate(&fields)?;
        Ok(config)
    }

    /// The side of the patches of pixels that become channels; 1 where there are none.
    pub fn patch(&self) -> usize {
        self.patch_size.unwrap_or(1)
    }

    /// Channels of each level of the encoder, from the picture inwards.
    pub fn widths(&self) -> Vec<usize> {
        self.dim_mult.iter().map(|by| self.base_dim * by).collect()
    }

    /// The same of the decoder.
    pub fn decoder_widths(&self) -> Vec<usize> {
        let base = self.decoder_base_dim.unwrap_or(self.base_dim);
        self.dim_mult.iter().map(|by| base * by).collect()
    }

    /// Whether level `level` of the encoder would halve the number of frames; the last one has no sampler.
    pub fn halves_frames(&self, level: usize) -> bool {
        self.temperal_downsample.get(level).copied().unwrap_or(false)
    }

    /// How many times smaller the latents are than the picture, a side.
    pub fn downsampling(&self) -> usize {
        self.patch() << (self.dim_mult.len() - 1)
    }

    /// What the sides of a sample have to be multiples of for diffusers to encode it at all.
    pub(super) fn whole_sides(&self) -> usize {
        // The ways around levels take the mean of whole squares of pixels.
        if self.is_residual { self.downsampling() } else { self.patch() }
    }

    pub(super) fn validate(&self, fields: &Fields) -> Result<()> {
        for (name, channels) in [
            ("base_dim", self.base_dim),
            ("decoder_base_dim", self.decoder_base_dim.unwrap_or(self.base_dim)),
            ("z_dim", self.z_dim),
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("scale_factor_spatial", self.scale_factor_spatial),
        ] {
            fields.check_channels(name, channels)?;
        }
        for by in &self.dim_mult {
            fields.check_channels("dim_mult", *by)?;
        }
        fields.check_widths("dim_mult", &self.widths(), 1)?;
        fields.check_widths("dim_mult", &self.decoder_widths(), 1)?;
        if self.decoder_widths().contains(&1) {
            let problem =
                "expected 2 channels or more in each level of the decoder, which are halved";
            return Err(fields.bad("base_dim", problem));
        }
        fields.check_layers("num_res_blocks", self.num_res_blocks)?;
        if !self.attn_scales.is_empty() {
            let problem =
                format!("expected [], since diffusers cannot run it, found {:?}", self.attn_scales);
            return Err(fields.bad("attn_scales", problem));
        }
        let (samplers, found) = (self.dim_mult.len() - 1, self.temperal_downsample.len());
        if found != samplers {
            let problem =
                format!("expected {samplers} entries, one less than dim_mult has, found {found}");
            return Err(fields.bad("temperal_downsample", problem));
        }
        self.check_patch(fields)?;
        self.check_shortcuts(fields)?;
        for (name, list) in
            [("latents_mean", &self.latents_mean), ("latents_std", &self.latents_std)]
        {
            if list.len() != self.z_dim {
                let (expected, found) = (self.z_dim, list.len());
                let problem = format!("expected {expected} numbers, as z_dim says, found {found}");
                return Err(fields.bad(name, problem));
            }
            fields.check_statistics(name, list)?;
        }
        Ok(())
    }

    fn check_patch(&self, fields: &Fields) -> Result<()> {
        let patch = self.patch();
        if !(1..=8).contains(&patch) || !patch.is_power_of_two() {
            return Err(fields.bad("patch_size", format!("expected 1, 2, 4 or 8, found {patch}")));
        }
        for (name, channels) in
            [("in_channels", self.in_channels), ("out_channels", self.out_channels)]
        {
            let values = patch * patch;
            if !channels.is_multiple_of(values) {
                let problem = format!(
                    "expected a multiple of {values}, the values of a patch, found {channels}"
                );
                return Err(fields.bad(name, problem));
            }
        }
        Ok(())
    }

    /// Wan 2.2's shortcuts take the mean of whole groups of channels, and repeat whole channels.
    fn check_shortcuts(&self, fields: &Fields) -> Result<()> {
        if !self.is_residual {
            return Ok(());
        }
        let (widths, decoder) = (self.widths(), self.decoder_widths());
        let last = widths.len() - 1;
        let values = |level: usize, samples: bool| match (samples, self.halves_frames(level)) {
            (false, _) => 1,
            (true, false) => 4,
            (true, true) => 8,
        };
        let mut before = self.base_dim;
        for (level, &width) in widths.iter().enumerate() {
            if !(before * values(level, level < last)).is_multiple_of(width) {
                let problem = format!(
                    "level {level}: the {before} channels before it cannot be shared out among its {width}"
                );
                return Err(fields.bad("dim_mult", problem));
            }
            before = width;
        }
        let mut before = decoder[last];
        for level in 0..last {
            let width = decoder[last - level];
            let values = values(last - 1 - level, true);
            if !(width * values).is_multiple_of(before) {
                let problem = format!(
                    "level {level} of the decoder: its {before} channels cannot be shared out among {width}"
                );
                return Err(fields.bad("dim_mult", problem));
            }
            before = width;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Class, VaeConfig};
    use serde_json::{Value, json};

    fn read(fields: Value) -> vae_fidelity_files::Result<VaeConfig> {
        let mut text = json!({"_class_name": "AutoencoderKLWan"});
        text.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        VaeConfig::from_json(&text.to_string(), "config.json")
    }

    fn wan_22() -> Value {
        json!({
            "base_dim": 160, "decoder_base_dim": 256, "z_dim": 48, "in_channels": 12,
            "out_channels": 12, "patch_size": 2, "is_residual": true, "scale_factor_spatial": 16,
            "temperal_downsample": [false, true, true],
            "latents_mean": vec![0.0; 48], "latents_std": vec![1.0; 48], "clip_output": false,
        })
    }

    #[test]
    fn a_config_that_says_nothing_is_wan_2_1() {
        let config = read(json!({})).unwrap();
        assert_eq!(config.class(), Class::AutoencoderKLWan);
        assert_eq!((config.in_channels(), config.latent_channels()), (3, 16));
        assert_eq!((config.downsampling(), config.multiple_of()), (8, 8));
        assert_eq!(config.block_out_channels(), vec![96, 192, 384, 384]);
        assert_eq!(config.decoder_widths(), config.block_out_channels());
        assert_eq!(config.scaling_factor(), None);
        assert!(config.defaulted().contains(&"latents_mean"));
        assert!(!config.defaulted().contains(&"patch_size"));
    }

    #[test]
    fn wan_2_2_is_given_patches() {
        let config = read(wan_22()).unwrap();
        assert_eq!((config.in_channels(), config.out_channels()), (3, 3));
        assert_eq!((config.downsampling(), config.multiple_of()), (16, 16));
        assert_eq!(config.block_out_channels(), vec![160, 320, 640, 640]);
        assert_eq!(config.decoder_widths(), vec![256, 512, 1024, 1024]);
        assert_eq!(config.unknown(), ["clip_output"]);
    }

    #[test]
    fn what_diffusers_does_not_run_is_refused_by_the_field() {
        for (field, value, says) in [
            ("attn_scales", json!([1.0]), "attn_scales: expected []"),
            ("temperal_downsample", json!([true]), "expected 3 entries"),
            ("latents_mean", json!([0.0]), "expected 48 numbers"),
            ("latents_std", json!(vec![0.0; 48]), "numbers above 0"),
            ("patch_size", json!(3), "patch_size: expected 1, 2, 4 or 8"),
            ("in_channels", json!(3), "a multiple of 4"),
            ("dim_mult", json!([1, 3, 4, 5]), "cannot be shared out"),
            ("num_res_blocks", json!(0), "num_res_blocks"),
            ("scale_factor_spatial", json!(0), "scale_factor_spatial"),
        ] {
            let mut fields = wan_22();
            fields[field] = value;
            let error = read(fields).unwrap_err().to_string();
            assert!(error.contains(says), "{field}: {error}");
        }
    }
}
