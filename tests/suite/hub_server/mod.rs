//! A hub on this machine: it speaks as much of the Hugging Face Hub's language as a download takes,
//! keeps large files on a second host as the hub does, and fails in the ways it is told to.
//!
//! `vae_fidelity_tools.conformance.hub` lets Python's `huggingface_hub` talk to it, so that it is known to be a
//! hub and not what this crate takes for one.

// Each user of this file uses its own part of it.
#![allow(dead_code, missing_docs)]

mod answer;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use sha1::{Digest, Sha1};
use sha2::Sha256;

/// A token that may read everything, and one of somebody who was given access to nothing.
pub const READER: &str = "hf_reader0123456789";
pub const STRANGER: &str = "hf_stranger987654321";
/// Part of every address of the content host: a signature, which is as good as a password.
pub const SIGNATURE: &str = "X-Amz-Signature=0badc0ffee";

/// A repository with files at one or more commits.
#[derive(Debug, Clone, Default)]
pub struct Repository {
    pub id: String,
    pub commits: Vec<Commit>,
    /// Seen by those who may read it only.
    pub private: bool,
    /// Seen by all, and its files by those who were let in only.
    pub gated: bool,
}

/// Files at a commit, and the branches and tags that are there.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    pub hash: String,
    pub names: Vec<String>,
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Repository {
    /// A public repository with `files` on its branch `main`.
    pub fn new(id: &str, files: BTreeMap<String, Vec<u8>>) -> Self {
        Self { id: id.to_owned(), ..Self::default() }.commit(&["main"], files)
    }

    /// With `files` at a further commit, to which `names` lead from now on.
    pub fn commit(mut self, names: &[&str], files: BTreeMap<String, Vec<u8>>) -> Self {
        let listed: Vec<u8> = files
            .iter()
            .flat_map(|(name, bytes)| [name.as_bytes(), &[0], git_hash(bytes).as_bytes()].concat())
            .collect();
        for commit in &mut self.commits {
            commit.names.retain(|name| !names.contains(&name.as_str()));
        }
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        self.commits.push(Commit { hash: git_hash(&listed), names, files });
        self
    }

    pub fn hash(&self, name: &str) -> &str {
        &self.at(name).unwrap().hash
    }

    fn at(&self, revision: &str) -> Option<&Commit> {
        let is_at = |c: &&Commit| c.hash == revision || c.names.iter().any(|n| n == revision);
        self.commits.iter().find(is_at)
    }
}

/// Every file below `folder`, by its path with `/`.
pub fn files_of(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            let below = files_of(&entry.path());
            files.extend(below.into_iter().map(|(path, bytes)| (format!("{name}/{path}"), bytes)));
        } else {
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    files
}

/// What goes wrong, where, and how often.
#[derive(Debug, Clone)]
pub struct Fault {
    pub place: Place,
    /// Part of the path of the requests that it hits.
    pub path: String,
    pub times: usize,
    pub hit: bool,
    pub what: What,
}

/// As often as it may come.
pub const ALWAYS: usize = usize::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The list of a repository's files.
    List,
    /// HEAD of a file.
    Describe,
    /// GET of a file from the hub: its bytes if it is small, or the way to the content host.
    File,
    /// GET from the content host.
    Content,
}

