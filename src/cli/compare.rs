//! `compare`: two pictures, or two files of tensors.

use std::path::Path;
use std::time::Instant;

use crate::compare::{ComparedPictures, are_tensors, compare_pictures, compare_tensors};
use crate::golden::Tolerance;
use crate::metrics::PERCEPTUAL_SIDE;
use crate::output::write_all_atomically;
use crate::pictures::{montage, with_scale};
use crate::pixels::encode_png;
use crate::report::CompareReport;
use crate::verdict::Thresholds;
use crate::{Error, Result};

use super::args::CompareArgs;
use super::cases::Subject;
use super::ci_files::recorded;
use super::console::Console;
use super::outcome::Outcome;
use super::places::{self, ReadFiles, check_png_name};

pub fn run(args: &CompareArgs, console: Console) -> Result<Outcome> {
    let named: Vec<(&str, &Path)> = drawn(args).into_iter().chain(args.ci.named()?).collect();
    places::check(&named, &ReadFiles::of([args.a.clone(), args.b.clone()]))?;
    let subjects = vec![Subject::file(&args.a)];
    recorded(&args.ci, "compare", subjects, console, |cases| {
        let started = Instant::now();
        let report = match are_tensors(&args.a, &args.b)? {
            true => tensors(args)?,
            false => pictures(args)?,
        };
        cases.judged(started.elapsed(), &report);
        report.notes.iter().for_each(|note| console.note(note));
        console.result(&report, &report)?;
        Ok(report.verdict.into())
    })
}

fn pictures(args: &CompareArgs) -> Result<CompareReport> {
    if args.atol.or(args.rtol).is_some() {
        return Err(not_for(
            "--atol and --rtol",
            "tensors",
            "use --min-psnr, --min-ssim or --min-ms-ssim",
        ));
    }
    let drawn = drawn(args);
    for (flag, path) in &drawn {
        check_png_name(flag, path)?;
    }
    let compared = compare_pictures(&args.a, &args.b, &args.least.thresholds())?;
    if let Some((flag, _)) = drawn.first() {
        draw(args, &compared, flag)?;
    }
    Ok(compared.report)
}

/// The pictures that are to be written, by their flags.
fn drawn(args: &CompareArgs) -> Vec<(&'static str, &Path)> {
    let paths = [("--heatmap", &args.heatmap), ("--montage", &args.montage)];
    paths.into_iter().filter_map(|(flag, path)| Some((flag, path.as_deref()?))).collect()
}

fn draw(args: &CompareArgs, compared: &ComparedPictures, flag: &str) -> Result<()> {
    let ComparedPictures { a, b, visibility, .. } = compared;
    let (width, height) = (a.width(), a.height());
    if (width, height) != (b.width(), b.height()) {
        return Err(Error::option(
            flag,
            format!(
                "needs pictures of one size, found {width} x {height} and {} x {}",
                b.width(),
                b.height()
            ),
            "resize or crop one of them",
        ));
    }
    let Some(visibility) = visibility else {
        return Err(Error::option(
            flag,
            format!("needs {PERCEPTUAL_SIDE} x {PERCEPTUAL_SIDE} pixels, found {width} x {height}"),
            "leave it out",
        ));
    };
    let mut files: Vec<(&Path, Vec<u8>)> = Vec::new();
    if let Some(path) = &args.heatmap {
        files.push((path, encode_png(&with_scale(visibility)?)?));
    }
    if let Some(path) = &args.montage {
        files.push((path, encode_png(&montage(a, b, visibility, ["A", "B"])?)?));
    }
    write_all_atomically(&files)
}

fn tensors(args: &CompareArgs) -> Result<CompareReport> {
    if let Some((flag, _)) = drawn(args).first() {
        return Err(not_for(flag, "pictures", "leave it out"));
    }
    if args.least.thresholds() != Thresholds::default() {
        let flags = "--min-psnr, --min-ssim and --min-ms-ssim";
        return Err(not_for(flags, "pictures", "use --atol or --rtol"));
    }
    let tolerance = match (args.atol, args.rtol) {
        (None, None) => None,
        (atol, rtol) => Some(Tolerance::new(atol.unwrap_or(0.0), rtol.unwrap_or(0.0))?),
    };
    compare_tensors(&args.a, &args.b, tolerance)
}

fn not_for(flags: &str, what: &str, next: &str) -> Error {
    Error::option(flags, format!("hold for {what}, and these files are none"), next)
}
