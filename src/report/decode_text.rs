//! [`DecodeReport`] for a reader in front of a terminal.

use std::fmt::{self, Display};
use std::path::PathBuf;

use super::decode::{DecodeReport, GivenLatents};
use super::lines::{decoded_line, in_numbers, line, saved_lines, tuple};
use super::text::{file_lines, finding_lines, model_line, verdict_lines};
use crate::printable::shown;

impl Display for DecodeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = &self.latents_file {
            let row = self.row.map(|row| format!(", row {row}")).unwrap_or_default();
            line(f, "file", format_args!("{}{row}", shown(source.path.display())))?;
        }
        model_line(f, &self.model)?;
        let GivenLatents { shape, taken_as, divided_by, statistics } = &self.latents;
        let taken = match (*taken_as, divided_by) {
            ("raw", _) => "raw".to_owned(),
            (scaled, Some(factor)) => format!("{scaled}, divided by {factor}"),
            (scaled, None) => format!("{scaled}, taken back by the checkpoint's statistics (bn)"),
        };
        line(f, "latents", format_args!("{} {taken}; {}", tuple(shape), in_numbers(statistics),))?;
        if let Some(decoded) = &self.decoded {
            decoded_line(f, decoded)?;
        }
        saved_lines(f, self.picture().map(PathBuf::as_path), &self.saved)?;
        if let Some(again) = &self.reencoded {
            let share = |value: f64| format!("{:.1} %", 100.0 * value);
            let off = share(again.relative_difference);
            let own = again.relative_difference_of_own.map(share);
            let text = match (again.judged, own) {
                (true, None) => {
                    format!("its picture encodes to these latents, to {off} of their spread")
                }
                (true, Some(own)) => format!(
                    "its picture encodes to latents {off} of the spread away; this VAE's own come back to {own}"
                ),
                (false, own) => format!(
                    "this VAE's own latents come back no nearer than {} of their spread: latents cannot \
                     be judged by it",
                    own.unwrap_or_default()
                ),
            };
            line(f, "again", text)?;
        }
        file_lines(f, &self.files)?;
        finding_lines(f, &self.findings)?;
        verdict_lines(f, self.verdict, &self.verdict_reasons, &self.findings)
    }
}
