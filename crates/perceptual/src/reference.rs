//! Features of a set of pictures in a file, which a Fréchet distance is held against in place of what went in.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use ndarray::{ArrayD, Ix2};
use vae_fidelity_checkpoint::stream_sha256;
use vae_fidelity_core::tensor_file::from_npy;
use vae_fidelity_files::error::{Error, ErrorKind, Result, io_reason};
use vae_fidelity_files::input::{MAX_TENSOR_BYTES, open_regular, read_bytes};
use vae_fidelity_files::printable::{shortened, shown_shape};
use vae_fidelity_kernels::threads::Threads;
use zip::ZipArchive;

use crate::frechet::FeatureStatistics;
use crate::inception::FEATURES;

/// Bytes of the largest array that is read, a covariance in f64, and of its header.
const MOST_BYTES: u64 = (FEATURES * FEATURES * 8) as u64 + 65_536;

/// What a broken file may be replaced by.
const NEXT: &str =
    "give what pytorch-fid's --save-stats writes, or features/input.npy of a result of `evaluate`";

/// Mean and covariance of InceptionV3's features of a set of pictures, from a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    sha256: String,
    statistics: FeatureStatistics,
}

impl Reference {
    /// Reads an `.npz` with `mu` (2048) and `sigma` (2048, 2048), compressed or not, as pytorch-fid writes it
    /// (`fid_score.py`, `save_fid_stats`), whose other arrays are not read; or an `.npy` with features (pictures, 2048), as
    /// `evaluate` leaves them. `threads` change no bit.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, has not these arrays in these shapes, has a value that is not finite, or a `sigma`
    /// that is no covariance.
    pub fn open(path: &Path, threads: Threads) -> Result<Self> {
        let is_npy = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("npy"));
        let (sha256, statistics) = match is_npy {
            true => of_features(path, threads)?,
            false => of_archive(path)?,
        };
        Ok(Self { sha256, statistics })
    }

    /// SHA-256 of the file, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// What distances are of.
    pub fn statistics(&self) -> &FeatureStatistics {
        &self.statistics
    }
}

fn of_features(path: &Path, threads: Threads) -> Result<(String, FeatureStatistics)> {
    let bytes = read_bytes(path, MAX_TENSOR_BYTES).map_err(|problem| refused(path, problem))?;
    let sha256 = stream_sha256(&bytes[..]).map_err(|error| unread(path, &error))?;
    let features = from_npy(path, &bytes)?.values;
    drop(bytes);
    match features.shape() {
        &[pictures, FEATURES] if pictures >= 2 => {}
        found => {
            let expected = format!("features (pictures, {FEATURES}) of two pictures at least");
            return Err(refused(path, format!("expected {expected}, found {found:?}")));
        }
    }
    let features = features.as_standard_layout();
    FeatureStatistics::of(features.as_slice().unwrap_or_default(), FEATURES, threads)
        .map(|statistics| (sha256, statistics))
        .map_err(|error| refused(path, error.problem().to_owned()))
}

fn of_archive(path: &Path) -> Result<(String, FeatureStatistics)> {
    // Opened once, so that both are of the same bytes.
    let mut file = open_regular(path).map_err(|problem| refused(path, problem))?;
    let sha256 = stream_sha256(&mut file).map_err(|error| unread(path, &error))?;
    file.rewind().map_err(|error| unread(path, &error))?;
    let mut archive = ZipArchive::new(file).map_err(|_| {
        refused(path, "is no .npz: the zip archive's table of contents cannot be read".to_owned())
    })?;
    let [mean, covariance] = ["mu", "sigma"].map(|name| array(path, &mut archive, name));
    let (mean, covariance) = (mean?, covariance?);
    if (mean.shape(), covariance.shape()) != (&[FEATURES], &[FEATURES, FEATURES]) {
        let [mean, covariance] = [&mean, &covariance].map(|of| shown_shape(of.shape()));
        let expected = format!("mu ({FEATURES}) and sigma ({FEATURES}, {FEATURES})");
        return Err(refused(
            path,
            format!(
                "expected {expected} of InceptionV3's last pooling, found {mean} and {covariance}"
            ),
        ));
    }
    let covariance = covariance.into_dimensionality::<Ix2>();
    let covariance = covariance.map_err(|error| refused(path, error.to_string()))?;
    FeatureStatistics::from_parts(mean.iter().copied().collect(), covariance)
        .map(|statistics| (sha256, statistics))
        .map_err(|problem| refused(path, format!("mu and sigma {problem}")))
}

/// The array `name`.
fn array(path: &Path, archive: &mut ZipArchive<File>, name: &str) -> Result<ArrayD<f64>> {
    let Some(index) = archive.index_for_name(&format!("{name}.npy")) else {
        let there: Vec<_> = archive.file_names().flatten().collect();
        let pictures = there.iter().any(|of| of == "arr_0.npy");
        let has = match (there.is_empty(), pictures) {
            (true, _) => "holds nothing".to_owned(),
            (_, true) => "has arr_0, which are pictures and not their statistics".to_owned(),
            _ => format!("has {}", shortened(&there.join(", "))),
        };
        let expected = format!("expected the arrays mu and sigma, has no {name}");
        return Err(refused(path, format!("{expected}: it {has}")));
    };
    let member = archive
        .by_index(index)
        .map_err(|error| refused(path, format!("{name} cannot be unpacked: {error}")))?;
    let mut bytes = Vec::new();
    // An archive may unpack to any length.
    let read = member.take(MOST_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| {
        refused(path, format!("{name} cannot be unpacked: {}", io_reason(&error)))
    })?;
    if bytes.len() as u64 > MOST_BYTES {
        let expected = format!("expected {FEATURES} features");
        return Err(refused(path, format!("{expected}, {name} has more than {MOST_BYTES} bytes")));
    }
    let array = from_npy(path, &bytes);
    let array = array.map_err(|error| refused(path, format!("{name}: {}", error.problem())))?;
    Ok(array.exact())
}

