//! Shards put together.

use std::path::{Path, PathBuf};

use vae_fidelity_core::json_problem;
use vae_fidelity_files::error::{Error, ErrorKind, Result};
use vae_fidelity_kernels::threads::Threads;
use vae_fidelity_perceptual::Reference;

use crate::evaluated::Evaluated;
use crate::features::{Features, Sets};
use crate::folder::{
    Folder, State, finished_features, finished_maps, finished_rows, is_finished, lies_in,
    worst_picture,
};
use crate::maps::{Maps, add_maps};
use crate::report::{EvaluationReport, RunRecord};
use crate::results::{Least, report};
use crate::row::Row;
use crate::sha256::short;
use crate::shard::Shard;
use crate::worst::Worst;

/// How many shards or pictures a message names.
const NAMED: usize = 12;

/// Puts the shards in `folders` together in the folder `out`; in any order, the result is that of one run
/// over the whole data set.
///
/// # Errors
///
/// When a folder is about something else than the others, a shard is missing, not finished or there
/// twice, `reference` is not what a shard's rFID is against, and when `out` cannot be written.
pub fn merge(
    folders: &[PathBuf],
    out: &Path,
    least: &Least,
    reference: Option<&Path>,
    version: &str,
) -> Result<Evaluated> {
    if let Some(input) = folders.iter().find(|folder| lies_in(out, folder)) {
        let problem = format!("--out is one of the shards, {}, or lies in it", input.display());
        return Err(Error::output(out, problem, "name a new folder"));
    }
    let mut states = Vec::with_capacity(folders.len());
    for folder in folders {
        states.push((folder.as_path(), State::read(folder)?));
    }
    // So that names of models and their order do not depend on the order of the arguments.
    states.sort_by_key(|(_, state)| (state.shard.of, state.shard.index));
    let Some((first, rest)) = states.split_first() else {
        return Err(Error::option(
            "merge",
            "no folder was given",
            "name the folders of all shards",
        ));
    };
    for other in rest {
        check_same(first, other)?;
    }
    for (folder, state) in &states {
        if !is_finished(folder) {
            return Err(Error::new(
                ErrorKind::Option,
                folder.display(),
                format!("shard {} is not finished", state.shard),
                "run its `evaluate` again: it goes on where it was stopped",
            ));
        }
    }
    let identity = &first.1.identity;
    if reference.is_some() && !identity.has_features() {
        let problem = "is for rFID, which the shards have not";
        let next = "evaluate them with the weights of InceptionV3, or leave it out";
        return Err(Error::option("`reference`", problem, next));
    }
    let reference =
        reference.map(|path| Reference::open(path, Threads::available())).transpose()?;
    let reference = reference.as_ref();
    let run = run_record(&states, reference, version)?;
    // Of each picture, the shard that has it and the SHA-256 that it had there.
    let mut owners: Vec<Option<(usize, Option<String>)>> =
        vec![None; identity.data.pictures as usize];
    let mut rows: Vec<Row> = Vec::new();
    let mut of_shards: Vec<Features> = Vec::new();
    // Of each picture that every model judged: which shard has its features, and where.
    let mut places: Vec<(u64, usize, usize)> = Vec::new();
    let mut maps = vec![Maps::none(); identity.models.len()];
    for (index, (folder, state)) in states.iter().enumerate() {
        let own = finished_rows(folder)?;
        add_maps(&mut maps, &finished_maps(folder, identity.models.len(), &own)?);
        if identity.has_features() {
            let judged = judged_by_all(&own, identity.models.len());
            let of_shard = finished_features(folder, identity.models.len())?;
            if of_shard.pictures() != judged.len() {
                return Err(other_features(folder, of_shard.pictures(), judged.len()));
            }
            places.extend(judged.into_iter().enumerate().map(|(at, of)| (of, index, at)));
            of_shards.push(of_shard);
        }
        for row in own.iter().filter(|row| row.model == 0) {
            let owner = owners.get_mut(row.picture as usize).ok_or_else(|| outside(folder, row))?;
            if let Some((earlier, sha256)) = owner {
                let changed = *sha256 != row.sha256;
                return Err(doubled(&states[*earlier], (folder, state), &row.id, changed));
            }
            *owner = Some((index, row.sha256.clone()));
        }
        rows.extend(own);
    }
    check_complete(&owners, &states)?;
    rows.sort_by_key(|row| (row.picture, row.model));
    places.sort_unstable();
    let features = identity.has_features().then(|| {
        let mut all = Features::of(identity.models.len());
        places.iter().for_each(|&(_, shard, at)| all.push_from(&of_shards[shard], at));
        all
    });
    // Of 50,000 pictures and one model 800 MB.
    drop(of_shards);

    let folder = Folder::open(out, identity, Shard::WHOLE)?;
    let mut worst = Worst::default();
    rows.iter().try_for_each(|row| worst.add(row, None))?;
    folder.write_rows(&rows, features.as_ref(), &maps)?;
    folder.tidy(&worst)?;
    let pictures = worst.pictures(|name| {
        let picture = name.split(['-', '.']).nth(1).and_then(|text| text.parse::<usize>().ok());
        let owner = picture.and_then(|picture| owners.get(picture)?.as_ref());
        let png = worst_picture(states[owner.map_or(0, |(owner, _)| *owner)].0, name)?;
        folder.write_worst_picture(name, &png)?;
        Ok(png)
    })?;
    let sets = features.as_ref().map(|features| Sets { features, reference });
    let report = report(identity, &rows, sets, &maps, least, run)?;
    folder.write_report(&report)?;
    Ok(Evaluated { report, rows, worst: pictures })
}

