//! The config of an `AutoencoderKLHunyuanImage`.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::fields::Fields;
use vae_fidelity_files::error::Result;

/// Groups of every `GroupNorm` of the class, which no field says.
const NORM_NUM_GROUPS: usize = 32;

/// The fields of diffusers' `AutoencoderKLHunyuanImage.__init__`
/// (`models/autoencoders/autoencoder_kl_hunyuanimage.py`, diffusers 0.42.1), validated as
/// [`super::AutoencoderKLConfig`] is. The first seven have no default there, and are asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AutoencoderKLHunyuanImageConfig {
    /// Channels of the input picture.
    pub in_channels: usize,
    /// Channels of the decoded picture.
    pub out_channels: usize,
    /// Channels of the latents.
    pub latent_channels: usize,
    /// Channels of each level, from the picture inwards; multiples of 32, the groups of every norm.
    pub block_out_channels: Vec<usize>,
    /// Resnets in a level of the encoder; the decoder has one more.
    pub layers_per_block: usize,
    /// How many times smaller the latents are than the picture, a side: a power of two. As many levels as it
    /// has doublings halve the picture, those at the picture in the encoder and those at the latents in the
    /// decoder.
    pub spatial_compression_ratio: usize,
    /// Side that the model was made for; sets diffusers' tile size.
    pub sample_size: usize,
    /// What latents are multiplied by before diffusion; 1 where the file has none, with which diffusers' own
    /// pipeline fails.
    pub scaling_factor: f64,
    /// Whether what halves the picture makes the next level's channels; diffusers runs a model without that
    /// only where all levels have the same.
    pub downsample_match_channel: bool,
    /// The same of what doubles it.
    pub upsample_match_channel: bool,
    /// Fields the file left out, so that diffusers' default stands.
    #[serde(skip)]
    pub defaulted: Vec<&'static str>,
    /// Fields that the class does not know; diffusers ignores them too.
    #[serde(skip)]
    pub unknown: Vec<String>,
}

impl AutoencoderKLHunyuanImageConfig {
    /// Takes the class's fields, whichever class the file names.
    pub(super) fn from_fields(mut fields: Fields) -> Result<Self> {
        let mut config = Self {
            in_channels: fields.take_required("in_channels")?,
            out_channels: fields.take_required("out_channels")?,
            latent_channels: fields.take_required("latent_channels")?,
            block_out_channels: fields.take_required("block_out_channels")?,
            layers_per_block: fields.take_required("layers_per_block")?,
            spatial_compression_ratio: fields.take_required("spatial_compression_ratio")?,
            sample_size: fields.take_required("sample_size")?,
            scaling_factor: fields.take("scaling_factor", || None)?.unwrap_or(1.0),
            downsample_match_channel: fields.take("downsample_match_channel", || true)?,
            upsample_match_channel: fields.take("upsample_match_channel", || true)?,
            defaulted: Vec::new(),
            unknown: Vec::new(),
        };
        config.defaulted = std::mem::take(&mut fields.defaulted);
        config.unknown = fields.left_over();
        config.validate(&fields)?;
        Ok(config)
    }

    fn validate(&self, fields: &Fields) -> Result<()> {
        for (name, channels) in [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("latent_channels", self.latent_channels),
        ] {
            fields.check_channels(name, channels)?;
        }
        let (name, widths) = ("block_out_channels", &self.block_out_channels);
        fields.check_widths(name, widths, 1)?;
        if let Some(width) = widths.iter().find(|width| !width.is_multiple_of(NORM_NUM_GROUPS)) {
            let problem = format!(
                "expected multiples of {NORM_NUM_GROUPS}, the groups of every norm, found {width}"
            );
            return Err(fields.bad(name, problem));
        }
        fields.check_blocks_in_level("layers_per_block", self.layers_per_block)?;
        fields.check_scaling_factor(self.scaling_factor)?;
        let (ratio, most) = (self.spatial_compression_ratio, 1 << (widths.len() - 1));
        if !ratio.is_power_of_two() || ratio > most {
            let problem = format!(
                "expected a power of two up to {most}, as {} levels have it, found {ratio}",
                widths.len()
            );
            return Err(fields.bad("spatial_compression_ratio", problem));
        }
        let (last, twice) = (widths[widths.len() - 1], 2 * self.latent_channels);
        if !last.is_multiple_of(twice) {
            let problem = format!(
                "{last} channels cannot be shared out among mean and logvar of {}",
                self.latent_channels
            );
            return Err(fields.bad("latent_channels", problem));
        }
        widths
            .windows(2)
            .enumerate()
            .try_for_each(|(level, pair)| self.check_step(fields, level, (pair[0], pair[1])))
    }