#[derive(Debug, Clone)]
pub enum What {
    /// Answers with this status and these headers.
    Status(u16, Vec<(&'static str, String)>),
    /// Promises all, sends this many bytes and hangs up.
    CutAfter(usize),
    /// Promises all, sends a byte every so often.
    Drip(Duration),
    /// Promises all, sends this many bytes and then nothing more.
    StallAfter(usize),
    /// Sends other bytes from this one on.
    WrongFrom(usize),
    /// Sends this many bytes, and says that they are all.
    Short(usize),
    /// Sends more than it has stated.
    Long,
    /// Sends all of the file, whatever part was asked for.
    IgnoreRange,
    /// Says that no such part is there.
    RefuseRange,
    /// Says another hash than that of the file.
    OtherHash,
    /// States no hash, only a name.
    NoHash,
    /// Answers with a text that is no hub's.
    Text(&'static str),
    /// Says nothing, and stays.
    Silence,
    /// Hangs up without a word.
    HangUp,
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Whether the content host got it, and not the hub.
    pub content: bool,
    pub method: String,
    /// With what follows `?`.
    pub path: String,
    pub headers: BTreeMap<String, String>,
}

impl Request {
    fn read(stream: &TcpStream, content: bool) -> Option<Self> {
        let mut lines = BufReader::new(stream.take(1 << 16)).lines();
        let first = lines.next()?.ok()?;
        let mut words = first.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = BTreeMap::new();
        for line in lines {
            match line.ok()?.split_once(':') {
                Some((name, value)) => {
                    headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
                }
                None => return Some(Self { content, method, path, headers }),
            }
        }
        None
    }

    fn place(&self) -> Place {
        match (self.content, self.method.as_str()) {
            (true, _) => Place::Content,
            (false, _) if self.path.starts_with("/api/models/") => Place::List,
            (false, "HEAD") => Place::Describe,
            (false, _) => Place::File,
        }
    }

    /// The first byte that is asked for.
    pub fn range_start(&self) -> Option<usize> {
        self.headers.get("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// A running hub; it runs until the process ends.
pub struct HubServer {
    hub_port: u16,
    state: Arc<Mutex<State>>,
}

struct State {
    repositories: Vec<Repository>,
    content_port: u16,
    faults: Vec<Fault>,
    requests: Vec<Request>,
}

impl HubServer {
    pub fn start(repositories: Vec<Repository>) -> Self {
        Self::start_at(0, repositories)
    }

    /// At a port of its own choice if `port` is 0.
    #[allow(clippy::disallowed_methods)] // a panic is how a test says that it cannot run
    pub fn start_at(port: u16, repositories: Vec<Repository>) -> Self {
        let listen = |port| TcpListener::bind(("127.0.0.1", port)).unwrap();
        let (hub, content) = (listen(port), listen(0));
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let (hub_port, content_port) = (port(&hub), port(&content));
        let (faults, requests) = (Vec::new(), Vec::new());
        let state = State { repositories, content_port, faults, requests };
        let state = Arc::new(Mutex::new(state));
        for (listener, is_content) in [(hub, false), (content, true)] {
            let state = state.clone();
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let state = state.clone();
                    thread::spawn(move || serve(&stream, is_content, &state));
                }
            });
        }
        Self { hub_port, state }
    }

    /// What `HF_ENDPOINT` is set to.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.hub_port)
    }

    pub fn set(&self, repositories: Vec<Repository>) {
        self.state().repositories = repositories;
    }

    /// Lets `what` happen to the next `times` requests of this kind whose path has `path` in it.
    pub fn fault(&self, place: Place, path: &str, times: usize, what: What) -> &Self {
        self.state().faults.push(Fault { place, path: path.to_owned(), times, hit: false, what });
        self
    }

    /// Ends all faults; fails if one has not happened, so that no test passes without it.
    #[track_caller]
    pub fn faults_are_over(&self) {
        let left = std::mem::take(&mut self.state().faults);
        let is_unused = |f: &&Fault| !f.hit || (f.times > 0 && f.times < ALWAYS);
        let unused: Vec<_> = left.iter().filter(is_unused).collect();
        assert!(unused.is_empty(), "faults that did not happen: {unused:?}");
    }

    /// The requests so far, which are forgotten.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state().requests)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

fn serve(stream: &TcpStream, content: bool, state: &Mutex<State>) {
    let Some(request) = Request::read(stream, content) else { return };
    let (answer, fault) = {
        let mut state = state.lock().unwrap();
        state.requests.push(request.clone());
        let place = request.place();
        let hit =
            |f: &&mut Fault| f.times > 0 && f.place == place && request.path.contains(&f.path);
        let fault = state.faults.iter_mut().find(hit).map(|fault| {
            fault.hit = true;
            if fault.times != ALWAYS {
                fault.times -= 1;
            }
            fault.what.clone()
        });
        let mut request = request.clone();
        if let Some(What::IgnoreRange) = fault {
            request.headers.remove("range");
        }
        (answer::to(&request, &state), fault)
    };
    // The other side may be gone, on purpose.
    let _ = answer.send(stream, &request, fault);
    // What was sent has to arrive before the socket closes.
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
    let _ = { stream }.read(&mut [0; 64]);
}

/// What git calls a file with these bytes.
pub fn git_hash(bytes: &[u8]) -> String {
    let mut hasher = Sha1::new_with_prefix(format!("blob {}\0", bytes.len()));
    hasher.update(bytes);
    hex(&hasher.finalize())
}

pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
