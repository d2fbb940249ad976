//! `vae_fidelity._native`: what the Python package is made of. Its functions take plain values and
//! return JSON and arrays; names, types and documentation for people are in `python/vae_fidelity`.

mod json;
mod errors;
mod waiting;
mod picture;
mod latents;
mod options;
mod turn;
mod checked;
mod decoded;
mod pipeline;
mod evaluation;
mod gap;
mod reference;
mod checkpoint;
mod goldens;

use std::ffi::OsString;
use std::path::PathBuf;

use numpy::{IntoPyArray, PyArray3};
use pyo3::prelude::*;
use vae_fidelity::Error;
use vae_fidelity::config::{Class, VaeConfig};
use vae_fidelity::diagnosis::Code;
use vae_fidelity::graph::Graph;
use vae_fidelity::metrics::PixelMetrics;
use vae_fidelity::pixels::{
    Exif, Filter, PassOrder, requested_size, resize_bicubic, resize_rgba, target_size,
};

use json::json;

#[pymodule]
mod _native {
    use super::*;

    #[pymodule_export]
    use super::checked::Checked;
    #[pymodule_export]
    use super::checkpoint::Checkpoint;
    #[pymodule_export]
    use super::evaluation::{evaluate, merge};
    #[pymodule_export]
    use super::gap::{evaluated, explain_gap};
    #[pymodule_export]
    use super::goldens::run_goldens;
    #[pymodule_export]
    use super::pipeline::Pipeline;
    #[pymodule_export]
    use super::reference::Reference;

    /// The version of the package.
    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    /// Runs the command `vae-fidelity` with `arguments`, the first of which is its name, and returns its
    /// exit code.
    #[pyfunction]
    fn run(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
        py.detach(|| vae_fidelity::cli::run(arguments))
    }

    /// What a checkpoint holds, as JSON.
    #[pyfunction]
    #[pyo3(signature = (repo, *, subfolder=None, revision=None, variant=None, key=None, config=None,
                        family=None, offline=false))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn inspect(
        py: Python<'_>,
        repo: options::Repo,
        subfolder: Option<String>,
        revision: Option<String>,
        variant: Option<String>,
        key: Option<String>,
        config: Option<PathBuf>,
        family: Option<String>,
        offline: bool,
    ) -> PyResult<String> {
        let source = options::Source { subfolder, revision, variant, key, config, family, offline };
        waiting::until_done(py, move || source.inspected(repo))
    }

    /// How two pictures, or two files of tensors, differ, as JSON.
    #[pyfunction]
    fn compare(py: Python<'_>, a: PathBuf, b: PathBuf) -> PyResult<String> {
        let run = move || json(&vae_fidelity::compare::compare(a, b)?);
        waiting::until_done(py, run)
    }

    /// The classes whose models in memory are judged, by diffusers' names, and whether they are given clips.
    #[pyfunction]
    fn classes() -> Vec<(&'static str, bool)> {
        Class::ALL.into_iter().map(|class| (class.name(), class.is_of_clips())).collect()
    }

    /// What the sides of a picture have to be multiples of for a model of this config.
    #[pyfunction]
    fn multiple_of(py: Python<'_>, config: &str) -> PyResult<usize> {
        Ok(config_of(py, config)?.multiple_of())
    }

    /// Whether pictures go in and come out in RGBA of a model of this config.
    #[pyfunction]
    fn has_alpha(py: Python<'_>, config: &str) -> PyResult<bool> {
        Ok(config_of(py, config)?.has_alpha())
    }

    /// Name and class of every module of a model of this config, parents before their children.
    #[pyfunction]
    fn modules(py: Python<'_>, config: &str) -> PyResult<Vec<(String, &'static str)>> {
        let config = config_of(py, config)?;
        Ok(reference::listed(&Graph::of(&config)))
    }

    /// How two pictures differ, as JSON; `b` is what was expected.
    #[pyfunction]
    fn metrics(py: Python<'_>, a: picture::Given<'_>, b: picture::Given<'_>) -> PyResult<String> {
        let owned = |given: picture::Given<'_>, name: &str| given.owned(name.as_ref());
        let pair = owned(a, "a").and_then(|a| Ok((a, owned(b, "b")?)));
        let (a, b) = pair.map_err(|error| errors::raised(py, &error))?;
        waiting::until_done(py, move || {
            let (a, b) = (a.pixels("a", Exif::Ignore)?, b.pixels("b", Exif::Ignore)?);
            json(&PixelMetrics::with_visibility(&a, &b)?.0)
        })
    }

    /// Name and shape of every tensor that a model of this config has, in the order of its state dict.
    #[pyfunction]
    fn expected_tensors(py: Python<'_>, config: &str) -> PyResult<Vec<(String, Vec<usize>)>> {
        let config = config_of(py, config)?;
        let tensors = vae_fidelity::checkpoint::expected_tensors(&config).into_iter();
        Ok(tensors.map(|tensor| (tensor.name, tensor.shape)).collect())
    }

    /// What is known of one code, or of all, as JSON.
    #[pyfunction]
    #[pyo3(signature = (code=None))]
    fn explain(py: Python<'_>, code: Option<String>) -> PyResult<String> {
        let causes = match code {
            None => Code::ALL.iter().map(|code| code.cause()).collect(),
            Some(name) => {
                let code = Code::from_name(&name).ok_or_else(|| {
                    let next = "list them all: vae_fidelity.explain()";
                    Error::option(format!("`code` {name}"), "is no code of a finding", next)
                });
                vec![code.map_err(|error| errors::raised(py, &error))?.cause()]
            }
        };
        json(&causes).map_err(|error| errors::raised(py, &error))
    }

    /// A picture as the VAE is given it, (height, width, 3) in 8 bits, or with `alpha` (height, width, 4):
    /// Pillow's bytes.
    #[pyfunction]
    #[pyo3(signature = (given, *, name, exif, width=None, height=None, alpha=false))]
    fn preprocess<'py>(
        py: Python<'py>,
        given: picture::Given<'_>,
        name: PathBuf,
        exif: String,
        width: Option<usize>,
        height: Option<usize>,
        alpha: bool,
    ) -> PyResult<Bound<'py, PyArray3<u8>>> {
        let given = given.owned(&name).map_err(|error| errors::raised(py, &error))?;
        let opened = move || {
            let exif: Exif = options::parsed("exif", &exif)?;
            let name = name.display().to_string();
            let (pixels, opacity) = match alpha {
                true => given.rgba(&name, exif).map(|(pixels, opacity)| (pixels, Some(opacity)))?,
                false => (given.pixels(&name, exif)?, None),
            };
            let own = (pixels.width(), pixels.height());
            let size = target_size(own.0, own.1, requested_size(width, height)?, 8)?;
            Ok(match opacity {
                Some(opacity) => {
                    let order = PassOrder::Pillow;
                    let resized = resize_rgba(&pixels, &opacity, size, Filter::Bicubic, order)?;
                    (resized.0, Some(resized.1))
                }
                None => (resize_bicubic(&pixels, size.0, size.1)?, None),
            })
        };
        let (pixels, opacity) = waiting::until_done(py, opened)?;
        Ok(checked::array(&pixels, opacity.as_ref()).into_pyarray(py))
    }
}

fn config_of(py: Python<'_>, json: &str) -> PyResult<VaeConfig> {
    let config = VaeConfig::from_json(json, "the config of the model in memory");
    config.map_err(|error| errors::raised(py, &error))
}
