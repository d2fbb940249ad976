//! Latents of one or several pictures, decoded and judged.

use anstream::adapter::strip_str;
use ndarray::{Array4, ArrayD};
use numpy::{IntoPyArray, PyArray3, PyArray4};
use pyo3::prelude::*;
use vae_fidelity::pipeline::{DecodeOptions, DecodedLatents, LatentsIn};
use vae_fidelity::{Error, Pipeline, Result};

use super::checked::array;
use super::json::json;

/// Report as JSON and as text, picture, and sample before clamping.
pub type DecodedRow<'py> =
    (String, String, Option<Bound<'py, PyArray3<u8>>>, Option<Bound<'py, PyArray4<f32>>>);

/// One picture's.
pub struct Row {
    json: String,
    text: String,
    picture: Option<ndarray::Array3<u8>>,
    decoded: Option<Array4<f32>>,
}

impl Row {
    fn of(decoded: DecodedLatents) -> Result<Self> {
        Ok(Self {
            json: json(&decoded.report)?,
            text: strip_str(&decoded.report.to_string()).to_string(),
            picture: decoded
                .picture
                .as_ref()
                .map(|picture| array(picture, decoded.picture_alpha.as_ref())),
            decoded: decoded.decoded,
        })
    }

    pub fn into_python(self, py: Python<'_>) -> PyResult<DecodedRow<'_>> {
        let picture = self.picture.map(|picture| picture.into_pyarray(py));
        let decoded = self.decoded.map(|decoded| decoded.into_pyarray(py));
        Ok((self.json, self.text, picture, decoded))
    }
}

/// Each picture's latents in `tensor`, in order; where it holds none of this VAE's, the one report that
/// says so.
pub fn rows(
    pipeline: &Pipeline,
    tensor: &ArrayD<f32>,
    mut options: DecodeOptions,
    tell: &dyn Fn(String),
) -> Result<Vec<Row>> {
    let (rows, axes) = match pipeline.latents_in(tensor, &options)? {
        LatentsIn::Rows(rows, axes) => (rows, axes),
        LatentsIn::Unfit(judged) => return Ok(vec![Row::of(*judged)?]),
        _ => return Err(unknown()),
    };
    if rows.len() > 1 && options.decoded_image.is_some() {
        return Err(Error::option(
            "`decoded_image`",
            format!("belongs to one picture, and the latents are of {}", rows.len()),
            "give the latents of that picture alone",
        ));
    }
    options.notes.extend(axes.note());
    let mut done = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        options.row = (rows.len() > 1).then_some(index);
        let decoded = pipeline.decode_with(row, &options, |step| tell(step.to_string()))?;
        done.push(Row::of(decoded)?);
    }
    Ok(done)
}

fn unknown() -> Error {
    let next = "please report it to the authors";
    Error::new(vae_fidelity::ErrorKind::Unsupported, "latents", "of a form that is not known", next)
}
