//! `decode`: latents to pictures, and what is wrong with them.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::checkpoint::LatentsFile;
use crate::diagnosis::UserPicture;
use crate::output::write_all_atomically;
use crate::pipeline::{DecodeOptions, DecodedLatents, LatentsIn};
use crate::pixels::{self, encode_rgba_png};
use crate::report::{CheckSummary, LatentsSource, SavedFile};
use crate::tensor_file::to_safetensors;
use crate::{Error, Result};

use super::cases::Subject;
use super::ci_files::recorded;
use super::console::Console;
use super::decode_args::DecodeArgs;
use super::loading::loaded;
use super::objects::SummaryReport;
use super::outcome::Outcome;
use super::places::{self, ReadFiles, check_png_name};
use super::progress::Progress;
use super::run_args::check_working_directory;

pub fn run(args: &DecodeArgs, console: Console) -> Result<Outcome> {
    check_working_directory()?;
    refuse_contradictions(args)?;
    let file = LatentsFile::read(&args.latents, args.latents_key.as_deref())?;
    let asked = args.latents_scale.scale();
    let mut latents_file = LatentsSource::new(&args.latents, file.name, file.container, asked);
    let decoded_image = args.decoded_image.as_deref().map(pixels::open).transpose()?;
    let builder = args.splitting.applied(args.model.pipeline());
    let source = builder.source()?;
    let progress = Progress::new(1, console);
    let options = args.model.about.options(&source, progress.of_hub())?;
    let given = [args.latents.clone()].into_iter().chain(args.decoded_image.clone());
    let reads = ReadFiles::with_source(given, &source, &options);
    // Those that are named, before anything slow.
    let named = Outputs { picture: args.out.clone(), decoded: args.save_decoded.clone() };
    let of_ci = args.ci.named()?;
    let named: Vec<(&str, &Path)> = named.named().chain(of_ci).collect();
    places::check(&named, &reads)?;
    let subjects = vec![Subject::file(&args.latents)];
    recorded(&args.ci, "decode", subjects, console, |cases| {
        builder.execution()?;

        let builder = builder.opened_with(options);
        let Some((pipeline, progress)) = loaded(builder, progress, console, cases)? else {
            return Ok(Outcome::NotJudged);
        };
        let mut notes = args.model.execution.notes();
        let scale = latents_file.settle(pipeline.model().family);
        notes.extend(latents_file.note());
        let mut decode = DecodeOptions {
            scale,
            decoded_image: decoded_image.map(UserPicture::from),
            latents_file: Some(latents_file),
            notes,
            ..DecodeOptions::default()
        };
        let started = Instant::now();
        let (rows, axes) = match pipeline.latents_in(&file.values, &decode)? {
            LatentsIn::Rows(rows, axes) => (rows, axes),
            LatentsIn::Unfit(judged) => {
                drop(progress);
                cases.judged(started.elapsed(), &judged.report);
                judged.report.notes.iter().for_each(|note| console.note(note));
                console.result(&judged.report, &judged.report)?;
                return Ok(judged.report.verdict.into());
            }
        };
        decode.notes.extend(axes.note());
        let of_all: Vec<String> = pipeline.notes().iter().chain(&decode.notes).cloned().collect();
        progress.around(|| of_all.iter().for_each(|note| console.note(note)));
        let outputs = Outputs::settle(args, rows.len(), &reads)?;
        cases.split(rows.len());

        let mut summary = CheckSummary { images: rows.len(), passed: 0, failed: 0, not_judged: 0 };
        let mut worst = Outcome::Passed;
        for (index, (row, outputs)) in rows.iter().zip(&outputs).enumerate() {
            let started = Instant::now();
            decode.row = (rows.len() > 1).then_some(index);
            decode.decoded_path = outputs.picture.clone();
            decode.saved = outputs.saved();
            let step = |step: &str| match rows.len() {
                1 => progress.step(step),
                count => progress.step(&format!("row {index} of {count}: {step}")),
            };
            let mut decoded = pipeline.decode_with(row, &decode, |now| step(&now.to_string()))?;
            outputs.write(&decoded)?;
            decoded.report.timings_ms.set_total(started.elapsed());
            let report = &decoded.report;
            progress.around(|| {
                let gap = if index > 0 { "\n" } else { "" };
                console.result(report, format_args!("{gap}{report}"))
            })?;
            cases.judged(started.elapsed(), report);
            let outcome = Outcome::from(report.verdict);
            match outcome {
                Outcome::Passed => summary.passed += 1,
                _ => summary.failed += 1,
            }
            worst = worst.max(outcome);
        }
        drop(progress);
        if rows.len() > 1 {
            console.result(&SummaryReport::new(summary), format_args!("\n{summary}\n"))?;
        }
        Ok(worst)
    })
}

