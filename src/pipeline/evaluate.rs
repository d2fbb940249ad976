//! VAEs judged by a data set.

use std::path::Path;

use ndarray::Array4;

use super::loaded::Pipeline;
use crate::evaluation::protocol::Resize;
use crate::evaluation::{
    self, DataIdentity, DataSet, EngineRecord, EvaluateOptions, Evaluated, Folder, Identity,
    ModelIdentity, Progress, Protocol, RunRecord, Workers,
};
use crate::{Error, ErrorKind, Execution, Result, Vae};

/// VAEs of up to so many weights are small; Stable Diffusion's has 84 million.
const SMALL_PARAMETERS: usize = 30_000_000;

/// Pictures of up to so many pixels a side are small.
const SMALL_SIDE: usize = 512;

/// Pictures that are worked on at once, at most.
const MOST_AT_ONCE: usize = 16;

/// What is evaluated, and how.
#[derive(Debug)]
pub struct Evaluation<'a> {
    /// The data set: a folder, a list, a tar archive, a parquet file or a picture.
    pub data: &'a Path,
    /// Every choice that changes a number.
    pub protocol: &'a Protocol,
    /// The VAEs; all of them run in one way.
    pub pipelines: &'a [&'a Pipeline],
    /// The folder that is written: new, or of the same evaluation.
    pub out: &'a Path,
    /// What else is asked for.
    pub options: EvaluateOptions,
}

/// Sends every picture of a data set through every VAE by a protocol, and sums up what comes back.
///
/// Started again after a stop it goes on. `progress` is told after each picture.
///
/// # Errors
///
/// When the data set cannot be listed, a VAE does not go with the protocol, the folder is about something
/// else, or it cannot be written. A picture that cannot be judged is no error: it becomes a row.
///
/// ```no_run
/// use std::path::Path;
/// use vae_fidelity::evaluation::{EvaluateOptions, Protocol};
/// use vae_fidelity::pipeline::{Evaluation, Pipeline, evaluate};
/// let evaluated = evaluate(
///     Evaluation {
///         data: Path::new("val2017"),
///         protocol: &Protocol::named("vae-fidelity-256")?,
///         pipelines: &[&Pipeline::builder().repo("stabilityai/sd-vae-ft-mse").build()?],
///         out: Path::new("ft-mse-on-coco"),
///         options: EvaluateOptions::default(),
///     },
///     &|progress| eprintln!("{} of {}", progress.done, progress.total),
/// )?;
/// println!("{}", evaluated.report);
/// # Ok::<(), vae_fidelity::Error>(())
/// ```
pub fn evaluate(what: Evaluation, progress: &(dyn Fn(Progress) + Sync)) -> Result<Evaluated> {
    let Evaluation { data: path, protocol, pipelines, out, options } = what;
    let Some(first) = pipelines.first() else {
        return Err(Error::option("`pipelines`", "no VAE was given", "give at least one"));
    };
    for pipeline in pipelines {
        check_size(pipeline, protocol)?;
    }
    refuse_inside(path, out)?;
    let data = DataSet::open(path)?;
    let identity = Identity {
        protocol: protocol.clone(),
        engine: first.engine_record(),
        data: DataIdentity {
            pictures: data.entries().len() as u64,
            sha256: data.sha256().to_owned(),
        },
        models: pipelines.iter().map(|of| of.identity()).collect::<Result<_>>()?,
        metric_weights: options.trained.weights(),
        metric_instructions: protocol.metrics.instructions(),
    };
    let folder = Folder::open(out, &identity, options.shard)?;
    let run = RunRecord {
        data: path.display().to_string(),
        machines: vec![format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)],
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..options.run
    };
    let mut options = EvaluateOptions { run, ..options };
    let models: Vec<&dyn evaluation::Model> =
        pipelines.iter().map(|pipeline| *pipeline as &dyn evaluation::Model).collect();
    let copies = match !folder.is_finished() && are_small(pipelines, protocol) {
        true => copies(pipelines)?,
        false => None,
    };
    let workers = match copies {
        None => Workers::Caller(&models),
        Some(copies) => {
            // Each of them has a thread already.
            options.trained = options.trained.on(1);
            Workers::Threads(copies)
        }
    };
    let evaluated = evaluation::evaluate(&data, workers, &identity, &folder, &options, progress)?;
    pipelines.iter().try_for_each(|pipeline| pipeline.checkpoint.check_unchanged())?;
    Ok(evaluated)
}

