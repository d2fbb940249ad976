//! Two pictures, or two files of tensors, beside each other: what the command `compare` does.

use std::path::Path;

use crate::golden::Tolerance;
use crate::metrics::{PixelMetrics, TensorMetrics, Visibility};
use crate::report::{CompareReport, Compared, ComparedTensor, SCHEMA_VERSION};
use crate::tensor_file::{FileTensor, is_tensor_file, read};
use crate::verdict::{Thresholds, Verdict};
use crate::{Error, Result, Rgb8, pixels};

/// Two pictures and what was found.
#[derive(Debug, Clone)]
pub struct ComparedPictures {
    /// What is said of them.
    pub report: CompareReport,
    /// The picture that is judged.
    pub a: Rgb8,
    /// The picture that it is held against.
    pub b: Rgb8,
    /// Where they differ to the eye; `None` where the sizes differ, and below
    /// [`crate::metrics::PERCEPTUAL_SIDE`].
    pub visibility: Option<Visibility>,
}

/// Compares two files for identity: pictures, or tensors where both names end in `.safetensors` or
/// `.npy`.
///
/// # Errors
///
/// When one is a picture and the other is not, and when one cannot be read.
pub fn compare(a: impl AsRef<Path>, b: impl AsRef<Path>) -> Result<CompareReport> {
    let (a, b) = (a.as_ref(), b.as_ref());
    match are_tensors(a, b)? {
        true => compare_tensors(a, b, None),
        false => Ok(compare_pictures(a, b, &Thresholds::default())?.report),
    }
}

/// Whether two files are compared as tensors, by their names; otherwise they are pictures.
///
/// # Errors
///
/// When one is and the other is not.
pub fn are_tensors(a: &Path, b: &Path) -> Result<bool> {
    match (is_tensor_file(a), is_tensor_file(b)) {
        (true, true) => Ok(true),
        (false, false) => Ok(false),
        _ => Err(Error::option(
            "A and B",
            format!(
                "expected two pictures or two tensor files, found {} and {}",
                a.display(),
                b.display()
            ),
            "files that end in .safetensors or .npy are tensors, all others pictures",
        )),
    }
}

/// Compares two pictures: they pass where they are identical, or reach the `thresholds`.
///
/// # Errors
///
/// When one cannot be opened, and when SSIM is asked of fewer than 11 x 11 pixels or MS-SSIM of fewer
/// than 176 x 176.
pub fn compare_pictures(
    a_path: &Path,
    b_path: &Path,
    thresholds: &Thresholds,
) -> Result<ComparedPictures> {
    let [a, b] = [pixels::open(a_path)?, pixels::open(b_path)?];
    let sizes = [&a, &b].map(|opened| [opened.pixels.width(), opened.pixels.height()]);
    let mut reasons = Vec::new();
    let mut metrics = None;
    let mut visibility = None;
    if sizes[0] != sizes[1] {
        let [[width_a, height_a], [width_b, height_b]] = sizes;
        reasons.push(format!("sizes differ: {width_a} x {height_a} and {width_b} x {height_b}"));
    } else {
        thresholds.check_defined(sizes[0].into(), "found", "leave it out")?;
        let (found, visible) = PixelMetrics::with_visibility(&a.pixels, &b.pixels)?;
        if *thresholds == Thresholds::default() {
            if !found.identical {
                reasons.push(format!("{} pixels differ", found.differing_pixels));
            }
        } else {
            reasons = thresholds.missed(Some(&found));
        }
        metrics = Some(found);
        visibility = visible;
    }
    let notes = [(a_path, a.notes), (b_path, b.notes)].into_iter().flat_map(|(path, notes)| {
        notes.into_iter().map(|note| format!("{}: {note}", path.display()))
    });
    let compared = Compared::Images { sizes, metrics, thresholds: *thresholds };
    let report = CompareReport::of(a_path, b_path, compared, reasons, notes.collect());
    Ok(ComparedPictures { report, a: a.pixels, b: b.pixels, visibility })
}

