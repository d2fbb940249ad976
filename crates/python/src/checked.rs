//! One picture's report, and the tensors that it was made from.

use std::path::PathBuf;
use std::sync::Arc;

use anstream::adapter::strip_str;
use ndarray::{Array3, Array4, ArrayBase, Axis, Data, Dimension, stack};
use numpy::{Element, IntoPyArray, PyArray, PyArray3, PyArray4};
use pyo3::prelude::*;
use vae_fidelity::output::write_all_atomically;
use vae_fidelity::pipeline::{self, CheckedClip, TraceOptions};
use vae_fidelity::pixels::Alpha8;
use vae_fidelity::report::Illustrations;
use vae_fidelity::trace::TraceFile;
use vae_fidelity::{Error, ErrorKind, Result, Rgb8};

use super::json::json;
use super::turn::{Loaded, Turn};
use super::{errors, picture, waiting};

/// What the layers are recorded from, for the page.
pub struct Again {
    pub loaded: Arc<Loaded>,
    pub name: PathBuf,
    /// Where the encoder's sample was given; else what the VAE saw is sent again.
    pub sample: Option<Array4<f32>>,
    pub seed: Option<i128>,
}

/// What one call of `check` gave. Nothing of it changes: its arrays are views that cannot be written to.
#[pyclass(frozen)]
pub struct Checked {
    checked: Arc<pipeline::Checked>,
    again: Arc<Again>,
}

impl Checked {
    pub fn new(checked: pipeline::Checked, again: Again) -> Self {
        Self { checked: Arc::new(checked), again: Arc::new(again) }
    }
}

#[pymethods]
impl Checked {
    /// The report as `--json` prints it.
    fn json(&self, py: Python<'_>) -> PyResult<String> {
        json(&self.checked.report).map_err(|error| errors::raised(py, &error))
    }

    /// The report as the command prints it, without colours.
    fn text(&self) -> String {
        strip_str(&self.checked.report.to_string()).to_string()
    }

    /// What the VAE saw, (height, width, 3), or 4 where it is one of RGBA, 8-bit.
    fn seen<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray3<u8>> {
        array(&self.checked.seen, self.checked.seen_alpha.as_ref()).into_pyarray(py)
    }

    /// What came back, (height, width, 3), or 4 where the VAE is one of RGBA, 8-bit.
    fn picture<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyArray3<u8>>> {
        let alpha = self.checked.picture_alpha.as_ref();
        self.checked.picture.as_ref().map(|picture| array(picture, alpha).into_pyarray(py))
    }

    /// What came back of a clip, (frames, height, width, 3), or 4 where the VAE is one of RGBA, 8-bit.
    fn clip_pictures<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyArray4<u8>>> {
        let clip = self.checked.clip.as_ref()?;
        let frames = clip.pictures.iter().map(|(pixels, alpha)| array(pixels, alpha.as_ref()));
        let frames: Vec<_> = frames.collect();
        let views: Vec<_> = frames.iter().map(Array3::view).collect();
        // None where the arithmetic has no picture.
        Some(stack(Axis(0), &views).ok()?.into_pyarray(py))
    }

    /// The tensor of that name, `latents`, `moments`, `noise` or `decoded`, of the picture or, behind `clip_`, of the
    /// clip, without a copy.
    fn tensor<'py>(
        slf: &Bound<'py, Self>,
        name: &str,
    ) -> PyResult<Option<Bound<'py, PyArray4<f32>>>> {
        let checked = &slf.get().checked;
        let tensor = match name {
            "latents" => Some(&checked.latents),
            "moments" => checked.moments.as_ref(),
            "noise" => checked.noise.as_ref(),
            "decoded" => Some(&checked.decoded),
            "clip_latents" => checked.clip.as_ref().map(|clip| &clip.latents),
            "clip_moments" => checked.clip.as_ref().and_then(|clip| clip.moments.as_ref()),
            "clip_noise" => checked.clip.as_ref().and_then(|clip| clip.noise.as_ref()),
            "clip_decoded" => checked.clip.as_ref().map(|clip| &clip.decoded),
            _ => None,
        };
        tensor.map(|tensor| view(tensor, slf)).transpose()
    }

    /// The report as a page for a browser, also written to `path`; `command` is the call, for people.
    #[pyo3(signature = (command, path=None))]
    fn html(&self, py: Python<'_>, command: String, path: Option<PathBuf>) -> PyResult<String> {
        let (checked, again) = (self.checked.clone(), self.again.clone());
        let turn = Turn::new(again.loaded.clone());
        let cancel = turn.cancel();
        waiting::with_progress(py, None, cancel, move |_| {
            let seen = || picture::Owned::Pixels(checked.seen.clone(), checked.seen_alpha.clone());
            let sent = again.sample.clone().map_or_else(seen, picture::Owned::Sample);
            let mut options = TraceOptions::default();
            options.seed = again.seed;
            let sent = sent.picture(&again.name, &[]);
            let traced = turn.run(|pipeline| pipeline.trace(sent, &options, |_| ()))?;
            let page = page(&checked, &traced.trace, &command)?;
            if let Some(path) = &path {
                write_all_atomically(&[(path, page.clone().into_bytes())])?;
            }
            Ok(page)
        })
    }
}

fn page(checked: &pipeline::Checked, trace: &TraceFile, command: &str) -> Result<String> {
    let clip = checked.clip.as_ref().map(CheckedClip::animations).transpose()?.flatten();
    let page = checked.report.to_html(&Illustrations {
        clip: clip.as_ref().map(|(input, output)| (&input[..], &output[..])),
        pictures: checked.pair(),
        decoded_image: None,
        visibility: checked.visibility.as_ref(),
        latents: checked.latents.view(),
        trace,
        command,
    })?;
    let next = "please report it to the authors";
    String::from_utf8(page).map_err(|error| Error::new(ErrorKind::Output, "the page", error, next))
}

/// `tensor`, which lies in `owner`, as an array that cannot be written to.
fn view<'py, T: Element, S: Data<Elem = T>, D: Dimension>(
    tensor: &ArrayBase<S, D>,
    owner: &Bound<'py, Checked>,
) -> PyResult<Bound<'py, PyArray<T, D>>> {
    // SAFETY: the array holds its owner, which is frozen, and behind an Arc the tensor stays where it is.
    let array = unsafe { PyArray::borrow_from_array(tensor, owner.clone().into_any()) };
    array.call_method1("setflags", (false,))?;
    Ok(array)
}

/// `pixels` as (height, width, 3).
pub fn array(pixels: &Rgb8, alpha: Option<&Alpha8>) -> Array3<u8> {
    let (channels, data) = match alpha.map(|alpha| alpha.interleaved(pixels)) {
        Some(data) => (4, data.expect("both are of one picture")),
        None => (3, pixels.data().to_vec()),
    };
    let shape = (pixels.height(), pixels.width(), channels);
    Array3::from_shape_vec(shape, data).expect("pixels are laid out so")
}