/// Where the results of one row go; `None` is not written.
struct Outputs {
    picture: Option<PathBuf>,
    decoded: Option<PathBuf>,
}

impl Outputs {
    /// One for each of `count` rows. Creates `--out-dir`.
    fn settle(args: &DecodeArgs, count: usize, reads: &ReadFiles) -> Result<Vec<Self>> {
        let has_picture = args.model.execution.dtype.has_picture();
        if count > 1 {
            let single = [("--out", &args.out), ("--save-decoded", &args.save_decoded)];
            if let Some((flag, _)) = single.iter().find(|(_, path)| path.is_some()) {
                return Err(Error::option(
                    flag,
                    format!("holds the result of one picture, the file has {count}"),
                    "give only --out-dir DIR",
                ));
            }
            if let Some(path) = &args.decoded_image {
                return Err(Error::option(
                    "--decoded-image",
                    format!("{} belongs to one picture, the file has {count}", path.display()),
                    "save the latents of that picture alone",
                ));
            }
            if args.out_dir.is_none() && has_picture {
                return Err(Error::option(
                    "--out-dir",
                    format!("is needed for a file of several pictures, here {count}"),
                    "name a folder for the decoded pictures with --out-dir DIR",
                ));
            }
        }
        let stem = args.latents.file_stem().unwrap_or_default().to_owned();
        let picture = |index: usize| match &args.out_dir {
            _ if !has_picture => None,
            None => Some(args.out.clone().unwrap_or_else(|| "decoded.png".into())),
            Some(folder) => {
                let mut name = stem.clone();
                if count > 1 {
                    name.push(format!("-{index}"));
                }
                name.push(".png");
                Some(folder.join(name))
            }
        };
        let outputs: Vec<Self> = (0..count)
            .map(|index| Self { picture: picture(index), decoded: args.save_decoded.clone() })
            .collect();
        let mut named: Vec<(&str, &Path)> = outputs.iter().flat_map(Self::named).collect();
        named.extend(args.ci.named()?);
        places::check_in(args.out_dir.as_deref(), &named, reads)?;
        Ok(outputs)
    }

    fn named(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let paths = [("the decoded picture", &self.picture), ("--save-decoded", &self.decoded)];
        paths.into_iter().filter_map(|(name, path)| Some((name, path.as_deref()?)))
    }

    fn saved(&self) -> Vec<SavedFile> {
        let path = self.decoded.clone();
        path.map(|path| SavedFile { what: "decoded".to_owned(), path }).into_iter().collect()
    }

    fn write(&self, decoded: &DecodedLatents) -> Result<()> {
        let mut files: Vec<(&Path, Vec<u8>)> = Vec::new();
        if let (Some(path), Some(picture)) = (&self.picture, &decoded.picture) {
            files.push((path, encode_rgba_png(picture, decoded.picture_alpha.as_ref())?));
        }
        if let (Some(path), Some(tensor)) = (&self.decoded, &decoded.decoded) {
            files.push((path, to_safetensors(&[("decoded", tensor.view())])?));
        }
        write_all_atomically(&files)
    }
}

/// Errors for flags that cannot be obeyed together.
fn refuse_contradictions(args: &DecodeArgs) -> Result<()> {
    args.out.as_deref().map_or(Ok(()), |path| check_png_name("--out", path))?;
    let needs_picture = [
        ("--out", args.out.is_some()),
        ("--out-dir", args.out_dir.is_some()),
        ("--decoded-image", args.decoded_image.is_some()),
    ];
    args.model.execution.dtype.refuse_without_picture(&needs_picture)
}
