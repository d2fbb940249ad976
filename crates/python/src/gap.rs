//! Why two evaluations differ.

use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use vae_fidelity::perceptual::WeightFolders;
use vae_fidelity::pipeline::{EvaluatedSide, gap_metrics, read_result};

use super::json::json;
use super::pipeline::Pipeline;
use super::turn::Turn;
use super::{errors, waiting};

/// What the result at `path` says: the VAE that is its model `index`, which the caller calls `keyword`, and its data
/// set.
#[pyfunction]
pub fn evaluated(
    py: Python<'_>,
    path: PathBuf,
    index: usize,
    keyword: &str,
) -> PyResult<(String, String)> {
    let found = || {
        let result = read_result(&path)?;
        let source = result.model(index, keyword)?.source.clone();
        Ok((source, result.run.data))
    };
    found().map_err(|error| errors::raised(py, &error))
}

/// Which choices make two results differ, as JSON and as text. `pipelines` are one of both sides, or one of each.
#[pyfunction]
#[pyo3(signature = (results, pipelines, *, models, data, sample, metric_weights=None, threads=None, progress=None))]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
pub fn explain_gap(
    py: Python<'_>,
    results: [PathBuf; 2],
    pipelines: Vec<PyRef<'_, Pipeline>>,
    models: [usize; 2],
    data: [PathBuf; 2],
    sample: usize,
    metric_weights: Option<PathBuf>,
    threads: Option<usize>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(String, String)> {
    let mut turns: Vec<Turn> = pipelines.iter().map(|of| Turn::new(of.loaded())).collect();
    // A copy of a `Pipeline` is the same one, which would wait for itself.
    turns.dedup_by(|second, first| second.is_of_same(first));
    let cancels: Vec<_> = turns.iter().map(Turn::cancel).collect();
    let cancel = move || cancels.iter().for_each(|cancel| cancel());
    waiting::with_progress(py, progress, cancel, move |tell| {
        let [a, b] = [read_result(&results[0])?, read_result(&results[1])?];
        let folders = WeightFolders::with_torch_hub(metric_weights);
        let trained = gap_metrics([(&a, models[0]), (&b, models[1])], &folders, threads)?;
        let running = Turn::begin_all(&turns)?;
        tell("listing the data sets".to_owned());
        let sides = [(&a, 0), (&b, 1)].map(|(result, side)| {
            let pipeline = running.get(side).or(running.first());
            pipeline.map(|of| EvaluatedSide {
                result,
                model: models[side],
                data: Path::new(&data[side]),
                pipeline: &of.pipeline,
            })
        });
        let [Some(a), Some(b)] = &sides else {
            return Err(vae_fidelity::Error::option("`repo`", "has no VAE", "give one, or two"));
        };
        let report =
            vae_fidelity::pipeline::explain_gap(a, b, sample, &trained, &|done, total| {
                tell(format!("{done} of {total} trips"));
            })?;
        Ok((json(&report)?, report.to_string()))
    })
}
