//! The files that one image leaves behind, all of them or none.

use std::path::Path;

use crate::metrics::Visibility;
use crate::output::write_all_atomically;
use crate::pictures::{montage, with_scale};
use crate::pixels::encode_png;
use crate::report::{CheckReport, Illustrations};
use crate::tensor_file::to_safetensors;
use crate::trace::TraceFile;
use crate::{Error, Result, Rgb8};
use ndarray::Array4;

use super::outputs::Outputs;

/// What a run on one image made.
pub struct Results<'a> {
    pub report: &'a CheckReport,
    pub command: &'a str,
    pub seen: &'a Rgb8,
    /// `None` where the arithmetic has no picture.
    pub picture: Option<&'a Rgb8>,
    /// The parts of the two pictures that are compared.
    pub pair: Option<(&'a Rgb8, &'a Rgb8)>,
    pub visibility: Option<&'a Visibility>,
    pub tensors: &'a Tensors,
    pub trace: Option<&'a TraceFile>,
}

/// What the tensor files hold.
pub struct Tensors {
    pub latents: Array4<f32>,
    pub moments: Option<Array4<f32>>,
    pub noise: Option<Array4<f32>>,
    pub decoded: Array4<f32>,
}

impl Results<'_> {
    /// Writes what `outputs` asks for.
    pub fn write(&self, outputs: &Outputs) -> Result<()> {
        let mut files: Vec<(&Path, Vec<u8>)> = Vec::new();
        if let (Some(path), Some(picture)) = (&outputs.picture, self.picture) {
            files.push((path, encode_png(picture)?));
        }
        if let Some(path) = &outputs.input {
            files.push((path, encode_png(self.seen)?));
        }
        if let Some(path) = &outputs.latents {
            let Tensors { latents, moments, noise, .. } = self.tensors;
            let mut saved = vec![("latents", latents.view())];
            for (name, tensor) in [("moments", moments), ("noise", noise)] {
                saved.extend(tensor.as_ref().map(|tensor| (name, tensor.view())));
            }
            files.push((path, to_safetensors(&saved)?));
        }
        if let Some(path) = &outputs.decoded {
            files.push((path, to_safetensors(&[("decoded", self.tensors.decoded.view())])?));
        }
        if let (Some(path), Some(trace)) = (&outputs.trace, self.trace) {
            files.push((path, trace.to_json()));
        }
        if let Some(path) = &outputs.heatmap {
            let (_, visibility) = self.compared("--heatmap")?;
            files.push((path, encode_png(&with_scale(visibility)?)?));
        }
        if let Some(path) = &outputs.montage {
            let ((seen, picture), visibility) = self.compared("--montage")?;
            let picture = montage(seen, picture, visibility, ["input", "output"])?;
            files.push((path, encode_png(&picture)?));
        }
        if let (Some(path), Some(trace)) = (&outputs.report, self.trace) {
            let illustrations = Illustrations {
                pictures: self.pair,
                visibility: self.visibility,
                latents: self.tensors.latents.view(),
                trace,
                command: self.command,
            };
            files.push((path, self.report.to_html(&illustrations)?));
        }
        let files: Vec<(&Path, &[u8])> =
            files.iter().map(|(path, bytes)| (*path, bytes.as_slice())).collect();
        write_all_atomically(&files)
    }

    /// What a heat map is made from.
    fn compared(&self, flag: &str) -> Result<((&Rgb8, &Rgb8), &Visibility)> {
        self.pair.zip(self.visibility).ok_or_else(|| {
            Error::option(
                flag,
                "needs pictures of at least 8 x 8 pixels that can be compared",
                "enlarge the picture with --width and --height",
            )
        })
    }
}
