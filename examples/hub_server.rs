//! Serves a folder as a hub on this machine, for `vae_fidelity_tools.conformance.hub`.
//!
//! `hub_server FOLDER PORT`: what lies in `FOLDER/OWNER/NAME` is a repository, private if NAME
//! begins with `private-` and gated if it begins with `gated-`; and `FOLDER/OWNER/NAME@BRANCH` is
//! another branch of it. Each line of stdin asks for the requests since the last one, which are
//! printed as one line of JSON. It ends with stdin.

#[path = "../tests/suite/hub_server/mod.rs"]
mod hub_server;

use std::collections::BTreeMap;
use std::fs;
use std::io::BufRead;
use std::path::Path;

use hub_server::{HubServer, Repository, files_of};
use serde_json::json;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, port] = arguments.as_slice() else {
        eprintln!("usage: hub_server FOLDER PORT");
        std::process::exit(2);
    };
    let hub = HubServer::start_at(port.parse().expect("a port"), repositories(Path::new(folder)));
    println!("{}", hub.endpoint());
    for line in std::io::stdin().lock().lines() {
        line.expect("a line");
        let requests = hub.requests();
        let described = requests.iter().map(|request| {
            json!({
                "content": request.content, "method": request.method, "path": request.path,
                "headers": request.headers,
            })
        });
        println!("{}", described.collect::<serde_json::Value>());
    }
}

fn repositories(folder: &Path) -> Vec<Repository> {
    let mut found: BTreeMap<String, Repository> = BTreeMap::new();
    // Sorted, so that `main` comes before other branches.
    let mut folders: Vec<_> = subfolders(folder).iter().flat_map(|f| subfolders(f)).collect();
    folders.sort();
    for folder in folders {
        let path = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let (owner, name) = (path(folder.parent().unwrap()), path(&folder));
        let (name, branch) = name.split_once('@').unwrap_or((&name, "main"));
        let repository =
            found.entry(format!("{owner}/{name}")).or_insert_with_key(|id| Repository {
                id: id.clone(),
                private: name.starts_with("private-"),
                gated: name.starts_with("gated-"),
                ..Repository::default()
            });
        *repository = repository.clone().commit(&[branch], files_of(&folder));
    }
    found.into_values().collect()
}

fn subfolders(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
