//! Features of pictures, for distances between sets of them.

use std::path::Path;

use ndarray::{ArrayD, ArrayView2, ArrayView3};
use vae_fidelity_core::tensor_file::{read_named, to_npy};
use vae_fidelity_files::error::{Error, ErrorKind, Result};
use vae_fidelity_kernels::threads::Threads;
use vae_fidelity_perceptual::{
    FEATURES, FeatureStatistics, KernelDistance, PrecisionRecall, Reference,
};

use crate::protocol;

/// How a set of pictures lies to another; `None` of what was not asked for, or of too few pictures.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SetDistances {
    pub frechet: Option<f64>,
    pub kernel: Option<KernelDistance>,
    pub precision_recall: Option<PrecisionRecall>,
}

/// What each model made of the pictures, and what the Fréchet distance holds it against: `reference`, or what went in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sets<'a> {
    pub features: &'a Features,
    pub reference: Option<&'a Reference>,
}

impl<'a> Sets<'a> {
    /// SHA-256 of the reference's file.
    pub fn reference_sha256(self) -> Option<&'a str> {
        self.reference.map(Reference::sha256)
    }

    /// How what each model made of the pictures lies to the others, by what `asked` has.
    ///
    /// # Errors
    ///
    /// When a feature is not finite.
    pub fn distances(self, asked: &protocol::Metrics) -> Result<Vec<SetDistances>> {
        let (threads, width) = (Threads::available(), FEATURES);
        let (input, models) = (&self.features.sets[0], &self.features.sets[1..]);
        if self.features.pictures() < 2 {
            return Ok(vec![SetDistances::default(); models.len()]);
        }
        let of_input;
        let against = match self.reference {
            Some(reference) => reference.statistics(),
            None => {
                of_input = FeatureStatistics::of(input, width, threads)?;
                &of_input
            }
        };
        let of = |set: &Vec<f32>| {
            let own = FeatureStatistics::of(set, width, threads)?;
            let kernel = || KernelDistance::between(set, input, width, threads);
            let covered = || PrecisionRecall::of(set, input, width, threads);
            Ok(SetDistances {
                frechet: Some(against.distance(&own, threads)),
                kernel: asked.kid.then(kernel).flatten(),
                precision_recall: asked.precision_recall.then(covered).flatten(),
            })
        };
        models.iter().map(of).collect()
    }
}

/// Features of a set of pictures, in their order: of what went in, and of what each model made of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Features {
    /// First of what went in, then of each model.
    sets: Vec<Vec<f32>>,
}

impl Features {
    /// Of no picture yet.
    pub fn of(models: usize) -> Self {
        Self { sets: vec![Vec::new(); 1 + models] }
    }

    /// How many pictures there are.
    pub fn pictures(&self) -> usize {
        self.sets[0].len() / FEATURES
    }

    /// Adds a picture: its features, and those of what each model made of it.
    pub fn push(&mut self, picture: &[Vec<f32>]) {
        self.sets.iter_mut().zip(picture).for_each(|(set, features)| set.extend(features));
    }

    /// Adds picture `at` of `other`.
    pub fn push_from(&mut self, other: &Self, at: usize) {
        for (set, other) in self.sets.iter_mut().zip(&other.sets) {
            set.extend(&other[at * FEATURES..][..FEATURES]);
        }
    }

    /// Adds all pictures of `other`.
    pub fn extend(&mut self, other: &Self) {
        self.sets.iter_mut().zip(&other.sets).for_each(|(set, other)| set.extend(other));
    }

    /// The bytes of one `.npy` file, (sets, pictures, 2048).
    pub fn npy(&self) -> Result<Vec<u8>> {
        let shape = (self.sets.len(), self.pictures(), FEATURES);
        let all = self.sets.concat();
        let all = ArrayView3::from_shape(shape, &all).map_err(|error| broken("features", error))?;
        Ok(to_npy(all.into_dyn()))
    }

    /// Those of the file at `path`, of as many models.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is another.
    pub fn read(path: &Path, models: usize) -> Result<Self> {
        let all = read_named(path, "features")?;
        match all.shape() {
            &[sets, _, FEATURES] if sets == 1 + models => {}
            found => return Err(broken(path.display(), format!("found {found:?}"))),
        }
        Ok(Self { sets: all.outer_iter().map(|set| set.iter().copied().collect()).collect() })
    }

    /// The names and bytes of the `.npy` files that a result has, each (pictures, 2048).
    pub fn files(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let file = |(at, set): (usize, &Vec<f32>)| {
            let set = ArrayView2::from_shape((self.pictures(), FEATURES), set)
                .map_err(|error| broken("features", error))?;
            Ok((file_name(at), to_npy(set.into_dyn())))
        };
        self.sets.iter().enumerate().map(file).collect()
    }

    /// Those of the files in `folder`.
    ///
    /// # Errors
    ///
    /// When one cannot be read, or is of other pictures than the others.
    pub fn read_files(folder: &Path, models: usize) -> Result<Self> {
        let mut sets: Vec<Vec<f32>> = Vec::with_capacity(1 + models);
        for at in 0..=models {
            let path = folder.join(file_name(at));
            let all: ArrayD<f32> = read_named(&path, "features")?;
            let is_other = sets.first().is_some_and(|first| first.len() != all.len());
            match all.shape() {
                &[_, FEATURES] if !is_other => sets.push(all.iter().copied().collect()),
                found => return Err(broken(path.display(), format!("found {found:?}"))),
            }
        }
        Ok(Self { sets })
    }
}

fn file_name(set: usize) -> String {
    match set {
        0 => "input.npy".to_owned(),
        model => format!("model-{}.npy", model - 1),
    }
}

fn broken(what: impl std::fmt::Display, found: impl std::fmt::Display) -> Error {
    let problem = format!("expected {FEATURES} features of each picture, {found}");
    Error::new(ErrorKind::Output, what.to_string(), problem, "remove its folder and run again")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Protocol;

    fn features(pictures: usize, models: usize) -> Features {
        let mut features = Features::of(models);
        for picture in 0..pictures {
            let of = |set: usize| {
                (0..FEATURES).map(|at| ((at * (picture + 2) + 7 * set) % 13) as f32).collect()
            };
            features.push(&(0..=models).map(of).collect::<Vec<Vec<f32>>>());
        }
        features
    }

    #[test]
    fn they_come_back_as_they_were_written() {
        let features = features(3, 2);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part.npy");
        std::fs::write(&path, features.npy().unwrap()).unwrap();
        assert_eq!(Features::read(&path, 2).unwrap(), features);
        assert!(Features::read(&path, 1).is_err());
        for (name, bytes) in features.files().unwrap() {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        assert_eq!(Features::read_files(folder.path(), 2).unwrap(), features);
        assert!(Features::read_files(folder.path(), 3).is_err());
    }

    #[test]
    fn put_together_in_order_they_are_the_same() {
        let whole = features(5, 1);
        let mut other = Features::of(1);
        for at in 0..2 {
            other.push_from(&whole, at);
        }
        let mut rest = Features::of(1);
        (2..5).for_each(|at| rest.push_from(&whole, at));
        other.extend(&rest);
        assert_eq!(other, whole);
        let asked = Protocol::named("torch-fidelity").unwrap().metrics;
        let distances =
            |features: &Features| Sets { features, reference: None }.distances(&asked).unwrap()[0];
        assert_eq!(distances(&features(1, 1)).frechet, None);
        let found = distances(&whole);
        assert!(found.frechet.unwrap() > 0.0 && found.precision_recall.is_some());
        assert_eq!(found.kernel, None);
    }
}
