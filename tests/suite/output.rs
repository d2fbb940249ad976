//! Files are written whole or not at all.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use vae_fidelity::output::{check_writable, write_atomically};

/// The names in a folder: a temporary file left behind would show.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn writes_and_replaces() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.png");
    check_writable(&path).unwrap();
    assert!(names(folder.path()).is_empty(), "checking leaves nothing behind");
    write_atomically(&path, b"one").unwrap();
    check_writable(&path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"one", "checking changes nothing");
    write_atomically(&path, b"two").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(names(folder.path()), ["out.png"]);
}

#[test]
fn a_new_file_has_the_permissions_of_any_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let (ordinary, ours) = (folder.path().join("ordinary"), folder.path().join("ours"));
    fs::write(&ordinary, b"").unwrap();
    write_atomically(&ours, b"").unwrap();
    assert_eq!(mode(&ours), mode(&ordinary));
}

#[test]
fn a_replaced_file_keeps_its_permissions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.png");
    fs::write(&path, b"one").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    write_atomically(&path, b"two").unwrap();
    assert_eq!(mode(&path), 0o640);
}

#[test]
fn a_link_stays_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let (link, target) = (folder.path().join("link.png"), folder.path().join("target.png"));
    symlink("target.png", &link).unwrap();
    write_atomically(&link, b"one").unwrap();
    write_atomically(&link, b"two").unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"two");
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("target.png"));
}

#[test]
fn a_circle_of_links_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    symlink(&b, &a).unwrap();
    symlink(&a, &b).unwrap();
    assert_eq!(write_atomically(&a, b"").unwrap_err().problem(), "too many symbolic links");
}

#[test]
fn a_device_is_written_to_and_not_replaced() {
    write_atomically(Path::new("/dev/null"), b"one").unwrap();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named() {
    let error = write_atomically(Path::new("/dev/full"), &[0; 100_000]).unwrap_err();
    assert_eq!(error.problem(), "cannot be written: no space left on device");
    assert_eq!(error.next(), "free some disk space");
}

#[test]
fn directories_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing/out.png");
    for check in [check_writable, |path: &Path| write_atomically(path, b"")] {
        let error = check(folder.path()).unwrap_err();
        assert_eq!(error.problem(), "expected a file to write, found a directory");
        let error = check(&missing).unwrap_err();
        assert!(error.problem().ends_with("missing does not exist"), "{error}");
        assert!(error.next().starts_with("create it: mkdir -p "));
    }
    assert!(names(folder.path()).is_empty());
}
