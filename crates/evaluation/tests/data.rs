//! Which pictures a data set has, what they are called, and what is read of them.

use std::fs;
use std::io::Write;
use std::path::Path;

use vae_fidelity_evaluation::{DataSet, Reader};

fn ids(data: &DataSet) -> Vec<&str> {
    data.entries().iter().map(|entry| entry.id.as_str()).collect()
}

fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn folders_are_walked_in_the_order_of_names() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["b.PNG", "a/z.jpg", "a-1.webp", "a/._z.jpg", "a/label.txt", "a/b/c.jpeg"] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }
    fs::write(folder.path().join("c.tar"), archive(&[("k.jpg", b"one"), ("k.cls", b"7")])).unwrap();
    let data = DataSet::open(folder.path()).unwrap();
    assert_eq!(ids(&data), ["a-1.webp", "a/b/c.jpeg", "a/z.jpg", "b.PNG", "c.tar/k.jpg"]);
    let mut reader = Reader::new(&data);
    let read: Vec<Vec<u8>> =
        data.entries().iter().map(|entry| reader.read(entry).unwrap()).collect();
    assert_eq!(read[2], b"a/z.jpg");
    assert_eq!(read[4], b"one");
}

#[test]
fn names_and_lengths_make_the_hash_and_the_place_does_not() {
    let hash = |files: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        DataSet::open(folder.path()).unwrap().sha256().to_owned()
    };
    let one = hash(&[("a.png", "x"), ("b.png", "yy")]);
    assert_eq!(one, hash(&[("b.png", "zz"), ("a.png", "x")]));
    assert_ne!(one, hash(&[("a.png", "x"), ("b.png", "yyy")]));
    assert_ne!(one, hash(&[("a.png", "x"), ("c.png", "yy")]));
}

#[test]
fn archives_have_long_names_and_ends_too_early() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    let long = format!("{}/picture.png", "d".repeat(180));
    let bytes = archive(&[(&long, &[1; 700]), ("last.png", &[2; 600])]);
    fs::write(&path, &bytes).unwrap();
    let data = DataSet::open(&path).unwrap();
    assert_eq!(ids(&data), [format!("x.tar/{long}").as_str(), "x.tar/last.png"]);
    let mut reader = Reader::new(&data);
    // In any order.
    assert_eq!(reader.read(&data.entries()[1]).unwrap(), [2; 600]);
    assert_eq!(reader.read(&data.entries()[0]).unwrap(), [1; 700]);

    // Cut off in the last picture: that one alone is lost. Behind it are zeros up to whole blocks of 512, and two
    // blocks of them.
    let end = bytes.len() - 2 * 512 - (2 * 512 - 600) - 300;
    fs::write(&path, &bytes[..end]).unwrap();
    let cut = DataSet::open(&path).unwrap();
    let mut reader = Reader::new(&cut);
    assert!(reader.read(&cut.entries()[0]).is_ok());
    let error = reader.read(&cut.entries()[1]).unwrap_err();
    assert_eq!(error.subject(), "x.tar/last.png");
    assert!(error.problem().contains("the archive ends"), "{error}");

    fs::write(&path, "no archive, and longer than a header ".repeat(30)).unwrap();
    assert!(DataSet::open(&path).unwrap_err().problem().contains("expected a tar archive"));
}

#[test]
fn one_name_twice_is_refused() {
    let mut file = tempfile::Builder::new().suffix(".tar").tempfile().unwrap();
    file.write_all(&archive(&[("a.png", b"1"), ("a.png", b"2")])).unwrap();
    let error = DataSet::open(file.path()).unwrap_err();
    assert!(error.problem().contains("have the name"), "{error}");
}

#[test]
#[cfg(unix)]
fn links_that_lead_back_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.png"), "x").unwrap();
    std::os::unix::fs::symlink(folder.path(), folder.path().join("up")).unwrap();
    let error = DataSet::open(folder.path()).unwrap_err();
    assert!(error.problem().contains("leads back"), "{error}");
}

#[test]
fn what_is_no_parquet_file_is_said() {
    let mut file = tempfile::Builder::new().suffix(".parquet").tempfile().unwrap();
    file.write_all(b"PAR1 no more PAR1").unwrap();
    let error = DataSet::open(file.path()).unwrap_err();
    assert!(error.problem().contains("expected a parquet file"), "{error}");
    assert!(DataSet::open(Path::new("nothing.parquet")).is_err());
}
