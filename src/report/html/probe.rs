//! The card of `probe` as a page, charts beside what came back of them.

use minijinja::{Value, context};
use serde::Serialize;

use super::page::{embedded, rendered};
use crate::error::Result;
use crate::probe::{Judged, MARGIN, Shown};
use crate::report::probe::ProbeReport;

impl ProbeReport {
    /// This report as the bytes of an HTML file that loads nothing, with the charts of the run, `shown`, in
    /// it; `command` is the command line that was run.
    ///
    /// # Errors
    ///
    /// Returns an error if a picture is too large for PNG.
    pub fn to_html(&self, shown: &[Shown], command: &str) -> Result<Vec<u8>> {
        let charts = shown.iter().map(Chart::of).collect::<Result<Vec<_>>>()?;
        let limited = |of: &&Judged| Some(of.name) == self.score_limited_by.as_deref();
        let context = context! {
            rows => self.judged.iter().map(|of| Row::of(of, limited(&of))).collect::<Vec<_>>(),
            worse => self.is_worse_than_sound(),
            limited => self.judged.iter().find(limited),
            least => 20.0 * MARGIN.log10(),
            charts => charts,
        };
        rendered(include_str!("probe.html"), self, command, context)
    }
}

/// A row of the card.
#[derive(Serialize)]
struct Row {
    label: &'static str,
    value: String,
    sound: String,
    bar: String,
    room_db: f64,
    missed: bool,
    worse: bool,
    limits: bool,
    meaning: &'static str,
}

impl Row {
    fn of(judged: &Judged, limits: bool) -> Self {
        Self {
            label: judged.label,
            value: judged.measured(),
            sound: judged.bound(judged.worst_of_sound),
            bar: judged.bound(judged.bar),
            room_db: judged.room_db,
            missed: judged.is_missed(),
            worse: judged.is_worse_than_sound(),
            limits,
            meaning: judged.meaning,
        }
    }
}

#[derive(Serialize)]
struct Chart {
    name: &'static str,
    trips: usize,
    side: usize,
    drawn: Value,
    decoded: Value,
}

impl Chart {
    fn of(shown: &Shown) -> Result<Self> {
        Ok(Self {
            name: shown.chart.name(),
            trips: shown.trips,
            side: shown.drawn.width(),
            drawn: embedded(&shown.drawn)?,
            decoded: embedded(&shown.decoded)?,
        })
    }
}
