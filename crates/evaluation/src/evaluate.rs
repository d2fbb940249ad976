//! A shard of a data set through every model, a part at a time.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Builder};
use std::time::Instant;

use vae_fidelity_files::error::{Error, ErrorKind, Result};

use crate::data::{DataSet, Reader};
use crate::evaluated::Evaluated;
use crate::features::{Features, Sets};
use crate::folder::{Folder, finished_features, finished_maps};
use crate::identity::Identity;
use crate::judge::{Judged, Ran, Read, trip};
use crate::maps::{Maps, add_maps, check_maps};
use crate::model::Model;
use crate::prepare::prepare;
use crate::report::RunRecord;
use crate::results::{Least, report};
use crate::row::Row;
use crate::sha256::sha256;
use crate::shard::Shard;
use crate::trained::TrainedMetrics;
use crate::unchanged::check_unchanged;
use crate::workers::{InOrder, Workers};
use crate::worst::Worst;

/// Pictures of a part: what a stop loses at most.
const PART: usize = 32;

/// Pictures that wait for the next step: one is worked on, one is ready.
const WAITING: usize = 1;

/// What is asked of a run beside its [`Identity`].
#[derive(Debug, Default)]
pub struct EvaluateOptions {
    /// Which part of the data set.
    pub shard: Shard,
    /// What means must reach.
    pub least: Least,
    /// For the report: all but the shard and the time.
    pub run: RunRecord,
    /// For LPIPS and DISTS; none by default.
    pub trained: TrainedMetrics,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Pictures that are judged, those of earlier runs too.
    pub done: usize,
    /// Those of earlier runs.
    pub before: usize,
    /// All of the shard.
    pub total: usize,
}

/// Has `workers` send the pictures of a shard of `data` through their models, goes on where an earlier run in
/// `folder` was stopped, and sums the rows up. `progress` is told after each picture.
///
/// One more thread reads and resizes. A picture that cannot be judged becomes a row with its error.
///
/// # Errors
///
/// When the folder cannot be read or written; when a picture that it has a row for has changed since; and
/// with [`ErrorKind::Cancelled`] after a model was cancelled.
pub fn evaluate(
    data: &DataSet,
    workers: Workers,
    identity: &Identity,
    folder: &Folder,
    options: &EvaluateOptions,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Evaluated> {
    let started = Instant::now();
    let mut worst = Worst::default();
    let models = workers.models();
    let run = Run { data, identity, folder, options, models };
    let (rows, features, maps) = match folder.is_finished() {
        true => {
            let rows = folder.rows()?;
            check_unchanged(folder.path(), data, &rows)?;
            rows.iter().try_for_each(|row| worst.add(row, None))?;
            let features = identity
                .has_features()
                .then(|| finished_features(folder.path(), models))
                .transpose()?;
            let maps = finished_maps(folder.path(), models, &rows)?;
            (rows, features, maps)
        }
        false => {
            let rows = run.rows(workers, &mut worst, progress)?;
            let (features, maps) = (run.features()?, run.maps()?);
            check_maps(folder.path(), &maps, &rows)?;
            folder.write_rows(&rows, features.as_ref(), &maps)?;
            (rows, features, maps)
        }
    };
    folder.tidy(&worst)?;
    let run = RunRecord {
        shards: vec![options.shard.to_string()],
        seconds: started.elapsed().as_secs_f64(),
        ..options.run.clone()
    };
    let reference = options.trained.reference();
    let sets = features.as_ref().map(|features| Sets { features, reference });
    let report = report(identity, &rows, sets, &maps, &options.least, run)?;
    folder.write_report(&report)?;
    let worst = worst.pictures(|name| folder.worst_picture(name))?;
    Ok(Evaluated { report, rows, worst })
}

struct Run<'a> {
    data: &'a DataSet,
    identity: &'a Identity,
    folder: &'a Folder,
    options: &'a EvaluateOptions,
    models: usize,
}

