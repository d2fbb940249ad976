//! The card of `probe` for a reader in front of a terminal.

use std::fmt::{self, Display};

use anstyle::Style;

use super::check::SavedFile;
use super::lines::{BAD, FAINT, GOOD, WARNING, line};
use super::probe::ProbeReport;
use super::text::{finding_lines, model_line, verdict_lines};
use crate::printable::shown;
use crate::probe::{Judged, MARGIN, TRIPS, mosaic_side};

impl Display for ProbeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        model_line(f, &self.model)?;
        let (side, mosaic) = (self.size_pixels, mosaic_side(self.size_pixels));
        line(
            f,
            "charts",
            format_args!(
                "{side} x {side}, and a mosaic of them, {mosaic} x {mosaic}, {TRIPS} times round"
            ),
        )?;
        table(f, &self.judged)?;
        for (at, SavedFile { what, path }) in self.saved.iter().enumerate() {
            let name = if at == 0 { "saved" } else { "" };
            line(f, name, format_args!("{} ({what})", shown(path.display())))?;
        }
        finding_lines(f, &self.findings)?;
        let style = style(self.score_db < 0.0, self.is_worse_than_sound());
        let limited =
            self.judged.iter().find(|of| Some(of.name) == self.score_limited_by.as_deref());
        let limited = match (self.numbers.non_finite, limited) {
            (0, Some(judged)) => format!("the room to the nearest bar, here of {}", judged.label),
            (0, None) => "nothing was measured".to_owned(),
            (count, _) => format!("{count} decoded values are NaN or infinite"),
        };
        line(f, "score", format_args!("{style}{:+.1} dB{style:#}: {limited}", self.score_db))?;
        let least = 20.0 * MARGIN.log10();
        let sound = match self.score_db >= 0.0 && self.is_worse_than_sound() {
            true => format!(
                "no bar is missed, but all sound VAEs that were measured had {least:+.0} dB or more"
            ),
            false => format!("sound VAEs have {least:+.0} dB or more; below 0 a bar is missed"),
        };
        line(f, "", format_args!("{FAINT}{sound}{FAINT:#}"))?;
        verdict_lines(f, self.verdict, &self.verdict_reasons, &self.findings)
    }
}

fn style(missed: bool, worse_than_sound: bool) -> Style {
    match (missed, worse_than_sound) {
        (true, _) => BAD,
        (false, true) => WARNING,
        (false, false) => GOOD,
    }
}

/// One row a number: what it is, what sound VAEs have, the bar, the room, and what it says.
fn table(f: &mut fmt::Formatter<'_>, judged: &[Judged]) -> fmt::Result {
    let mut rows = vec![["", "is", "sound", "bar", "room dB"].map(str::to_owned)];
    rows.extend(judged.iter().map(|of| {
        [
            of.label.to_owned(),
            of.measured(),
            of.bound(of.worst_of_sound),
            of.bound(of.bar),
            format!("{:+.1}", of.room_db),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    for (at, row) in rows.iter().enumerate() {
        let judged = at.checked_sub(1).map(|at| &judged[at]);
        let style =
            judged.map_or(FAINT, |judged| style(judged.is_missed(), judged.is_worse_than_sound()));
        let [label, value, sound, bar, room] = row;
        let [of_label, of_value, of_sound, of_bar, of_room] = widths[..] else { continue };
        write!(f, "  {label:<of_label$}  {value:<of_value$}  ")?;
        write!(f, "{FAINT}{sound:<of_sound$}  {bar:<of_bar$}{FAINT:#}  ")?;
        let meaning = judged.map_or("what it says", |judged| judged.meaning);
        writeln!(f, "{style}{room:>of_room$}{style:#}  {FAINT}{meaning}{FAINT:#}")?;
    }
    Ok(())
}
