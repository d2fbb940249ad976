//! Why two evaluations differ.

use std::path::{Path, PathBuf};

use super::loaded::Pipeline;
use crate::evaluation::{
    self, DataSet, EvaluationReport, GapNets, GapReport, GapSide, TrainedMetrics,
};
use crate::input::read_text;
use crate::perceptual::WeightFolders;
use crate::{Error, ErrorKind, Result};
use vae_fidelity_core::json_problem;

/// One of two evaluations, and where what it is about lies now.
#[derive(Debug)]
pub struct EvaluatedSide<'a> {
    /// Its result, as [`read_result`] reads it.
    pub result: &'a EvaluationReport,
    /// Which of its models, from 0.
    pub model: usize,
    /// Its data set.
    pub data: &'a Path,
    /// That model.
    pub pipeline: &'a Pipeline,
}

impl<'a> EvaluatedSide<'a> {
    fn with(&self, data: &'a DataSet) -> GapSide<'a> {
        GapSide {
            result: self.result,
            index: self.model,
            data,
            model: self.pipeline,
            engine: self.pipeline.engine_record(),
        }
    }
}

/// Reads a `result.json`, or a line of `evaluate --json`.
///
/// # Errors
///
/// When it cannot be read, or is no result of an evaluation.
pub fn read_result(path: &Path) -> Result<EvaluationReport> {
    let broken = |problem: String| {
        let next = "name the result.json that `evaluate` or `merge` left in its folder";
        Error::new(ErrorKind::Option, path.display().to_string(), problem, next)
    };
    let path_in = match path.is_dir() {
        true => path.join("result.json"),
        false => PathBuf::from(path),
    };
    let text = read_text(&path_in).map_err(|problem| match path.exists() && !path_in.exists() {
        true => broken("is a folder without a result.json".to_owned()),
        false => broken(problem),
    })?;
    let result: EvaluationReport = serde_json::from_str(&text).map_err(|error| {
        broken(format!("is no result of an evaluation: {}", json_problem::of(&error)))
    })?;
    // Protocols are checked where they are read from TOML.
    result.protocol.choices.check(&path.display().to_string())?;
    Ok(result)
}

/// The metrics by trained networks that two results, each with one of its models, are held against each other by, those
/// for which there are weights in `folders`; they are computed on `threads`, all that the process may have by default.
///
/// # Errors
///
/// When a result has no such model, and as [`TrainedMetrics::open`].
pub fn gap_metrics(
    [(a, model_a), (b, model_b)]: [(&EvaluationReport, usize); 2],
    folders: &WeightFolders,
    threads: Option<usize>,
) -> Result<TrainedMetrics> {
    let (a, b) = (a.model(model_a, "`model_a`")?, b.model(model_b, "`model_b`")?);
    let asked = GapNets::of([&a.metrics, &b.metrics]).all();
    Ok(TrainedMetrics::open(folders, &asked, threads)?.0)
}

/// Which choices make two results differ, and by how much each, on at most `sample` pictures of each. `trained`
/// are those of [`evaluation::GapNets`]; one that is not there is left out, and said to be. `progress` is told how many trips of how many are done.
///
/// # Errors
///
/// When a data set or a model is not what its result is about, and as [`evaluation::explain_gap`].
pub fn explain_gap(
    a: &EvaluatedSide,
    b: &EvaluatedSide,
    sample: usize,
    trained: &TrainedMetrics,
    progress: &dyn Fn(usize, usize),
) -> Result<GapReport> {
    let data = [opened(a)?, opened(b)?];
    check_weights(a)?;
    check_weights(b)?;
    let sides = [a.with(&data[0]), b.with(&data[1])];
    let report = evaluation::explain_gap(&sides[0], &sides[1], sample, trained, progress)?;
    for side in [a, b] {
        side.pipeline.checkpoint.check_unchanged()?;
    }
    Ok(report)
}

/// The data set, if it is what the result is about.
fn opened(side: &EvaluatedSide) -> Result<DataSet> {
    let data = DataSet::open(side.data)?;
    let (found, expected) = (data.entries().len() as u64, side.result.pictures);
    let refused = |problem: String, next: &str| Err(Error::image(side.data, problem, next));
    if data.sha256() != side.result.data_sha256 {
        let problem = format!(
            "is not the data set of the result: expected {expected} pictures of other names or lengths, \
             found {found}"
        );
        return refused(problem, "name it with `data`");
    }
    if found != expected {
        let problem = format!("has {found} pictures, and the result is of a shard of {expected}");
        return refused(problem, "give the result that `merge` writes");
    }
    Ok(data)
}

fn check_weights(side: &EvaluatedSide) -> Result<()> {
    let Some(expected) = side.result.models.get(side.model) else { return Ok(()) };
    let found = side.pipeline.checkpoint.weights_sha256()?;
    if found == expected.weights_sha256 {
        return Ok(());
    }
    let short = |hash: &str| hash.get(..12).unwrap_or(hash).to_owned();
    let problem = format!(
        "has other weights than the result's: expected {}, found {}",
        short(&expected.weights_sha256),
        short(&found)
    );
    let next = "name the VAE that was evaluated with `repo`";
    Err(Error::new(ErrorKind::Checkpoint, side.pipeline.model.source.clone(), problem, next))
}
