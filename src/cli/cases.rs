//! What one run judged, case by case: what the files for CI systems are made of.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::Error;
use crate::diagnosis::{Finding, Severity};
use crate::report::{
    CheckReport, CompareReport, Compared, DecodeReport, InspectDifference, InspectReport, Model,
    ProbeReport, TraceReport,
};
use crate::verdict::Verdict;

/// A picture, a checkpoint or the latents of one picture.
#[derive(Debug, Clone)]
pub struct Subject {
    /// What a reader calls it.
    pub name: String,
    /// Where it lies; `None` for what is no file.
    pub file: Option<PathBuf>,
}

impl Subject {
    /// A file, under its own name.
    pub fn file(path: &Path) -> Self {
        Self { name: path.display().to_string(), file: Some(path.to_owned()) }
    }

    /// The source of a checkpoint as the user typed it.
    pub fn source(name: &str) -> Self {
        let path = PathBuf::from(name);
        Self { name: name.to_owned(), file: path.is_file().then_some(path) }
    }
}

/// How the judgement of one subject went. Texts are as the library has them.
#[derive(Debug)]
pub struct Case {
    pub subject: Subject,
    pub took: Duration,
    pub end: End,
    pub findings: Vec<Finding>,
    /// What was measured, by the names that the JSON has.
    pub numbers: Map<String, Value>,
}

/// How it ended.
#[derive(Debug)]
pub enum End {
    /// With the reasons of a fail; empty for a pass.
    Judged(Vec<String>),
    NotJudged(Error),
}

impl Case {
    /// Findings that decide the verdict.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error)
    }

    /// Findings that do not.
    pub fn remarks(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity != Severity::Error)
    }

    /// Reasons of a fail that are no finding: what was asked for and missed.
    pub fn missed(&self) -> impl Iterator<Item = &String> {
        let reasons: &[String] = match &self.end {
            End::Judged(reasons) => reasons,
            End::NotJudged(_) => &[],
        };
        // As `Verdict::of` writes them.
        let of_finding = |reason: &String| {
            self.errors().any(|finding| *reason == format!("{}: {}", finding.code, finding.title))
        };
        reasons.iter().filter(move |reason| !of_finding(reason))
    }

    pub fn failed(&self) -> bool {
        matches!(&self.end, End::Judged(reasons) if !reasons.is_empty())
    }

    pub fn not_judged(&self) -> Option<&Error> {
        match &self.end {
            End::Judged(_) => None,
            End::NotJudged(error) => Some(error),
        }
    }
}

/// The cases of one run.
#[derive(Debug)]
pub struct Cases {
    /// The command's name, such as `check`.
    pub command: &'static str,
    /// Numbers and names of the model, where one runs.
    pub model: Map<String, Value>,
    /// What has not been judged yet, in order.
    waiting: Vec<Subject>,
    pub cases: Vec<Case>,
    pub started: Instant,
}

impl Cases {
    pub fn new(command: &'static str, subjects: Vec<Subject>) -> Self {
        let waiting = subjects.into_iter().rev().collect();
        Self { command, model: Map::new(), waiting, cases: Vec::new(), started: Instant::now() }
    }

    /// The subject turns out to be `count` of them, for example the rows of a file of latents.
    pub fn split(&mut self, count: usize) {
        if count == 1 {
            return;
        }
        let Some(Subject { name, file }) = self.waiting.pop() else { return };
        let row = |row| Subject { name: format!("{name}, row {row}"), file: file.clone() };
        self.waiting.extend((0..count).rev().map(row));
    }

    /// The file in which the next subject lies, where its name says no file.
    pub fn lies_in(&mut self, file: Option<&Path>) {
        if let Some(next) = self.waiting.last_mut() {
            next.file = next.file.take().or(file.map(Path::to_owned));
        }
    }

    /// The model that judges.
    pub fn judged_by(&mut self, model: &Model) {
        let Model { source, revision, family, device, dtype, arithmetic, engine, .. } = model;
        let named = [
            ("source", serde_json::to_value(source)),
            ("revision", serde_json::to_value(revision)),
            ("family", serde_json::to_value(family)),
            ("device", serde_json::to_value(device)),
            ("dtype", serde_json::to_value(dtype)),
            ("arithmetic", serde_json::to_value(arithmetic)),
            ("engine", serde_json::to_value(engine)),
        ];
        let given = named.into_iter().filter_map(|(name, value)| Some((name, value.ok()?)));
        let given = given.filter(|(_, value)| !value.is_null());
        self.model = given.map(|(name, value)| (name.to_owned(), value)).collect();
    }

