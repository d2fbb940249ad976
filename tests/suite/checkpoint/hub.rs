//! Checkpoints from a hub: what is asked, what is downloaded, and what the cache is good for.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};

use vae_fidelity::checkpoint::HubStep;

use super::hub_cache::{ID, World, contains, files, fixture};
use crate::hub_server::{Place, READER, Repository, STRANGER, What, files_of, git_hash, sha256};

#[test]
fn only_the_files_of_the_vae_are_downloaded() {
    let world = World::new("sharded");
    let checkpoint = world.opens_as("sharded");
    let shards = ["1-of-00002", "2-of-00002"]
        .map(|n| format!("vae/diffusion_pytorch_model-0000{n}.safetensors"));
    let index = "vae/diffusion_pytorch_model.safetensors.index.json";
    let expected = ["vae/config.json", &shards[0], &shards[1], index];
    assert_eq!(world.snapshot_files(), expected);
    assert!(contains(checkpoint.notes(), "downloaded 4 files"));
    assert_eq!(checkpoint.source().to_string(), ID);
    let requests = world.hub.requests();
    assert!(!requests.iter().any(|request| request.path.contains("unet")), "{requests:?}");
    // Nothing of a token that nobody has.
    assert!(!requests.iter().any(|request| request.headers.contains_key("authorization")));
}

#[test]
fn the_cache_is_laid_out_as_pythons() {
    let world = World::new("variant");
    let checkpoint = world.opens_as("variant");
    let all = files("variant");
    let (config, weights) = ("vae/config.json", "vae/diffusion_pytorch_model.bin");
    let mut blobs = [git_hash(&all[config]), sha256(&all[weights])];
    blobs.sort();
    assert_eq!(world.names("blobs"), blobs);
    let commit = checkpoint.revision().unwrap();
    assert_eq!(commit, Repository::new(ID, all.clone()).hash("main"));
    assert_eq!(world.names("snapshots"), [commit]);
    assert_eq!(fs::read_to_string(world.repository().join("refs/main")).unwrap(), commit);
    let pointer = world.repository().join("snapshots").join(commit).join(weights);
    let blob = format!("../../../blobs/{}", sha256(&all[weights]));
    assert_eq!(fs::read_link(pointer).unwrap().to_str().unwrap(), blob);
    assert!(world.options.cache.join(".locks/models--somebody--a-model").is_dir());
    let tag = fs::read_to_string(world.options.cache.join("CACHEDIR.TAG")).unwrap();
    assert!(tag.starts_with("Signature: 8a477f597d28d172789f06886806bc55"));
}

#[test]
fn what_is_there_is_not_downloaded_again() {
    let world = World::new("sharded");
    world.opens_as("sharded");
    world.hub.requests();
    let checkpoint = world.opens_as("sharded");
    let requests = world.hub.requests();
    assert_eq!(requests.len(), 1, "expected the list of files only: {requests:?}");
    assert!(!contains(checkpoint.notes(), "downloaded"));
}

#[test]
fn a_branch_that_moved_is_noticed_and_shared_files_are_kept() {
    let world = World::new("sharded");
    world.opens_as("sharded");
    let mut newer = files("sharded");
    let config = String::from_utf8(newer["vae/config.json"].clone()).unwrap() + "\n";
    newer.insert("vae/config.json".to_owned(), config.into_bytes());
    let repository = Repository::new(ID, files("sharded")).commit(&["main"], newer);
    world.hub.set(vec![repository.clone()]);
    world.hub.requests();
    let checkpoint = world.opens_as("sharded");
    assert_eq!(checkpoint.revision(), Some(repository.hash("main")));
    assert!(contains(checkpoint.notes(), "downloaded"));
    assert!(!world.hub.requests().iter().any(|request| request.content), "the shards are the same");
    assert_eq!(world.names("snapshots").len(), 2);
    assert_eq!(world.names("blobs").len(), 5);
}

