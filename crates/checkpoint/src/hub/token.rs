//! A secret that is sent to the hub and shown to nobody.

use std::fmt;

use vae_fidelity_files::error::{Error, Result};

/// A token of a hub's user. Its `Debug` shows where it came from and never what it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    secret: String,
    origin: String,
}

impl Token {
    /// The token in `text`, without white space around it, or `None` if there is nothing else;
    /// `origin` says in messages where it came from, such as `HF_TOKEN`.
    ///
    /// # Errors
    ///
    /// Returns an error if it has characters that an HTTP header cannot have.
    pub fn new(text: &str, origin: &str) -> Result<Option<Self>> {
        let secret = text.replace(['\r', '\n'], "").trim().to_owned();
        if !secret.chars().all(|c| c.is_ascii_graphic()) {
            return Err(Error::option(
                origin,
                "the token in it has characters that cannot be sent",
                "copy it again from the settings of your account",
            ));
        }
        Ok((!secret.is_empty()).then(|| Self { secret, origin: origin.to_owned() }))
    }

    /// Where it came from: a variable or a file.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    /// `text` without the token in it, in case a server sends it back.
    pub(super) fn redact(&self, text: &str) -> String {
        text.replace(&self.secret, "***")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token of {}", self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_shown() {
        let token = Token::new("hf_secret\n", "HF_TOKEN").unwrap().unwrap();
        assert_eq!(token.secret(), "hf_secret");
        assert!(!format!("{token:?} {token:#?}").contains("secret"));
        assert_eq!(token.redact("no hf_secret here"), "no *** here");
        assert_eq!(Token::new(" \r\n", "HF_TOKEN").unwrap(), None);
        let error = Token::new("hf_\u{e9}secret", "HF_TOKEN").unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }
}
