//! Why the hub did not give what it was asked for, and what a user can do about it.

use std::io;
use std::time::Duration;

use ureq::http::HeaderMap;

use super::options::HubOptions;
use super::token::Token;
use vae_fidelity_files::error::{Error, ErrorKind, io_reason};

/// Why a request brought nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The server answered, with a status that is no success.
    Refused(Refusal),
    /// There was no answer, or it broke off.
    Network(String),
    /// It was known at once that nobody is there.
    Nobody(String),
    /// Whoever is addressed is not trusted by this machine.
    Untrusted(String),
    /// An answer that no hub gives; the words say what came.
    NoHub(&'static str),
}

/// An answer that says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: u16,
    /// The hub's own word for it, such as `GatedRepo`.
    pub code: String,
    /// What the hub says beside it.
    message: String,
    /// How long the hub asks to be left alone.
    retry_after: Option<Duration>,
}

/// What was asked for, to name it in messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub options: &'a HubOptions,
    pub id: &'a str,
    pub revision: &'a str,
    /// A file of the repository; `None` for the repository itself.
    pub file: Option<&'a str>,
}

impl Refusal {
    pub fn read(status: u16, headers: &HeaderMap, token: Option<&Token>) -> Self {
        let text = |name| {
            let text = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
            token.map_or_else(|| text.clone(), |token| token.redact(&text))
        };
        let seconds = text("retry-after").parse().ok().or_else(|| rate_limit(&text("ratelimit")));
        Self {
            status,
            code: text("x-error-code"),
            message: text("x-error-message"),
            retry_after: seconds.map(Duration::from_secs),
        }
    }
}

/// The seconds in `"api";r=0;t=55`, where nothing remains.
fn rate_limit(text: &str) -> Option<u64> {
    let part = |name: &str| {
        text.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
    };
    (part("r") == Some("0")).then(|| part("t")?.parse().ok()).flatten()
}

