//! `--sarif`: a run as a log of SARIF 2.1.0 (OASIS), as far as code scanning shows one.

use std::env;
use std::path::{Component, Path, PathBuf, Prefix};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde_json::{Map, Value, json};

use super::cases::{Cases, Subject};
use super::console::Console;
use crate::Error;
use crate::diagnosis::{Code, Severity};

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// The rule of reasons that are no finding.
const VERDICT: &str = "verdict";
/// What a URI has as it is (RFC 3986, unreserved).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The log: one run, with a rule for each code that was found. Its texts name parameters, and may name
/// folders; the URIs in it do not.
pub fn log(cases: &Cases, console: Console) -> Value {
    let mut rules = Rules::default();
    let (mut results, mut notifications, mut artifacts) = (Vec::new(), Vec::new(), Vec::new());
    for case in &cases.cases {
        let at = location(&case.subject, console);
        if let Some(error) = case.not_judged() {
            notifications.push(notification(error, at.as_ref()));
        }
        for finding in &case.findings {
            let id = finding.code.as_str();
            let index = rules.index(id, || rule(finding.code));
            let mut at = at.clone();
            if let Some(layer) = &finding.layer {
                let logical = json!([{ "fullyQualifiedName": layer, "kind": "module" }]);
                at.get_or_insert_with(|| json!({}))["logicalLocations"] = logical;
            }
            let text = format!("{}. {}", finding.title, finding.remedy);
            let mut result = result(id, index, level(finding.severity), &text, at);
            if !finding.evidence.is_empty() {
                result["properties"] = json!({ "evidence": finding.evidence });
            }
            results.push(result);
        }
        for reason in case.missed() {
            let index = rules.index(VERDICT, rule_of_verdict);
            results.push(result(VERDICT, index, "error", reason, at.clone()));
        }
        if let Some(path) = &case.subject.file {
            let mut artifact = json!({
                "location": artifact_location(path, console), "roles": ["analysisTarget"],
            });
            if !case.numbers.is_empty() {
                artifact["properties"] = Value::Object(case.numbers.clone());
            }
            artifacts.push(artifact);
        }
    }
    // The schema wants each once: rows of one file of latents, a picture that was named twice.
    let mut once: Vec<Value> = Vec::new();
    for artifact in artifacts {
        if !once.contains(&artifact) {
            once.push(artifact);
        }
    }
    let mut invocation = json!({ "executionSuccessful": notifications.is_empty() });
    if !notifications.is_empty() {
        invocation["toolExecutionNotifications"] = Value::Array(notifications);
    }
    let version = env!("CARGO_PKG_VERSION");
    let driver = json!({
        "name": "vae-fidelity", "version": version, "semanticVersion": version, "rules": rules.0,
    });
    let mut run = json!({
        "tool": { "driver": driver }, "invocations": [invocation], "artifacts": once,
        "results": results, "properties": { "command": cases.command },
    });
    if !cases.model.is_empty() {
        run["properties"]["model"] = Value::Object(cases.model.clone());
    }
    json!({ "$schema": SCHEMA, "version": "2.1.0", "runs": [run] })
}

/// Rules, each once, in the order in which they are first met.
#[derive(Default)]
struct Rules(Vec<Value>);

impl Rules {
    fn index(&mut self, id: &str, rule: impl FnOnce() -> Value) -> usize {
        let known = self.0.iter().position(|rule| rule["id"] == id);
        known.unwrap_or_else(|| {
            self.0.push(rule());
            self.0.len() - 1
        })
    }
}

/// What `explain` says of `code`.
fn rule(code: Code) -> Value {
    let cause = code.cause();
    let help = format!(
        "{}\n\nIn diffusers: {}\n\nIn ComfyUI: {}\n\nIn an implementation of your own: {}\n\nRule: {}",
        cause.remedy, cause.diffusers, cause.comfyui, cause.ports, cause.rule
    );
    let decided_by: Vec<String> = cause.decided_by.iter().map(ToString::to_string).collect();
    json!({
        "id": code.as_str(),
        "shortDescription": message(cause.title),
        "fullDescription": message(cause.meaning),
        "help": message(&help),
        "defaultConfiguration": { "level": level(cause.severity) },
        "properties": { "tags": ["vae"], "decidedBy": decided_by, "sources": cause.sources },
    })
}

