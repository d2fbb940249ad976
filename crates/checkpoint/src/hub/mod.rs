//! Checkpoints from a hub that speaks the Hugging Face Hub's language: only the files that a VAE
//! needs, through the cache that Python's `huggingface_hub` uses too.
//!
//! The hub is asked what a branch or tag stands for each time, and nothing that is in the cache is
//! downloaded again. Where the hub does not answer, or may not be asked, what is in the cache is
//! used.

mod cache;
mod client;
mod download;
mod failure;
mod options;
mod token;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::source::{in_place, is_hub_id, vae_place};
use super::weight_files::{check_variant, choose, is_index, other_weights, shard_names};
use cache::{Repository, is_commit};
use client::{Client, MAX_RETRIES};
use download::{Stated, download};
use failure::{Asked, Failure};
pub use options::{HubOptions, HubPlaces, HubProgress, HubStep};
pub use token::Token;
use vae_fidelity_files::error::{Error, ErrorKind, Result};

/// What an address holds as it is: letters, digits and these.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const PLAIN_PATH: &AsciiSet = &PLAIN.remove(b'/');

/// What is wanted of which repository.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub id: &'a str,
    /// A branch, tag or commit; `None` is `main`.
    pub revision: Option<&'a str>,
    pub subfolder: Option<&'a str>,
    pub variant: Option<&'a str>,
}

/// A repository at one commit, on this machine as far as its VAE goes.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub folder: PathBuf,
    pub commit: String,
    pub notes: Vec<String>,
}

/// What a hub says of a repository at a revision.
#[derive(Debug, Deserialize)]
struct Listing {
    /// The commit.
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Debug, Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
}

/// Makes sure that the files of a VAE are in the cache.
///
/// Fails if the cache lacks a file and the hub refuses, cannot be reached or sends other bytes than it
/// announced; if the repository has no VAE that can be read here; and if the cache cannot be written.
pub(super) fn fetch(wanted: Wanted<'_>, options: &HubOptions) -> Result<Snapshot> {
    check(wanted)?;
    let revision = wanted.revision.unwrap_or("main");
    let repository = Repository::new(&options.cache, wanted.id, options.symlinks);
    let cached = cached(wanted, revision, &repository);
    if options.offline {
        let snapshot = cached.ok_or_else(|| not_cached(wanted, revision, options))?;
        return Ok(snapshot);
    }
    let asked = Asked { options, id: wanted.id, revision, file: None };
    let client = Client::new(options);
    options.tell(HubStep::Asking);
    // Who has it already does not wait for a hub that is down.
    let retries = if cached.is_some() { 0 } else { MAX_RETRIES };
    let listing = match (list(&client, wanted.id, revision, retries), cached) {
        (Ok(listing), _) => listing,
        (Err(failure), Some(mut snapshot)) if !failure.no_such_revision() => {
            let reason = failure.reason(options);
            let commit = &snapshot.commit;
            snapshot.notes.push(format!("{reason}; using commit {commit} from the cache"));
            return Ok(snapshot);
        }
        (Err(failure), _) => return Err(failure.explain(asked)),
    };
    let fetch = Fetch { client, options, repository, wanted, revision, commit: &listing.sha };
    fetch.files(&listing)
}

/// Refuses names that could lead out of the cache, or to another address.
fn check(wanted: Wanted<'_>) -> Result<()> {
    if !is_hub_id(wanted.id) {
        let problem = "expected the id of a repository on a hub";
        return Err(Error::option(wanted.id, problem, "name it as OWNER/NAME"));
    }
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']);
    for (flag, value) in [("`revision`", wanted.revision), ("`subfolder`", wanted.subfolder)] {
        match value {
            Some(name) if !name.trim_end_matches('/').split('/').all(plain) => {
                return Err(Error::option(
                    format!("{flag} {name}"),
                    "expected a name, or names with / between them",
                    "look at the repository's page on the hub",
                ));
            }
            _ => {}
        }
    }
    check_variant(wanted.variant)
}

/// What the cache has, if it is all that a VAE needs.
fn cached(wanted: Wanted<'_>, revision: &str, repository: &Repository) -> Option<Snapshot> {
    let commit = repository.commit(revision)?;
    let has = |name: &str| repository.has(&commit, name);
    let place = vae_place(&has, wanted.subfolder, wanted.variant)?;
    let folder = repository.snapshot(&commit);
    let weights = choose(&|name| has(&in_place(&place, name)), wanted.variant)?.name;
    if is_index(&weights) {
        let shards = shard_names(&folder.join(in_place(&place, &weights))).ok()?;
        shards.iter().all(|shard| has(&in_place(&place, shard))).then_some(())?;
    }
    Some(Snapshot { folder, commit, notes: Vec::new() })
}

fn not_cached(wanted: Wanted<'_>, revision: &str, options: &HubOptions) -> Error {
    let cache = options.cache.display();
    Error::new(
        ErrorKind::Hub,
        wanted.id,
        format!(
            "is not in the cache {cache} with all that a VAE needs at revision {revision}, and the \
             hub may not be asked (`offline` or HF_HUB_OFFLINE)"
        ),
        "run it once without `offline`, or name the cache that has it with HF_HUB_CACHE",
    )
}

fn list(
    client: &Client<'_>,
    id: &str,
    revision: &str,
    retries: u32,
) -> std::result::Result<Listing, Failure> {
    let revision = utf8_percent_encode(revision, PLAIN);
    let text = client.text(&format!("api/models/{id}/revision/{revision}?blobs=true"), retries)?;
    let listing: Listing = serde_json::from_str(&text)
        .map_err(|_| Failure::NoHub("something else than the list of a repository's files"))?;
    match is_commit(&listing.sha) {
        true => Ok(listing),
        false => Err(Failure::NoHub("a list of files without a commit")),
    }
}

