//! VAEs judged by a data set.

use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;

use pyo3::prelude::*;
use vae_fidelity::evaluation::{
    EvaluateOptions, Evaluated, Least, Protocol, Shard, TrainedMetrics,
};
use vae_fidelity::output::write_atomically;
use vae_fidelity::perceptual::WeightFolders;
use vae_fidelity::pipeline::Evaluation;
use vae_fidelity::report::evaluation_page;
use vae_fidelity::{Error, Result};

use super::json::json;
use super::pipeline::Pipeline;
use super::turn::Turn;
use super::{errors, options, waiting};

/// How long a call that was ended waits for the layer in work.
const LONGEST_END: Duration = Duration::from_secs(20);

/// A result as JSON and as text, and the metrics that were left out for want of their weights.
type Summed = (String, String, Vec<&'static str>);

/// Sends every picture of a data set through every VAE, and sums up what comes back.
#[pyfunction]
#[pyo3(signature = (data, pipelines, *, out, protocol, shard, call, metric_weights=None, reference=None,
                    threads=None, min_psnr=None, min_ssim=None, min_ms_ssim=None, progress=None))]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
pub fn evaluate(
    py: Python<'_>,
    data: PathBuf,
    pipelines: Vec<PyRef<'_, Pipeline>>,
    out: PathBuf,
    protocol: String,
    shard: String,
    call: String,
    metric_weights: Option<PathBuf>,
    reference: Option<PathBuf>,
    threads: Option<usize>,
    min_psnr: Option<f64>,
    min_ssim: Option<f64>,
    min_ms_ssim: Option<f64>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Summed> {
    let turns: Vec<Turn> = pipelines.iter().map(|of| Turn::new(of.loaded())).collect();
    check_apart(&turns).map_err(|error| errors::raised(py, &error))?;
    let cancels: Vec<_> = turns.iter().map(Turn::cancel).collect();
    let (at_work, ended) = channel::<()>();
    let cancel = move || {
        cancels.iter().for_each(|cancel| cancel());
        // The folder is this call's until then.
        let _ = ended.recv_timeout(LONGEST_END);
    };
    waiting::with_progress(py, progress, cancel, move |tell| {
        let _at_work = at_work;
        let protocol = Protocol::named(&protocol)?;
        let shard: Shard = options::parsed("shard", &shard)?;
        let folders = WeightFolders::with_torch_hub(metric_weights);
        let (trained, left_out) = TrainedMetrics::of_protocol(&folders, &protocol, threads)?;
        let trained = match &reference {
            Some(path) => trained.against(path, &protocol)?,
            None => trained,
        };
        let running = Turn::begin_all(&turns)?;
        let pipelines: Vec<&vae_fidelity::Pipeline> =
            running.iter().map(|of| &*of.pipeline).collect();
        tell("listing the data set".to_owned());
        let what = Evaluation {
            data: &data,
            protocol: &protocol,
            pipelines: &pipelines,
            out: &out,
            options: EvaluateOptions {
                shard,
                least: Least { psnr_db: min_psnr, ssim: min_ssim, ms_ssim: min_ms_ssim },
                trained,
                ..EvaluateOptions::default()
            },
        };
        let evaluated = vae_fidelity::pipeline::evaluate(what, &|at| {
            tell(format!("{} of {} pictures", at.done, at.total));
        })?;
        summed(&evaluated, &out, &call, left_out)
    })
}

/// Puts the shards of an evaluation together.
#[pyfunction]
#[pyo3(signature = (folders, *, out, call, reference=None, min_psnr=None, min_ssim=None, min_ms_ssim=None))]
#[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
pub fn merge(
    py: Python<'_>,
    folders: Vec<PathBuf>,
    out: PathBuf,
    call: String,
    reference: Option<PathBuf>,
    min_psnr: Option<f64>,
    min_ssim: Option<f64>,
    min_ms_ssim: Option<f64>,
) -> PyResult<Summed> {
    waiting::until_done(py, move || {
        let least = Least { psnr_db: min_psnr, ssim: min_ssim, ms_ssim: min_ms_ssim };
        let (reference, version) = (reference.as_deref(), env!("CARGO_PKG_VERSION"));
        let evaluated =
            vae_fidelity::evaluation::merge(&folders, &out, &least, reference, version)?;
        summed(&evaluated, &out, &call, Vec::new())
    })
}

/// Writes the page, and gives the rest to Python.
fn summed(
    evaluated: &Evaluated,
    out: &Path,
    call: &str,
    left_out: Vec<&'static str>,
) -> Result<Summed> {
    write_atomically(&out.join("report.html"), &evaluation_page(evaluated, call)?)?;
    Ok((json(&evaluated.report)?, evaluated.report.to_string(), left_out))
}

/// Refuses a pipeline that is given twice, which would wait for itself.
fn check_apart(turns: &[Turn]) -> Result<()> {
    let is_again = |at: usize| turns[..at].iter().any(|before| before.is_of_same(&turns[at]));
    match (0..turns.len()).find(|at| is_again(*at)) {
        None => Ok(()),
        Some(at) => {
            let subject = format!("`repo`, number {at} from 0");
            Err(Error::option(subject, "is a pipeline that was given before", "leave it out"))
        }
    }
}
