//! Opens and resizes pictures for `vae_fidelity_tools.conformance.pillow`.
//!
//! Reads one JSON object a line from stdin, `{"path": FILE, "sizes": [[WIDTH, HEIGHT], ...],
//! "rgba_sizes": [...]}`, and answers each with one on stdout: format, mode and notes, or the error. The
//! RGB bytes go to `FOLDER/LINE.rgb`, as opened and then at each size, one after the other, and then the
//! same in RGBA. With `"frames": COUNT` in place of the sizes it answers mode, width and height of as many
//! frames, and writes each in RGB and then in RGBA.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};
use vae_fidelity::Result;
use vae_fidelity::pixels::{Filter, PassOrder, open, open_frames, resize_bicubic, resize_rgba};

#[derive(Deserialize)]
struct Job {
    path: PathBuf,
    #[serde(default)]
    frames: Option<usize>,
    #[serde(default)]
    sizes: Vec<(usize, usize)>,
    #[serde(default)]
    rgba_sizes: Vec<(usize, usize)>,
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: pixels_dump FOLDER < jobs.jsonl")?;
    let mut out = std::io::stdout().lock();
    for (number, line) in std::io::stdin().lock().lines().enumerate() {
        let job: Job = serde_json::from_str(&line?)?;
        let mut bytes = Vec::new();
        let answer = answer(&job, &mut bytes)
            .unwrap_or_else(|error| json!({"error": error.to_string(), "next": error.next()}));
        std::fs::write(Path::new(&folder).join(format!("{number}.rgb")), bytes)?;
        writeln!(out, "{answer}")?;
    }
    Ok(())
}

fn answer(job: &Job, bytes: &mut Vec<u8>) -> Result<Value> {
    if let Some(count) = job.frames {
        return frames(&job.path, count, bytes);
    }
    let opened = open(&job.path)?;
    bytes.extend_from_slice(opened.pixels.data());
    for &(width, height) in &job.sizes {
        bytes.extend_from_slice(resize_bicubic(&opened.pixels, width, height)?.data());
    }
    let notes = opened.notes.clone();
    let (opened, alpha) = opened.into_rgba()?;
    bytes.extend(alpha.interleaved(&opened.pixels)?);
    for &size in &job.rgba_sizes {
        let order = PassOrder::Pillow;
        let (pixels, alpha) = resize_rgba(&opened.pixels, &alpha, size, Filter::Bicubic, order)?;
        bytes.extend(alpha.interleaved(&pixels)?);
    }
    Ok(json!({
        "format": opened.format.name(),
        "mode": opened.mode,
        "width": opened.pixels.width(),
        "height": opened.pixels.height(),
        "notes": notes,
    }))
}

fn frames(path: &Path, count: usize, bytes: &mut Vec<u8>) -> Result<Value> {
    let (mut frames, mut notes) = (Vec::new(), Vec::new());
    for opened in open_frames(path, count)? {
        bytes.extend_from_slice(opened.pixels.data());
        frames.push(json!([opened.mode, opened.pixels.width(), opened.pixels.height()]));
        notes.extend(opened.notes.clone());
        let (opened, alpha) = opened.into_rgba()?;
        bytes.extend(alpha.interleaved(&opened.pixels)?);
    }
    Ok(json!({"frames": frames, "notes": notes}))
}
