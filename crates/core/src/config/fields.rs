//! The fields of a `config.json`, taken one by one, with bounds that no real VAE passes.

use std::fmt::Display;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::autoencoder_kl::{Activation, SampleSize};
use super::class::Class;
use crate::json_problem;
use vae_fidelity_files::error::{Error, ErrorKind, Result};

/// Far above any published VAE; keeps a broken config from asking for terabytes.
const MAX_CHANNELS: usize = 16_384;
const MAX_LEVELS: usize = 8;
const MAX_LAYERS: usize = 64;

/// The object of a `config.json`, from which fields are taken one by one.
pub(super) struct Fields<'a> {
    origin: &'a str,
    map: Map<String, Value>,
    pub defaulted: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    pub fn parse(text: &str, origin: &'a str) -> Result<Self> {
        let value: Value = serde_json::from_str(text).map_err(|error| {
            Error::new(
                ErrorKind::Config,
                origin,
                json_problem::of(&error),
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

    pub fn bad(&self, name: &str, problem: impl Display) -> Error {
        Error::new(
            ErrorKind::Config,
            self.origin,
            format!("{name}: {problem}"),
            "compare it with the config.json that the model's authors published",
        )
    }

    /// The class that the file names; `None` where it names none. The error is the name of one that is
    /// not run.
    pub fn class(&self) -> std::result::Result<Option<Class>, String> {
        let Some(found) = self.map.get("_class_name") else { return Ok(None) };
        let class = found.as_str().and_then(Class::of_name);
        class
            .map(Some)
            .ok_or_else(|| found.as_str().map_or_else(|| found.to_string(), str::to_owned))
    }

    /// Fails where the file names a class that is not among `wanted`; naming none, it is of the first.
    pub fn check_class(&self, wanted: &[Class]) -> Result<Class> {
        let found = match self.class() {
            Ok(None) => return Ok(wanted[0]),
            Ok(Some(class)) if wanted.contains(&class) => return Ok(class),
            Ok(Some(class)) => class.name().to_owned(),
            Err(other) => other,
        };
        let names: Vec<String> = wanted.iter().map(|class| format!("{:?}", class.name())).collect();
        Err(Error::new(
            ErrorKind::Config,
            self.origin,
            format!("_class_name: expected {}, found {found:?}", names.join(" or ")),
            format!(
                "this tool runs {}; point it at the vae/ folder of an image model with one of these",
                Class::names()
            ),
        ))
    }

    pub fn take<T: DeserializeOwned>(
        &mut self,
        name: &'static str,
        default: impl FnOnce() -> T,
    ) -> Result<T> {
        let Some(value) = self.map.remove(name) else {
            self.defaulted.push(name);
            return Ok(default());
        };
        let found = value.to_string();
        serde_json::from_value(value).map_err(|error| {
            self.bad(name, format!("{} (found {})", json_problem::of(&error), shortened(&found)))
        })
    }

    /// `act_fn`, of which `default` is the class's.
    pub fn take_activation(&mut self, default: &str) -> Result<Activation> {
        let name: String = self.take("act_fn", || default.to_owned())?;
        self.activation("act_fn", &name)
    }

    /// The activation that `field` calls `name`.
    pub fn activation(&self, field: &str, name: &str) -> Result<Activation> {
        match name.to_lowercase().as_str() {
            "silu" | "swish" => Ok(Activation::Silu),
            "mish" => Ok(Activation::Mish),
            "gelu" => Ok(Activation::Gelu),
            "relu" => Ok(Activation::Relu),
            _ => Err(self.bad(
                field,
                format!("expected silu, swish, mish, gelu or relu, found {:?}", shortened(name)),
            )),
        }
    }

    /// `sample_size`, of which `default` is the class's.
    pub fn take_sample_size(&mut self, default: usize) -> Result<SampleSize> {
        if !matches!(self.map.get("sample_size"), Some(Value::Array(_))) {
            return Ok(SampleSize::Side(self.take("sample_size", || default)?));
        }
        let (height, width) = self.take("sample_size", || (default, default))?;
        Ok(SampleSize::Pair(height, width))
    }

    /// A list of numbers; diffusers' older configs nest it as (1, C, 1, 1).
    pub fn take_per_channel(&mut self, name: &'static str) -> Result<Option<Vec<f64>>> {
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

    /// Fails unless there are as many block types as `widths`, a field and its levels, all of them `known`.
    pub fn check_blocks(
        &self,
        name: &str,
        types: &[String],
        (widths, levels): (&str, usize),
        known: &str,
    ) -> Result<()> {
        if types.len() != levels {
            return Err(self.bad(
                name,
                format!("expected {levels} entries, as {widths} has, found {}", types.len()),
            ));
        }
        match types.iter().find(|block| *block != known) {
            None => Ok(()),
            Some(other) => {
                let other = shortened(other);
                Err(self.bad(name, format!("block type {other} is not supported, only {known} is")))
            }
        }
    }

    /// Fails unless the numbers of channels, one for each level, are ones that a VAE can have.
    pub fn check_widths(&self, name: &str, widths: &[usize], groups: usize) -> Result<()> {
        let levels = widths.len();
        if !(1..=MAX_LEVELS).contains(&levels) {
            return Err(
                self.bad(name, format!("expected 1 to {MAX_LEVELS} levels, found {levels}"))
            );
        }
        widths.iter().try_for_each(|&width| self.check_channels(name, width))?;
        match widths.iter().find(|&&width| width % groups != 0) {
            None => Ok(()),
            Some(width) => Err(self.bad(
                "norm_num_groups",
                format!(
                    "expected a divisor of every width in {name}, found {groups} beside {width}"
                ),
            )),
        }
    }

    /// Fails unless `channels` is a number that a VAE can have.
    pub fn check_channels(&self, name: &str, channels: usize) -> Result<()> {
        match (1..=MAX_CHANNELS).contains(&channels) {
            true => Ok(()),
            false => Err(self.bad(name, format!("expected 1 to {MAX_CHANNELS}, found {channels}"))),
        }
    }

    /// Fails unless `layers` is a number that a VAE can have.
    pub fn check_layers(&self, name: &str, layers: usize) -> Result<()> {
        match (1..=MAX_LAYERS).contains(&layers) {
            true => Ok(()),
            false => Err(self.bad(name, format!("expected 1 to {MAX_LAYERS}, found {layers}"))),
        }
    }

    /// Fails unless latents, which are scaled in f32, can be multiplied and divided by `factor`.
    pub fn check_scaling_factor(&self, factor: f64) -> Result<()> {
        let scaling = factor as f32;
        match scaling.is_finite() && scaling.recip().is_finite() {
            true => Ok(()),
            false => Err(self.bad(
                "scaling_factor",
                format!("expected a finite f32 other than 0, found {factor}"),
            )),
        }
    }

    /// Fails unless latents, which are normalised in f32, can be moved by `latents_mean` and divided by
    /// `latents_std`, whichever `name` says that `numbers` are.
    pub fn check_statistics(&self, name: &str, numbers: &[f64]) -> Result<()> {
        let is_std = name == "latents_std";
        let usable = |number: f32| number.is_finite() && (!is_std || number >= f32::MIN_POSITIVE);
        match numbers.iter().find(|&&number| !usable(number as f32)) {
            None => Ok(()),
            Some(found) => {
                let wanted = if is_std { "numbers above 0" } else { "finite numbers" };
                Err(self.bad(name, format!("expected {wanted} of f32, found {found}")))
            }
        }
    }

    /// Fails unless `blocks` is a number that a level of a VAE can have; it may have none.
    pub fn check_blocks_in_level(&self, name: &str, blocks: usize) -> Result<()> {
        match blocks <= MAX_LAYERS {
            true => Ok(()),
            false => Err(self.bad(name, format!("expected at most {MAX_LAYERS}, found {blocks}"))),
        }
    }

    /// Names that no field claimed; those with a leading underscore are diffusers' own notes.
    pub fn left_over(&self) -> Vec<String> {
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
