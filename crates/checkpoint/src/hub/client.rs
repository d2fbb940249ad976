//! Requests to the hub: who gets the token, what is waited for, and what is tried again.

use std::io::{self, Read};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use ureq::http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::failure::{Failure, Refusal};
use super::options::{HubOptions, HubStep};

/// As many as `huggingface_hub` follows.
const MAX_REDIRECTS: usize = 20;
/// How often a request that may yet succeed is made again.
pub(super) const MAX_RETRIES: u32 = 5;
/// The same where it is known at once that nobody is there.
const RETRIES_OF_NOBODY: u32 = 2;
/// A hub that asks for more than this is not waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Far more than the list of any repository's files takes.
const MAX_TEXT_BYTES: u64 = 64 << 20;
/// How long a whole text may take, however slowly it comes.
const TEXT_TIMEOUT: Duration = Duration::from_secs(120);

pub(super) struct Client<'a> {
    options: &'a HubOptions,
    agent: Agent,
    /// Scheme, host and port that the token may go to.
    home: Option<Origin>,
}

/// Scheme, host and port of an address.
type Origin = (String, String, u16);

/// What is wanted of an address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    /// A short text.
    Text,
    /// What a file is; a redirect to another host may say that already.
    Description,
    /// A file, from this byte on.
    File(u64),
}

impl<'a> Client<'a> {
    pub fn new(options: &'a HubOptions) -> Self {
        // The system's own certificates: they hold what a company's proxy needs, and go with the
        // system's updates. A system without any refuses every https address, and says so then.
        let found = rustls_native_certs::load_native_certs().certs;
        let trusted = found.iter().map(|cert| Certificate::from_der(cert).to_owned());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::from(trusted))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .tls_config(tls)
            .user_agent(concat!("vae-fidelity/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(options.metadata_timeout))
            .build()
            .new_agent();
        let home = options.endpoint.parse().ok().and_then(|uri| origin(&uri));
        Self { options, agent, home }
    }

    /// The text that the hub has at `path`, which is tried `retries` times more.
    pub fn text(&self, path: &str, retries: u32) -> Result<String, Failure> {
        self.with_retries(retries, || {
            let timeout = self.options.metadata_timeout;
            let mut answer = self.send(path, Want::Text, timeout)?;
            let reader = answer.body_mut().as_reader();
            let mut text = String::new();
            reader.take(MAX_TEXT_BYTES).read_to_string(&mut text).map_err(|error| {
                match error.kind() {
                    io::ErrorKind::InvalidData => Failure::NoHub("an answer that is no text"),
                    _ => Failure::of_io(error, timeout),
                }
            })?;
            Ok(text)
        })
    }

    /// What the hub says of the file at `path`, in headers.
    pub fn describe(&self, path: &str) -> Result<HeaderMap, Failure> {
        self.with_retries(MAX_RETRIES, || {
            let timeout = self.options.metadata_timeout;
            let answer = self.send(path, Want::Description, timeout)?;
            Ok(answer.into_parts().0.headers)
        })
    }

    /// The bytes of the file at `path`, from byte `start` on if the server can do that.
    pub fn open(&self, path: &str, start: u64) -> Result<Response<Body>, Failure> {
        self.send(path, Want::File(start), self.options.download_timeout)
    }

    /// Waits until it is time for another try after `tries` of them, of which `retries` more than one are allowed;
    /// false where waiting does not help.
    pub fn waited(&self, failure: &Failure, tries: u32, retries: u32) -> bool {
        let (may_pass, asked) = failure.may_pass();
        let doubled = self.options.retry_wait * 2_u32.pow(tries.saturating_sub(1).min(3));
        let wait = asked.unwrap_or(doubled);
        let retries = match failure {
            // A hub that starts anew is there soon; a wrong address never is.
            Failure::Nobody(_) => retries.min(RETRIES_OF_NOBODY),
            _ => retries,
        };
        let worthwhile = may_pass && wait <= LONGEST_WAIT && tries <= retries;
        if worthwhile {
            let reason = failure.reason(self.options);
            self.options.tell(HubStep::Retrying { reason: &reason, wait });
            sleep(wait);
        }
        worthwhile
    }

    /// The answer to `request`, which is sent again up to `retries` times where a failure may pass.
    fn with_retries<T>(
        &self,
        retries: u32,
        request: impl Fn() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut tries = 0;
        loop {
            let failure = match request() {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            tries += 1;
            if !self.waited(&failure, tries, retries) {
                return Err(failure);
            }
        }
    }

    /// Sends a request and follows redirects; the token goes to the hub's own host only.
    fn send(&self, path: &str, want: Want, timeout: Duration) -> Result<Response<Body>, Failure> {
        let method = if want == Want::Description { Method::HEAD } else { Method::GET };
        let address = format!("{}/{path}", self.options.endpoint);
        let mut uri: Uri = address.parse().map_err(|_| Failure::NoHub("no valid address"))?;
        for _ in 0..MAX_REDIRECTS {
            // Sizes and ranges are those of the file, not of a compressed copy.
            let mut request = Request::builder()
                .method(method.clone())
                .uri(uri.clone())
                .header("accept-encoding", "identity");
            if let Want::File(start @ 1..) = want {
                request = request.header("range", format!("bytes={start}-"));
            }
            let at_home = self.home.is_some() && origin(&uri) == self.home;
            if let (Some(token), true) = (&self.options.token, at_home) {
                request = request.header("authorization", format!("Bearer {}", token.secret()));
            }
            let request = request.body(()).map_err(|_| Failure::NoHub("no valid address"))?;
            let request = self
                .agent
                .configure_request(request)
                .timeout_recv_response(Some(timeout))
                .timeout_per_read(Some(timeout))
                .timeout_recv_body((want == Want::Text).then_some(TEXT_TIMEOUT))
                .build();
            let answer = self.agent.run(request).map_err(|error| Failure::of(error, timeout))?;
            let headers = answer.headers();
            let status = answer.status();
            if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
                return Ok(answer);
            }
            let target = headers.get("location").and_then(|value| value.to_str().ok());
            let (true, Some(target)) = (status.is_redirection(), target) else {
                let token = self.options.token.as_ref();
                return Err(Failure::Refused(Refusal::read(status.as_u16(), headers, token)));
            };
            let next = resolve(&uri, target).ok_or(Failure::NoHub("a redirect to nowhere"))?;
            if uri.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
                return Err(Failure::NoHub("a redirect from https to http"));
            }
            let describes = headers.contains_key("x-repo-commit")
                && (headers.contains_key("x-linked-etag") || headers.contains_key("etag"));
            if want == Want::Description && describes && origin(&next) != origin(&uri) {
                return Ok(answer);
            }
            uri = next;
        }
        Err(Failure::NoHub("redirects without end"))
    }
}

