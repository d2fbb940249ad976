//! An earlier run, below which a later one must not fall.

use std::path::Path;

use serde_json::Value;

use crate::diagnosis::{Finding, Severity};
use crate::error::{Error, Result};
use crate::input::read_text;
use crate::metrics::PixelMetrics;

/// Loss of PSNR that other machines' rounding does not explain, in dB.
const PSNR_DB: f64 = 0.05;
/// The same for SSIM and MS-SSIM.
const SSIM: f64 = 0.0005;

/// What `check --json` printed earlier, a line for each picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Baseline {
    runs: Vec<Run>,
}

#[derive(Debug, Clone, PartialEq)]
struct Run {
    /// Its picture, as it was named then.
    picture: String,
    size: [Option<u64>; 2],
    /// Infinite for identical pictures.
    psnr_db: Option<f64>,
    ssim: Option<f64>,
    ms_ssim: Option<f64>,
    errors: Vec<String>,
}

impl Baseline {
    /// Reads the output of `check --json`.
    ///
    /// # Errors
    ///
    /// Returns an error if `path` cannot be read or has no run.
    pub fn read(path: &Path) -> Result<Self> {
        let broken = |problem: String| {
            Error::option(
                format!("`baseline` {}", path.display()),
                problem,
                "write one with: vae-fidelity check IMAGE --json > RUN.json",
            )
        };
        let text = read_text(path).map_err(broken)?;
        let values: Vec<Value> = serde_json::Deserializer::from_str(&text)
            .into_iter()
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| broken(format!("is not JSON: {error}")))?;
        let runs: Vec<Run> = values.iter().filter_map(Run::of).collect();
        match runs.is_empty() {
            true => Err(broken("holds no judged picture".to_owned())),
            false => Ok(Self { runs }),
        }
    }

    /// Checks before a run that [`Baseline::regressions`] will find the picture.
    ///
    /// # Errors
    ///
    /// As [`Baseline::regressions`].
    pub fn check(&self, picture: &Path, size: [usize; 2]) -> Result<()> {
        self.run(picture, size).map(drop)
    }

    fn run(&self, picture: &Path, size: [usize; 2]) -> Result<&Run> {
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let of = |run: &&Run| name(Path::new(&run.picture)) == name(picture);
        let unusable = |problem: String| {
            Error::option("`baseline`", problem, "write it again, with the same pictures and flags")
        };
        let run = match self.runs.as_slice() {
            [only] => only,
            runs => runs
                .iter()
                .find(of)
                .ok_or_else(|| unusable(format!("has no run of {}", picture.display())))?,
        };
        if run.size != size.map(|side| Some(side as u64)) {
            let [width, height] = run.size.map(|side| side.unwrap_or_default());
            return Err(unusable(format!(
                "was made at {width} x {height}, this run at {} x {}",
                size[0], size[1]
            )));
        }
        Ok(run)
    }

    /// Why a run on `picture`, encoded at `size`, is worse than the one here; empty where it is not.
    ///
    /// Pictures are told apart by their file names; a baseline of one run holds for any. What the
    /// baseline could not measure, and what it had found itself, is not held against the run.
    ///
    /// # Errors
    ///
    /// Returns an error if the baseline lacks the picture, or has it at another size.
    pub fn regressions(
        &self,
        picture: &Path,
        size: [usize; 2],
        metrics: Option<&PixelMetrics>,
        findings: &[Finding],
    ) -> Result<Vec<String>> {
        let run = self.run(picture, size)?;
        let psnr = metrics.and_then(PixelMetrics::psnr_or_infinity);
        let ssim = metrics.and_then(|metrics| metrics.ssim);
        let ms_ssim = metrics.and_then(|metrics| metrics.ms_ssim);
        let worse = |what: &str, before: Option<f64>, now: Option<f64>, room: f64| {
            let before = before?;
            match now {
                // NaN is not `>=` anything.
                Some(now) if now >= before - room => None,
                Some(now) => Some(format!("{what} fell from {before:.4} to {now:.4}")),
                None => Some(format!("{what} was {before:.4}, and cannot be measured now")),
            }
        };
        let new = findings.iter().filter(|finding| {
            finding.severity == Severity::Error
                && !run.errors.iter().any(|e| e == finding.code.as_str())
        });
        Ok(worse("PSNR", run.psnr_db, psnr, PSNR_DB)
            .into_iter()
            .chain(worse("SSIM", run.ssim, ssim, SSIM))
            .chain(worse("MS-SSIM", run.ms_ssim, ms_ssim, SSIM))
            .chain(new.map(|finding| format!("{} is new since the baseline", finding.code)))
            .collect())
    }
}

impl Run {
    /// `None` for a summary, and for a picture that was not judged.
    fn of(value: &Value) -> Option<Self> {
        value["verdict"].as_str()?;
        let metrics = &value["metrics"];
        let psnr_db = match metrics["identical"].as_bool() {
            Some(true) => Some(f64::INFINITY),
            _ => metrics["psnr_db"].as_f64(),
        };
        let findings = value["findings"].as_array()?;
        let errors = findings.iter().filter(|finding| finding["severity"] == "error");
        Some(Self {
            picture: value["input"]["path"].as_str()?.to_owned(),
            size: ["width", "height"].map(|side| value["input"][side].as_u64()),
            psnr_db,
            ssim: metrics["ssim"].as_f64(),
            ms_ssim: metrics["ms_ssim"].as_f64(),
            errors: errors.filter_map(|f| f["code"].as_str().map(str::to_owned)).collect(),
        })
    }
}
