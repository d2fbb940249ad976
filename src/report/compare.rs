//! What `compare` has to say of two files.

use std::path::PathBuf;

use serde::Serialize;

use super::json::lossy;
use crate::ElementType;
use crate::golden::Tolerance;
use crate::metrics::{PixelMetrics, TensorMetrics};
use crate::verdict::{Thresholds, Verdict};

/// Two files beside each other: what `compare` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CompareReport {
    /// Version of this layout: 1.
    pub schema_version: u32,
    /// Pass where all is identical, or within what was asked.
    pub verdict: Verdict,
    /// Why it failed; empty for a pass.
    pub verdict_reasons: Vec<String>,
    /// The file that is judged.
    #[serde(serialize_with = "lossy")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub a: PathBuf,
    /// The file it is held against.
    #[serde(serialize_with = "lossy")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub b: PathBuf,
    /// What the files hold.
    #[serde(flatten)]
    pub compared: Compared,
    /// What a reader should know beside the numbers.
    pub notes: Vec<String>,
}

/// What was compared, by kind of file.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Compared {
    /// Two pictures.
    Images {
        /// Width and height of each.
        sizes: [[usize; 2]; 2],
        /// `None` where the sizes differ.
        metrics: Option<PixelMetrics>,
        /// What the user asked for.
        thresholds: Thresholds,
    },
    /// Two files of tensors.
    Tensors {
        /// Tensors of both files, by name.
        tensors: Vec<ComparedTensor>,
        /// What the user asked for; `None` asks for identity.
        tolerance: Option<Tolerance>,
    },
}

/// One tensor in two files.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ComparedTensor {
    /// Its name; `None` where the files do not name it, or not alike.
    pub name: Option<String>,
    /// Its shape in each file; `None` where it is missing.
    pub shapes: [Option<Vec<usize>>; 2],
    /// How each file stores it; `None` where it is missing.
    pub dtypes: [Option<ElementType>; 2],
    /// `None` where it is missing in one, or shapes differ.
    pub metrics: Option<TensorMetrics>,
    /// Values outside the tolerance; `None` without one.
    pub outside_tolerance: Option<usize>,
}
