//! The commit that is built, and its date: of the checkout, or what `cargo package` noted of it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// As many digits as name a commit for good in a repository of any size.
const DIGITS: usize = 12;

/// Tells the command its commit; "unknown" where nothing says it, which is no error.
pub fn tell() {
    let folder = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let (commit, date) = if folder.join(".git").exists() {
        of_checkout(&folder)
    } else {
        // Not what git says here: it would find a repository that the packed crate lies in.
        (of_package(&folder), None)
    };
    let commit = commit.unwrap_or_else(|| "unknown".to_owned());
    let date = date.unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=VAE_FIDELITY_COMMIT={commit}");
    println!("cargo::rustc-env=VAE_FIDELITY_COMMIT_DATE={date}");
}

fn of_checkout(folder: &Path) -> (Option<String>, Option<String>) {
    // Grows with every commit, checkout, reset and rebase. A file that is not there would make Cargo
    // run this each time; without logs (a setting of git) only HEAD is left to watch.
    let watched = ["logs/HEAD", "HEAD"].into_iter().find_map(|name| {
        let path = folder.join(git(folder, &["rev-parse", "--git-path", name])?);
        path.is_file().then_some(path)
    });
    if let Some(watched) = watched {
        println!("cargo::rerun-if-changed={}", watched.display());
    }
    // %cs is the committer's day in the committer's zone: the same wherever it is built.
    let Some(shown) = git(folder, &["show", "--no-patch", "--format=%H %cs", "HEAD"]) else {
        return (None, None);
    };
    let (commit, date) = shown.split_once(' ').unwrap_or((&shown, "unknown"));
    (Some(shortened(commit)), Some(date.to_owned()))
}

/// From `.cargo_vcs_info.json`, which lies in every crate that was packed in a checkout.
fn of_package(folder: &Path) -> Option<String> {
    let noted = folder.join(".cargo_vcs_info.json");
    let text = fs::read_to_string(&noted).ok()?;
    println!("cargo::rerun-if-changed={}", noted.display());
    let after = text.split_once("\"sha1\"")?.1;
    let commit = after.split('"').nth(1)?;
    commit.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| shortened(commit))
}

fn shortened(commit: &str) -> String {
    commit.chars().take(DIGITS).collect()
}

fn git(folder: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(folder).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
