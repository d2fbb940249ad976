//! `compare`: two pictures, or two files of tensors.

use std::path::Path;

use crate::golden::Tolerance;
use crate::metrics::{PERCEPTUAL_SIDE, PixelMetrics, TensorMetrics, Visibility, WINDOW};
use crate::output::write_all_atomically;
use crate::pictures::{montage, with_scale};
use crate::pixels::encode_png;
use crate::report::{CompareReport, Compared, ComparedTensor, SCHEMA_VERSION};
use crate::tensor_file::{FileTensor, is_tensor_file, read};
use crate::verdict::{Thresholds, Verdict};
use crate::{Error, Result, Rgb8, pixels};

use super::Outcome;
use super::args::CompareArgs;
use super::console::Console;
use super::places::{self, check_png_name};

pub fn run(args: &CompareArgs, console: Console) -> Result<Outcome> {
    let (compared, verdict_reasons, notes) =
        match (is_tensor_file(&args.a), is_tensor_file(&args.b)) {
            (false, false) => pictures(args)?,
            (true, true) => tensors(args)?,
            _ => {
                return Err(Error::option(
                    "A and B",
                    format!(
                        "expected two pictures or two tensor files, found {} and {}",
                        args.a.display(),
                        args.b.display()
                    ),
                    "files that end in .safetensors or .npy are tensors, all others pictures",
                ));
            }
        };
    let verdict = Verdict::from_reasons(&verdict_reasons);
    let report = CompareReport {
        schema_version: SCHEMA_VERSION,
        verdict,
        verdict_reasons,
        a: args.a.clone(),
        b: args.b.clone(),
        compared,
        notes,
    };
    report.notes.iter().for_each(|note| console.note(note));
    console.result(&report, &report)?;
    Ok(verdict.into())
}

/// What was compared, why that fails, and notes.
type Judged = (Compared, Vec<String>, Vec<String>);

fn pictures(args: &CompareArgs) -> Result<Judged> {
    if args.atol.or(args.rtol).is_some() {
        return Err(not_for("--atol and --rtol", "tensors", "use --min-psnr or --min-ssim"));
    }
    let drawn = drawn(args);
    for (flag, path) in &drawn {
        check_png_name(flag, path)?;
    }
    places::check(&drawn, &[args.a.clone(), args.b.clone()])?;
    let [a, b] = [pixels::open(&args.a)?, pixels::open(&args.b)?];
    let sizes = [&a, &b].map(|opened| [opened.pixels.width(), opened.pixels.height()]);
    let thresholds = Thresholds { min_psnr: args.least.min_psnr, min_ssim: args.least.min_ssim };
    let mut reasons = Vec::new();
    let mut metrics = None;
    if let Some((flag, _)) = drawn.first() {
        check_drawable(flag, sizes)?;
    }
    if sizes[0] != sizes[1] {
        let [[width_a, height_a], [width_b, height_b]] = sizes;
        reasons.push(format!("sizes differ: {width_a} x {height_a} and {width_b} x {height_b}"));
    } else {
        if thresholds.min_ssim.is_some() && sizes[0].iter().any(|&side| side < WINDOW) {
            return Err(Error::option(
                "--min-ssim",
                format!(
                    "SSIM needs {WINDOW} x {WINDOW} pixels, found {} x {}",
                    sizes[0][0], sizes[0][1]
                ),
                "leave it out",
            ));
        }
        let (a, b) = (&a.pixels, &b.pixels);
        let (found, visibility) = PixelMetrics::with_visibility(a, b)?;
        if thresholds == Thresholds::default() {
            if !found.identical {
                reasons.push(format!("{} pixels differ", found.differing_pixels));
            }
        } else {
            reasons = thresholds.missed(Some(&found));
        }
        metrics = Some(found);
        if let Some(visibility) = visibility {
            draw(args, a, b, &visibility)?;
        }
    }
    let notes = [(&args.a, a.notes), (&args.b, b.notes)].into_iter().flat_map(|(path, notes)| {
        notes.into_iter().map(|note| format!("{}: {note}", path.display()))
    });
    let notes = notes.collect();
    Ok((Compared::Images { sizes, metrics, thresholds }, reasons, notes))
}

/// The pictures that are to be written, by their flags.
fn drawn(args: &CompareArgs) -> Vec<(&'static str, &Path)> {
    let paths = [("--heatmap", &args.heatmap), ("--montage", &args.montage)];
    paths.into_iter().filter_map(|(flag, path)| Some((flag, path.as_deref()?))).collect()
}

fn check_drawable(flag: &str, sizes: [[usize; 2]; 2]) -> Result<()> {
    let [[width, height], [other_width, other_height]] = sizes;
    if sizes[0] != sizes[1] {
        return Err(Error::option(
            flag,
            format!(
                "needs pictures of one size, found {width} x {height} and {other_width} x {other_height}"
            ),
            "resize or crop one of them",
        ));
    }
    if width.min(height) < PERCEPTUAL_SIDE {
        let least = PERCEPTUAL_SIDE;
        return Err(Error::option(
            flag,
            format!("needs {least} x {least} pixels, found {width} x {height}"),
            "leave it out",
        ));
    }
    Ok(())
}

fn draw(args: &CompareArgs, a: &Rgb8, b: &Rgb8, visibility: &Visibility) -> Result<()> {
    let mut files: Vec<(&Path, Vec<u8>)> = Vec::new();
    if let Some(path) = &args.heatmap {
        files.push((path, encode_png(&with_scale(visibility)?)?));
    }
    if let Some(path) = &args.montage {
        files.push((path, encode_png(&montage(a, b, visibility, ["A", "B"])?)?));
    }
    let files: Vec<(&Path, &[u8])> =
        files.iter().map(|(path, bytes)| (*path, bytes.as_slice())).collect();
    write_all_atomically(&files)
}

fn tensors(args: &CompareArgs) -> Result<Judged> {
    if let Some((flag, _)) = drawn(args).first() {
        return Err(not_for(flag, "pictures", "leave it out"));
    }
    if args.least.min_psnr.or(args.least.min_ssim).is_some() {
        return Err(not_for("--min-psnr and --min-ssim", "pictures", "use --atol or --rtol"));
    }
    let tolerance = match (args.atol, args.rtol) {
        (None, None) => None,
        (atol, rtol) => Some(Tolerance::new(atol.unwrap_or(0.0), rtol.unwrap_or(0.0))?),
    };
    let mut notes = Vec::new();
    let mut reasons = Vec::new();
    let mut tensors = Vec::new();
    for (a, b) in pairs(read(&args.a)?, read(&args.b)?, &mut notes) {
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
            (Some(_), None) => reasons.push(format!("{label}: missing in {}", args.b.display())),
            _ => reasons.push(format!("{label}: missing in {}", args.a.display())),
        }
        tensors.push(compared);
    }
    Ok((Compared::Tensors { tensors, tolerance }, reasons, notes))
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

fn not_for(flags: &str, what: &str, next: &str) -> Error {
    Error::option(flags, format!("hold for {what}, and these files are none"), next)
}
