//! The JSON Schema of everything that `--json` prints.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::objects::{ErrorReport, ExplainReport, ExportReport, GoldenList, SummaryReport};
use crate::evaluation::{EvaluationReport, GapReport};
use crate::golden::SuiteReport;
use crate::report::{
    CheckReport, CompareReport, DecodeReport, InspectDifference, InspectReport, ProbeReport,
    TraceReport,
};

/// One line of what `vae-fidelity --json` prints.
///
/// Fields and values may be added; none is renamed or removed.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
#[expect(clippy::large_enum_variant, reason = "no value is ever made")]
enum Line {
    /// `check`: one picture.
    Check(CheckReport),
    /// `decode`: the latents of one picture.
    Decode(DecodeReport),
    /// `check` and `decode`: the last line, after several pictures.
    Summary(SummaryReport),
    /// `trace`.
    Trace(TraceReport),
    /// `probe`.
    Probe(ProbeReport),
    /// `evaluate` and `merge`: also `result.json`.
    Evaluate(EvaluationReport),
    /// `explain-gap`.
    ExplainGap(GapReport),
    /// `compare`.
    Compare(CompareReport),
    /// `inspect` of one source.
    Inspect(InspectReport),
    /// `inspect` of two sources.
    InspectDifference(InspectDifference),
    /// `explain`.
    Explain(ExplainReport),
    /// `golden list`.
    GoldenList(GoldenList),
    /// `golden verify`.
    GoldenVerify(SuiteReport),
    /// `golden export`.
    GoldenExport(ExportReport),
    /// Any command that could not judge.
    Error(ErrorReport),
}

/// The JSON Schema (draft 2020-12) of each object that the command prints with `--json`.
pub fn json_schema() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    settings.into_generator().into_root_schema_for::<Line>().into()
}
