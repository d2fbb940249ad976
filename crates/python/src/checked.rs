//! One picture's report, and the tensors that it was made from.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anstream::adapter::strip_str;
use ndarray::{Array3, Array4};
use numpy::{IntoPyArray, PyArray3, PyArray4, PyReadonlyArray4};
use pyo3::prelude::*;
use vae_fidelity::pipeline::{self, TraceOptions};
use vae_fidelity::report::Illustrations;
use vae_fidelity::{Error, Result, Rgb8};

use super::json::json;
use super::turn::{Loaded, Turn};
use super::{errors, picture, waiting};

/// What a picture is made again with, for the page.
pub struct Again {
    pub loaded: Arc<Loaded>,
    pub name: PathBuf,
    pub picture: picture::Owned,
    pub options: TraceOptions,
}

/// What one call of `check` gave.
#[pyclass(frozen)]
pub struct Checked {
    checked: Arc<Mutex<pipeline::Checked>>,
    again: Arc<Again>,
}

impl Checked {
    pub fn new(checked: pipeline::Checked, again: Again) -> Self {
        Self { checked: Arc::new(Mutex::new(checked)), again: Arc::new(again) }
    }

    fn with<T>(&self, read: impl FnOnce(&mut pipeline::Checked) -> T) -> T {
        // Nothing panics while it is held.
        read(&mut self.checked.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

#[pymethods]
impl Checked {
    /// The report as `--json` prints it.
    fn json(&self, py: Python<'_>) -> PyResult<String> {
        self.with(|checked| json(&checked.report)).map_err(|error| errors::raised(py, &error))
    }

    /// The report as the command prints it, without colours.
    fn text(&self) -> String {
        let text = self.with(|checked| checked.report.to_string());
        strip_str(&text).to_string()
    }

    /// What the VAE saw, (height, width, 3), 8-bit.
    fn seen<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray3<u8>> {
        self.with(|checked| array(&checked.seen)).into_pyarray(py)
    }

    /// What came back, (height, width, 3), 8-bit.
    fn picture<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyArray3<u8>>> {
        self.with(|checked| checked.picture.as_ref().map(array)).map(|array| array.into_pyarray(py))
    }

    /// The tensor of that name, handed over: a second call gives `None`.
    fn take_tensor<'py>(&self, py: Python<'py>, name: &str) -> Option<Bound<'py, PyArray4<f32>>> {
        let taken = self.with(|checked| match name {
            "latents" => Some(emptied(&mut checked.latents)),
            "moments" => checked.moments.take(),
            "noise" => checked.noise.take(),
            "decoded" => Some(emptied(&mut checked.decoded)),
            _ => None,
        });
        taken.filter(|tensor| !tensor.is_empty()).map(|tensor| tensor.into_pyarray(py))
    }

    /// The report as a page for a browser; `command` is the call, for people, and `latents` are what was
    /// taken.
    fn html(
        &self,
        py: Python<'_>,
        command: String,
        latents: PyReadonlyArray4<'_, f32>,
    ) -> PyResult<String> {
        let latents = latents.as_array().to_owned();
        let (checked, again) = (self.checked.clone(), self.again.clone());
        let turn = Turn::new(again.loaded.clone());
        let cancel = turn.cancel();
        waiting::with_progress(py, None, cancel, move |_| {
            let mut checked = checked.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if checked.trace.is_none() {
                let picture = again.picture.picture(&again.name, &[]);
                let traced =
                    turn.run(|pipeline| pipeline.trace(picture, &again.options, |_| ()))?;
                checked.trace = Some(traced.trace);
            }
            page(&checked, &command, &latents)
        })
    }
}

fn page(checked: &pipeline::Checked, command: &str, latents: &Array4<f32>) -> Result<String> {
    let next = "please report it to the authors";
    let missing = || Error::new(vae_fidelity::ErrorKind::Output, "the page", "has no trace", next);
    let trace = checked.trace.as_ref().ok_or_else(missing)?;
    let page = checked.report.to_html(&Illustrations {
        pictures: checked.pair(),
        decoded_image: None,
        visibility: checked.visibility.as_ref(),
        latents: latents.view(),
        trace,
        command,
    })?;
    String::from_utf8(page)
        .map_err(|error| Error::new(vae_fidelity::ErrorKind::Output, "the page", error, next))
}

fn emptied(tensor: &mut Array4<f32>) -> Array4<f32> {
    std::mem::replace(tensor, Array4::zeros((0, 0, 0, 0)))
}

/// `pixels` as (height, width, 3).
pub fn array(pixels: &Rgb8) -> Array3<u8> {
    let shape = (pixels.height(), pixels.width(), 3);
    Array3::from_shape_fn(shape, |(y, x, channel)| {
        pixels.data()[(y * pixels.width() + x) * 3 + channel]
    })
}
