//! What is known of a source's config and family, and from where.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::entry::Entry;
use super::shapes;
use super::source::Source;
use vae_fidelity_core::config::{Family, VaeConfig};
use vae_fidelity_files::error::Result;

/// Where the value of a config's field comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename_all = "lowercase"))]
pub enum Origin {
    /// The config file.
    File,
    /// The file leaves it out, and diffusers' default stands.
    Default,
    /// The shapes of the weights.
    Shapes,
    /// What the family published.
    Family,
    /// Every published family has it so, and no shape shows it.
    Assumed,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Default => "default",
            Self::Shapes => "shapes",
            Self::Family => "family",
            Self::Assumed => "assumed",
        })
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What is known of the config.
#[derive(Debug, Clone, PartialEq)]
pub enum ResolvedConfig {
    /// All of it.
    Config(VaeConfig),
    /// The graph, off the shapes; scaling and sample size are not known, and the families named
    /// differ in them. (The fields hold defaults that mean nothing.)
    Graph(VaeConfig, Vec<Family>),
    /// It is of another class, by this name.
    OtherClass(String),
    /// Nothing, since the files are damaged and there is no config.
    Nothing,
}

impl ResolvedConfig {
    /// What the JSON of `origin` says, with what `family` supplies.
    pub(super) fn of_text(text: &str, origin: &str, family: Option<Family>) -> Result<Self> {
        if let Some(class) = VaeConfig::other_class(text) {
            return Ok(Self::OtherClass(class));
        }
        Ok(Self::Config(with_family(VaeConfig::from_json(text, origin)?, family)?))
    }

    /// What the shapes of `vae` show, with what `family` supplies.
    pub(super) fn from_shapes(
        vae: &BTreeMap<String, Entry>,
        others: &BTreeMap<String, Entry>,
        family: Option<Family>,
        origin: &Path,
        notes: &mut Vec<String>,
    ) -> Result<Self> {
        match shapes::config(vae, others, family, origin) {
            Ok((config, note)) => {
                notes.push(note);
                Ok(Self::Config(config))
            }
            Err(error) if family.is_some() => Err(error),
            Err(_) => {
                let graph = shapes::graph(vae, origin)?;
                let families = Family::with_graph_of(&graph);
                Ok(Self::Graph(graph, families))
            }
        }
    }

    /// The config, or what shapes show of it.
    pub(super) fn config(&self) -> Option<&VaeConfig> {
        match self {
            Self::Config(config) | Self::Graph(config, _) => Some(config),
            Self::OtherClass(_) | Self::Nothing => None,
        }
    }

    /// Where each field's value comes from; fields of which nothing is known are left out.
    pub(super) fn origins(
        &self,
        source: &Source,
        has_file: bool,
        family_asked: bool,
    ) -> BTreeMap<String, Origin> {
        let Some(config) = self.config() else { return BTreeMap::new() };
        let Ok(Value::Object(fields)) = serde_json::to_value(config) else {
            return BTreeMap::new();
        };
        let has_file = has_file || source.brings_config();
        let origin = |field: &str| {
            let supplied = Family::SUPPLIED.contains(&field);
            let assumed = ["act_fn", "norm_num_groups"].contains(&field);
            Some(match (has_file, self) {
                _ if supplied && family_asked => Origin::Family,
                (true, _) if config.defaulted().contains(&field) => Origin::Default,
                (true, _) => Origin::File,
                (false, Self::Graph(..)) if supplied => return None,
                _ if supplied => Origin::Family,
                (_, Self::Graph(_, families)) if assumed && families.is_empty() => {
                    return None;
                }
                _ if assumed => Origin::Assumed,
                _ => Origin::Shapes,
            })
        };
        fields.keys().filter_map(|field| Some((field.clone(), origin(field)?))).collect()
    }

    /// The family, and what tells it: `notes` end in what the shapes told.
    pub(super) fn family(
        &self,
        source: &Source,
        has_file: bool,
        notes: &[String],
        asked: Option<Family>,
    ) -> (Family, String) {
        if let Some(family) = asked {
            return (family, "as `family` says".to_owned());
        }
        match self {
            _ if *source == Source::Builtin => (Family::Builtin, "it is built in".to_owned()),
            Self::Config(config) => {
                let family = Family::of(config);
                let mut what = format!(
                    "{} latent channels, widths {:?}",
                    config.latent_channels(),
                    config.block_out_channels()
                );
                what += &match config.scaling_factor() {
                    Some(factor) => format!(", scaling_factor {factor}"),
                    None => format!(", the class {}", config.class().name()),
                };
                let why = match (family, has_file) {
                    (Family::Unknown, _) => format!("no published family has {what}"),
                    (_, true) => format!("its config has {what}"),
                    (_, false) => notes.last().cloned().unwrap_or(what),
                };
                (family, why)
            }
            Self::Graph(_, families) if families.is_empty() => {
                (Family::Unknown, "no config, and no published family has its shapes".to_owned())
            }
            Self::Graph(_, families) => {
                let names: Vec<String> = families.iter().map(Family::to_string).collect();
                let names = names.join(", ");
                (Family::Unknown, format!("no config; its shapes are those of {names}"))
            }
            Self::OtherClass(class) => (Family::Unknown, format!("its class is {class}")),
            Self::Nothing => (Family::Unknown, "nothing could be read".to_owned()),
        }
    }
}

/// `config`, with what `family` supplies.
pub(super) fn with_family(config: VaeConfig, family: Option<Family>) -> Result<VaeConfig> {
    match family {
        Some(family) => family.apply(config),
        None => Ok(config),
    }
}