/// Compares two files of tensors, by name: they pass where all are identical, or lie within the
/// `tolerance`.
///
/// # Errors
///
/// When one cannot be read.
pub fn compare_tensors(
    a_path: &Path,
    b_path: &Path,
    tolerance: Option<Tolerance>,
) -> Result<CompareReport> {
    let mut notes = Vec::new();
    let mut reasons = Vec::new();
    let mut tensors = Vec::new();
    for (a, b) in pairs(read(a_path)?, read(b_path)?, &mut notes) {
        let name = match (&a, &b) {
            (Some(a), Some(b)) if a.name != b.name => None,
            (Some(tensor), _) | (None, Some(tensor)) => tensor.name.clone(),
            (None, None) => None,
        };
        let label = name.as_deref().unwrap_or("the tensor").to_owned();
        let mut compared = ComparedTensor {
            name,
            shapes: [&a, &b].map(|t| Some(t.as_ref()?.values.shape().to_vec())),
            dtypes: [&a, &b].map(|t| Some(t.as_ref()?.stored)),
            metrics: None,
            outside_tolerance: None,
        };
        match (a, b) {
            (Some(a), Some(b)) if a.values.shape() == b.values.shape() => {
                let (a, b) = (a.exact(), b.exact());
                compared.outside_tolerance = tolerance.map(|tolerance| {
                    let pairs = a.iter().zip(&b);
                    pairs.filter(|&(&a, &b)| !tolerance.allows_f64(a, b)).count()
                });
                let metrics = TensorMetrics::of_f64(a.view(), b.view())?;
                reasons.extend(why(&label, &metrics, compared.outside_tolerance));
                compared.metrics = Some(metrics);
            }
            (Some(a), Some(b)) => reasons.push(format!(
                "{label}: shapes differ: {:?} and {:?}",
                a.values.shape(),
                b.values.shape()
            )),
            (Some(_), None) => reasons.push(format!("{label}: missing in {}", b_path.display())),
            _ => reasons.push(format!("{label}: missing in {}", a_path.display())),
        }
        tensors.push(compared);
    }
    Ok(CompareReport::of(a_path, b_path, Compared::Tensors { tensors, tolerance }, reasons, notes))
}

fn why(label: &str, metrics: &TensorMetrics, outside: Option<usize>) -> Option<String> {
    let values = metrics.values;
    match outside {
        Some(0) => None,
        Some(outside) => {
            Some(format!("{label}: {outside} of {values} values outside the tolerance"))
        }
        None if metrics.identical => None,
        None => Some(format!("{label}: {} of {values} values differ", metrics.differing)),
    }
}

/// Tensors of one name side by side; two files of one tensor each are compared whatever its name.
fn pairs(
    a: Vec<FileTensor>,
    b: Vec<FileTensor>,
    notes: &mut Vec<String>,
) -> Vec<(Option<FileTensor>, Option<FileTensor>)> {
    if let ([only_a], [only_b]) = (a.as_slice(), b.as_slice()) {
        if let (Some(a), Some(b)) = (&only_a.name, &only_b.name)
            && a != b
        {
            notes.push(format!("the one tensor of A is named {a}, that of B {b}"));
        }
        return vec![(Some(only_a.clone()), Some(only_b.clone()))];
    }
    // A port's file with nothing but latents, beside one with moments and noise, too.
    let latents = |tensors: &[FileTensor]| {
        tensors.iter().find(|tensor| tensor.name.as_deref() == Some("latents")).cloned()
    };
    match (a.as_slice(), b.as_slice()) {
        ([only], others) if only.name.is_none() => {
            if let Some(latents) = latents(others) {
                notes.push("the one tensor of A is held against latents of B".to_owned());
                return vec![(Some(only.clone()), Some(latents))];
            }
        }
        (others, [only]) if only.name.is_none() => {
            if let Some(latents) = latents(others) {
                notes.push("latents of A are held against the one tensor of B".to_owned());
                return vec![(Some(latents), Some(only.clone()))];
            }
        }
        _ => {}
    }
    let mut b = b;
    let mut pairs: Vec<_> = a
        .into_iter()
        .map(|tensor| {
            let twin = b.iter().position(|other| other.name == tensor.name);
            let twin = twin.map(|at| b.remove(at));
            (Some(tensor), twin)
        })
        .collect();
    pairs.extend(b.into_iter().map(|tensor| (None, Some(tensor))));
    pairs
}

impl CompareReport {
    fn of(
        a: &Path,
        b: &Path,
        compared: Compared,
        verdict_reasons: Vec<String>,
        notes: Vec<String>,
    ) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            verdict: Verdict::from_reasons(&verdict_reasons),
            verdict_reasons,
            a: a.to_owned(),
            b: b.to_owned(),
            compared,
            notes,
        }
    }
}
