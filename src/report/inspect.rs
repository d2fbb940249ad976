//! What a checkpoint holds, and what differs between two: what `inspect` prints.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};

use super::json::{SCHEMA_VERSION, lossy, lossy_all, lossy_option};
use crate::checkpoint::CheckpointDifference;
use crate::checkpoint::{Contents, Origin, ResolvedConfig, TensorInfo, TensorSpec};
use crate::config::{Class, Family, VaeConfig};
use crate::diagnosis::{
    Finding, Measured, Misfit, Severity, by_what_to_mend_first, checkpoint_findings,
    defective_release,
};
use crate::error::Result;
use crate::inspection::hash;
use crate::metrics::{Moments, WeightStatistics};
use crate::verdict::Verdict;

/// One checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct InspectReport {
    /// Version of this layout: 1.
    pub schema_version: u32,
    /// Fails where a finding is an error.
    pub verdict: Verdict,
    /// Why it failed; empty for a pass.
    pub verdict_reasons: Vec<String>,
    /// `builtin`, the folder or file, or the hub's repository.
    pub source: String,
    /// The commit of a repository of a hub; `None` for all others.
    pub revision: Option<String>,
    /// The files of the weights.
    pub files: Vec<FileReport>,
    /// The config.
    pub config: ConfigReport,
    /// The family.
    pub family: FamilyReport,
    /// Number of values of all tensors of the VAE.
    pub parameters: usize,
    /// How many tensors and values each dtype stores.
    pub dtypes: BTreeMap<String, StoredAs>,
    /// How config and files fit.
    pub tensors: TensorsReport,
    /// All values that can be read, together.
    pub statistics: WeightStatistics,
    /// What was found.
    pub findings: Vec<Finding>,
    /// What a reader should know beside the numbers.
    pub notes: Vec<String>,
}

/// One file of weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct FileReport {
    /// Where it lies.
    #[serde(serialize_with = "lossy")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
}

/// A config, and where each of its values comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ConfigReport {
    /// Its file; `None` where there is none.
    #[serde(serialize_with = "lossy_option")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub path: Option<PathBuf>,
    /// Its fields; those that nothing settles are `null`.
    pub values: Map<String, Value>,
    /// Where each value comes from; fields that nothing settles are left out.
    pub from: BTreeMap<String, Origin>,
    /// The class of its fields; `None` where that is none that is run, or nothing is known.
    pub class: Option<Class>,
    /// Fields of the file that its class does not know.
    pub unknown: Vec<String>,
    /// The class, where it is none that is run, or another than the config's.
    pub other_class: Option<String>,
}

/// A family, and what tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct FamilyReport {
    /// Its name.
    pub name: Family,
    /// What tells it.
    pub why: String,
    /// Where only shapes are known: the families that have them.
    pub candidates: Vec<Family>,
}

/// How much is stored in one dtype.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct StoredAs {
    /// Tensors.
    pub tensors: usize,
    /// Their values.
    pub parameters: usize,
}

/// How config and files fit.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct TensorsReport {
    /// Tensors that the config asks for.
    pub expected: usize,
    /// Tensors of the VAE that the files have.
    pub found: usize,
    /// Tensors of other models in the same files.
    pub others: usize,
    /// Asked for, and not there.
    pub missing: Vec<TensorSpec>,
    /// There, and not asked for.
    pub unexpected: Vec<TensorInfo>,
    /// There in another shape.
    #[serde(rename = "misshapen")]
    pub shape_mismatches: Vec<ShapeMismatch>,
    /// Each tensor that is there.
    pub each: Vec<TensorReport>,
}

/// A tensor of another shape than the config asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ShapeMismatch {
    /// Its name.
    pub name: String,
    /// What the config asks for.
    pub expected: Vec<usize>,
    /// What is there.
    pub found: Vec<usize>,
}

/// One tensor, and its values in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct TensorReport {
    /// Name, shape and dtype.
    #[serde(flatten)]
    pub info: TensorInfo,
    /// Its values; `None` where they cannot be read.
    pub statistics: Option<WeightStatistics>,
}

