//! Where `check` writes, settled before anything slow runs: no output may be an input or another
//! output under any name, and all of them must be writable.

use std::fs;
use std::path::{Path, PathBuf};

use vae_fidelity::output::{check_writable, resolve};
use vae_fidelity::{Error, Result};

use super::check_args::CheckArgs;
use super::run_args::DtypeChoice;

/// Where the results of one image go; `None` is not written.
#[derive(Debug, Default)]
pub struct Outputs {
    pub picture: Option<PathBuf>,
    pub input: Option<PathBuf>,
    pub latents: Option<PathBuf>,
    pub decoded: Option<PathBuf>,
    pub trace: Option<PathBuf>,
}

impl Outputs {
    /// One for each of `images`, in their order. Creates `--out-dir`.
    ///
    /// Errors for flags that cannot be obeyed together, outputs that are inputs or meet in one
    /// file, and outputs that cannot be written.
    pub fn settle(args: &CheckArgs, images: &[PathBuf]) -> Result<Vec<Self>> {
        refuse_contradictions(args, images)?;
        if let Some(folder) = &args.out_dir {
            create(folder)?;
        }
        let outputs = images
            .iter()
            .map(|image| {
                Ok(Self {
                    picture: picture(args, image)?,
                    input: args.save_input.clone(),
                    latents: args.save_latents.clone(),
                    decoded: args.save_decoded.clone(),
                    trace: args.save_trace.clone(),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let named: Vec<(&str, &Path)> = outputs.iter().flat_map(Self::named).collect();
        refuse_overlap(&named, &inputs(args, images))?;
        named.iter().try_for_each(|(_, path)| check_writable(path))?;
        Ok(outputs)
    }

    fn named(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let paths = [
            ("the decoded picture", &self.picture),
            ("--save-input", &self.input),
            ("--save-latents", &self.latents),
            ("--save-decoded", &self.decoded),
            ("--save-trace", &self.trace),
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
    ];
    let has_picture = args.run.dtype != DtypeChoice::Bf16;
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
    let pictures = [("--out", &args.out), ("--save-input", &args.save_input)];
    for (flag, path) in pictures.into_iter().filter_map(|(flag, path)| Some((flag, path.as_ref()?)))
    {
        if let Some(extension) = other_format(path) {
            return Err(Error::output(
                path,
                format!("{flag} writes PNG, and the name ends in .{extension}"),
                format!("name it {}", path.with_extension("png").display()),
            ));
        }
    }
    let needs_picture = [
        ("--out", args.out.is_some()),
        ("--out-dir", args.out_dir.is_some()),
        ("--min-psnr", args.least.min_psnr.is_some()),
        ("--min-ssim", args.least.min_ssim.is_some()),
    ];
    match needs_picture.iter().find(|(_, given)| *given && !has_picture) {
        Some((flag, _)) => Err(Error::option(
            flag,
            "needs a picture, and --dtype bf16 has none: the gist's conversion to pixels goes through numpy, which has no bfloat16",
            "leave it out, or use --dtype f32 or f16",
        )),
        None => Ok(()),
    }
}

/// The ending of a name that promises another format than PNG.
fn other_format(path: &Path) -> Option<String> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    let others = ["jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff", "ppm", "pgm", "tga", "avif"];
    others.contains(&extension.as_str()).then_some(extension)
}

fn create(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| {
        Error::output(
            folder,
            format!("the folder cannot be made: {error}"),
            "name another folder with --out-dir",
        )
    })
}

fn picture(args: &CheckArgs, image: &Path) -> Result<Option<PathBuf>> {
    if args.run.dtype == DtypeChoice::Bf16 {
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

/// Everything that a run reads: pictures, and the files that a model is loaded from.
fn inputs(args: &CheckArgs, images: &[PathBuf]) -> Vec<PathBuf> {
    let given = images.iter().chain(&args.baseline).cloned();
    let files = args.files.given().map(|(_, path)| path.to_owned());
    given.chain(files).chain(args.run.model_files()).collect()
}

/// Errors for an output that is an input or another output, under any name.
pub fn refuse_overlap(outputs: &[(&str, &Path)], inputs: &[PathBuf]) -> Result<()> {
    for (at, (name, path)) in outputs.iter().enumerate() {
        if let Some(input) = inputs.iter().find(|input| same_file(path, input)) {
            return Err(Error::output(
                path,
                format!("{name} would replace an input, {}", input.display()),
                "name another file to write",
            ));
        }
        if let Some((other, twin)) = outputs[..at].iter().find(|(_, other)| same_file(path, other))
        {
            return Err(Error::output(
                path,
                format!("{name} and {other} ({}) are one file", twin.display()),
                "give each output a file of its own; inputs of one name need folders of their own",
            ));
        }
    }
    Ok(())
}

/// Whether two paths lead to one file, through symbolic and hard links, or would if they existed.
/// Devices can be written twice, and a pipe must not even be opened: that waits for its writer.
fn same_file(a: &Path, b: &Path) -> bool {
    let special = |path| fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
    if special(a) || special(b) {
        return false;
    }
    same_file::is_same_file(a, b).unwrap_or(false)
        || matches!((location(a), location(b)), (Some(a), Some(b)) if a == b)
}

/// The one name of a file that may not exist yet.
fn location(path: &Path) -> Option<PathBuf> {
    let target = resolve(path).ok()?;
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    Some(folder.canonicalize().ok()?.join(target.file_name()?))
}
