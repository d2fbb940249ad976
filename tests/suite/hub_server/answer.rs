//! What the hub says to a request, and how it says it when something is wrong.

use std::io::{self, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Commit, READER, Repository, Request, SIGNATURE, STRANGER, State, What};
use super::{git_hash, sha256};

/// Longer than any test waits.
const STALL: Duration = Duration::from_secs(20);

pub struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// The right answer to `request`.
pub fn to(request: &Request, state: &State) -> Answer {
    let path = request.path.split('?').next().unwrap_or_default();
    let parts: Vec<String> = path.trim_start_matches('/').split('/').map(decoded).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    if request.content {
        return content(&parts, request, state);
    }
    match parts.as_slice() {
        ["api", "models", owner, name] => {
            with_repository(owner, name, request, state, |found| list(found, "main"))
        }
        ["api", "models", owner, name, "revision", revision @ ..] => {
            let revision = revision.join("/");
            with_repository(owner, name, request, state, |found| list(found, &revision))
        }
        ["api", "models", owner, name, "tree", revision] => {
            with_repository(owner, name, request, state, |found| tree(found, revision))
        }
        ["api", "resolve-cache", "models", owner, name, hash, path @ ..] => {
            let path = path.join("/");
            with_repository(owner, name, request, state, |found| {
                file(found, hash, &path, request, state.content_port, true)
            })
        }
        [owner, name, "resolve", revision, path @ ..] => {
            let path = path.join("/");
            with_repository(owner, name, request, state, |found| {
                file(found, revision, &path, request, state.content_port, false)
            })
        }
        _ => Answer::text(404, "Not Found"),
    }
}

fn decoded(part: &str) -> String {
    percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned()
}

fn token(request: &Request) -> Option<&str> {
    request.headers.get("authorization")?.strip_prefix("Bearer ")
}

fn with_repository(
    owner: &str,
    name: &str,
    request: &Request,
    state: &State,
    answer: impl FnOnce(&Repository) -> Answer,
) -> Answer {
    let token = token(request);
    if token.is_some_and(|token| ![READER, STRANGER].contains(&token)) {
        return Answer::refusal(401, None, "Invalid credentials in Authorization header");
    }
    let found = state.repositories.iter().find(|r| r.id == format!("{owner}/{name}"));
    match found.filter(|found| !found.private || token == Some(READER)) {
        Some(found) => answer(found),
        // The hub does not tell a stranger whether there is such a repository.
        None if token.is_none() => {
            Answer::refusal(401, Some("RepoNotFound"), "Invalid username or password.")
        }
        None => Answer::refusal(404, Some("RepoNotFound"), "Repository not found"),
    }
}

fn list(repository: &Repository, revision: &str) -> Answer {
    let Some(commit) = repository.at(revision) else { return no_revision(revision) };
    let siblings: Vec<Value> = commit
        .files
        .iter()
        .map(|(name, bytes)| match is_large(name) {
            false => json!({"rfilename": name, "size": bytes.len(), "blobId": git_hash(bytes)}),
            true => json!({
                "rfilename": name, "size": bytes.len(), "blobId": pointer(bytes),
                "lfs": {"sha256": sha256(bytes), "size": bytes.len(), "pointerSize": 134},
            }),
        })
        .collect();
    Answer::json(&json!({
        "_id": "0", "id": repository.id, "modelId": repository.id, "sha": commit.hash,
        "private": repository.private, "gated": repository.gated, "disabled": false,
        "downloads": 0, "likes": 0, "tags": [], "siblings": siblings,
    }))
}

fn tree(repository: &Repository, revision: &str) -> Answer {
    let Some(commit) = repository.at(revision) else { return no_revision(revision) };
    let entries: Vec<Value> = commit
        .files
        .iter()
        .map(|(name, bytes)| match is_large(name) {
            false => json!({
                "type": "file", "path": name, "size": bytes.len(), "oid": git_hash(bytes),
            }),
            true => json!({
                "type": "file", "path": name, "size": bytes.len(), "oid": pointer(bytes),
                "lfs": {"oid": sha256(bytes), "size": bytes.len(), "pointerSize": 134},
            }),
        })
        .collect();
    Answer::json(&Value::Array(entries))
}

fn file(
    repository: &Repository,
    revision: &str,
    path: &str,
    request: &Request,
    content_port: u16,
    resolved: bool,
) -> Answer {
    if repository.gated && token(request) != Some(READER) {
        let status = if token(request).is_some() { 403 } else { 401 };
        let message = "Access to this model is restricted. Please log in.";
        return Answer::refusal(status, Some("GatedRepo"), message);
    }
    let Some(commit) = repository.at(revision) else { return no_revision(revision) };
    let commit_header = ("X-Repo-Commit", commit.hash.clone());
    let Some(bytes) = commit.files.get(path) else {
        let mut answer = Answer::refusal(404, Some("EntryNotFound"), "Entry not found");
        answer.headers.push(commit_header);
        return answer;
    };
    let described = |mut answer: Answer, etag: &'static str, hash: String| {
        answer.headers.push(commit_header);
        answer.headers.push((etag, format!("\"{hash}\"")));
        answer
    };
    let Commit { hash, .. } = commit;
    if is_large(path) {
        let sha = sha256(bytes);
        let target = format!("http://localhost:{content_port}/{sha}?{SIGNATURE}");
        let mut answer = described(Answer::redirect(302, target), "X-Linked-Etag", sha);
        answer.headers.push(("X-Linked-Size", bytes.len().to_string()));
        answer.headers.push(("ETag", "\"of the store, not of the file\"".to_owned()));
        return answer;
    }
    if !resolved {
        let target = format!("/api/resolve-cache/models/{}/{hash}/{path}?%2Fe", repository.id);
        return described(Answer::redirect(307, target), "ETag", git_hash(bytes));
    }
    described(Answer::bytes(bytes, request), "ETag", git_hash(bytes))
}