/// Refuses a folder inside the data set: what is written there would be part of it the next time.
fn refuse_inside(data: &Path, out: &Path) -> Result<()> {
    if data.is_dir() && evaluation::lies_in(out, data) {
        let data = data.canonicalize().unwrap_or_else(|_| data.to_owned());
        let problem = format!("lies in the data set, {}", data.display());
        return Err(Error::output(out, problem, "name a folder elsewhere"));
    }
    Ok(())
}

/// Refuses a protocol whose pictures the VAE cannot take.
fn check_size(pipeline: &Pipeline, protocol: &Protocol) -> Result<()> {
    let (size, multiple) = (protocol.input.size, pipeline.vae().config().multiple_of());
    if size.is_multiple_of(multiple) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Option,
        format!("protocol {}", protocol.name),
        format!(
            "{} takes multiples of {multiple} pixels, and its size is {size}",
            pipeline.model.source
        ),
        "give a protocol with another input.size",
    ))
}

/// Whether pictures and VAEs are so small that a picture of its own for each thread is faster than one for all, and
/// that there is memory for it: pictures of one size, not a photograph each as it is.
fn are_small(pipelines: &[&Pipeline], protocol: &Protocol) -> bool {
    let of_one_size = protocol.input.resize != Resize::MultipleOf;
    let are_small = pipelines.iter().all(|of| of.model.parameters <= SMALL_PARAMETERS);
    of_one_size && protocol.input.size <= SMALL_SIDE && are_small
}

/// For each thread its own models; `None` where they run otherwise.
///
/// # Errors
///
/// When one cannot be loaded again.
fn copies(pipelines: &[&Pipeline]) -> Result<Option<Vec<Vec<SendModel>>>> {
    let runs: Option<Vec<(usize, Execution)>> =
        pipelines.iter().map(|pipeline| pipeline.execution.several()).collect();
    let Some(runs) = runs else { return Ok(None) };
    let threads = runs.iter().map(|(threads, _)| *threads).min().unwrap_or(1).min(MOST_AT_ONCE);
    let copy = |(pipeline, (_, execution)): (&&Pipeline, &(usize, Execution))| {
        Ok(Box::new(pipeline.again(execution.clone())?) as SendModel)
    };
    let copies = || pipelines.iter().zip(&runs).map(copy).collect();
    (0..threads).map(|_| copies()).collect::<Result<_>>().map(Some)
}

type SendModel = Box<dyn evaluation::Model + Send>;

impl Pipeline {
    /// What computes, for an evaluation.
    pub(super) fn engine_record(&self) -> EngineRecord {
        let execution = &self.execution;
        let device = execution.device().to_string();
        EngineRecord {
            name: execution.engine().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            // Which of several GPUs it is changes nothing.
            device: device.split(':').next().unwrap_or_default().to_owned(),
            arithmetic: execution.arithmetic(),
            instructions: None,
            threads: execution.threads_that_matter(),
        }
    }

    /// What tells this VAE from others, for an evaluation.
    fn identity(&self) -> Result<ModelIdentity> {
        let config = serde_json::to_value(self.checkpoint.config()).map_err(|error| {
            Error::new(ErrorKind::Config, "config", error, "please report this as a bug")
        })?;
        Ok(ModelIdentity {
            source: self.model.source.clone(),
            weights_sha256: self.checkpoint.weights_sha256()?,
            config,
        })
    }
}

impl evaluation::Model for Pipeline {
    fn vae(&self) -> &dyn Vae {
        self.vae.as_ref()
    }

    fn noise(&self, seed: u64, (width, height): (usize, usize)) -> Result<Array4<f32>> {
        self.execution.noise(self.checkpoint.config(), seed.into(), width, height)
    }

    fn check_memory(&self, size: (usize, usize)) -> Result<()> {
        Pipeline::check_memory(self, size)
    }
}