impl Run<'_> {
    fn rows(
        &self,
        workers: Workers,
        worst: &mut Worst,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Vec<Row>> {
        let pictures: Vec<usize> = self.options.shard.range(self.data.entries().len()).collect();
        let mut done = Vec::new();
        let mut left: Vec<(usize, &[usize])> = Vec::new();
        for (part, pictures) in pictures.chunks(PART).enumerate() {
            match self.folder.part(part)? {
                Some(rows) => {
                    rows.iter().try_for_each(|row| worst.add(row, None))?;
                    done.extend(rows);
                }
                None => left.push((part, pictures)),
            }
        }
        check_unchanged(self.folder.path(), self.data, &done)?;
        let before = pictures.len() - left.iter().map(|(_, part)| part.len()).sum::<usize>();
        let told = |more: usize| {
            progress(Progress { done: before + more, before, total: pictures.len() });
        };
        told(0);
        let new = thread::scope(|scope| {
            let (to_models, read) = sync_channel(WAITING);
            let todo: Vec<usize> = left.iter().flat_map(|(_, part)| *part).copied().collect();
            let reading = move || self.read(&todo, &to_models);
            Builder::new().spawn_scoped(scope, reading).map_err(|error| no_thread(&error))?;
            let parts = &left;
            match workers {
                Workers::Caller(models) => {
                    let (to_metrics, ran) = sync_channel::<Ran>(WAITING);
                    let judged = ran.into_iter().map(|ran| Ok(self.judged(&ran)));
                    let judging = move || self.commit(parts, judged, worst, &told);
                    let metrics = Builder::new().spawn_scoped(scope, judging);
                    let metrics = metrics.map_err(|error| no_thread(&error))?;
                    let sent = self.run_models(models, read, to_metrics);
                    let judged = metrics.join().unwrap_or_else(|_| Err(panicked()));
                    sent.and(judged)
                }
                Workers::Threads(lists) => {
                    let (to_disk, judged) = sync_channel(lists.len());
                    let read = Arc::new(Mutex::new(read));
                    let mut threads = Vec::with_capacity(lists.len());
                    for models in lists {
                        let (read, to_disk) = (read.clone(), to_disk.clone());
                        let work = move || self.work(&models, &read, &to_disk);
                        let thread = Builder::new().spawn_scoped(scope, work);
                        threads.push(thread.map_err(|error| no_thread(&error))?);
                    }
                    // So that the reader and this thread see when all of them have ended.
                    drop((read, to_disk));
                    let done = self.commit(parts, InOrder::new(judged), worst, &told);
                    let ended: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
                    if ended.iter().any(std::thread::Result::is_err) {
                        return Err(panicked());
                    }
                    done
                }
            }
        })?;
        done.extend(new);
        done.sort_by_key(|row| (row.picture, row.model));
        Ok(done)
    }

    /// Those of all parts, which are done.
    fn features(&self) -> Result<Option<Features>> {
        if !self.identity.has_features() {
            return Ok(None);
        }
        let mut features = Features::of(self.models);
        for part in 0..self.parts() {
            features.extend(&self.folder.part_features(part, self.models)?);
        }
        Ok(Some(features))
    }

    /// The sums of all parts, which are done.
    fn maps(&self) -> Result<Vec<Maps>> {
        let mut maps = vec![Maps::none(); self.models];
        for part in 0..self.parts() {
            add_maps(&mut maps, &self.folder.part_maps(part, self.models)?);
        }
        Ok(maps)
    }

    fn parts(&self) -> usize {
        self.options.shard.range(self.data.entries().len()).len().div_ceil(PART)
    }

    fn read(&self, pictures: &[usize], to_models: &SyncSender<Read>) {
        let mut reader = Reader::new(self.data);
        for (place, &index) in pictures.iter().enumerate() {
            let entry = &self.data.entries()[index];
            let bytes = reader.read(entry);
            let sha256 = bytes.as_ref().ok().map(|bytes| sha256(bytes));
            let input = &self.identity.protocol.input;
            let prepared = bytes.and_then(|bytes| prepare(&entry.id, bytes, input));
            if to_models.send(Read { place, index, sha256, prepared }).is_err() {
                return;
            }
        }
    }

    /// Sends what is read through `models`, until there is no more or nobody listens.
    fn run_models(
        &self,
        models: &[&dyn Model],
        read: Receiver<Read>,
        to_metrics: SyncSender<Ran>,
    ) -> Result<()> {
        for read in read {
            if to_metrics.send(self.ran(models.iter().copied(), read)?).is_err() {
                // The metrics ended early, and say why.
                break;
            }
        }
        Ok(())
    }

    /// Takes pictures until there are no more, or one ends the run.
    fn work(
        &self,
        models: &[Box<dyn Model + Send + '_>],
        read: &Mutex<Receiver<Read>>,
        to_disk: &SyncSender<(usize, Result<Judged>)>,
    ) {
        loop {
            let next = read.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(read) = next else { return };
            let place = read.place;
            let models = models.iter().map(|model| &**model as &dyn Model);
            let judged = self.ran(models, read).map(|ran| self.judged(&ran));
            let is_last = judged.is_err();
            if to_disk.send((place, judged)).is_err() || is_last {
                return;
            }
        }
    }

    /// What `models` make of a picture.
    ///
    /// # Errors
    ///
    /// When one was cancelled, and when there is too little memory: that is of this machine and no result, and goes
    /// on where there is more.
    fn ran<'m>(&self, models: impl Iterator<Item = &'m dyn Model>, read: Read) -> Result<Ran> {
        let protocol = &self.identity.protocol;
        let mut trips = Vec::with_capacity(self.models);
        if let Ok(prepared) = &read.prepared {
            let id = &self.data.entries()[read.index].id;
            for model in models {
                let trip = trip(model, prepared, id, protocol.posterior);
                let trip = match protocol.metrics.equivariance {
                    true => trip.and_then(|trip| trip.with_equivariance(model)),
                    false => trip,
                };
                match trip {
                    Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
                    Err(error) if error.kind() == ErrorKind::Memory => {
                        return Err(too_little_memory(id, &error));
                    }
                    trip => trips.push(trip),
                }
            }
        }
        Ok(Ran { read, trips })
    }

    /// The rows of the `parts` that are left, each put on the disk when it is whole. `judged` are their pictures, in
    /// order; where it ends early, others say why.
    fn commit(
        &self,
        parts: &[(usize, &[usize])],
        mut judged: impl Iterator<Item = Result<Judged>>,
        worst: &mut Worst,
        told: &(dyn Fn(usize) + Sync),
    ) -> Result<Vec<Row>> {
        let mut all = Vec::new();
        let mut done = 0;
        for (part, pictures) in parts {
            let mut rows = Vec::with_capacity(pictures.len() * self.models);
            let mut features = self.identity.has_features().then(|| Features::of(self.models));
            let mut maps = vec![Maps::none(); self.models];
            for _ in *pictures {
                let Some(judged) = judged.next().transpose()? else { return Ok(all) };
                let mut pairs = judged.pairs.iter();
                for row in &judged.rows {
                    worst.add(row, row.metrics.and_then(|_| pairs.next()))?;
                }
                if let Some((features, of)) = features.as_mut().zip(judged.features) {
                    features.push(&of);
                }
                add_maps(&mut maps, &judged.maps);
                rows.extend(judged.rows);
                done += 1;
                told(done);
            }
            self.folder.commit(*part, &rows, features.as_ref(), &maps, worst)?;
            all.extend(rows);
        }
        Ok(all)
    }

    fn judged(&self, ran: &Ran) -> Judged {
        let id = &self.data.entries()[ran.read.index].id;
        Judged::of(id, ran, self.identity, &self.options.trained)
    }
}

fn too_little_memory(id: &str, error: &Error) -> Error {
    let problem = format!("{}: {}", error.subject(), error.problem());
    Error::new(
        ErrorKind::Memory,
        id,
        problem,
        "run it again with more memory, where it goes on; or leave the picture out of the data set",
    )
}

fn panicked() -> Error {
    Error::new(ErrorKind::Output, "metrics", "the thread panicked", "please report this as a bug")
}

fn no_thread(error: &std::io::Error) -> Error {
    let problem = format!("no thread could be started: {error}");
    Error::new(ErrorKind::Memory, "evaluate", problem, "end other programs, or raise ulimit -u")
}