/// Refuses to hold the rFID of `shard` against something else than it was held against, where that was a file.
fn check_reference(
    shard: &EvaluationReport,
    path: &Path,
    reference: Option<&Reference>,
) -> Result<()> {
    let of =
        shard.models.iter().find_map(|of| of.metrics.rfid.as_ref()?.reference_sha256.as_deref());
    let Some(expected) = of.filter(|of| reference.map(Reference::sha256) != Some(of)) else {
        return Ok(());
    };
    let found = reference.map_or("none", |found| short(found.sha256()));
    let problem = format!(
        "{} has its rFID against a file with SHA-256 {}, found {found}",
        path.display(),
        short(expected)
    );
    Err(Error::option("`reference`", problem, "name that file"))
}

/// The pictures of `rows` that every model judged, in order.
fn judged_by_all(rows: &[Row], models: usize) -> Vec<u64> {
    let of_picture = rows.chunk_by(|a, b| a.picture == b.picture);
    let judged = of_picture
        .filter(|rows| rows.len() == models && rows.iter().all(|row| row.metrics.is_some()));
    judged.map(|rows| rows[0].picture).collect()
}

fn other_features(folder: &Path, found: usize, expected: usize) -> Error {
    let problem = format!("has features of {found} pictures, and rows of {expected}");
    Error::new(ErrorKind::Option, folder.display(), problem, "run its `evaluate` anew")
}

/// What the shards' own reports say of how they went.
fn run_record(
    states: &[(&Path, State)],
    reference: Option<&Reference>,
    version: &str,
) -> Result<RunRecord> {
    let mut run = RunRecord { version: version.to_owned(), ..RunRecord::default() };
    for (folder, _) in states {
        let file = folder.join("result.json");
        let refused = |problem: String| {
            let next = "run its `evaluate` again";
            Error::new(ErrorKind::Option, file.display(), problem, next)
        };
        let text = vae_fidelity_files::input::read_text(&file).map_err(refused)?;
        let report: EvaluationReport =
            serde_json::from_str(&text).map_err(|error| refused(json_problem::of(&error)))?;
        check_reference(&report, folder, reference)?;
        run.shards.extend(report.run.shards);
        run.machines.extend(report.run.machines);
        run.seconds += report.run.seconds;
        run.data = report.run.data;
    }
    Ok(run)
}

fn check_same((path, state): &(&Path, State), (other_path, other): &(&Path, State)) -> Result<()> {
    let Some((what, here, there)) = state.identity.difference(&other.identity) else {
        return Ok(());
    };
    Err(Error::new(
        ErrorKind::Option,
        other_path.display(),
        format!("is of another run: its {what} is {there}, that of {} is {here}", path.display()),
        "merge the shards of one run",
    ))
}

fn outside(folder: &Path, row: &Row) -> Error {
    let problem = format!("its picture {} is number {}, which there is not", row.id, row.picture);
    Error::new(ErrorKind::Option, folder.display(), problem, "run its `evaluate` anew")
}

fn doubled(
    (a, of_a): &(&Path, State),
    (b, of_b): (&Path, &State),
    id: &str,
    changed: bool,
) -> Error {
    let (as_it_was, next) = match changed {
        true => (", with other bytes", "evaluate both anew on one data set"),
        false => ("", "leave one of them out"),
    };
    Error::new(
        ErrorKind::Option,
        b.display(),
        format!(
            "shard {} has pictures that shard {} in {} has too, such as {id}{as_it_was}",
            of_b.shard,
            of_a.shard,
            a.display()
        ),
        next,
    )
}

fn check_complete(
    owners: &[Option<(usize, Option<String>)>],
    states: &[(&Path, State)],
) -> Result<()> {
    let missing: Vec<usize> =
        (0..owners.len()).filter(|picture| owners[*picture].is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    // As many shards as most folders are of.
    let of = states.iter().map(|(_, state)| state.shard.of).max().unwrap_or(1);
    let absent: Vec<String> = (0..of)
        .map(|index| Shard { index, of })
        .filter(|shard| shard.range(owners.len()).any(|picture| owners[picture].is_none()))
        .take(NAMED)
        .map(|shard| shard.to_string())
        .collect();
    Err(Error::option(
        "merge",
        format!(
            "{} of {} pictures are missing: those of shard {}",
            missing.len(),
            owners.len(),
            absent.join(", ")
        ),
        "name their folders too",
    ))
}