/// A repository whose commit and files are known.
struct Fetch<'a> {
    client: Client<'a>,
    options: &'a HubOptions,
    repository: Repository,
    wanted: Wanted<'a>,
    revision: &'a str,
    commit: &'a str,
}

impl Fetch<'_> {
    fn files(&self, listing: &Listing) -> Result<Snapshot> {
        let sizes: BTreeMap<&str, Option<u64>> =
            listing.siblings.iter().map(|file| (file.rfilename.as_str(), file.size)).collect();
        let has = |name: &str| sizes.contains_key(name);
        let Some(place) = vae_place(&has, self.wanted.subfolder, self.wanted.variant) else {
            return Err(self.no_vae("", &sizes));
        };
        let mut notes = Vec::new();
        let mut fetched = Vec::new();
        let mut get = |name: &str| -> Result<()> {
            let file = in_place(&place, name);
            let size = sizes.get(file.as_str()).copied().flatten();
            fetched.extend(self.file(&file, size, &mut notes)?);
            Ok(())
        };
        if has(&in_place(&place, "config.json")) {
            get("config.json")?;
        }
        let weights = choose(&|name| has(&in_place(&place, name)), self.wanted.variant);
        let Some(weights) = weights else { return Err(self.no_vae(&place, &sizes)) };
        get(&weights.name)?;
        let folder = self.repository.snapshot(self.commit);
        if is_index(&weights.name) {
            let index = folder.join(in_place(&place, &weights.name));
            let shards = shard_names(&index)?;
            if let Some(lacking) = shards.iter().find(|shard| !has(&in_place(&place, shard))) {
                return Err(self.no_shard(&in_place(&place, lacking)));
            }
            shards.iter().try_for_each(|shard| get(shard))?;
        }
        // A cache that cannot be written to is of use all the same.
        let remembered = self.repository.set_commit(self.revision, self.commit);
        if !fetched.is_empty() {
            remembered?;
            notes.insert(0, self.fetched_note(&fetched));
        }
        Ok(Snapshot { folder, commit: self.commit.to_owned(), notes })
    }

    /// Brings one file of the repository into the snapshot; its size if it had to be downloaded.
    fn file(&self, file: &str, size: Option<u64>, notes: &mut Vec<String>) -> Result<Option<u64>> {
        let (id, commit) = (self.wanted.id, self.commit);
        let path = self.repository.snapshot(commit).join(file);
        if let Ok(there) = std::fs::metadata(&path) {
            return match size.is_none_or(|size| size == there.len()) {
                true => Ok(None),
                false => Err(wrong_in_cache(&path, there.len(), size)),
            };
        }
        let asked = Asked { options: self.options, id, revision: self.revision, file: Some(file) };
        let address = format!("{id}/resolve/{commit}/{}", utf8_percent_encode(file, PLAIN_PATH));
        let headers = self.client.describe(&address).map_err(|failure| failure.explain(asked))?;
        let stated = Stated::read(&headers)
            .ok_or_else(|| Failure::NoHub("no ETag or no size for a file").explain(asked))?;
        if !stated.has_hash() {
            notes.push(format!("{file}: the hub states no hash, so only its size was checked"));
        }
        let downloaded = download(&self.client, &self.repository, asked, &address, &stated)?;
        self.repository
            .link(&stated.etag, commit, file)
            .map_err(|error| cache::cannot_write(&path, &error))?;
        Ok(downloaded.then_some(stated.size))
    }

    fn fetched_note(&self, sizes: &[u64]) -> String {
        let files = if sizes.len() == 1 { "file" } else { "files" };
        format!(
            "downloaded {} {files} ({} bytes) of {} at commit {} from {}",
            sizes.len(),
            sizes.iter().sum::<u64>(),
            self.wanted.id,
            self.commit,
            self.options.endpoint
        )
    }

    fn no_shard(&self, file: &str) -> Error {
        Error::new(
            ErrorKind::Hub,
            format!("{}/{file}", self.wanted.id),
            "the index of shards names it, and the repository does not have it",
            "choose another `revision` or `variant`, or tell the repository's owner",
        )
    }

    fn no_vae(&self, place: &str, sizes: &BTreeMap<&str, Option<u64>>) -> Error {
        let place = self.wanted.subfolder.unwrap_or(place);
        let prefix = in_place(place, "");
        let others = other_weights(
            sizes.keys().filter_map(|name| name.strip_prefix(prefix.as_str())).map(str::to_owned),
        );
        let next = match (&others.variant, others.names.first()) {
            (Some(variant), _) => format!("pass `variant` {variant}"),
            (None, Some(_)) => {
                "if one of them is the VAE, download it and name the file with `repo`".to_owned()
            }
            (None, None) => {
                "name another `subfolder` or `revision`, or another repository".to_owned()
            }
        };
        let subject = format!("{}/{prefix}", self.wanted.id);
        Error::new(ErrorKind::Hub, subject.trim_end_matches('/'), others.problem(), next)
    }
}

fn wrong_in_cache(path: &Path, found: u64, stated: Option<u64>) -> Error {
    Error::new(
        ErrorKind::Hub,
        path.display(),
        format!(
            "the file in the cache has {found} bytes, and the hub states {}",
            stated.unwrap_or_default()
        ),
        "delete it, and what it links to, and run it again",
    )
}