fn rule_of_verdict() -> Value {
    let meaning = "The verdict is fail for a reason that is no finding: a metric or an earlier run that was \
                   asked for is missed, a number is beyond its bar, or two checkpoints differ.";
    json!({
        "id": VERDICT,
        "shortDescription": message("the verdict is fail"),
        "fullDescription": message(meaning),
        "help": message("The message says what was asked for, and what was found."),
        "defaultConfiguration": { "level": "error" },
        "properties": { "tags": ["vae"] },
    })
}

fn result(id: &str, index: usize, level: &str, text: &str, at: Option<Value>) -> Value {
    let mut result =
        json!({ "ruleId": id, "ruleIndex": index, "level": level, "message": message(text) });
    if let Some(at) = at {
        result["locations"] = json!([at]);
    }
    result
}

/// Why a case could not be judged.
fn notification(error: &Error, at: Option<&Value>) -> Value {
    let text = format!("{error}. {}", error.next());
    let mut notification = json!({
        "descriptor": { "id": error.kind().code() }, "level": "error", "message": message(&text),
    });
    if let Some(at) = at {
        notification["locations"] = json!([at]);
    }
    notification
}

/// `text` as a message, where braces stand for arguments unless they are doubled.
fn message(text: &str) -> Value {
    json!({ "text": text.replace('{', "{{").replace('}', "}}") })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

fn location(subject: &Subject, console: Console) -> Option<Value> {
    let at = artifact_location(subject.file.as_deref()?, console);
    // A file of pixels or weights has no lines, and code scanning takes no location without one.
    Some(json!({ "physicalLocation": { "artifactLocation": at, "region": { "startLine": 1 } } }))
}

/// A file below the working directory from there, with the base that code scanning takes for the root
/// of the sources; any other by its absolute URI, and where folders are to be left out by what is left.
fn artifact_location(path: &Path, console: Console) -> Value {
    let mut location = Map::new();
    if let Some(below) = below_working_directory(path) {
        location.insert("uri".to_owned(), encoded(&below).into());
        location.insert("uriBaseId".to_owned(), "%SRCROOT%".into());
        return Value::Object(location);
    }
    let absolute = absolute(path);
    let shown = match console.strip {
        Some(folders) => PathBuf::from(&*folders.left_out(&absolute.to_string_lossy())),
        None => absolute,
    };
    let uri = encoded(&shown);
    let uri = if shown.is_absolute() { format!("file:///{uri}") } else { uri };
    location.insert("uri".to_owned(), uri.into());
    Value::Object(location)
}

fn below_working_directory(path: &Path) -> Option<PathBuf> {
    let plain = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_)));
    let relative: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
    if plain(&relative) {
        return Some(relative);
    }
    let here = env::current_dir().ok()?;
    if let Some(below) = path.strip_prefix(&here).ok().filter(|below| plain(below)) {
        return Some(below.to_owned());
    }
    let below = absolute(path);
    below.strip_prefix(here.canonicalize().ok()?).ok().map(Path::to_owned)
}

/// `path` with its folder's own name, without `..` and links. The file itself may be a link: it has the
/// name that it was given.
fn absolute(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = absolute.parent().and_then(|folder| folder.canonicalize().ok());
    match folder.zip(absolute.file_name()) {
        Some((folder, name)) => folder.join(name),
        None => absolute,
    }
}

/// The segments of `path` as a URI has them, without the root's slash.
fn encoded(path: &Path) -> String {
    let segments = path.components().filter_map(|part| match part {
        Component::Prefix(prefix) => Some(match prefix.kind() {
            Prefix::Disk(letter) | Prefix::VerbatimDisk(letter) => {
                format!("{}:", char::from(letter))
            }
            _ => percent_encode(prefix.as_os_str().as_encoded_bytes(), ENCODED).to_string(),
        }),
        Component::RootDir | Component::CurDir => None,
        Component::ParentDir => Some("..".to_owned()),
        Component::Normal(name) => {
            Some(percent_encode(name.as_encoded_bytes(), ENCODED).to_string())
        }
    });
    segments.collect::<Vec<_>>().join("/")
}
