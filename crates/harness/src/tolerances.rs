//! `tolerances.json`: how far another machine may be off, by tensor, dtype, device and model.

use std::path::Path;

use serde::Deserialize;

use super::compare::{Criterion, Tolerance};
use super::manifest::{broken, read_text};
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::json_problem;
use vae_fidelity_files::error::Result;

const SCHEMA_VERSION: u32 = 1;

/// How far layers may differ by rounding alone, in standard deviations of a layer's output and
/// relative to each value: the widest that was measured for this crate's models. `None` where none
/// was for `dtype` on `device` (`cpu`, `cuda`).
pub fn layer_rounding(dtype: Dtype, device: &str) -> Result<Option<Tolerance>> {
    let path = Path::new("golden/tolerances.json");
    let all = Tolerances::parse(path, vae_fidelity_goldens::TOLERANCES)?;
    let of_layers =
        |row: &&Row| (&*row.tensor, row.dtype, &*row.device) == ("trace", dtype, device);
    let widest = |of: fn(&Row) -> f64| all.rows.iter().filter(of_layers).map(of).reduce(f64::max);
    match (widest(|row| row.atol), widest(|row| row.rtol)) {
        (Some(atol), Some(rtol)) => Tolerance::new(atol, rtol).map(Some),
        _ => Ok(None),
    }
}

/// The measured tolerances of a suite.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Tolerances {
    schema_version: u32,
    rows: Vec<Row>,
}

/// Unknown fields are refused: a misspelt `model` would loosen every model's tolerance.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    dtype: Dtype,
    device: String,
    tensor: String,
    #[serde(default)]
    model: Option<String>,
    atol: f64,
    rtol: f64,
    #[serde(default)]
    share: Option<f64>,
    /// What `rtol` and `atol` are in units in the last place: `ulps` of the value's own, and
    /// `sum_ulps` of one at `sum_size`.
    #[serde(default)]
    ulps: Option<u32>,
    #[serde(default)]
    sum_ulps: Option<u32>,
    #[serde(default)]
    sum_size: Option<f64>,
    #[serde(rename = "measured_max_abs")]
    _measured_max_abs: Option<f64>,
    #[serde(rename = "measured_on")]
    _measured_on: String,
    /// Where in the table of measurements it comes from.
    #[serde(rename = "measured_row", default)]
    _measured_row: Option<String>,
}

impl Row {
    /// Refuses what a machine that rounds one value the other way would not meet, and numbers that
    /// are not what the row says of them in units in the last place.
    fn in_units(&self) -> std::result::Result<(), String> {
        let (dtype, epsilon) = (self.dtype, self.dtype.epsilon());
        // Pixels have 8-bit values, and each operation on a sample is rounded once, alike everywhere.
        let rounds = dtype != Dtype::F32 && !["sample", "decoded_rgb8"].contains(&&*self.tensor);
        if rounds && self.rtol < epsilon {
            let rtol = self.rtol;
            return Err(format!(
                "rtol {rtol} is less than one step of {dtype}, which is up to {epsilon} of a value"
            ));
        }
        let said = match (self.ulps, self.sum_ulps, self.sum_size) {
            (None, None, None) => return Ok(()),
            (Some(own), Some(sum), Some(size)) if size.is_normal() && size > 0.0 => {
                (f64::from(sum) * epsilon * power_of_two_below(size), f64::from(own) * epsilon)
            }
            _ => return Err("expected all of ulps, sum_ulps and a sum_size above 0".to_owned()),
        };
        if said != (self.atol, self.rtol) {
            let (atol, rtol) = said;
            return Err(format!("its ulps are an atol of {atol} and an rtol of {rtol}"));
        }
        Ok(())
    }
}

/// The largest power of two that is not above `value`, a normal number above 0.
fn power_of_two_below(value: f64) -> f64 {
    const MANTISSA: u64 = (1 << (f64::MANTISSA_DIGITS - 1)) - 1;
    f64::from_bits(value.to_bits() & !MANTISSA)
}

impl Tolerances {
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(path, &read_text(path)?)
    }

    fn parse(path: &Path, text: &str) -> Result<Self> {
        let tolerances: Self =
            serde_json::from_str(text).map_err(|error| broken(path, json_problem::of(&error)))?;
        if tolerances.schema_version != SCHEMA_VERSION {
            let found = tolerances.schema_version;
            return Err(broken(
                path,
                format!("expected schema_version {SCHEMA_VERSION}, found {found}"),
            ));
        }
        for row in &tolerances.rows {
            let problem = |what: &str| broken(path, format!("{}: {what}", row.tensor));
            Tolerance::new(row.atol, row.rtol).map_err(|error| problem(error.problem()))?;
            if row.share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
                return Err(problem("expected a share from 0 to 1"));
            }
            row.in_units().map_err(|what| problem(&what))?;
        }
        Ok(tolerances)
    }

    /// What `tensor` is held to: the row of `model`, else the row of all models. Where none was
    /// measured nothing may differ.
    pub fn criterion(
        &self,
        tensor: &str,
        dtype: Dtype,
        device: &str,
        model: &str,
    ) -> Result<Criterion> {
        let rows = || {
            self.rows
                .iter()
                .filter(|row| (&*row.tensor, row.dtype, &*row.device) == (tensor, dtype, device))
        };
        let own = rows().find(|row| row.model.as_deref() == Some(model));
        Ok(match own.or_else(|| rows().find(|row| row.model.is_none())) {
            None => Criterion::BitIdentical,
            Some(row) if row.atol == 0.0 && row.rtol == 0.0 => Criterion::BitIdentical,
            Some(row) => Criterion::Within {
                tolerance: Tolerance::new(row.atol, row.rtol)?,
                share: row.share,
            },
        })
    }
}
