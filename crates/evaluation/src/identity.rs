//! What a run is about: only runs of one identity may be put together, or gone on with.

use std::fmt;

use serde::{Deserialize, Serialize};
use vae_fidelity_files::error::Result;

use crate::protocol::Protocol;
use crate::sha256::short;

/// What computed the numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EngineRecord {
    /// Which implementation, such as `fast`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The kind of device, such as `cpu`.
    pub device: String,
    /// How values of the dtype come about, such as `f32`.
    pub arithmetic: String,
    /// The instructions that results depend on; `None` on this project's kernels, where they depend on none, and
    /// where libtorch chooses.
    pub instructions: Option<String>,
    /// How many threads, where their number changes results; `None` where it does not.
    pub threads: Option<usize>,
}

impl fmt::Display for EngineRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, version, device, arithmetic, instructions, threads } = self;
        write!(f, "{name} {version} on {device} in {arithmetic}")?;
        instructions.iter().try_for_each(|word| write!(f, ", {word}"))?;
        threads.iter().try_for_each(|count| write!(f, ", {count} threads"))
    }
}

/// The pictures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DataIdentity {
    /// How many.
    pub pictures: u64,
    /// SHA-256 of their names and lengths.
    pub sha256: String,
}

/// A VAE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ModelIdentity {
    /// What the user called it.
    pub source: String,
    /// SHA-256 of its file of weights; of several, of a list of theirs.
    pub weights_sha256: String,
    /// Its config, defaults filled in.
    pub config: serde_json::Value,
}

/// What results call the Fréchet inception distance.
pub const RFID: &str = "rfid";

/// The files of weights that a metric has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MetricWeights {
    /// The metric, such as `lpips_vgg`.
    pub metric: String,
    /// SHA-256 of each of its files.
    pub sha256: Vec<String>,
}

/// What a run is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Every choice.
    pub protocol: Protocol,
    /// What computes.
    pub engine: EngineRecord,
    /// The pictures.
    pub data: DataIdentity,
    /// The VAEs.
    pub models: Vec<ModelIdentity>,
    /// The files that metrics have.
    #[serde(default)]
    pub metric_weights: Vec<MetricWeights>,
    /// The instructions that SSIMULACRA 2 and Butteraugli are computed with, such as `avx2-fma`; `None` without them.
    #[serde(default)]
    pub metric_instructions: Option<String>,
}

impl Identity {
    /// Whether features are kept, for distances between sets.
    pub fn has_features(&self) -> bool {
        self.metric_weights.iter().any(|of| of.metric == RFID)
    }

    /// The protocol's hash, in which the engine is, and the SHA-256 of what rFID is held against, where that is not what
    /// went in: a result's, and not a run's, which can be summed up against one file and then another.
    ///
    /// # Errors
    ///
    /// As [`Protocol::hash`].
    pub fn protocol_hash(&self, reference_sha256: Option<&str>) -> Result<String> {
        let EngineRecord { name, version, device, arithmetic, instructions, threads } =
            &self.engine;
        let metrics = self.metric_instructions.as_deref().unwrap_or_default();
        let against = reference_sha256.map_or(String::new(), |of| format!("{of}\n"));
        self.protocol.hash(&format!(
            "{name}\n{version}\n{device}\n{arithmetic}\n{instructions:?}\n{threads:?}\n{metrics}\n{against}"
        ))
    }

    /// In what `other` is about something else: what it is, how it is here and there. A model's name may
    /// differ, its weights may not.
    pub fn difference(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let named = |protocol: &Protocol| (protocol.input, protocol.posterior);
        let of = |identity: &Self| {
            let name = &identity.protocol.name;
            format!("{name} ({})", identity.protocol_hash(None).unwrap_or_default())
        };
        let choices = (self.protocol.metrics, self.protocol.confidence);
        if self.engine != other.engine {
            return Some(("engine", self.engine.to_string(), other.engine.to_string()));
        }
        if named(&self.protocol) != named(&other.protocol)
            || choices != (other.protocol.metrics, other.protocol.confidence)
        {
            return Some(("protocol", of(self), of(other)));
        }
        if self.data != other.data {
            let data = |data: &DataIdentity| {
                format!("{} pictures ({})", data.pictures, short(&data.sha256))
            };
            return Some(("data set", data(&self.data), data(&other.data)));
        }
        if self.metric_instructions != other.metric_instructions {
            let named = |of: &Self| of.metric_instructions.clone().unwrap_or("none".to_owned());
            return Some(("metrics' instructions", named(self), named(other)));
        }
        if self.metric_weights != other.metric_weights {
            let metrics = |identity: &Self| match &identity.metric_weights[..] {
                [] => "none".to_owned(),
                all => {
                    let named = |of: &MetricWeights| {
                        let hashes: Vec<_> = of.sha256.iter().map(|sha256| short(sha256)).collect();
                        format!("{} ({})", of.metric, hashes.join(", "))
                    };
                    all.iter().map(named).collect::<Vec<_>>().join(", ")
                }
            };
            return Some(("metrics' weights", metrics(self), metrics(other)));
        }
        let weights = |identity: &Self| -> Vec<(String, serde_json::Value)> {
            let models = identity.models.iter();
            models.map(|model| (model.weights_sha256.clone(), model.config.clone())).collect()
        };
        (weights(self) != weights(other)).then(|| {
            let models = |identity: &Self| {
                let models = identity.models.iter();
                let named = |model: &ModelIdentity| {
                    format!("{} ({})", model.source, short(&model.weights_sha256))
                };
                models.map(named).collect::<Vec<_>>().join(", ")
            };
            ("models", models(self), models(other))
        })
    }
}
