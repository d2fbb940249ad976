//! How far each file of the user's is from what this run expects of it, whatever the rules find.

use ndarray::Array4;
use serde::Serialize;

use super::codes::Code;
use super::finding::Finding;
use super::fit::{psnr, rms_difference, spread};
use super::severity::Severity;
use vae_fidelity_pixels::Rgb8;

/// A file of the user's own pipeline beside this run's.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ComparedFile {
    /// Which file: the parameter that it was given as.
    pub file: UserFile,
    /// What comes of the comparison.
    pub agreement: Agreement,
    /// The same in words, for example `this VAE's mode, to 3e-7`.
    pub summary: String,
    /// Between two pictures in dB; `None` for tensors, and where every byte is the same.
    pub psnr_db: Option<f64>,
    /// RMS difference over the spread of the expected values; `None` for pictures, and where shapes
    /// differ.
    pub relative_difference: Option<f64>,
    /// Mean absolute difference: in levels of 255 for pictures, else in the tensor's own unit; `None`
    /// where shapes differ.
    pub mean_difference: Option<f64>,
    /// The largest, likewise.
    pub largest_difference: Option<f64>,
    /// Where that is; `None` where all is the same.
    pub largest_at: Option<Place>,
}

/// A file that a user can give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum UserFile {
    /// The latents.
    Latents,
    /// The tensor that was fed to the encoder.
    Preprocessed,
    /// The decoded picture.
    DecodedImage,
}

impl UserFile {
    /// The parameter, for example `decoded_image`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Latents => "latents",
            Self::Preprocessed => "preprocessed",
            Self::DecodedImage => "decoded_image",
        }
    }
}

/// What comes of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Agreement {
    /// What is expected, to rounding.
    Same,
    /// Off by no more than what is no fault makes, such as JPEG at quality 75 or another draw.
    Altered,
    /// A finding says what is wrong with it.
    Differs,
}

/// One value of a picture or tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Place {
    /// Its channel, from 0.
    pub channel: usize,
    /// Its row, from 0 at the top.
    pub y: usize,
    /// Its column, from 0 at the left.
    pub x: usize,
}

/// What a rule made of one file.
#[derive(Debug, Clone, Default)]
pub(super) struct Judged {
    pub findings: Vec<Finding>,
    /// Why a file that is not the expected one is no fault.
    pub passes_as: Option<String>,
    pub distance: Option<Difference>,
}

/// How far two of one shape are apart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Difference {
    psnr: Option<f64>,
    relative: Option<f64>,
    mean: f64,
    largest: f64,
    at: Option<Place>,
    /// What it is where it agrees.
    what: String,
}

impl From<Vec<Finding>> for Judged {
    fn from(findings: Vec<Finding>) -> Self {
        Self { findings, ..Self::default() }
    }
}

impl From<Finding> for Judged {
    fn from(finding: Finding) -> Self {
        vec![finding].into()
    }
}

impl From<Option<Finding>> for Judged {
    fn from(finding: Option<Finding>) -> Self {
        Vec::from_iter(finding).into()
    }
}

impl Judged {
    /// The same with `nearest`, which is warned of: behind an error that names no cause, or alone.
    pub fn beside(mut self, nearest: Finding) -> Self {
        let names_none = |finding: &Finding| {
            matches!(
                finding.code,
                Code::PreprocessedDiffers | Code::LatentsDiffer | Code::DecodedDiffers
            )
        };
        if self.findings.iter().all(names_none) {
            self.findings.push(nearest);
        }
        self
    }

    /// No fault, for this reason.
    pub fn passing(why: impl Into<String>) -> Self {
        Self { passes_as: Some(why.into()), ..Self::default() }
    }

    /// The same, with how far the file is off.
    pub fn at(mut self, difference: Difference) -> Self {
        self.distance = Some(difference);
        self
    }

    /// What is reported of the file.
    pub fn compared(&self, file: UserFile) -> ComparedFile {
        let told = self.findings.iter().find(|finding| finding.severity != Severity::Info);
        let agreement = match (told, &self.passes_as) {
            (Some(_), _) => Agreement::Differs,
            (None, Some(_)) => Agreement::Altered,
            (None, None) => Agreement::Same,
        };
        let Some(difference) = &self.distance else {
            let summary = match told {
                Some(finding) => format!("not comparable: {}", finding.code),
                None => "not comparable".to_owned(),
            };
            return ComparedFile {
                file,
                agreement,
                summary,
                psnr_db: None,
                relative_difference: None,
                mean_difference: None,
                largest_difference: None,
                largest_at: None,
            };
        };
        let off = difference.off();
        let summary = match (told, &self.passes_as) {
            (Some(finding), _) => format!("{off} from {}: {}", difference.what, finding.code),
            (None, Some(why)) => format!("{off} from {}: {why}", difference.what),
            (None, None) => format!("{}, {}", difference.what, difference.to()),
        };
        ComparedFile {
            file,
            agreement,
            summary,
            psnr_db: difference.psnr.filter(|psnr| psnr.is_finite()),
            relative_difference: difference.relative,
            mean_difference: Some(difference.mean),
            largest_difference: Some(difference.largest),
            largest_at: difference.at,
        }
    }
}

