//! Downloads one file from the hub to the cache. Resumes partial downloads, and gives a file its final
//! name only when its size and hash are those that the hub states.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use sha1::{Digest, Sha1};
use sha2::Sha256;
use ureq::http::{HeaderMap, StatusCode};

use super::cache::{Repository, cannot_write};
use super::client::{Client, MAX_RETRIES};
use super::failure::{Asked, Failure};
use super::options::HubStep;
use vae_fidelity_files::error::{Error, ErrorKind, Result};

const CHUNK_BYTES: usize = 1 << 20;
/// Below this many bytes a second, over the time that a download may stand still, it counts as
/// standing still: a server that drips would be waited for without end.
const LOWEST_RATE: u64 = 1 << 10;
/// What a connection has to bring, or all that was missing, to be worth a further one that is not
/// counted: a server that cuts after a byte would be asked without end.
const WORTHWHILE_BYTES: u64 = 1 << 20;
/// Bytes between two reports of progress.
const TELL_EVERY_BYTES: u64 = 1 << 18;

/// What the hub states about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stated {
    /// Names the blob: the SHA-256 of a large file, git's SHA-1 of a small one.
    pub etag: String,
    pub size: u64,
}

impl Stated {
    /// Reads the headers of the hub's answer about a file.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let etag = text("x-linked-etag").or_else(|| text("etag"))?;
        let etag = etag.trim_start_matches(['W', '/']).trim_matches('"').to_owned();
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let usable = etag.chars().all(is_name) && !etag.starts_with('.') && !etag.is_empty();
        // The length of a redirect is not that of the file.
        let length = || match headers.contains_key("location") {
            true => None,
            false => text("content-length"),
        };
        let size = text("x-linked-size").or_else(length)?.parse().ok()?;
        (usable && etag.len() <= 128).then_some(Self { etag, size })
    }

    fn hasher(&self) -> Hasher {
        let is_hex = self.etag.bytes().all(|b| b.is_ascii_hexdigit());
        match (self.etag.len(), is_hex) {
            (64, true) => Hasher::Sha256(Sha256::new()),
            // What git hashes of a file: its length and its bytes.
            (40, true) => Hasher::Git(Sha1::new_with_prefix(format!("blob {}\0", self.size))),
            _ => Hasher::None,
        }
    }

    /// Whether `etag` is a hash, so that more than the size can be checked.
    pub fn has_hash(&self) -> bool {
        !matches!(self.hasher(), Hasher::None)
    }
}

enum Hasher {
    Sha256(Sha256),
    Git(Sha1),
    None,
}

impl Hasher {
    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Git(hasher) => hasher.update(bytes),
            Self::None => {}
        }
    }

    /// In hexadecimal; `None` where there is nothing to compare it with.
    fn finish(self) -> Option<String> {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self {
            Self::Sha256(hasher) => Some(hex(&hasher.finalize())),
            Self::Git(hasher) => Some(hex(&hasher.finalize())),
            Self::None => None,
        }
    }
}

/// Downloads the file that is `asked` for, which the hub has at `path`, to its place among the
/// blobs of `repository`. Returns whether that was needed: it may be there, also because another
/// process has just downloaded it.
pub(super) fn download(
    client: &Client<'_>,
    repository: &Repository,
    asked: Asked<'_>,
    path: &str,
    stated: &Stated,
) -> Result<bool> {
    let file = asked.file.unwrap_or_default();
    let blob = repository.blob(&stated.etag);
    repository.prepare().map_err(|error| cannot_write(&blob, &error))?;
    let lock = repository
        .lock(&stated.etag, || asked.options.tell(HubStep::Waiting { file }))
        .map_err(|error| cannot_write(&blob, &error))?;
    if blob.exists() {
        return Ok(false);
    }
    let mut name = blob.clone().into_os_string();
    name.push(".incomplete");
    let incomplete = PathBuf::from(name);
    let mut transfer = Transfer::resume(client, asked, path, stated, incomplete)?;
    let started_at = transfer.received;
    let mut checked = transfer.run();
    if started_at > 0 && matches!(checked, Ok(Checked::Wrong(_))) {
        // What an earlier run left may have been the wrong part.
        transfer.restart()?;
        checked = transfer.run();
    }
    match checked? {
        Checked::Right => {}
        Checked::Wrong(problem) => {
            let _ = fs::remove_file(&transfer.path);
            return Err(Error::new(
                ErrorKind::Hub,
                format!("{}/{file}", asked.id),
                format!("{problem}; it was removed"),
                "run it again; if it stays so, a proxy or mirror (HF_ENDPOINT) changes the file, \
                 or it is broken on the hub",
            ));
        }
    }
    fs::rename(&transfer.path, &blob).map_err(|error| cannot_write(&blob, &error))?;
    drop(lock);
    Ok(true)
}

/// What was found of a file that has all arrived.
enum Checked {
    Right,
    /// In words.
    Wrong(String),
}

struct Transfer<'a> {
    client: &'a Client<'a>,
    asked: Asked<'a>,
    address: &'a str,
    stated: &'a Stated,
    path: PathBuf,
    output: File,
    hasher: Hasher,
    /// Bytes in `output`, all of which `hasher` has seen.
    received: u64,
}

