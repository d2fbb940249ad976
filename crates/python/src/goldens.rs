//! An implementation in Python, judged by the goldens.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use ndarray::{Array4, ArrayD, ArrayView4, ArrayViewD};
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray4, PyReadonlyArrayDyn};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use vae_fidelity::checkpoint::{Checkpoint, expected_tensors};
use vae_fidelity::config::VaeConfig;
use vae_fidelity::golden::Suite;
use vae_fidelity::trace::{Activation, Stage, Trace};
use vae_fidelity::{Dtype, Encoded, Error, ErrorKind, Result, Vae};

use super::json::json;
use super::{errors, options};

/// What Python raised that is no failure of the implementation: Ctrl-C, or the end of the interpreter.
type Ended = Arc<Mutex<Option<PyErr>>>;

/// The report of the goldens as JSON and as text. `load` is called with each golden model's config (as
/// JSON) and tensors (a list of names, values flat, and shapes), and returns an implementation as
/// `vae_fidelity/testing` wraps it; `tell` is called with each case's name.
#[pyfunction]
#[pyo3(signature = (suite, load, *, only, failures=None, tell=None))]
pub fn run_goldens(
    py: Python<'_>,
    suite: PathBuf,
    load: Py<PyAny>,
    only: Vec<String>,
    failures: Option<PathBuf>,
    tell: Option<Py<PyAny>>,
) -> PyResult<(String, String)> {
    let ended = Ended::default();
    let judged = py.detach(|| {
        let mut suite = Suite::open(suite)?;
        for name in only {
            suite = suite.only(name);
        }
        if let Some(folder) = failures {
            suite = suite.failures(folder);
        }
        if let Some(tell) = tell {
            let ended = ended.clone();
            suite = suite.progress(move |progress| {
                let told = Python::attach(|py| tell.call1(py, (&progress.case.name,)).map(drop));
                let _ = told.map_err(|error| keep(&ended, error));
            });
        }
        let report = suite.run(|checkpoint| {
            let vae: Box<dyn Vae> = Box::new(PythonVae::load(&load, checkpoint, ended.clone())?);
            Ok(vae)
        })?;
        Ok((json(&report)?, report.to_string()))
    });
    match ended.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(error) => Err(error),
        None => judged.map_err(|error| errors::raised(py, &error)),
    }
}

fn keep(ended: &Ended, error: PyErr) {
    ended.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
}

/// An object of Python's with `encode(sample, noise)`, `decode(latents)`, and where it has them `dtype`,
/// `trace(stage, input)` and `forward_module(name, input)`, on arrays.
struct PythonVae {
    object: Py<PyAny>,
    config: VaeConfig,
    dtype: Dtype,
    ended: Ended,
}

type PythonEncoded<'py> = (
    Option<PyReadonlyArray4<'py, f32>>,
    Option<PyReadonlyArray4<'py, f32>>,
    PyReadonlyArray4<'py, f32>,
);

impl PythonVae {
    fn load(load: &Py<PyAny>, checkpoint: &Checkpoint, ended: Ended) -> Result<Self> {
        let config = checkpoint.config().clone();
        let text = json(&config)?;
        let mut tensors = Vec::new();
        for spec in expected_tensors(&config) {
            let values = checkpoint.tensor(&spec.name)?.to_f32();
            tensors.push((spec.name, values, spec.shape));
        }
        let loaded = Python::attach(|py| {
            let tensors: Vec<(String, Bound<'_, PyArray1<f32>>, Vec<usize>)> = tensors
                .into_iter()
                .map(|(name, values, shape)| (name, values.into_pyarray(py), shape))
                .collect();
            let class = config.class().name();
            let object = load.call1(py, (class, text, tensors))?;
            let dtype = object.bind(py).getattr("dtype")?.extract::<String>()?;
            Ok((object, dtype))
        });
        let (object, dtype) = loaded.map_err(|error| said(&ended, "loading the model", error))?;
        Ok(Self { object, config, dtype: options::dtype(&dtype)?, ended })
    }

    /// What `call` makes of the object, unless Python is about to end.
    fn asked<T>(
        &self,
        what: &str,
        call: impl FnOnce(Python<'_>, &Bound<'_, PyAny>) -> PyResult<T>,
    ) -> Result<T> {
        if self.ended.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Err(Error::new(ErrorKind::Cancelled, what, "was ended", "run it again"));
        }
        let made = Python::attach(|py| {
            let made = call(py, self.object.bind(py))?;
            py.check_signals()?;
            Ok(made)
        });
        made.map_err(|error| said(&self.ended, what, error))
    }
}

/// What Python raised, as an error; what is no failure is kept to be raised again.
fn said(ended: &Ended, what: &str, error: PyErr) -> Error {
    Python::attach(|py| {
        if !error.is_instance_of::<PyException>(py) {
            keep(ended, error.clone_ref(py));
        }
        let unsupported = error.is_instance_of::<pyo3::exceptions::PyNotImplementedError>(py);
        let kind = if unsupported { ErrorKind::Unsupported } else { ErrorKind::Tensor };
        let next = "run it in Python on the same input";
        Error::new(kind, what, format!("raised {error}"), next)
    })
}

impl Vae for PythonVae {
    fn config(&self) -> &VaeConfig {
        &self.config
    }

    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn encode(&self, sample: ArrayView4<f32>, noise: Option<ArrayView4<f32>>) -> Result<Encoded> {
        self.asked("encode", |py, object| {
            let array = |values: ArrayView4<f32>| values.to_owned().into_pyarray(py);
            let made = object.call_method1("encode", (array(sample), noise.map(array)))?;
            let (moments, std, latents) = made.extract::<PythonEncoded<'_>>()?;
            let owned = |array: PyReadonlyArray4<'_, f32>| array.as_array().to_owned();
            Ok(Encoded {
                moments: moments.map(owned),
                std: std.map(owned),
                latents: owned(latents),
            })
        })
    }

    fn decode(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>> {
        self.asked("decode", |py, object| {
            let made = object.call_method1("decode", (latents.to_owned().into_pyarray(py),))?;
            Ok(made.extract::<PyReadonlyArray4<'_, f32>>()?.as_array().to_owned())
        })
    }

    fn trace(&self, stage: Stage, input: ArrayView4<f32>) -> Option<Result<Trace>> {
        let stage = match stage {
            Stage::Encode => "encode",
            Stage::Decode => "decode",
        };
        let traced = self.asked("trace", |py, object| {
            let Ok(trace) = object.getattr("trace") else { return Ok(None) };
            let made = trace.call1((stage, input.to_owned().into_pyarray(py)))?;
            let mut activations = Vec::new();
            for (name, class, output) in
                made.extract::<Vec<(String, String, PyReadonlyArrayDyn<'_, f32>)>>()?
            {
                let output = output.as_array();
                let values: Vec<f32> = output.iter().copied().collect();
                activations.push(Activation::new(&name, &class, output.shape(), &values));
            }
            Ok(Some(activations))
        });
        traced.transpose()
    }

    fn forward_module(&self, name: &str, input: ArrayViewD<f32>) -> Option<Result<ArrayD<f32>>> {
        let made = self.asked(name, |py, object| {
            let Ok(forward) = object.getattr("forward_module") else { return Ok(None) };
            let made = forward.call1((name, input.to_owned().into_pyarray(py)))?;
            if made.is_none() {
                return Ok(None);
            }
            Ok(Some(made.extract::<PyReadonlyArrayDyn<'_, f32>>()?.as_array().to_owned()))
        });
        made.transpose()
    }
}