impl Difference {
    /// Of two tensors of one shape; `what` says what `expected` is.
    pub fn of_tensors(expected: &Array4<f32>, found: &Array4<f32>, what: &str) -> Self {
        let off = || {
            let pairs = expected.indexed_iter().zip(found);
            pairs.map(|((at, a), b)| (at, (f64::from(*b) - f64::from(*a)).abs()))
        };
        let (at, largest) = off()
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .map_or((None, 0.0), |((_, channel, y, x), by)| (Some(Place { channel, y, x }), by));
        Self {
            psnr: None,
            relative: Some(rms_difference(expected, found) / spread(expected).max(1e-12)),
            mean: off().map(|(_, by)| by).sum::<f64>() / expected.len().max(1) as f64,
            largest,
            at: at.filter(|_| largest > 0.0),
            what: what.to_owned(),
        }
    }

    /// Of two pictures of one size.
    pub fn of_pictures(expected: &Rgb8, found: &Rgb8, what: &str) -> Self {
        let off = || expected.data().iter().zip(found.data()).map(|(a, b)| a.abs_diff(*b));
        let (i, largest) = off().enumerate().max_by_key(|(_, by)| *by).unwrap_or_default();
        let (channel, pixel) = (i % 3, i / 3);
        let place = Place { channel, y: pixel / expected.width(), x: pixel % expected.width() };
        Self {
            psnr: Some(psnr(expected, found)),
            relative: None,
            mean: off().map(f64::from).sum::<f64>() / expected.data().len() as f64,
            largest: f64::from(largest),
            at: (largest > 0).then_some(place),
            what: what.to_owned(),
        }
    }

    /// How far it is off, before "from".
    fn off(&self) -> String {
        match (self.psnr, self.relative) {
            (Some(psnr), _) if psnr.is_finite() => format!("{psnr:.1} dB"),
            (None, Some(relative)) => format!("{:.2} % of the spread", 100.0 * relative),
            _ => "0".to_owned(),
        }
    }

    /// To what it agrees.
    fn to(&self) -> String {
        match (self.psnr, self.relative) {
            (Some(psnr), _) if psnr.is_finite() => format!("to {psnr:.1} dB"),
            (None, Some(relative)) if relative > 0.0 => format!("to {relative:.0e}"),
            _ => "bit for bit".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_agrees_is_told_as_well_as_what_does_not() {
        let expected = Array4::from_shape_fn((1, 2, 2, 2), |(_, c, y, x)| (c + y + x) as f32);
        let mut found = expected.clone();
        let judged = |found: &Array4<f32>, judged: Judged| {
            let difference = Difference::of_tensors(&expected, found, "this VAE's mode");
            judged.at(difference).compared(UserFile::Latents)
        };
        let same = judged(&found, Judged::default());
        assert_eq!((same.agreement, same.largest_at), (Agreement::Same, None));
        assert_eq!(same.summary, "this VAE's mode, bit for bit");
        found[[0, 1, 0, 1]] += 0.5;
        let altered = judged(&found, Judged::passing("a draw"));
        assert_eq!(altered.agreement, Agreement::Altered);
        assert_eq!(altered.largest_at, Some(Place { channel: 1, y: 0, x: 1 }));
        assert!(altered.summary.ends_with("from this VAE's mode: a draw"), "{}", altered.summary);
        assert_eq!(altered.mean_difference, Some(0.0625));
    }

    #[test]
    fn pictures_are_told_in_decibels() {
        let grey = Rgb8::new(4, 2, vec![77; 24]).unwrap();
        let mut data = grey.data().to_vec();
        data[3 * 5 + 1] = 87;
        let other = Rgb8::new(4, 2, data).unwrap();
        let difference = Difference::of_pictures(&grey, &other, "what this VAE decodes");
        let compared = Judged::default().at(difference).compared(UserFile::DecodedImage);
        assert_eq!(compared.largest_at, Some(Place { channel: 1, y: 1, x: 1 }));
        assert_eq!(compared.largest_difference, Some(10.0));
        assert!(compared.psnr_db.unwrap() > 40.0);
        let same = Difference::of_pictures(&grey, &grey, "what this VAE decodes");
        let compared = Judged::default().at(same).compared(UserFile::DecodedImage);
        assert_eq!((compared.psnr_db, compared.largest_at), (None, None));
        assert_eq!(compared.summary, "what this VAE decodes, bit for bit");
    }
}
