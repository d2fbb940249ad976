//! JSON to [`AutoencoderKLConfig`]: diffusers' defaults, and bounds that no real VAE passes.

use std::fmt::Display;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::autoencoder_kl::{Activation, AutoencoderKLConfig, SampleSize};
use vae_fidelity_files::error::{Error, ErrorKind, Result};

/// Far above any published VAE; keeps a broken config from asking for terabytes.
const MAX_CHANNELS: usize = 16_384;
const MAX_LEVELS: usize = 8;
const MAX_LAYERS: usize = 64;

impl AutoencoderKLConfig {
    /// Reads the text of a `config.json`; `origin` names it in errors.
    ///
    /// Absent fields take diffusers' defaults and are listed in `defaulted`; fields that
    /// `AutoencoderKL` does not have are listed in `unknown`.
    ///
    /// # Errors
    ///
    /// Returns an error for invalid JSON, another `_class_name`, unknown block types, and values that no
    /// `AutoencoderKL` can have.
    pub fn from_json(text: &str, origin: &str) -> Result<Self> {
        let mut fields = Fields::parse(text, origin)?;
        fields.check_class()?;
        let down_block_types =
            fields.take("down_block_types", || vec!["DownEncoderBlock2D".to_owned()])?;
        let up_block_types =
            fields.take("up_block_types", || vec!["UpDecoderBlock2D".to_owned()])?;
        let mut config = Self {
            in_channels: fields.take("in_channels", || 3)?,
            out_channels: fields.take("out_channels", || 3)?,
            down_block_types,
            up_block_types,
            block_out_channels: fields.take("block_out_channels", || vec![64])?,
            layers_per_block: fields.take("layers_per_block", || 1)?,
            act_fn: fields.take_activation()?,
            latent_channels: fields.take("latent_channels", || 4)?,
            norm_num_groups: fields.take("norm_num_groups", || 32)?,
            sample_size: fields.take_sample_size()?,
            scaling_factor: fields.take("scaling_factor", || 0.18215)?,
            shift_factor: fields.take("shift_factor", || None)?,
            latents_mean: fields.take_per_channel("latents_mean")?,
            latents_std: fields.take_per_channel("latents_std")?,
            force_upcast: fields.take("force_upcast", || true)?,
            use_quant_conv: fields.take("use_quant_conv", || true)?,
            use_post_quant_conv: fields.take("use_post_quant_conv", || true)?,
            mid_block_add_attention: fields.take("mid_block_add_attention", || true)?,
            defaulted: Vec::new(),
            unknown: Vec::new(),
        };
        config.defaulted = std::mem::take(&mut fields.defaulted);
        config.unknown = fields.left_over();
        config.validate(&fields)?;
        Ok(config)
    }

    /// The class that the text of a `config.json` names, where it is another than `AutoencoderKL`.
    pub fn other_class(text: &str) -> Option<String> {
        let fields = Fields::parse(text, "").ok()?;
        let class = fields.other_class()?;
        Some(class.as_str().map_or_else(|| class.to_string(), str::to_owned))
    }

