//! How the hub is reached and where its files are kept, as Python's `huggingface_hub` settles it.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::token::Token;
use vae_fidelity_files::error::{Error, Result};

const HUB: &str = "https://huggingface.co";
/// What `huggingface_hub` waits for where no variable says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How a hub is reached and where its files are kept.
#[derive(Clone)]
pub struct HubOptions {
    /// The hub's address, without a slash at its end: `HF_ENDPOINT`, else `https://huggingface.co`.
    pub endpoint: String,
    /// The folder of `models--OWNER--NAME` folders, which Python's `huggingface_hub` shares:
    /// `HF_HUB_CACHE`, else `HUGGINGFACE_HUB_CACHE`, else `hub` in `HF_HOME`, which is
    /// `huggingface` in `XDG_CACHE_HOME` or in `~/.cache`.
    pub cache: PathBuf,
    /// What proves to the hub who asks; sent to `endpoint` and to no other host.
    pub token: Option<Token>,
    /// Never ask the hub, only the cache: `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE`.
    pub offline: bool,
    /// Whether a snapshot's files are links to blobs, and not the files themselves: not so with
    /// `HF_HUB_DISABLE_SYMLINKS`.
    pub symlinks: bool,
    /// How long the hub may take to say what it has: `HF_HUB_ETAG_TIMEOUT`, else 10 seconds.
    pub metadata_timeout: Duration,
    /// How long a download may stand still: `HF_HUB_DOWNLOAD_TIMEOUT`, else 10 seconds.
    pub download_timeout: Duration,
    /// The wait before a failed request is made again, 1 second; it doubles with each failure, up
    /// to eight times this.
    pub retry_wait: Duration,
    /// Is told what is being done, while it is.
    pub progress: Option<HubProgress>,
}

/// Where the files of a hub's user lie, whether or not they are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubPlaces {
    /// The cache, as [`HubOptions::cache`].
    pub cache: PathBuf,
    /// The file with the token: `HF_TOKEN_PATH`, else `token` in `HF_HOME`.
    pub token: PathBuf,
}

impl HubPlaces {
    /// Those that the environment names.
    pub fn from_environment() -> Self {
        let variable = |name: &str| std::env::var_os(name);
        Environment { variable: &variable, home: std::env::home_dir() }.places()
    }
}

/// What is told of a download's progress.
pub type HubProgress = Arc<dyn Fn(HubStep<'_>) + Send + Sync>;

/// What is being done to fetch a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HubStep<'a> {
    /// The hub is asked what it has.
    Asking,
    /// Another process downloads the same file, or seems to: it holds the lock.
    Waiting {
        /// The file's path in the repository.
        file: &'a str,
    },
    /// A request failed, and is made again after a wait.
    Retrying {
        /// Why it failed.
        reason: &'a str,
        /// How long is waited.
        wait: Duration,
    },
    /// A file is being downloaded.
    Downloading {
        /// The file's path in the repository.
        file: &'a str,
        /// Bytes that are here, those of an earlier try included.
        received: u64,
        /// Bytes of the whole file.
        total: u64,
    },
}

impl HubOptions {
    /// Options from the environment. The token is in the variable `token_variable`, as with the
    /// reference script's `--hf_token_env`, or else, unless `HF_HUB_DISABLE_IMPLICIT_TOKEN` forbids it,
    /// in `HF_TOKEN`, `HUGGING_FACE_HUB_TOKEN` or the file that `HF_TOKEN_PATH` names, by default `token`
    /// in `HF_HOME`.
    ///
    /// # Errors
    ///
    /// Returns an error if a variable is invalid, or if the token cannot be sent.
    pub fn from_environment(token_variable: Option<&str>) -> Result<Self> {
        Self::from_variables(&|name| std::env::var_os(name), std::env::home_dir(), token_variable)
    }