fn content(parts: &[&str], request: &Request, state: &State) -> Answer {
    if !request.path.ends_with(SIGNATURE) {
        return Answer::text(403, "the signature is missing");
    }
    let files = state.repositories.iter().flat_map(|r| &r.commits).flat_map(|c| c.files.values());
    match files.into_iter().find(|bytes| parts == [sha256(bytes)]) {
        Some(bytes) => {
            let mut answer = Answer::bytes(bytes, request);
            answer.headers.push(("ETag", "\"of the content host\"".to_owned()));
            answer
        }
        None => Answer::text(404, "no such content"),
    }
}

fn no_revision(revision: &str) -> Answer {
    Answer::refusal(404, Some("RevisionNotFound"), &format!("Invalid rev id: {revision}"))
}

/// Whether the hub keeps a file of this name with git-lfs.
fn is_large(name: &str) -> bool {
    [".safetensors", ".bin", ".ckpt", ".pt"].iter().any(|ending| name.ends_with(ending))
}

/// What git itself keeps of a large file.
fn pointer(bytes: &[u8]) -> String {
    let (sha, size) = (sha256(bytes), bytes.len());
    let text =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sha}\nsize {size}\n");
    git_hash(text.as_bytes())
}

impl Answer {
    fn text(status: u16, text: &str) -> Self {
        Self { status, headers: Vec::new(), body: text.into() }
    }

    fn json(value: &Value) -> Self {
        let headers = vec![("Content-Type", "application/json; charset=utf-8".to_owned())];
        Self { status: 200, headers, body: value.to_string().into_bytes() }
    }

    fn redirect(status: u16, target: String) -> Self {
        let body = format!("Redirecting to {target}").into_bytes();
        Self { status, headers: vec![("Location", target)], body }
    }

    fn refusal(status: u16, code: Option<&str>, message: &str) -> Self {
        let mut answer = Self::text(status, message);
        answer.headers.push(("X-Error-Message", message.to_owned()));
        answer.headers.extend(code.map(|code| ("X-Error-Code", code.to_owned())));
        answer
    }

    /// All of `bytes`, or the part that is asked for.
    fn bytes(bytes: &[u8], request: &Request) -> Self {
        let headers = vec![("Accept-Ranges", "bytes".to_owned())];
        let size = bytes.len();
        match request.range_start() {
            None => Self { status: 200, headers, body: bytes.to_vec() },
            Some(start) if start < size => {
                let part = ("Content-Range", format!("bytes {start}-{}/{size}", size - 1));
                let headers = [headers, vec![part]].concat();
                Self { status: 206, headers, body: bytes[start..].to_vec() }
            }
            Some(_) => Self {
                status: 416,
                headers: vec![("Content-Range", format!("bytes */{size}"))],
                body: Vec::new(),
            },
        }
    }

    /// Sends it, changed as `fault` says.
    pub fn send(
        mut self,
        stream: &TcpStream,
        request: &Request,
        fault: Option<What>,
    ) -> io::Result<()> {
        let mut sent = usize::MAX;
        let mut stall = false;
        let mut drip = None;
        match fault {
            None | Some(What::IgnoreRange) => {}
            Some(What::HangUp) => return Ok(()),
            Some(What::Silence) => {
                sleep(STALL);
                return Ok(());
            }
            Some(What::Status(status, headers)) => {
                self = Self { status, headers, body: b"a page about an error".to_vec() };
            }
            Some(What::Text(text)) => self = Self::text(200, text),
            Some(What::Drip(every)) => drip = Some(every),
            Some(What::CutAfter(bytes)) => sent = bytes,
            Some(What::StallAfter(bytes)) => (sent, stall) = (bytes, true),
            Some(What::WrongFrom(byte)) => self.body.iter_mut().skip(byte).for_each(|b| *b ^= 0x55),
            Some(What::Short(bytes)) => self.body.truncate(bytes),
            Some(What::Long) => self.body.extend_from_slice(&[0; 4096]),
            Some(What::RefuseRange) => self = Self::text(416, "no such part"),
            Some(What::OtherHash) => self.state_hash(&"0".repeat(64)),
            Some(What::NoHash) => self.state_hash("one-of-a-kind"),
        }
        let reason = if self.status < 300 { "OK" } else { "as it is" };
        let mut head = format!("HTTP/1.1 {} {reason}\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("Content-Length: {}\r\nConnection: close\r\n\r\n", self.body.len());
        let mut stream = stream;
        stream.write_all(head.as_bytes())?;
        if let Some(every) = drip.filter(|_| request.method != "HEAD") {
            for byte in &self.body {
                stream.write_all(&[*byte])?;
                stream.flush()?;
                sleep(every);
            }
        } else if request.method != "HEAD" {
            stream.write_all(&self.body[..sent.min(self.body.len())])?;
        }
        stream.flush()?;
        if stall {
            sleep(STALL);
        }
        Ok(())
    }

    fn state_hash(&mut self, hash: &str) {
        self.headers.retain(|(name, _)| *name != "ETag" && *name != "X-Linked-Etag");
        self.headers.push(("X-Linked-Etag", format!("\"{hash}\"")));
    }
}
