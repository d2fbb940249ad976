//! A clip in the report for a terminal.

use std::fmt;

use super::clip::ClipReport;
use super::lines::{in_numbers, line, tuple};
use crate::metrics::PixelMetrics;

/// What went through, and how each frame came back.
pub(super) fn clip_lines(f: &mut fmt::Formatter<'_>, clip: &ClipReport) -> fmt::Result {
    let ClipReport { frames, latents, decoded, .. } = clip;
    let still = if clip.still { " of one still picture" } else { "" };
    line(
        f,
        "clip",
        format_args!(
            "{frames} frames{still}; latents {}; {}",
            tuple(&latents.shape),
            in_numbers(&latents.statistics)
        ),
    )?;
    line(
        f,
        "",
        format_args!("decoded {}; {}", tuple(&decoded.shape), in_numbers(&decoded.statistics)),
    )?;
    if clip.metrics.is_empty() {
        return Ok(());
    }
    let psnr = |metrics: &PixelMetrics| match metrics.psnr_db {
        Some(psnr) => format!("{psnr:.2}"),
        None => "infinite".to_owned(),
    };
    let each: Vec<String> = clip.metrics.iter().map(psnr).collect();
    line(f, "", format_args!("PSNR by frame, dB: {}", each.join(" ")))
}