    /// As [`HubOptions::from_environment`], with `variable` in place of the process's variables
    /// and `home` in place of its user's folder. An empty variable counts as none.
    ///
    /// # Errors
    ///
    /// As [`HubOptions::from_environment`].
    pub fn from_variables(
        variable: &dyn Fn(&str) -> Option<OsString>,
        home: Option<PathBuf>,
        token_variable: Option<&str>,
    ) -> Result<Self> {
        let environment = Environment { variable, home };
        let HubPlaces { cache, token } = environment.places();
        let endpoint = environment.text("HF_ENDPOINT")?.unwrap_or_else(|| HUB.to_owned());
        let offline = match environment.text("HF_HUB_OFFLINE")? {
            None => environment.flag("TRANSFORMERS_OFFLINE")?,
            Some(_) => environment.flag("HF_HUB_OFFLINE")?,
        };
        Ok(Self {
            endpoint: checked_endpoint(&endpoint)?,
            cache,
            token: environment.token(token_variable, &token)?,
            offline,
            symlinks: !environment.flag("HF_HUB_DISABLE_SYMLINKS")?,
            metadata_timeout: environment.seconds("HF_HUB_ETAG_TIMEOUT")?,
            download_timeout: environment.seconds("HF_HUB_DOWNLOAD_TIMEOUT")?,
            retry_wait: Duration::from_secs(1),
            progress: None,
        })
    }

    pub(super) fn tell(&self, step: HubStep<'_>) {
        if let Some(progress) = &self.progress {
            progress(step);
        }
    }
}

impl fmt::Debug for HubOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubOptions")
            .field("endpoint", &self.endpoint)
            .field("cache", &self.cache)
            .field("token", &self.token)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

struct Environment<'a> {
    variable: &'a dyn Fn(&str) -> Option<OsString>,
    home: Option<PathBuf>,
}

impl Environment<'_> {
    fn get(&self, name: &str) -> Option<OsString> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    fn text(&self, name: &str) -> Result<Option<String>> {
        self.get(name).map(OsString::into_string).transpose().map_err(|_| {
            Error::option(name, "expected text, found bytes that are no UTF-8", "set it again")
        })
    }

    fn flag(&self, name: &str) -> Result<bool> {
        let value = self.text(name)?.unwrap_or_default().to_uppercase();
        Ok(["1", "ON", "YES", "TRUE"].contains(&value.as_str()))
    }

    fn seconds(&self, name: &str) -> Result<Duration> {
        let Some(value) = self.text(name)? else { return Ok(TIMEOUT) };
        match value.trim().parse() {
            Ok(0) => Ok(TIMEOUT),
            Ok(seconds) => Ok(Duration::from_secs(seconds)),
            Err(_) => Err(Error::option(
                format!("{name}={value}"),
                "expected a whole number of seconds",
                "set it to 10, for example, or unset it",
            )),
        }
    }

    /// A path in which `~` and variables mean what they mean to Python.
    fn path(&self, name: &str) -> Option<PathBuf> {
        let value = self.get(name)?;
        Some(value.to_str().map_or_else(|| value.clone().into(), |text| self.expand(text)))
    }

    fn places(&self) -> HubPlaces {
        let hf_home = self.path("HF_HOME").unwrap_or_else(|| {
            let caches = self.path("XDG_CACHE_HOME");
            caches.unwrap_or_else(|| self.expand("~/.cache")).join("huggingface")
        });
        let cache = self
            .path("HF_HUB_CACHE")
            .or_else(|| self.path("HUGGINGFACE_HUB_CACHE"))
            .unwrap_or_else(|| hf_home.join("hub"));
        let token = self.path("HF_TOKEN_PATH").unwrap_or_else(|| hf_home.join("token"));
        HubPlaces { cache, token }
    }

    fn expand(&self, text: &str) -> PathBuf {
        let home = self.home.as_deref().and_then(Path::to_str);
        let (start, mut rest) = match (text.strip_prefix('~'), home) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => (home, rest),
            _ => ("", text),
        };
        let mut expanded = start.trim_end_matches('/').to_owned();
        while let Some((before, after)) = rest.split_once('$') {
            expanded.push_str(before);
            let (name, length) = variable_name(after);
            match self.get(name).and_then(|value| value.into_string().ok()) {
                Some(value) => expanded.push_str(&value),
                // Python leaves a variable that is not set as it is written.
                None => expanded.extend(["$", &after[..length]]),
            }
            rest = &after[length..];
        }
        expanded.push_str(rest);
        expanded.into()
    }

    fn token(&self, named: Option<&str>, file: &Path) -> Result<Option<Token>> {
        if let Some(token) = named.map(|name| self.token_in(name)).transpose()?.flatten() {
            return Ok(Some(token));
        }
        if self.flag("HF_HUB_DISABLE_IMPLICIT_TOKEN")? {
            return Ok(None);
        }
        for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] {
            if self.get(name).is_some() {
                return self.token_in(name);
            }
        }
        match vae_fidelity_files::input::read_text(file) {
            Ok(text) => Token::new(&text, &file.display().to_string()),
            // As in Python: no token is needed for what is public.
            Err(_) => Ok(None),
        }
    }

    fn token_in(&self, name: &str) -> Result<Option<Token>> {
        match self.get(name) {
            Some(value) => Token::new(&value.to_string_lossy(), name),
            None => Ok(None),
        }
    }
}