    fn validate(&self, fields: &Fields) -> Result<()> {
        let levels = self.block_out_channels.len();
        if !(1..=MAX_LEVELS).contains(&levels) {
            return Err(fields.bad(
                "block_out_channels",
                format!("expected 1 to {MAX_LEVELS} levels, found {levels}"),
            ));
        }
        let lists = [
            ("down_block_types", &self.down_block_types, "DownEncoderBlock2D"),
            ("up_block_types", &self.up_block_types, "UpDecoderBlock2D"),
        ];
        for (name, list, known) in lists {
            if list.len() != levels {
                return Err(fields.bad(
                    name,
                    format!(
                        "expected {levels} entries, as block_out_channels has, found {}",
                        list.len()
                    ),
                ));
            }
            if let Some(other) = list.iter().find(|block| *block != known) {
                return Err(fields
                    .bad(name, format!("block type {other} is not supported, only {known} is")));
            }
        }
        let widths = [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("latent_channels", self.latent_channels),
            ("norm_num_groups", self.norm_num_groups),
        ];
        let levels = self.block_out_channels.iter().map(|&width| ("block_out_channels", width));
        for (name, width) in widths.into_iter().chain(levels) {
            if !(1..=MAX_CHANNELS).contains(&width) {
                return Err(
                    fields.bad(name, format!("expected 1 to {MAX_CHANNELS}, found {width}"))
                );
            }
        }
        if !(1..=MAX_LAYERS).contains(&self.layers_per_block) {
            return Err(fields.bad(
                "layers_per_block",
                format!("expected 1 to {MAX_LAYERS}, found {}", self.layers_per_block),
            ));
        }
        let groups = self.norm_num_groups;
        if let Some(width) = self.block_out_channels.iter().find(|&&width| width % groups != 0) {
            return Err(fields.bad(
                "norm_num_groups",
                format!("expected a divisor of every width in block_out_channels, found {groups} beside {width}"),
            ));
        }
        // Latents are scaled in f32.
        let scaling = self.scaling_factor as f32;
        if !scaling.is_finite() || scaling == 0.0 {
            return Err(fields.bad(
                "scaling_factor",
                format!("expected a finite f32 other than 0, found {}", self.scaling_factor),
            ));
        }
        for (name, list) in
            [("latents_mean", &self.latents_mean), ("latents_std", &self.latents_std)]
        {
            let Some(list) = list else { continue };
            if list.len() != self.latent_channels {
                return Err(fields.bad(
                    name,
                    format!(
                        "expected {} values, one a latent channel, found {}",
                        self.latent_channels,
                        list.len()
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// The object of a `config.json`, from which fields are taken one by one.
struct Fields<'a> {
    origin: &'a str,
    map: Map<String, Value>,
    defaulted: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    fn parse(text: &str, origin: &'a str) -> Result<Self> {
        let value: Value = serde_json::from_str(text).map_err(|error| {
            Error::new(
                ErrorKind::Config,
                origin,
                format!("is not valid JSON: {error}"),
                "fetch the file again, or pass another with `config`",
            )
        })?;
        match value {
            Value::Object(map) => Ok(Self { origin, map, defaulted: Vec::new() }),
            other => Err(Error::new(
                ErrorKind::Config,
                origin,
                format!("expected a JSON object, found {}", kind_of(&other)),
                "pass the config.json of an AutoencoderKL",
            )),
        }
    }

    fn bad(&self, name: &str, problem: impl Display) -> Error {
        Error::new(
            ErrorKind::Config,
            self.origin,
            format!("{name}: {problem}"),
            "compare it with the config.json that the model's authors published",
        )
    }

    /// diffusers writes the class beside the fields; Flax checkpoints hold the same graph.
    fn check_class(&self) -> Result<()> {
        match self.other_class() {
            None => Ok(()),
            Some(other) => Err(Error::new(
                ErrorKind::Config,
                self.origin,
                format!("_class_name: expected \"AutoencoderKL\", found {other}"),
                "this tool runs AutoencoderKL only; point it at the vae/ folder of an image model",
            )),
        }
    }

    /// The class that the file names, where it is none that this crate runs.
    fn other_class(&self) -> Option<&Value> {
        let known = ["AutoencoderKL", "FlaxAutoencoderKL"];
        let class = self.map.get("_class_name")?;
        (!class.as_str().is_some_and(|name| known.contains(&name))).then_some(class)
    }

    fn take<T: DeserializeOwned>(
        &mut self,
        name: &'static str,
        default: impl FnOnce() -> T,
    ) -> Result<T> {
        let Some(value) = self.map.remove(name) else {
            self.defaulted.push(name);
            return Ok(default());
        };
        let found = value.to_string();
        serde_json::from_value(value)
            .map_err(|error| self.bad(name, format!("{error} (found {})", shortened(&found))))
    }

    fn take_activation(&mut self) -> Result<Activation> {
        let name: String = self.take("act_fn", || "silu".to_owned())?;
        match name.to_lowercase().as_str() {
            "silu" | "swish" => Ok(Activation::Silu),
            "mish" => Ok(Activation::Mish),
            "gelu" => Ok(Activation::Gelu),
            "relu" => Ok(Activation::Relu),
            _ => Err(self.bad(
                "act_fn",
                format!("expected silu, swish, mish, gelu or relu, found {name:?}"),
            )),
        }
    }

    fn take_sample_size(&mut self) -> Result<SampleSize> {
        if !matches!(self.map.get("sample_size"), Some(Value::Array(_))) {
            return Ok(SampleSize::Side(self.take("sample_size", || 32)?));
        }
        let (height, width) = self.take("sample_size", || (32, 32))?;
        Ok(SampleSize::Pair(height, width))
    }

    /// A list of numbers; diffusers' older configs nest it as (1, C, 1, 1).
    fn take_per_channel(&mut self, name: &'static str) -> Result<Option<Vec<f64>>> {
        fn flatten(value: &Value, into: &mut Vec<f64>) -> bool {
            match value {
                Value::Array(items) => items.iter().all(|item| flatten(item, into)),
                other => other.as_f64().map(|number| into.push(number)).is_some(),
            }
        }
        let value: Value = self.take(name, || Value::Null)?;
        if value.is_null() {
            return Ok(None);
        }
        let mut list = Vec::new();
        if !flatten(&value, &mut list) || !value.is_array() {
            return Err(self.bad(name, "expected a list of numbers"));
        }
        Ok(Some(list))
    }

    /// Names that no field claimed; those with a leading underscore are diffusers' own notes.
    fn left_over(&self) -> Vec<String> {
        self.map.keys().filter(|name| !name.starts_with('_')).cloned().collect()
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Family;

    const SD1: &str = r#"{"_class_name": "AutoencoderKL", "act_fn": "silu",
        "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "latent_channels": 4,
        "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
        "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"],
        "in_channels": 3, "out_channels": 3, "sample_size": 512, "shiny": 1}"#;

    fn problem(text: &str) -> String {
        let error = AutoencoderKLConfig::from_json(text, "config.json").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        error.to_string()
    }

    #[test]
    fn a_published_config_shows_what_was_defaulted_and_what_is_unknown() {
        let config = AutoencoderKLConfig::from_json(SD1, "config.json").unwrap();
        assert_eq!(config.downsampling(), 8);
        assert_eq!(config.scaling_factor, 0.18215);
        assert!(config.defaulted.contains(&"scaling_factor"));
        assert!(!config.defaulted.contains(&"latent_channels"));
        assert_eq!(config.unknown, ["shiny"]);
        assert_eq!(Family::of(&config), Family::Sd1);
    }

    #[test]
    fn what_no_autoencoder_kl_has_is_refused_by_name() {
        let with = |from: &str, to: &str| problem(&SD1.replace(from, to));
        assert!(with("\"AutoencoderKL\"", "\"AutoencoderKLWan\"").contains("AutoencoderKLWan"));
        assert!(with("\"UpDecoderBlock2D\"]", "\"AttnUpDecoderBlock2D\"]").contains("AttnUp"));
        assert!(with("512, 512]", "512]").contains("expected 3 entries"));
        assert!(with("[128, 256", "[100, 256").contains("norm_num_groups"));
        assert!(
            with("\"latent_channels\": 4", "\"latent_channels\": -4").contains("latent_channels")
        );
        assert!(with("\"latent_channels\": 4", "\"latent_channels\": 99999").contains("16384"));
        assert!(with("\"silu\"", "\"tanh\"").contains("tanh"));
        for beyond_f32 in ["0", "1e39", "-1e-46"] {
            let config = format!("{{\"scaling_factor\": {beyond_f32}}}");
            assert!(problem(&config).contains("finite f32 other than 0"), "{beyond_f32}");
        }
        assert!(problem("{").contains("not valid JSON"));
        assert!(problem("[]").contains("found a list"));
    }

    #[test]
    fn a_pair_and_nested_lists_are_read() {
        let text = SD1.replace(
            "512, \"shiny\": 1",
            "[256, 512], \"latents_mean\": [[[[1]], [[2]], [[3]], [[4.5]]]]",
        );
        let config = AutoencoderKLConfig::from_json(&text, "config.json").unwrap();
        assert_eq!(config.sample_size, SampleSize::Pair(256, 512));
        assert_eq!(config.latents_mean, Some(vec![1.0, 2.0, 3.0, 4.5]));
    }
}