    /// Whether diffusers can go from `level` to the next one, of `widths` from the picture inwards, and back.
    fn check_step(
        &self,
        fields: &Fields,
        level: usize,
        (outer, inner): (usize, usize),
    ) -> Result<()> {
        let name = "block_out_channels";
        if outer == inner {
            return Ok(());
        }
        for (field, matches) in [
            ("downsample_match_channel", self.downsample_match_channel),
            ("upsample_match_channel", self.upsample_match_channel),
        ] {
            if !matches {
                let problem = format!(
                    "expected true, found false beside levels of {outer} and {inner} channels: \
                     diffusers itself fails to run such a model"
                );
                return Err(fields.bad(field, problem));
            }
        }
        if !(self.halves_after(level) && self.doubles_before(level)) {
            let problem = format!(
                "expected the same width where no level halves the picture \
                 (spatial_compression_ratio {}), found {outer} and {inner}: diffusers itself fails to \
                 run such a model",
                self.spatial_compression_ratio
            );
            return Err(fields.bad(name, problem));
        }
        if !(4 * outer).is_multiple_of(inner) {
            // Shortcuts take the mean of whole groups of channels, and repeat whole ones.
            let problem =
                format!("{outer} channels of 2 x 2 pixels cannot be shared out among {inner}");
            return Err(fields.bad(name, problem));
        }
        Ok(())
    }

    /// How often a side is halved.
    fn halvings(&self) -> usize {
        self.spatial_compression_ratio.ilog2() as usize
    }

    /// Whether the encoder halves the picture behind `level`, counted from the picture.
    pub(crate) fn halves_after(&self, level: usize) -> bool {
        level < self.halvings() && level + 1 < self.block_out_channels.len()
    }

    /// Whether the decoder doubles it before `level`, counted from the picture too.
    pub(crate) fn doubles_before(&self, level: usize) -> bool {
        let levels = self.block_out_channels.len();
        level + 1 < levels && levels - 2 - level < self.halvings()
    }
}

impl Fields<'_> {
    /// A field that diffusers has no default for.
    fn take_required<T: DeserializeOwned>(&mut self, name: &'static str) -> Result<T> {
        let found: Option<T> = self.take(name, || None)?;
        found.ok_or_else(|| {
            self.bad(name, "expected it, since diffusers has no default for it, found none")
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Class, VaeConfig};
    use serde_json::{Value, json};

    fn read(fields: Value) -> vae_fidelity_files::Result<VaeConfig> {
        let mut text = json!({
            "_class_name": "AutoencoderKLHunyuanImage", "in_channels": 3, "out_channels": 3,
            "latent_channels": 8, "block_out_channels": [32, 64, 64], "layers_per_block": 1,
            "spatial_compression_ratio": 4, "sample_size": 64,
        });
        text.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        VaeConfig::from_json(&text.to_string(), "config.json")
    }

    #[test]
    fn what_the_file_leaves_out_is_diffusers_default() {
        let config = read(json!({})).unwrap();
        assert_eq!(config.class(), Class::AutoencoderKLHunyuanImage);
        assert_eq!((config.downsampling(), config.multiple_of()), (4, 8));
        assert_eq!(config.scaling_factor(), Some(1.0));
        assert!(config.has_posterior());
        let left_out = ["scaling_factor", "downsample_match_channel", "upsample_match_channel"];
        assert_eq!(config.defaulted(), left_out);
        let given = read(json!({"scaling_factor": 0.75289})).unwrap();
        assert_eq!(given.scaling_factor(), Some(0.75289));
        assert_eq!(read(json!({"scaling_factor": null})).unwrap().scaling_factor(), Some(1.0));
    }

    #[test]
    fn levels_that_keep_the_size_are_those_that_diffusers_runs() {
        // Two levels at the latents keep it in the encoder, and two at the picture in the decoder.
        let config = json!({"block_out_channels": [32, 32, 32], "spatial_compression_ratio": 2});
        let VaeConfig::AutoencoderKLHunyuanImage(config) = read(config).unwrap() else { panic!() };
        let of = |count: usize| [count == 1, count == 2];
        assert_eq!([0, 1].map(|level| config.halves_after(level)), of(1));
        assert_eq!([0, 1].map(|level| config.doubles_before(level)), of(2));
        let flags = json!({"block_out_channels": [32, 32], "downsample_match_channel": false,
                   "spatial_compression_ratio": 2});
        assert!(read(flags).is_ok(), "nothing is matched where all levels have the same channels");
    }

    #[test]
    fn what_diffusers_does_not_run_is_refused_by_the_field() {
        for (field, value, says) in [
            (
                "sample_size",
                json!(null),
                "sample_size: expected it, since diffusers has no default",
            ),
            ("downsample_match_channel", json!(false), "downsample_match_channel: expected true"),
            ("upsample_match_channel", json!(false), "upsample_match_channel: expected true"),
            ("spatial_compression_ratio", json!(2), "block_out_channels: expected the same width"),
            ("spatial_compression_ratio", json!(8), "expected a power of two up to 4"),
            ("spatial_compression_ratio", json!(3), "expected a power of two"),
            ("spatial_compression_ratio", json!(0), "expected a power of two"),
            ("block_out_channels", json!([32, 48, 64]), "expected multiples of 32"),
            ("block_out_channels", json!([32, 96, 96]), "cannot be shared out among 96"),
            ("block_out_channels", json!([32, 256, 256]), "cannot be shared out among 256"),
            ("latent_channels", json!(24), "mean and logvar of 24"),
            ("scaling_factor", json!(0.0), "scaling_factor"),
            ("layers_per_block", json!(1000), "layers_per_block"),
        ] {
            let error = read(json!({field: value})).unwrap_err().to_string();
            assert!(error.contains(says), "{field}: {error}");
        }
    }
}