/// The name after a `$`, and how many bytes it takes as written there: `NAME` or `{NAME}`.
fn variable_name(text: &str) -> (&str, usize) {
    if let Some((name, _)) = text.strip_prefix('{').and_then(|braced| braced.split_once('}')) {
        return (name, name.len() + 2);
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let length = text.find(|c| !is_part(c)).unwrap_or(text.len());
    (&text[..length], length)
}

fn checked_endpoint(endpoint: &str) -> Result<String> {
    let endpoint = endpoint.trim_end_matches('/');
    let host = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"));
    let authority = host.and_then(|host| host.split('/').next()).unwrap_or_default();
    // The colons of an IPv6 address stand in brackets.
    let port = authority.rsplit_once(']').map_or(authority, |(_, after)| after).rsplit_once(':');
    if let Some((_, port)) = port
        && !authority.contains('@')
        && !matches!(port.parse::<u16>(), Ok(1..))
    {
        return Err(Error::option(
            "HF_ENDPOINT",
            format!("expected a port from 1 to 65535, found {port}"),
            "set it to a hub's address with its port, or without one",
        ));
    }
    match host {
        // A name and password in an address would end up in messages.
        Some(host) if !host.is_empty() && !host.contains(['@', '?', '#', ' ']) => {
            Ok(endpoint.to_owned())
        }
        _ => Err(Error::option(
            "HF_ENDPOINT",
            "expected the address of a hub, such as https://huggingface.co",
            "set it to such an address, or unset it",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn options(variables: &[(&str, &str)]) -> Result<HubOptions> {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        let variable = |name: &str| variables.get(name).map(OsString::from);
        HubOptions::from_variables(&variable, Some("/home/me".into()), Some("MINE"))
    }

    #[test]
    fn the_cache_lies_where_python_puts_it() {
        let cases: [(&[(&str, &str)], &str); 9] = [
            (&[], "/home/me/.cache/huggingface/hub"),
            (&[("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub"),
            (&[("HF_HOME", "~/hf"), ("XDG_CACHE_HOME", "/x")], "/home/me/hf/hub"),
            (&[("HF_HOME", "/h"), ("HF_HUB_CACHE", "/c")], "/c"),
            (&[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HOME", "/h")], "/old"),
            (&[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "/new")], "/new"),
            (&[("HF_HOME", "$DISK/hf"), ("DISK", "/d")], "/d/hf/hub"),
            (&[("HF_HUB_CACHE", "${DISK}x/$NONE/c"), ("DISK", "/d")], "/dx/$NONE/c"),
            (&[("HF_HOME", "")], "/home/me/.cache/huggingface/hub"),
        ];
        for (variables, expected) in cases {
            assert_eq!(options(variables).unwrap().cache, Path::new(expected), "{variables:?}");
        }
    }

    #[test]
    fn the_token_comes_from_where_python_takes_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "  hf_of_the_file\n").unwrap();
        let home = folder.path().to_str().unwrap();
        let sent = |variables: &[(&str, &str)]| {
            let token = options(variables).unwrap().token;
            token.map(|token| (token.secret().to_owned(), token.origin().to_owned()))
        };
        let file = folder.path().join("token").display().to_string();
        let expected = Some(("hf_of_the_file".to_owned(), file));
        assert_eq!(sent(&[("HF_HOME", home)]), expected);
        assert_eq!(sent(&[("HF_HOME", home), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
        let named = sent(&[("HF_HOME", home), ("HF_TOKEN", " hf_a\r\n")]).unwrap();
        assert_eq!(named, ("hf_a".to_owned(), "HF_TOKEN".to_owned()));
        let older = sent(&[("HF_HOME", home), ("HUGGING_FACE_HUB_TOKEN", "hf_b")]).unwrap();
        assert_eq!(older.0, "hf_b");
        let silenced = [("HF_TOKEN", "hf_a"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")];
        assert_eq!(sent(&silenced), None);
        let asked_for = sent(&[&silenced[..], &[("MINE", "hf_mine")]].concat()).unwrap();
        assert_eq!(asked_for, ("hf_mine".to_owned(), "MINE".to_owned()));
        assert_eq!(sent(&[("HF_HOME", "/nowhere")]), None);
    }

    #[test]
    fn flags_and_times_are_read_as_python_reads_them() {
        assert!(options(&[("HF_HUB_OFFLINE", "yes")]).unwrap().offline);
        assert!(options(&[("TRANSFORMERS_OFFLINE", "1")]).unwrap().offline);
        let both = [("HF_HUB_OFFLINE", "0"), ("TRANSFORMERS_OFFLINE", "1")];
        assert!(!options(&both).unwrap().offline);
        assert!(!options(&[("HF_HUB_DISABLE_SYMLINKS", "True")]).unwrap().symlinks);
        let slow = options(&[("HF_HUB_DOWNLOAD_TIMEOUT", "30"), ("HF_HUB_ETAG_TIMEOUT", "0")]);
        let slow = slow.unwrap();
        assert_eq!((slow.download_timeout, slow.metadata_timeout), (3 * TIMEOUT, TIMEOUT));
        let problem = options(&[("HF_HUB_DOWNLOAD_TIMEOUT", "soon")]).unwrap_err().to_string();
        assert!(problem.contains("HF_HUB_DOWNLOAD_TIMEOUT=soon"), "{problem}");
    }

    #[test]
    fn an_endpoint_is_an_address_without_secrets() {
        let endpoint = |text| options(&[("HF_ENDPOINT", text)]).map(|options| options.endpoint);
        assert_eq!(endpoint("http://127.0.0.1:80/hub//").unwrap(), "http://127.0.0.1:80/hub");
        assert!(endpoint("http://[::1]:8080/hub").is_ok() && endpoint("http://[::1]").is_ok());
        for port in ["0", "99999", "80a", ""] {
            let address = format!("http://a:{port}/hub");
            let problem = options(&[("HF_ENDPOINT", &address)]).unwrap_err().to_string();
            assert!(problem.contains("from 1 to 65535"), "{problem}");
        }
        for wrong in ["huggingface.co", "https://", "ftp://a", "https://me:secret@a"] {
            assert!(!endpoint(wrong).unwrap_err().to_string().contains("secret"));
        }
    }
}