impl<'a> Transfer<'a> {
    /// Goes on with what is in `path`, if it is no more than the whole.
    fn resume(
        client: &'a Client<'a>,
        asked: Asked<'a>,
        address: &'a str,
        stated: &'a Stated,
        path: PathBuf,
    ) -> Result<Self> {
        let open = || {
            let mut options = OpenOptions::new();
            let mut output =
                options.read(true).write(true).create(true).truncate(false).open(&path)?;
            let (hasher, received) = hashed(&mut output, stated)?;
            Ok((output, hasher, received))
        };
        let (output, hasher, received) = open().map_err(|error| cannot_write(&path, &error))?;
        let mut transfer = Self { client, asked, address, stated, path, output, hasher, received };
        if received > stated.size {
            transfer.restart()?;
        }
        transfer.check_space()?;
        Ok(transfer)
    }

    fn restart(&mut self) -> Result<()> {
        let emptied = self.output.set_len(0).and_then(|()| self.output.rewind());
        emptied.map_err(|error| cannot_write(&self.path, &error))?;
        self.hasher = self.stated.hasher();
        self.received = 0;
        Ok(())
    }

    /// Refuses what cannot fit, before hours are spent on it.
    fn check_space(&self) -> Result<()> {
        let missing = self.stated.size - self.received;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        match fs4::available_space(folder) {
            Ok(free) if free < missing => Err(Error::new(
                ErrorKind::Hub,
                self.path.display(),
                format!(
                    "the hub's cache is on a disk with {free} bytes free, and {missing} are needed for {}",
                    self.asked.file.unwrap_or_default()
                ),
                "free some disk space, or set HF_HUB_CACHE to a folder on another disk",
            )),
            // A disk that does not say may have the room.
            _ => Ok(()),
        }
    }

    /// Reads what is missing, however often the connection breaks, as long as something comes that is
    /// worth it.
    fn run(&mut self) -> Result<Checked> {
        let mut tries = 0;
        while self.received < self.stated.size {
            let before = self.received;
            match self.read_on() {
                Ok(None) => break,
                Ok(Some(problem)) => return Ok(Checked::Wrong(problem)),
                Err(Stopped::Here(error)) => return Err(error),
                Err(Stopped::There(failure)) => {
                    let worthwhile = self.received.saturating_sub(before) >= WORTHWHILE_BYTES;
                    tries = if worthwhile { 1 } else { tries + 1 };
                    if !self.client.waited(&failure, tries, MAX_RETRIES) {
                        return Err(failure.explain(self.asked));
                    }
                }
            }
        }
        self.tell();
        self.check()
    }

    /// One answer of the server, to its end; in words what is wrong with its length.
    fn read_on(&mut self) -> std::result::Result<Option<String>, Stopped> {
        let mut answer = self.client.open(self.address, self.received).map_err(Stopped::There)?;
        let goes_on = answer.status() == StatusCode::PARTIAL_CONTENT
            && range_start(answer.headers()) == Some(self.received);
        if !goes_on && self.received > 0 {
            // The server sends all of it, or another part than asked for.
            self.restart().map_err(Stopped::Here)?;
            if answer.status() != StatusCode::OK {
                answer = self.client.open(self.address, 0).map_err(Stopped::There)?;
            }
        }
        let timeout = self.asked.options.download_timeout;
        let mut body = answer.body_mut().as_reader();
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut told = 0;
        let (mut since, mut before) = (Instant::now(), self.received);
        loop {
            if since.elapsed() >= timeout {
                let least = LOWEST_RATE * timeout.as_millis() as u64 / 1000;
                if self.received.saturating_sub(before) < least {
                    return Err(Stopped::There(Failure::drips(timeout)));
                }
                (since, before) = (Instant::now(), self.received);
            }
            if told == 0 || self.received - told >= TELL_EVERY_BYTES {
                self.tell();
                told = self.received.max(1);
            }
            let count = match body.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => return Err(Stopped::There(Failure::of_io(error, timeout))),
            };
            let bytes = &chunk[..count];
            self.output
                .write_all(bytes)
                .map_err(|error| Stopped::Here(cannot_write(&self.path, &error)))?;
            self.hasher.update(bytes);
            self.received += count as u64;
            if self.received > self.stated.size {
                return Ok(Some(self.wrong_size("more")));
            }
        }
        match self.received < self.stated.size {
            true => Ok(Some(self.wrong_size(&format!("{} bytes", self.received)))),
            false => Ok(None),
        }
    }

    fn wrong_size(&self, found: &str) -> String {
        format!("the hub states a size of {} bytes, and {found} came", self.stated.size)
    }

    fn check(&mut self) -> Result<Checked> {
        // A full disk may only be noticed when the data reaches it.
        self.output.sync_data().map_err(|error| cannot_write(&self.path, &error))?;
        let hasher = std::mem::replace(&mut self.hasher, Hasher::None);
        Ok(match hasher.finish() {
            Some(found) if found != self.stated.etag => Checked::Wrong(format!(
                "the hub states the hash {}, and that of what came is {found}",
                self.stated.etag
            )),
            _ => Checked::Right,
        })
    }

    fn tell(&self) {
        self.asked.options.tell(HubStep::Downloading {
            file: self.asked.file.unwrap_or_default(),
            received: self.received,
            total: self.stated.size,
        });
    }
}

/// Why no more is read for now.
enum Stopped {
    /// This machine's fault.
    Here(Error),
    /// The server's, or that of what lies between.
    There(Failure),
}

/// Hashes what is in `file`; further bytes go to its end.
fn hashed(file: &mut File, stated: &Stated) -> io::Result<(Hasher, u64)> {
    let mut hasher = stated.hasher();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut length = 0;
    loop {
        let count = file.read(&mut chunk)?;
        if count == 0 {
            return Ok((hasher, length));
        }
        hasher.update(&chunk[..count]);
        length += count as u64;
    }
}

/// The first byte of a part, from `bytes 5-9/10`.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get("content-range")?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}
