//! One of two evaluations.

use super::report::ResultName;
use crate::data::DataSet;
use crate::identity::EngineRecord;
use crate::model::Model;
use crate::report::{EvaluationReport, ModelResult};

/// One of two evaluations: its result, and what it takes to run some of it anew.
pub struct GapSide<'a> {
    /// Its `result.json`.
    pub result: &'a EvaluationReport,
    /// Which of its models.
    pub index: usize,
    /// Its data set.
    pub data: &'a DataSet,
    /// Its model.
    pub model: &'a dyn Model,
    /// What computes now.
    pub engine: EngineRecord,
}

impl GapSide<'_> {
    pub(super) fn name(&self, of: &ModelResult) -> ResultName {
        ResultName {
            protocol: self.result.protocol.name.clone(),
            hash: self.result.protocol.hash.clone(),
            model: of.source.clone(),
            pictures: self.result.pictures,
        }
    }
}
