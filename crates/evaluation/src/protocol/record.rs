//! A protocol as a TOML file has it.

use std::path::Path;

use serde::{Deserialize, Serialize};
use vae_fidelity_files::error::{Error, ErrorKind, Result};
use vae_fidelity_files::input::read_text;

use super::choices::{Confidence, FilterChoice, Input, Metrics, Posterior, Resize, RfidChoice};
use super::published;
use crate::sha256::sha256;

/// Every choice that changes a number, with a name.
///
/// ```
/// use vae_fidelity_evaluation::Protocol;
/// let protocol = Protocol::named("llamagen")?;
/// assert_eq!(protocol.input.size, 256);
/// assert_eq!(protocol.metrics.ssim.range, 2.0);
/// assert_eq!(Protocol::from_toml(&protocol.to_toml()?, "llamagen")?, protocol);
/// # Ok::<(), vae_fidelity_files::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// What it is called; no part of the hash.
    pub name: String,
    /// Whose it is, and where it was read; no part of the hash.
    pub source: String,
    /// From a picture's file to the encoder's sample.
    pub input: Input,
    /// Which latents stand for the posterior.
    pub posterior: Posterior,
    /// From the decoded sample to numbers.
    pub metrics: Metrics,
    /// How intervals are drawn.
    pub confidence: Confidence,
}

impl Protocol {
    /// The built-in protocol `name`, else the TOML file at that path.
    ///
    /// # Errors
    ///
    /// When it is neither, and as [`Self::from_toml`].
    pub fn named(name: &str) -> Result<Self> {
        if let Some(text) = published::text(name) {
            return Self::from_toml(text, name);
        }
        let path = Path::new(name);
        if !path.exists() {
            return Err(Error::option(
                format!("`protocol` {name}"),
                format!("expected one of {}, or a file", published::NAMES.join(", ")),
                "give a name, or the path of a TOML file",
            ));
        }
        let text = read_text(path).map_err(|problem| {
            Error::new(ErrorKind::Option, name, problem, "give a protocol as a TOML file")
        })?;
        Self::from_toml(&text, name)
    }

    /// Reads a protocol; errors call it `origin`.
    ///
    /// # Errors
    ///
    /// When a choice is missing, unknown, or does not go with another.
    pub fn from_toml(text: &str, origin: &str) -> Result<Self> {
        // toml's messages have the line, drawn over several.
        let protocol: Self =
            toml::from_str(text).map_err(|error| refused(origin, error.message().to_owned()))?;
        protocol.check(origin)?;
        Ok(protocol)
    }

    /// Whether its choices go together; errors call it `origin`.
    ///
    /// # Errors
    ///
    /// When one means nothing, or does not go with another.
    pub fn check(&self, origin: &str) -> Result<()> {
        match self.contradiction() {
            Some(problem) => Err(refused(origin, problem)),
            None => Ok(()),
        }
    }

    fn contradiction(&self) -> Option<String> {
        let Self { input, metrics, confidence, .. } = self;
        if input.size == 0 {
            return Some("input.size: expected at least 1, found 0".to_owned());
        }
        if input.resize == Resize::ShortSideTensor && input.filter != FilterChoice::Bilinear {
            return Some("input.filter: short-side-tensor is bilinear only".to_owned());
        }
        if metrics.rfid == RfidChoice::None && (metrics.kid || metrics.precision_recall) {
            let problem = "metrics.rfid: kid and precision-recall are of its features, found none";
            return Some(problem.to_owned());
        }
        let range = metrics.ssim.range;
        if !(range.is_finite() && range > 0.0) {
            return Some(format!("metrics.ssim.range: expected more than 0, found {range}"));
        }
        if !(1..=1_000_000).contains(&confidence.resamples) {
            let found = confidence.resamples;
            return Some(format!("confidence.resamples: expected 1 to 1000000, found {found}"));
        }
        let level = confidence.level;
        (!(level > 0.0 && level < 1.0))
            .then(|| format!("confidence.level: expected between 0 and 1, found {level}"))
    }

    /// The protocol as a TOML file that [`Self::from_toml`] reads.
    ///
    /// # Errors
    ///
    /// Never, unless TOML changes.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string_pretty(self).map_err(|error| {
            Error::new(ErrorKind::Output, "the protocol", error, "please report this as a bug")
        })
    }

    /// SHA-256 of the choices alone, and of `beside`: what else decides the numbers.
    ///
    /// # Errors
    ///
    /// As [`Self::to_toml`].
    pub fn hash(&self, beside: &str) -> Result<String> {
        let choices = Self { name: String::new(), source: String::new(), ..self.clone() };
        let text = format!("{}\n{beside}", choices.to_toml()?);
        Ok(sha256(text.as_bytes()))
    }
}

fn refused(origin: &str, problem: String) -> Error {
    let next = "begin with the protocol.toml that `evaluate` leaves in its folder";
    Error::new(ErrorKind::Option, origin, problem, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_protocol_is_whole_and_has_its_name() {
        for name in published::NAMES {
            let protocol = Protocol::named(name).unwrap();
            assert_eq!(protocol.name, name);
        }
    }

    #[test]
    fn the_hash_is_of_the_choices_and_not_of_the_name() {
        let protocol = Protocol::named("vae-fidelity").unwrap();
        let renamed = Protocol { name: "mine".to_owned(), ..protocol.clone() };
        assert_eq!(protocol.hash("").unwrap(), renamed.hash("").unwrap());
        assert_ne!(protocol.hash("").unwrap(), protocol.hash("avx").unwrap());
        let mut other = protocol.clone();
        other.metrics.ssim.range = 2.0;
        assert_ne!(protocol.hash("").unwrap(), other.hash("").unwrap());
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        let text = Protocol::named("llamagen").unwrap().to_toml().unwrap();
        let without = text.replace("window = \"uniform-7\"\n", "");
        assert!(Protocol::from_toml(&without, "x").unwrap_err().to_string().contains("window"));
        let with = text.replace("[posterior]", "[posterior]\nnoise = 1");
        assert!(Protocol::from_toml(&with, "x").unwrap_err().to_string().contains("noise"));
        let tensor = text.replace("resize = \"adm\"", "resize = \"short-side-tensor\"");
        assert!(Protocol::from_toml(&tensor, "x").unwrap_err().to_string().contains("bilinear"));
        let text = Protocol::named("torch-fidelity").unwrap().to_toml().unwrap();
        let without = text.replace("rfid = \"torch-fidelity\"", "rfid = \"none\"");
        assert!(Protocol::from_toml(&without, "x").unwrap_err().to_string().contains("features"));
    }
}
