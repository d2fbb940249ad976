//! What is summed up over pictures without a row of its own: where the error lies, and energy over frequency.

use std::path::Path;

use serde::{Deserialize, Serialize};
use vae_fidelity_core::json_problem;
use vae_fidelity_files::error::{Error, ErrorKind, Result};
use vae_fidelity_files::input::read_text;

use crate::error_map::ErrorSum;
use crate::pair::Pair;
use crate::row::Row;
use crate::spectrum::SpectrumSum;

/// The maps of one model, of one picture or of several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Maps {
    pictures: u64,
    pub errors: ErrorSum,
    /// Of what went in, what came back, and the latents.
    pub spectra: [SpectrumSum; 3],
}

impl Maps {
    /// Of no picture.
    pub fn none() -> Self {
        Self { pictures: 0, errors: ErrorSum::none(), spectra: [SpectrumSum::NONE; 3] }
    }

    /// Of one picture: what was compared, and the spectra of what went in, what came back, and the latents.
    pub fn of(pair: &Pair, spectra: [SpectrumSum; 3]) -> Self {
        Self { pictures: 1, errors: ErrorSum::of(&pair.input, &pair.output), spectra }
    }

    /// Adds the pictures of `other`.
    pub fn add(&mut self, other: &Self) {
        self.pictures = self.pictures.saturating_add(other.pictures);
        self.errors.add(&other.errors);
        self.spectra.iter_mut().zip(&other.spectra).for_each(|(sum, of)| sum.add(of));
    }
}

/// Adds to the maps of each model those of `others`, of as many.
pub(crate) fn add_maps(sums: &mut [Maps], others: &[Maps]) {
    sums.iter_mut().zip(others).for_each(|(sum, of)| sum.add(of));
}

/// The maps that are kept in the file at `path`, of as many models.
///
/// # Errors
///
/// When it cannot be read, or is no such file.
pub(crate) fn read_maps(path: &Path, models: usize) -> Result<Vec<Maps>> {
    let text = read_text(path).map_err(|problem| refused(path, problem))?;
    let maps: Vec<Maps> =
        serde_json::from_str(&text).map_err(|error| refused(path, json_problem::of(&error)))?;
    match maps.len() == models && maps.iter().all(|of| of.errors.is_whole()) {
        true => Ok(maps),
        false => Err(refused(
            path,
            format!("expected the maps of as many models as there are, {models}, found others"),
        )),
    }
}

/// Refuses maps, which lie at `path`, that are not of the pictures that `rows` have.
pub(crate) fn check_maps(path: &Path, maps: &[Maps], rows: &[Row]) -> Result<()> {
    for (model, of) in maps.iter().enumerate() {
        let rows = rows.iter().filter(|row| row.model as usize == model);
        let judged = rows.filter(|row| row.metrics.is_some()).count() as u64;
        if of.pictures != judged {
            let problem = format!("has maps of {} pictures, and rows of {judged}", of.pictures);
            return Err(refused(path, problem));
        }
    }
    Ok(())
}

fn refused(path: &Path, problem: String) -> Error {
    Error::new(ErrorKind::Output, path.display(), problem, "remove its folder and run again")
}