#[test]
fn a_branch_a_tag_a_commit_and_a_pull_request() {
    let repository = Repository::new(ID, files("sharded"))
        .commit(&["v1.0", "a/branch", "refs/pr/7"], files("variant"));
    let mut world = World::with(repository.clone());
    let older = repository.hash("main").to_owned();
    let newer = repository.hash("v1.0").to_owned();
    for (name, commit, content) in [
        ("main", &older, "sharded"),
        ("v1.0", &newer, "variant"),
        ("a/branch", &newer, "variant"),
        ("refs/pr/7", &newer, "variant"),
        (&older, &older, "sharded"),
        (&newer, &newer, "variant"),
    ] {
        world.revision = Some(name.to_owned());
        for offline in [false, true] {
            world.options.offline = offline;
            assert_eq!(world.opens_as(content).revision(), Some(commit.as_str()), "{name}");
        }
    }
    // A commit needs no file that says what it is.
    assert_eq!(world.names("refs"), ["a", "main", "refs", "v1.0"]);
    world.options.offline = false;
    world.revision = Some("v2.0".to_owned());
    world.refuses(&["has no revision v2.0", "Invalid rev id"]);
}

#[test]
fn a_variant_and_the_note_where_there_is_none() {
    let mut world = World::new("variant");
    world.variant = Some("fp16".to_owned());
    let checkpoint = world.opens_as("variant");
    assert!(!contains(checkpoint.notes(), "no weights of variant"));
    assert!(world.snapshot_files()[1].ends_with(".fp16.safetensors"));
    world.variant = Some("ema".to_owned());
    let checkpoint = world.opens_as("variant");
    assert!(contains(checkpoint.notes(), "no weights of variant ema"));
}

#[test]
fn a_subfolder_or_the_top() {
    let below = fixture("sharded/vae");
    let mut moved = files_of(&below);
    moved.extend(files_of(&below).into_iter().map(|(name, bytes)| (format!("a/b/{name}"), bytes)));
    let mut world = World::with(Repository::new(ID, moved));
    let checkpoint = world.opens_as("sharded");
    assert!(contains(checkpoint.notes(), "has no vae/"), "{:?}", checkpoint.notes());
    for subfolder in ["a/b", "a/b/"] {
        world.subfolder = Some(subfolder.to_owned());
        assert!(contains(world.opens_as("sharded").notes(), "using the subfolder a/b"));
    }
    world.subfolder = Some("c".to_owned());
    world.refuses(&[ID, "/c", "found no weights", "`subfolder`"]);
}

#[test]
fn offline_uses_the_cache_and_asks_nobody() {
    let mut world = World::new("sharded");
    world.options.offline = true;
    world.refuses(&[ID, "is not in the cache", "`offline`"]);
    world.options.offline = false;
    let commit = world.opens_as("sharded").revision().map(str::to_owned);
    world.hub.requests();
    world.options.offline = true;
    assert_eq!(world.opens_as("sharded").revision().map(str::to_owned), commit);
    assert_eq!(world.hub.requests(), []);
    // Half a checkpoint is none.
    let snapshot = world.repository().join("snapshots").join(commit.unwrap());
    fs::remove_file(snapshot.join("vae/diffusion_pytorch_model-00002-of-00002.safetensors"))
        .unwrap();
    world.refuses(&["is not in the cache", "all that a VAE needs"]);
}

#[test]
fn a_hub_that_is_down_does_not_matter_to_who_has_the_files() {
    let world = World::new("sharded");
    world.opens_as("sharded");
    let gone = || vec![("Retry-After", "3600".to_owned())];
    for what in [What::HangUp, What::Status(503, Vec::new()), What::Status(429, gone())] {
        world.hub.fault(Place::List, "", 1, what);
        let checkpoint = world.opens_as("sharded");
        assert!(contains(checkpoint.notes(), "from the cache"), "{:?}", checkpoint.notes());
        world.hub.faults_are_over();
    }
    // Nobody at all.
    let mut world = world;
    world.options.endpoint = "http://127.0.0.1:1".to_owned();
    assert!(contains(world.opens_as("sharded").notes(), "cannot be reached: connection refused"));
}