fn origin(uri: &Uri) -> Option<Origin> {
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let usual = if scheme == "https" { 443 } else { 80 };
    let port = uri.port_u16().unwrap_or(usual);
    Some((scheme, uri.host()?.to_ascii_lowercase(), port))
}

/// The address that `target` means in an answer of `base`.
fn resolve(base: &Uri, target: &str) -> Option<Uri> {
    let target = target.split('#').next()?;
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let absolute = if target.starts_with("//") {
        format!("{scheme}:{target}")
    } else if target.starts_with('/') {
        format!("{scheme}://{authority}{target}")
    } else if target.contains("://") {
        target.to_owned()
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{target}")
    };
    let uri: Uri = absolute.parse().ok()?;
    matches!(uri.scheme_str(), Some("http" | "https")).then_some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_resolved_against_the_address_they_come_from() {
        let base: Uri = "https://hub.example:8443/a/b?x=1".parse().unwrap();
        let cases = [
            ("/c?d", "https://hub.example:8443/c?d"),
            ("c", "https://hub.example:8443/a/c"),
            ("//cdn.example/c", "https://cdn.example/c"),
            ("http://cdn.example/c#part", "http://cdn.example/c"),
        ];
        for (target, expected) in cases {
            assert_eq!(resolve(&base, target).unwrap(), expected.parse::<Uri>().unwrap());
        }
        assert_eq!(resolve(&base, "file:///etc/passwd"), None);
    }

    #[test]
    fn another_host_port_or_scheme_is_another_origin() {
        let of = |text: &str| origin(&text.parse().unwrap()).unwrap();
        assert_eq!(of("https://Hub.example/a"), of("HTTPS://hub.example:443/b"));
        for other in ["http://hub.example", "https://hub.example:444", "https://a.hub.example"] {
            assert_ne!(of("https://hub.example"), of(other), "{other}");
        }
    }
}
