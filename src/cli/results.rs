//! The files that one image leaves behind, all of them or none.

use std::path::Path;

use crate::metrics::Visibility;
use crate::output::write_all_atomically;
use crate::pictures::{montage, with_scale};
use crate::pipeline::{Checked, CheckedClip};
use crate::pixels::{encode_png, encode_rgba_png};
use crate::report::Illustrations;
use crate::tensor_file::to_safetensors;
use crate::{Error, Result, Rgb8};

use super::console::Console;
use super::outputs::Outputs;

/// Writes what `outputs` asks for of `checked`; `command` is the command line, as the user would type
/// it again.
/// `decoded_image` is the user's own picture, for the page.
pub fn write(
    checked: &Checked,
    outputs: &Outputs,
    command: &str,
    decoded_image: Option<&Rgb8>,
    console: Console,
) -> Result<()> {
    let mut files: Vec<(&Path, Vec<u8>)> = Vec::new();
    if let (Some(path), Some(picture)) = (&outputs.picture, &checked.picture) {
        files.push((
            path,
            match &checked.clip {
                None => encode_rgba_png(picture, checked.picture_alpha.as_ref())?,
                Some(clip) => clip.pictures_png()?,
            },
        ));
    }
    if let Some(path) = &outputs.input {
        files.push((
            path,
            match &checked.clip {
                None => encode_rgba_png(&checked.seen, checked.seen_alpha.as_ref())?,
                Some(clip) => clip.seen_png()?,
            },
        ));
    }
    if let Some(path) = &outputs.latents {
        let (latents, moments, noise) = match &checked.clip {
            None => (&checked.latents, &checked.moments, &checked.noise),
            Some(clip) => (&clip.latents, &clip.moments, &clip.noise),
        };
        let mut saved = vec![("latents", latents.view())];
        for (name, tensor) in [("moments", moments), ("noise", noise)] {
            saved.extend(tensor.as_ref().map(|tensor| (name, tensor.view())));
        }
        files.push((path, to_safetensors(&saved)?));
    }
    if let Some(path) = &outputs.decoded {
        let decoded = checked.clip.as_ref().map_or(&checked.decoded, |clip| &clip.decoded);
        files.push((path, to_safetensors(&[("decoded", decoded.view())])?));
    }
    if let (Some(path), Some(trace)) = (&outputs.trace, &checked.trace) {
        files.push((path, trace.to_json()));
    }
    if let Some(path) = &outputs.heatmap {
        let (_, visibility) = compared(checked, "--heatmap")?;
        files.push((path, encode_png(&with_scale(visibility)?)?));
    }
    if let Some(path) = &outputs.montage {
        let ((seen, picture), visibility) = compared(checked, "--montage")?;
        files.push((path, encode_png(&montage(seen, picture, visibility, ["input", "output"])?)?));
    }
    if let (Some(path), Some(trace)) = (&outputs.report, &checked.trace) {
        let clip = checked.clip.as_ref().map(CheckedClip::animations).transpose()?.flatten();
        let illustrations = Illustrations {
            clip: clip.as_ref().map(|(input, output)| (&input[..], &output[..])),
            pictures: checked.pair(),
            decoded_image,
            visibility: checked.visibility.as_ref(),
            latents: checked.latents.view(),
            trace,
            command,
        };
        let page = checked.report.to_html(&illustrations)?;
        files.push((path, console.page(&page)));
    }
    write_all_atomically(&files)
}

/// What a heat map is made from.
fn compared<'a>(
    checked: &'a Checked,
    flag: &str,
) -> Result<((&'a Rgb8, &'a Rgb8), &'a Visibility)> {
    checked.pair().zip(checked.visibility.as_ref()).ok_or_else(|| {
        Error::option(
            flag,
            "needs pictures of at least 8 x 8 pixels that can be compared",
            "enlarge the picture with --width and --height",
        )
    })
}
