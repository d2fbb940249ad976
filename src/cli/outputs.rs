//! Where `check` writes, settled before anything slow runs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::report::SavedFile;
use crate::{Error, Result};

use super::check_args::CheckArgs;
use super::places::{self, ReadFiles, check_ending, check_png_name};

/// Where the results of one image go; `None` is not written.
#[derive(Debug, Default)]
pub struct Outputs {
    pub picture: Option<PathBuf>,
    pub input: Option<PathBuf>,
    pub latents: Option<PathBuf>,
    pub decoded: Option<PathBuf>,
    pub trace: Option<PathBuf>,
    pub heatmap: Option<PathBuf>,
    pub montage: Option<PathBuf>,
    pub report: Option<PathBuf>,
}

impl Outputs {
    /// One for each of `images`, in their order. Creates `--out-dir`.
    ///
    /// Errors for flags that cannot be obeyed together, outputs that are inputs or meet in one
    /// file, and outputs that cannot be written.
    pub fn settle(args: &CheckArgs, images: &[PathBuf], reads: &ReadFiles) -> Result<Vec<Self>> {
        refuse_contradictions(args, images)?;
        let outputs = images
            .iter()
            .map(|image| {
                Ok(Self {
                    picture: picture(args, image)?,
                    input: args.save_input.clone(),
                    latents: args.save_latents.clone(),
                    decoded: args.save_decoded.clone(),
                    trace: args.save_trace.clone(),
                    heatmap: args.heatmap.clone(),
                    montage: args.montage.clone(),
                    report: args.report.clone(),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        refuse_one_name(images, &outputs)?;
        let mut named: Vec<(&str, &Path)> = outputs.iter().flat_map(Self::named).collect();
        named.extend(args.ci.named()?);
        places::check_in(args.out_dir.as_deref(), &named, reads)?;
        Ok(outputs)
    }

    /// Whether a file will show how visible the differences are.
    pub fn show_differences(&self) -> bool {
        self.heatmap.is_some() || self.montage.is_some() || self.report.is_some()
    }

    /// All but the decoded picture.
    pub fn saved(&self) -> Vec<SavedFile> {
        let what =
            |flag: &str| flag.trim_start_matches("--").trim_start_matches("save-").to_owned();
        let beside = self.named().filter(|(flag, _)| flag.starts_with("--"));
        beside.map(|(flag, path)| SavedFile { what: what(flag), path: path.to_owned() }).collect()
    }

    fn named(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let paths = [
            ("the decoded picture", &self.picture),
            ("--save-input", &self.input),
            ("--save-latents", &self.latents),
            ("--save-decoded", &self.decoded),
            ("--save-trace", &self.trace),
            ("--heatmap", &self.heatmap),
            ("--montage", &self.montage),
            ("--report", &self.report),
        ];
        paths.into_iter().filter_map(|(name, path)| Some((name, path.as_deref()?)))
    }
}

fn refuse_contradictions(args: &CheckArgs, images: &[PathBuf]) -> Result<()> {
    let single = [
        ("--out", &args.out),
        ("--save-input", &args.save_input),
        ("--save-latents", &args.save_latents),
        ("--save-decoded", &args.save_decoded),
        ("--save-trace", &args.save_trace),
        ("--heatmap", &args.heatmap),
        ("--montage", &args.montage),
        ("--report", &args.report),
    ];
    let has_picture = args.run.model.execution.dtype.has_picture();
    if images.len() > 1 {
        if let Some((flag, _)) = single.iter().find(|(_, path)| path.is_some()) {
            return Err(Error::option(
                flag,
                format!("holds the result of one image, {} were given", images.len()),
                "give the images one by one, or only --out-dir DIR",
            ));
        }
        if let Some((flag, _)) = args.files.given().next() {
            return Err(Error::option(
                flag,
                format!("belongs to one image, {} were given", images.len()),
                "give the images one by one",
            ));
        }
        if args.out_dir.is_none() && has_picture {
            return Err(Error::option(
                "--out-dir",
                format!("is needed where several images are given, here {}", images.len()),
                "name a folder for the decoded pictures with --out-dir DIR",
            ));
        }
    }
    let pictures = [
        ("--out", &args.out),
        ("--save-input", &args.save_input),
        ("--heatmap", &args.heatmap),
        ("--montage", &args.montage),
    ];
    for (flag, path) in pictures {
        path.as_deref().map_or(Ok(()), |path| check_png_name(flag, path))?;
    }
    let report = args.report.as_deref();
    report.map_or(Ok(()), |path| check_ending("--report", path, "HTML", &["html", "htm"]))?;
    let needs_picture = [
        ("--out", args.out.is_some()),
        ("--out-dir", args.out_dir.is_some()),
        ("--heatmap", args.heatmap.is_some()),
        ("--montage", args.montage.is_some()),
        ("--show", args.show),
        ("--min-psnr", args.least.min_psnr.is_some()),
        ("--min-ssim", args.least.min_ssim.is_some()),
        ("--min-ms-ssim", args.least.min_ms_ssim.is_some()),
    ];
    args.run.model.execution.dtype.refuse_without_picture(&needs_picture)
}

/// Errors for two of `images` whose decoded pictures would have one name.
fn refuse_one_name(images: &[PathBuf], outputs: &[Outputs]) -> Result<()> {
    let mut earlier: HashMap<&Path, &Path> = HashMap::new();
    for (image, outputs) in images.iter().zip(outputs) {
        let Some(picture) = outputs.picture.as_deref() else { continue };
        if let Some(other) = earlier.insert(picture, image) {
            let [image, other] = [image.as_path(), other].map(Path::display);
            return Err(Error::output(
                picture,
                format!("the decoded pictures of {other} and {image} are one file"),
                "judge inputs of one name one by one, each with an --out-dir of its own",
            ));
        }
    }
    Ok(())
}

fn picture(args: &CheckArgs, image: &Path) -> Result<Option<PathBuf>> {
    if !args.run.model.execution.dtype.has_picture() {
        return Ok(None);
    }
    let Some(folder) = &args.out_dir else {
        return Ok(Some(args.out.clone().unwrap_or_else(|| "decoded.png".into())));
    };
    let name = image.file_stem().ok_or_else(|| {
        Error::image(image, "expected an image file, found a path without a name", "name a file")
    })?;
    let mut name = name.to_owned();
    name.push(".png");
    Ok(Some(folder.join(name)))
}
