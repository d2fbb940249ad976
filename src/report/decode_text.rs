//! [`DecodeReport`] for a reader in front of a terminal.

use std::fmt::{self, Display};

use super::check::SavedFile;
use super::decode::{DecodeReport, GivenLatents};
use super::text::{
    decoded_line, file_lines, finding_lines, line, model_line, non_finite, number, tuple,
    verdict_lines,
};
use crate::printable::shown;

impl Display for DecodeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = &self.latents_file {
            let row = self.row.map(|row| format!(", row {row}")).unwrap_or_default();
            line(f, "file", format_args!("{}{row}", shown(source.path.display())))?;
        }
        model_line(f, &self.model)?;
        let GivenLatents { shape, taken_as, divided_by, statistics } = &self.latents;
        let taken = match *taken_as {
            "raw" => "raw".to_owned(),
            scaled => format!("{scaled}, divided by {divided_by}"),
        };
        line(
            f,
            "latents",
            format_args!(
                "{} {taken}; mean {}, std {}, range [{}, {}]{}",
                tuple(shape),
                number(statistics.mean),
                number(statistics.std),
                number(statistics.min),
                number(statistics.max),
                non_finite(statistics.non_finite),
            ),
        )?;
        if let Some(decoded) = &self.decoded {
            decoded_line(f, decoded)?;
        }
        if let Some(path) = self.picture() {
            line(f, "saved", shown(path.display()))?;
        }
        for (at, SavedFile { what, path }) in self.saved.iter().enumerate() {
            let name = if at == 0 && self.picture().is_none() { "saved" } else { "" };
            line(f, name, format_args!("{} ({what})", shown(path.display())))?;
        }
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
