//! What an evaluation, or a merge of several, gives.

use crate::report::EvaluationReport;
use crate::row::Row;
use crate::worst::WorstPicture;

/// An evaluation at its end; its folder has the same.
#[derive(Debug, Clone)]
pub struct Evaluated {
    /// What is said of the whole.
    pub report: EvaluationReport,
    /// One for each picture and model, in that order.
    pub rows: Vec<Row>,
    /// The worst pictures of each model.
    pub worst: Vec<WorstPicture>,
}