#[test]
fn a_private_and_a_gated_model_need_a_token() {
    let public = Repository::new(ID, files("sharded"));
    for (repository, what) in [
        (Repository { private: true, ..public.clone() }, "unless it is private"),
        (Repository { gated: true, ..public }, "is gated"),
    ] {
        let mut world = World::with(repository);
        world.refuses(&[ID, what, "no token was sent", "HF_TOKEN"]);
        world.token(STRANGER);
        world.refuses(&[ID, what, "the token of HF_TOKEN was sent"]);
        world.token("hf_mistyped");
        world.refuses(&[ID, "it is not valid", "/settings/tokens"]);
        world.hub.requests();
        world.token(READER);
        world.opens_as("sharded");
        let requests = world.hub.requests();
        let bearer = format!("Bearer {READER}");
        for request in &requests {
            let sent = request.headers.get("authorization");
            assert_eq!(sent, (!request.content).then_some(&bearer), "{request:?}");
        }
        let (content, hub): (Vec<_>, Vec<_>) = requests.iter().partition(|r| r.content);
        assert!(content.len() == 2 && hub.len() > 4, "expected both hosts: {requests:?}");
    }
}

#[test]
fn a_repository_that_is_not_there() {
    let world = World::new("sharded");
    world.hub.set(Vec::new());
    world.refuses(&[ID, "no such folder here, nor on the hub", "check the name"]);
    assert!(!world.options.cache.exists(), "nothing is made for nothing");
}

#[test]
fn a_repository_without_a_vae_says_what_it_has() {
    let files = |names: &[&str]| -> BTreeMap<String, Vec<u8>> {
        names.iter().map(|name| ((*name).to_owned(), vec![1; 10])).collect()
    };
    let world = World::with(Repository::new(ID, files(&["sd.ckpt", "README.md"])));
    world.refuses(&[ID, "found sd.ckpt", "`repo`"]);
    world.hub.set(vec![Repository::new(
        ID,
        files(&["vae/config.json", "vae/diffusion_pytorch_model.fp16.bin"]),
    )]);
    world.refuses(&["a-model/vae", "found diffusion_pytorch_model.fp16.bin", "`variant` fp16"]);
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let mut world = World::new("sharded");
    for name in ["../x", "/x", "a//b", "a/../../b", "..", ""] {
        world.revision = Some(name.to_owned());
        world.refuses(&["`revision`"]);
        world.revision = None;
        world.subfolder = Some(name.to_owned());
        world.refuses(&["`subfolder`"]);
        world.subfolder = None;
    }
    world.variant = Some("../fp16".to_owned());
    world.refuses(&["`variant`"]);
    assert_eq!(world.hub.requests(), []);
}

#[test]
fn progress_goes_from_nothing_to_all() {
    let mut world = World::new("variant");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    world.options.progress = Some(Arc::new(move |step| {
        if let HubStep::Downloading { file, received, total } = step {
            sink.lock().unwrap().push((file.to_owned(), received, total));
        }
    }));
    world.opens_as("variant");
    let size = files("variant")["vae/diffusion_pytorch_model.bin"].len() as u64;
    let seen = seen.lock().unwrap();
    let of_weights: Vec<_> = seen.iter().filter(|(file, ..)| file.ends_with(".bin")).collect();
    assert!(of_weights.iter().all(|(.., total)| *total == size));
    assert_eq!((of_weights[0].1, of_weights.last().unwrap().1), (0, size));
}

#[test]
fn without_links_the_files_themselves_are_in_the_snapshot() {
    let mut world = World::new("variant");
    world.options.symlinks = false;
    let commit = world.opens_as("variant").revision().unwrap().to_owned();
    let weights = "vae/diffusion_pytorch_model.bin";
    let file = world.repository().join("snapshots").join(commit).join(weights);
    assert!(fs::symlink_metadata(file).unwrap().is_file());
    assert!(world.names("blobs").is_empty());
    world.opens_as("variant");
}