    /// The next subject was judged in `took`.
    pub fn judged(&mut self, took: Duration, judgement: impl Into<Judgement>) {
        let Judgement { verdict, reasons, findings, numbers } = judgement.into();
        debug_assert_eq!(verdict, Verdict::from_reasons(&reasons));
        self.push(took, End::Judged(reasons), findings, numbers);
    }

    /// The next subject could not be judged; `findings` are what is known of it all the same.
    pub fn not_judged(&mut self, took: Duration, error: &Error, findings: &[Finding]) {
        self.push(took, End::NotJudged(error.clone()), findings.to_vec(), Map::new());
    }

    /// None of those that wait can be judged any more.
    pub fn none_judged(&mut self, error: &Error, findings: &[Finding]) {
        while !self.waiting.is_empty() {
            self.not_judged(Duration::ZERO, error, findings);
        }
    }

    fn push(
        &mut self,
        took: Duration,
        end: End,
        findings: Vec<Finding>,
        numbers: Map<String, Value>,
    ) {
        if let Some(subject) = self.waiting.pop() {
            self.cases.push(Case { subject, took, end, findings, numbers });
        }
    }
}

/// What a report has to say, whichever it is.
#[derive(Debug)]
pub struct Judgement {
    verdict: Verdict,
    reasons: Vec<String>,
    findings: Vec<Finding>,
    numbers: Map<String, Value>,
}

impl From<&CheckReport> for Judgement {
    fn from(report: &CheckReport) -> Self {
        Self {
            verdict: report.verdict,
            reasons: report.verdict_reasons.clone(),
            findings: report.findings.clone(),
            numbers: numbers(&report.metrics),
        }
    }
}

impl From<&DecodeReport> for Judgement {
    fn from(report: &DecodeReport) -> Self {
        Self {
            verdict: report.verdict,
            reasons: report.verdict_reasons.clone(),
            findings: report.findings.clone(),
            numbers: numbers(&report.reencoded),
        }
    }
}

impl From<&ProbeReport> for Judgement {
    fn from(report: &ProbeReport) -> Self {
        let mut all = Map::from_iter([("score_db".to_owned(), Value::from(report.score_db))]);
        all.extend(numbers(&report.numbers));
        Self {
            verdict: report.verdict,
            reasons: report.verdict_reasons.clone(),
            findings: report.findings.clone(),
            numbers: all,
        }
    }
}

impl From<&InspectReport> for Judgement {
    fn from(report: &InspectReport) -> Self {
        let parameters = ("parameters".to_owned(), Value::from(report.parameters));
        let mut all = Map::from_iter([parameters]);
        all.extend(numbers(&report.statistics));
        Self {
            verdict: report.verdict,
            reasons: report.verdict_reasons.clone(),
            findings: report.findings.clone(),
            numbers: all,
        }
    }
}

impl From<&InspectDifference> for Judgement {
    fn from(report: &InspectDifference) -> Self {
        Self::without_findings(report.verdict, &report.verdict_reasons, Map::new())
    }
}

impl From<&CompareReport> for Judgement {
    fn from(report: &CompareReport) -> Self {
        let numbers = match &report.compared {
            Compared::Images { metrics, .. } => numbers(metrics),
            Compared::Tensors { .. } => Map::new(),
        };
        Self::without_findings(report.verdict, &report.verdict_reasons, numbers)
    }
}

impl From<&TraceReport> for Judgement {
    fn from(report: &TraceReport) -> Self {
        Self::without_findings(report.verdict, &report.verdict_reasons, numbers(&report.against))
    }
}

impl Judgement {
    fn without_findings(verdict: Verdict, reasons: &[String], numbers: Map<String, Value>) -> Self {
        Self { verdict, reasons: reasons.to_vec(), findings: Vec::new(), numbers }
    }
}

/// The fields of `measured` that are one number or one truth.
fn numbers(measured: &impl Serialize) -> Map<String, Value> {
    let Ok(Value::Object(fields)) = serde_json::to_value(measured) else { return Map::new() };
    fields.into_iter().filter(|(_, value)| value.is_number() || value.is_boolean()).collect()
}
