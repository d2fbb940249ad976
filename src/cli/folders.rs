//! `--strip-paths`: results that can be shown to others, without the folders of this machine.

use std::borrow::Cow;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::printable::printable;

/// The folders that results may name: those of the arguments, the working directory, the home and
/// the temporary one. Longest first, as text, JSON and HTML have them.
#[derive(Debug, Default)]
pub struct Folders(Vec<String>);

impl Folders {
    /// Those that a run with `arguments` may name.
    pub fn of(arguments: &[OsString]) -> Self {
        let values = arguments.iter().flat_map(|argument| {
            // --flag=VALUE
            let text = argument.to_string_lossy().into_owned();
            let value = text.split_once('=').map(|(_, value)| PathBuf::from(value));
            [Some(PathBuf::from(argument)), value].into_iter().flatten()
        });
        let parents = values.flat_map(|path| {
            let real = path.canonicalize().ok();
            [Some(path), real]
                .into_iter()
                .flatten()
                .filter_map(|path| path.parent().map(Path::to_owned))
        });
        let own = [env::current_dir().ok(), env::home_dir(), Some(env::temp_dir())];
        Self::from_paths(parents.chain(own.into_iter().flatten()))
    }

    fn from_paths(paths: impl Iterator<Item = PathBuf>) -> Self {
        let mut folders: Vec<String> = paths
            .filter(|path| path.is_absolute() && path.parent().is_some())
            .flat_map(|path| {
                let text = format!("{}{}", path.display(), std::path::MAIN_SEPARATOR);
                let quoted = serde_json::Value::from(text.as_str()).to_string();
                // As the page of a report has it.
                let escaped = text.replace('&', "&amp;").replace('/', "&#x2f;");
                let shown = printable(&text).into_owned();
                [text, quoted.trim_matches('"').to_owned(), escaped, shown]
            })
            .collect();
        folders.sort_by_key(|folder| std::cmp::Reverse(folder.len()));
        folders.dedup();
        Self(folders)
    }

    /// `text` without them: files inside are named from there.
    pub fn left_out<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for folder in &self.0 {
            if text.contains(folder.as_str()) {
                text = Cow::Owned(text.replace(folder.as_str(), ""));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn files_are_named_from_the_nearest_folder() {
        let paths = ["/home/me", "/home/me/secret project", "/", "relative"].map(PathBuf::from);
        let folders = Folders::from_paths(paths.into_iter());
        assert_eq!(
            folders
                .left_out("/home/me/secret project/in.png, /home/me/a/b.png, /etc/x, relative/c"),
            "in.png, a/b.png, /etc/x, relative/c"
        );
        assert!(matches!(folders.left_out("nothing"), Cow::Borrowed(_)));
    }
}