impl InspectReport {
    /// Measures `contents`: reads every file twice, for its hash and for its values.
    ///
    /// # Errors
    ///
    /// Returns an error if a file cannot be read to its end.
    pub fn of(contents: &Contents) -> Result<Self> {
        let measured = Measured::all(contents);
        let misfit = Misfit::of(contents);
        let files = files(contents)?;
        let mut findings = checkpoint_findings(contents, &misfit, &measured);
        findings.extend(files.iter().filter_map(|file| defective_release(&file.sha256)));
        by_what_to_mend_first(&mut findings);
        let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
        let verdict_reasons: Vec<String> =
            errors.map(|finding| format!("{}: {}", finding.code, finding.title)).collect();
        let mut dtypes: BTreeMap<String, StoredAs> = BTreeMap::new();
        for tensor in &measured {
            let stored = dtypes.entry(tensor.info.dtype.clone()).or_default();
            stored.tensors += 1;
            stored.parameters += tensor.statistics.map_or(0, |statistics| statistics.values);
        }
        let mut all = Moments::default();
        measured.iter().for_each(|tensor| all.merge(tensor.moments(), 1.0));
        let (name, why) = contents.family();
        let candidates = match contents.resolved_config() {
            ResolvedConfig::Graph(_, families) => families.clone(),
            _ => Vec::new(),
        };
        let shape_mismatch = |(expected, info): (Vec<usize>, TensorInfo)| ShapeMismatch {
            name: info.name,
            expected,
            found: info.shape,
        };
        Ok(Self {
            schema_version: SCHEMA_VERSION,
            verdict: Verdict::from_reasons(&verdict_reasons),
            verdict_reasons,
            source: contents.source().to_string(),
            revision: contents.revision().map(str::to_owned),
            files,
            config: ConfigReport::of(contents),
            family: FamilyReport { name, why: why.to_owned(), candidates },
            parameters: all.statistics().values,
            dtypes,
            tensors: TensorsReport {
                expected: contents.expected().len(),
                found: measured.len(),
                others: contents.others().len(),
                missing: misfit.missing,
                unexpected: misfit.unexpected,
                shape_mismatches: misfit.misshapen.into_iter().map(shape_mismatch).collect(),
                each: measured
                    .into_iter()
                    .map(|Measured { info, statistics, .. }| TensorReport { info, statistics })
                    .collect(),
            },
            statistics: all.statistics(),
            findings,
            notes: contents.notes().to_vec(),
        })
    }
}

impl ConfigReport {
    fn of(contents: &Contents) -> Self {
        let from = contents.origins().clone();
        let values = contents.config().and_then(|config| serde_json::to_value(config).ok());
        let values = match values {
            Some(Value::Object(fields)) => fields
                .into_iter()
                .map(|(field, value)| {
                    let known = from.contains_key(&field);
                    (field, if known { value } else { Value::Null })
                })
                .collect(),
            _ => Map::new(),
        };
        Self {
            path: contents.config_file().map(Path::to_owned),
            values,
            class: contents.config().map(VaeConfig::class),
            unknown: contents.config().map(|config| config.unknown().to_vec()).unwrap_or_default(),
            other_class: match contents.resolved_config() {
                ResolvedConfig::OtherClass(class) => Some(class.clone()),
                _ => None,
            },
            from,
        }
    }
}

/// What two checkpoints hold, and how they differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct InspectDifference {
    /// Version of this layout: 1.
    pub schema_version: u32,
    /// Passes where both are identical: every tensor to the bit, and every field of the config.
    pub verdict: Verdict,
    /// Why it failed; empty for a pass.
    pub verdict_reasons: Vec<String>,
    /// The first source.
    pub a: String,
    /// The second source.
    pub b: String,
    /// The files of the first one's weights that were compared; none for the built-in VAE.
    #[serde(serialize_with = "lossy_all")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub files_a: Vec<PathBuf>,
    /// The same of the second.
    #[serde(serialize_with = "lossy_all")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub files_b: Vec<PathBuf>,
    /// The third source, of which B may be mixed; left out where none was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub c: Option<String>,
    /// What differs.
    #[serde(flatten)]
    pub difference: CheckpointDifference,
    /// What a reader should know beside the numbers.
    pub notes: Vec<String>,
}

impl InspectDifference {
    /// Holds `b` against `a`.
    pub fn of(a: &Contents, b: &Contents) -> Self {
        Self::beside(a, b, None)
    }

    /// The same, where `b` may be a mixture of `a` and `c`.
    pub fn beside(a: &Contents, b: &Contents, c: Option<&Contents>) -> Self {
        let mut difference = CheckpointDifference::of(a, b);
        if let Some(c) = c {
            difference = difference.beside(a, b, c);
        }
        let verdict_reasons = match difference.identical {
            true => Vec::new(),
            false => vec![difference.conclusion.clone()],
        };
        let notes = [("A", a), ("B", b)].into_iter().flat_map(|(name, contents)| {
            let damages = contents.damages().iter();
            let damages =
                damages.map(|damage| format!("{} {}", damage.path.display(), damage.problem));
            damages
                .chain(contents.notes().iter().cloned())
                .map(move |note| format!("{name}: {note}"))
        });
        let same = !a.files().is_empty() && a.files() == b.files();
        let same = same.then(|| "A and B are read from the same files".to_owned());
        Self {
            schema_version: SCHEMA_VERSION,
            verdict: Verdict::from_reasons(&verdict_reasons),
            verdict_reasons,
            a: a.source().to_string(),
            b: b.source().to_string(),
            files_a: a.files().to_vec(),
            files_b: b.files().to_vec(),
            c: c.map(|c| c.source().to_string()),
            notes: notes.chain(same).collect(),
            difference,
        }
    }
}

fn files(contents: &Contents) -> Result<Vec<FileReport>> {
    contents
        .files()
        .iter()
        .map(|path| {
            let (bytes, sha256) = hash(path)?;
            Ok(FileReport { path: path.clone(), bytes, sha256 })
        })
        .collect()
}
