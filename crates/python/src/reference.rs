//! The VAE of a pipeline as what other implementations are held against: alone, without verdicts.

use std::sync::Arc;

use ndarray::{Array4, ArrayD};
use numpy::{IntoPyArray, PyArray4, PyArrayDyn, PyReadonlyArray4, PyReadonlyArrayDyn};
use pyo3::prelude::*;
use vae_fidelity::Result;
use vae_fidelity::graph::{Graph, Module};

use super::errors;
use super::pipeline::Pipeline;
use super::turn::{Loaded, Turn};

/// Moments (N, 2C, h, w), standard deviation and latents (N, C, h, w), the last two unscaled.
type Encoded<'py> = (
    Option<Bound<'py, PyArray4<f32>>>,
    Option<Bound<'py, PyArray4<f32>>>,
    Bound<'py, PyArray4<f32>>,
);

/// A loaded model, one call at a time.
#[pyclass(frozen)]
pub struct Reference {
    loaded: Arc<Loaded>,
}

#[pymethods]
impl Reference {
    #[new]
    fn new(pipeline: &Pipeline) -> Self {
        Self { loaded: pipeline.loaded() }
    }

    /// Name and class of every module, in the order of the class's state dict, children after their parent.
    fn modules(&self, py: Python<'_>) -> PyResult<Vec<(String, &'static str)>> {
        self.turn(py, |vae| Ok(listed(&Graph::of(vae.config()))))
    }

    /// What the sides of a picture have to be multiples of.
    fn multiple_of(&self, py: Python<'_>) -> PyResult<usize> {
        self.turn(py, |vae| Ok(vae.config().multiple_of()))
    }

    /// Whether pictures go in and come out in RGBA.
    fn has_alpha(&self, py: Python<'_>) -> PyResult<bool> {
        self.turn(py, |vae| Ok(vae.config().has_alpha()))
    }

    /// Whether its class is given clips, of which a picture is one frame.
    fn is_of_clips(&self, py: Python<'_>) -> PyResult<bool> {
        self.turn(py, |vae| Ok(vae.config().class().is_of_clips()))
    }

    /// What the module `name` makes of `input` alone; `None` where there is no such module.
    fn forward_module<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        input: PyReadonlyArrayDyn<'py, f32>,
    ) -> PyResult<Option<Bound<'py, PyArrayDyn<f32>>>> {
        let input: ArrayD<f32> = input.as_array().to_owned();
        let made = self.turn(py, |vae| vae.forward_module(name, input.view()).transpose())?;
        Ok(made.map(|made| made.into_pyarray(py)))
    }

    /// Encodes a sample (N, 3, H, W) in [-1, 1]: the mode.
    fn encode<'py>(
        &self,
        py: Python<'py>,
        sample: PyReadonlyArray4<'py, f32>,
    ) -> PyResult<Encoded<'py>> {
        let sample: Array4<f32> = sample.as_array().to_owned();
        let encoded = self.turn(py, |vae| vae.encode(sample.view(), None))?;
        let array = |array: Array4<f32>| array.into_pyarray(py);
        Ok((encoded.moments.map(array), encoded.std.map(array), array(encoded.latents)))
    }

    /// Decodes unscaled latents (N, C, h, w) to a sample (N, 3, H, W), not clamped.
    fn decode<'py>(
        &self,
        py: Python<'py>,
        latents: PyReadonlyArray4<'py, f32>,
    ) -> PyResult<Bound<'py, PyArray4<f32>>> {
        let latents: Array4<f32> = latents.as_array().to_owned();
        let decoded = self.turn(py, |vae| vae.decode(latents.view()))?;
        Ok(decoded.into_pyarray(py))
    }
}

impl Reference {
    /// `work` with the model on this thread, without the interpreter. A signal waits for its end, which is
    /// a layer's or a picture's.
    fn turn<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&dyn vae_fidelity::Vae) -> Result<T> + Send,
    ) -> PyResult<T> {
        let turn = Turn::new(self.loaded.clone());
        let done = py.detach(|| turn.run(|pipeline| work(pipeline.vae())));
        done.map_err(|error| errors::raised(py, &error))
    }
}

/// Name and class of every module, parents before their children.
pub fn listed(graph: &Graph) -> Vec<(String, &'static str)> {
    let mut names = Vec::new();
    graph.modules().for_each(|module| list(module, &mut names));
    names
}

fn list(module: &Module, names: &mut Vec<(String, &'static str)>) {
    names.push((module.name.clone(), module.class));
    for child in module.children() {
        list(child, names);
    }
}