impl Failure {
    /// `error` in words that hold no address: those of a content server are signed, which is as
    /// good as a password.
    pub fn of(error: ureq::Error, timeout: Duration) -> Self {
        let nobody = [
            io::ErrorKind::ConnectionRefused,
            io::ErrorKind::NetworkUnreachable,
            io::ErrorKind::HostUnreachable,
        ];
        Self::Network(match error {
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
                "no connection within the time allowed".to_owned()
            }
            ureq::Error::Timeout(_) => format!("nothing came for {}", seconds(timeout)),
            ureq::Error::HostNotFound => {
                return Self::Nobody("its host name is not known here".to_owned());
            }
            // A handshake that fails comes as an error of the connection.
            ureq::Error::Io(error) if is_of_tls(&error) => {
                return Self::Untrusted(error.to_string());
            }
            ureq::Error::Io(error) if nobody.contains(&error.kind()) => {
                return Self::Nobody(io_reason(&error));
            }
            ureq::Error::Io(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof => "the connection was cut".to_owned(),
                _ => io_reason(&error),
            },
            ureq::Error::Rustls(error) => return Self::Untrusted(error.to_string()),
            ureq::Error::Tls(problem) => return Self::Untrusted(problem.to_owned()),
            ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => {
                return Self::NoHub("an answer that is not HTTP");
            }
            ureq::Error::ConnectProxyFailed(_) | ureq::Error::InvalidProxyUrl => {
                "the proxy that HTTPS_PROXY or HTTP_PROXY names did not connect".to_owned()
            }
            _ => "the connection failed".to_owned(),
        })
    }

    /// That next to nothing came within `timeout`.
    pub fn drips(timeout: Duration) -> Self {
        Self::Network(format!("next to nothing came for {}", seconds(timeout)))
    }

    /// As [`Failure::of`], for an error while a body is read.
    pub fn of_io(error: io::Error, timeout: Duration) -> Self {
        Self::of(ureq::Error::from(error), timeout)
    }

    /// Whether the same request may succeed later, and how long the server asks to wait for it.
    pub fn may_pass(&self) -> (bool, Option<Duration>) {
        match self {
            Self::Network(_) | Self::Nobody(_) => (true, None),
            Self::Refused(refusal) => {
                let statuses = [408, 429, 500, 502, 503, 504];
                (statuses.contains(&refusal.status), refusal.retry_after)
            }
            Self::Untrusted(_) | Self::NoHub(_) => (false, None),
        }
    }

    /// Whether the hub knows the repository and says that it has no such revision.
    pub fn no_such_revision(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.code == "RevisionNotFound")
    }

    /// One clause on what happened, for a note or a message.
    pub fn reason(&self, options: &HubOptions) -> String {
        let hub = &options.endpoint;
        match self {
            Self::Network(reason) | Self::Nobody(reason) => {
                format!("{hub} cannot be reached: {reason}")
            }
            Self::Untrusted(reason) => format!("{hub} cannot be trusted: {reason}"),
            Self::NoHub(what) => format!("{hub} does not answer as a hub does: it sent {what}"),
            Self::Refused(Refusal { status, message, .. }) => {
                let said = if message.is_empty() { String::new() } else { format!(": {message}") };
                format!("{hub} answered with status {status}{said}")
            }
        }
    }

    /// The error for a user: what was asked for, what happened, and what to do.
    pub fn explain(&self, asked: Asked<'_>) -> Error {
        let Asked { options, id, revision, file } = asked;
        let hub = &options.endpoint;
        let subject = match file {
            Some(file) => format!("{id}/{file}"),
            None => id.to_owned(),
        };
        let error =
            |problem: String, next: String| Error::new(ErrorKind::Hub, &subject, problem, next);
        let reason = self.reason(options);
        let refusal = match self {
            Self::Refused(refusal) => refusal,
            Self::Network(_) | Self::Nobody(_) => {
                return error(
                    reason,
                    "check the network, a proxy (HTTPS_PROXY) and HF_ENDPOINT, and run it again: \
                     what has arrived is kept"
                        .to_owned(),
                );
            }
            Self::Untrusted(_) => {
                return error(
                    reason,
                    "install the system's certificates (ca-certificates), or name those of your \
                     proxy with SSL_CERT_FILE"
                        .to_owned(),
                );
            }
            Self::NoHub(_) => return error(reason, "check HF_ENDPOINT and proxies".to_owned()),
        };
        let token = match &options.token {
            Some(token) => format!("the token of {} was sent", token.origin()),
            None => "no token was sent".to_owned(),
        };
        match (refusal.status, refusal.code.as_str()) {
            (_, "GatedRepo") => error(
                format!("is gated, and {token}: {reason}"),
                format!(
                    "accept its conditions at {hub}/{id}, and set HF_TOKEN to a token of that account"
                ),
            ),
            (_, "RevisionNotFound") => error(
                format!("has no revision {revision}: {reason}"),
                format!("name a branch, a tag or a commit; {hub}/{id} lists them"),
            ),
            (_, "EntryNotFound") => error(
                format!("is not there at {revision}: {reason}"),
                format!("look at {hub}/{id}"),
            ),
            (401, _) if refusal.message.contains("Invalid credentials") => error(
                format!("{token}, and it is not valid: {reason}"),
                format!("make a new one at {hub}/settings/tokens, or unset it for a public model"),
            ),
            (401, _) | (_, "RepoNotFound") => error(
                format!(
                    "no such folder here, nor on the hub, unless it is private ({token}): {reason}"
                ),
                "check the name; for a private one, set HF_TOKEN to a token of an account that \
                 may read it"
                    .to_owned(),
            ),
            (403, _) => error(
                format!("may not be read, and {token}: {reason}"),
                format!("look at {hub}/{id}, and at what the token is allowed to do"),
            ),
            (429, _) => error(
                match refusal.retry_after {
                    Some(wait) => format!("{reason} (too many requests; wait {})", seconds(wait)),
                    None => format!("{reason} (too many requests)"),
                },
                "wait, or set HF_TOKEN: who is known may ask more often".to_owned(),
            ),
            (500.., _) => error(
                reason,
                "it is the hub's fault: try again later, or use another with HF_ENDPOINT"
                    .to_owned(),
            ),
            _ => error(reason, format!("look at {hub}/{id}, and check HF_ENDPOINT")),
        }
    }
}

fn is_of_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

fn seconds(time: Duration) -> String {
    match time.as_secs_f64() {
        1.0 => "1 second".to_owned(),
        seconds => format!("{seconds} seconds"),
    }
}