fn unread(path: &Path, error: &std::io::Error) -> Error {
    refused(path, format!("cannot be read: {}", io_reason(error)))
}

fn refused(path: &Path, problem: String) -> Error {
    Error::new(ErrorKind::Tensor, path.display(), problem, NEXT)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipWriter};

    use super::*;

    /// As `numpy.save` writes it.
    fn npy(shape: &[usize], values: impl Iterator<Item = f64>) -> Vec<u8> {
        let sides: String = shape.iter().map(|side| format!("{side}, ")).collect();
        let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({sides}), }}");
        let header = format!("{header:<117}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        values.for_each(|value| bytes.extend(value.to_le_bytes()));
        bytes
    }

    fn written(path: &Path, method: CompressionMethod, arrays: &[(&str, Vec<u8>)]) {
        let mut archive = ZipWriter::new(File::create(path).unwrap());
        for (name, bytes) in arrays {
            let options = SimpleFileOptions::default().compression_method(method);
            archive.start_file(format!("{name}.npy"), options).unwrap();
            archive.write_all(bytes).unwrap();
        }
        archive.finish().unwrap();
    }

    fn features(pictures: usize) -> Vec<f32> {
        (0..pictures * FEATURES).map(|at| (at as f32 * 0.37).sin().abs()).collect()
    }

    #[test]
    fn statistics_and_features_of_the_same_pictures_are_the_same_to_the_bit() {
        let folder = tempfile::tempdir().unwrap();
        let threads = Threads::new(2);
        let expected = FeatureStatistics::of(&features(3), FEATURES, threads).unwrap();
        let mean = npy(&[FEATURES], expected.mean().iter().copied());
        let covariance = npy(&[FEATURES, FEATURES], expected.covariance().iter().copied());
        let path = folder.path().join("of.npz");
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            // What guided-diffusion's archives have beside.
            let arrays =
                [("arr_0", vec![0; 100]), ("mu", mean.clone()), ("sigma", covariance.clone())];
            written(&path, method, &arrays);
            assert_eq!(*Reference::open(&path, threads).unwrap().statistics(), expected);
        }
        let mut bytes = npy(&[3, FEATURES], std::iter::empty());
        let at = bytes.windows(3).position(|of| of == b"<f8").unwrap();
        bytes[at..at + 3].copy_from_slice(b"<f4");
        features(3).iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        let path = folder.path().join("input.npy");
        std::fs::write(&path, bytes).unwrap();
        let of_features = Reference::open(&path, threads).unwrap();
        assert_eq!(*of_features.statistics(), expected);
        assert_eq!(of_features.sha256().len(), 64);
    }

    #[test]
    fn what_is_no_reference_is_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("of.npz");
        let zeros = |shape: &[usize]| npy(shape, (0..shape.iter().product()).map(|_| 0.0));
        let refused = |said: &str| {
            let error = Reference::open(&path, Threads::new(1)).unwrap_err().to_string();
            assert!(error.contains(said), "expected {said:?}: {error}");
        };
        refused("no such file");
        std::fs::write(&path, "none").unwrap();
        refused("is no .npz");
        let of = |mean: &[u8], covariance: &[u8]| {
            let arrays = [("mu", mean.to_vec()), ("sigma", covariance.to_vec())];
            written(&path, CompressionMethod::Stored, &arrays);
        };
        of(&zeros(&[2048]), &zeros(&[2048, 3]));
        refused("found [2048] and [2048, 3]");
        of(&zeros(&[1, 2048]), &zeros(&[2048, 2048]));
        refused("found [1, 2048] and [2048, 2048]");
        of(&zeros(&[2048]), &zeros(&[2060, 2060]));
        refused("more than");
        of(&npy(&[2048], (0..2048).map(|_| f64::NAN)), &zeros(&[2048, 2048]));
        refused("mu and sigma have values that are NaN or infinite");
        of(&zeros(&[2048]), &npy(&[2048, 2048], (0..2048 * 2048).map(|_| -1.0)));
        refused("a variance is negative");
        of(&zeros(&[2048]), &npy(&[2048, 2048], (0..2048 * 2048).map(f64::from)));
        refused("is not symmetric");
        of(&zeros(&[2048]), b"none");
        refused("sigma: is not an .npy file");
        written(&path, CompressionMethod::Stored, &[("mu", zeros(&[2048]))]);
        refused("has no sigma: it has mu.npy");
        written(&path, CompressionMethod::Stored, &[("arr_0", vec![0; 100])]);
        refused("arr_0, which are pictures");
    }
}
