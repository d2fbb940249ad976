//! A hub that misbehaves, and a machine that does: what is said, and what stays in the cache.
//!
//! Whatever happens, no file that is not what the hub states gets a name under which it is found,
//! and the next run on a hub that is well ends well.

use std::fs;
use std::time::{Duration, Instant};

use super::hub_cache::{ID, World, contains, files};
use crate::hub_server::{ALWAYS, Place, Repository, Request, What, git_hash, sha256};

const WEIGHTS: &str = "vae/diffusion_pytorch_model.bin";

/// One large file, on the content host.
fn world() -> World {
    World::new("variant")
}

fn weights() -> Vec<u8> {
    files("variant")[WEIGHTS].clone()
}

fn blob() -> String {
    sha256(&weights())
}

fn incomplete() -> String {
    format!("{}.incomplete", blob())
}

/// The blobs that may be there without the weights.
fn config_blob() -> String {
    git_hash(&files("variant")["vae/config.json"])
}

fn write_incomplete(world: &World, bytes: &[u8]) {
    let blobs = world.repository().join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join(incomplete()), bytes).unwrap();
}

fn content(requests: &[Request]) -> Vec<&Request> {
    requests.iter().filter(|request| request.content).collect()
}

/// Nothing is in the cache that a later run would take for the weights; and it is well then.
#[track_caller]
fn nothing_loads_and_the_next_run_is_well(world: &World) {
    assert!(!world.names("blobs").contains(&blob()), "the weights have their name");
    assert!(!world.snapshot_files().contains(&WEIGHTS.to_owned()), "the weights are linked");
    assert!(world.open_offline().is_err(), "it is found offline");
    world.hub.faults_are_over();
    world.hub.requests();
    world.opens_as("variant");
    let mut expected = [config_blob(), blob()];
    expected.sort();
    assert_eq!(world.names("blobs"), expected, "something was left behind");
}

#[test]
fn wrong_bytes_are_noticed_and_removed() {
    let world = world();
    for byte in [0, weights().len() - 1] {
        world.hub.fault(Place::Content, "", 1, What::WrongFrom(byte));
        world.refuses(&[WEIGHTS, "the hub states the hash", &blob(), "it was removed"]);
        assert_eq!(world.names("blobs"), [config_blob()]);
    }
    nothing_loads_and_the_next_run_is_well(&world);
}

#[test]
fn wrong_bytes_of_a_small_file_are_noticed_too() {
    let world = world();
    // The first answer is the way to the file, the second the file.
    world.hub.fault(Place::File, "resolve-cache", 1, What::WrongFrom(3));
    world.refuses(&["vae/config.json", "the hub states the hash", &config_blob()]);
    assert!(world.names("blobs").is_empty());
    nothing_loads_and_the_next_run_is_well(&world);
}

#[test]
fn a_wrong_size_is_noticed() {
    let world = world();
    world.hub.fault(Place::Content, "", 1, What::Short(1000));
    let size = weights().len();
    world.refuses(&[WEIGHTS, &format!("states a size of {size} bytes"), "1000 bytes came"]);
    world.hub.fault(Place::Content, "", 1, What::Long);
    world.refuses(&[WEIGHTS, &format!("states a size of {size} bytes"), "more came"]);
    nothing_loads_and_the_next_run_is_well(&world);
}

#[test]
fn another_hash_than_that_of_the_file_is_believed_over_the_file() {
    let world = world();
    world.hub.fault(Place::Describe, WEIGHTS, 1, What::OtherHash);
    world.refuses(&[WEIGHTS, "the hub states the hash 0000", &blob()]);
    nothing_loads_and_the_next_run_is_well(&world);
}

#[test]
fn a_file_without_a_hash_is_taken_with_a_note() {
    let world = world();
    world.hub.fault(Place::Describe, WEIGHTS, 1, What::NoHash);
    let checkpoint = world.opens_as("variant");
    assert!(contains(checkpoint.notes(), "states no hash, so only its size was checked"));
}

#[test]
fn a_cut_connection_goes_on_where_it_stopped() {
    let world = world();
    let half = weights().len() / 2;
    world.hub.fault(Place::Content, "", 1, What::CutAfter(half));
    world.hub.fault(Place::Content, "", 1, What::CutAfter(100));
    world.opens_as("variant");
    world.hub.faults_are_over();
    let requests = world.hub.requests();
    let starts: Vec<_> = content(&requests).iter().map(|r| r.range_start()).collect();
    assert_eq!(starts, [None, Some(half), Some(half + 100)]);
}

#[test]
fn a_stalled_connection_is_given_up_and_goes_on_where_it_stopped() {
    let world = world();
    let half = weights().len() / 2;
    world.hub.fault(Place::Content, "", 1, What::StallAfter(half));
    let started = Instant::now();
    world.opens_as("variant");
    let took = started.elapsed();
    assert!(took >= world.options.download_timeout, "it did not wait: {took:?}");
    assert!(took < Duration::from_secs(10), "it waited for the server: {took:?}");
    let requests = world.hub.requests();
    let starts: Vec<_> = content(&requests).iter().map(|r| r.range_start()).collect();
    assert_eq!(starts, [None, Some(half)]);
}

#[test]
fn a_hub_that_never_sends_a_byte_more_is_given_up() {
    let world = world();
    for (place, what, reason) in [
        (Place::Content, What::StallAfter(0), "nothing came for 0.4 seconds"),
        (Place::Content, What::Silence, "nothing came for 0.4 seconds"),
        (Place::Content, What::HangUp, "cannot be reached: the connection was cut"),
        (Place::Describe, What::Silence, "nothing came for 0.4 seconds"),
        (Place::Describe, What::HangUp, "the connection was cut"),
        (Place::List, What::StallAfter(0), "nothing came for 0.4 seconds"),
        (Place::List, What::Silence, "nothing came for 0.4 seconds"),
        (Place::List, What::HangUp, "the connection was cut"),
    ] {
        world.hub.fault(place, "", ALWAYS, what);
        world.refuses(&[ID, reason, "run it again"]);
        world.hub.faults_are_over();
    }
    nothing_loads_and_the_next_run_is_well(&world);
}

/// Each byte comes in time, and all of them would take days.
#[test]
fn a_hub_that_drips_is_given_up() {
    let world = world();
    world.hub.fault(Place::Content, "", ALWAYS, What::Drip(Duration::from_millis(50)));
    let started = Instant::now();
    world.refuses(&[WEIGHTS, "next to nothing came", "what has arrived is kept"]);
    assert!(started.elapsed() < Duration::from_secs(30), "it waited for the server");
    world.hub.faults_are_over();
    nothing_loads_and_the_next_run_is_well(&world);
}

/// Each connection brings something, and all of them would take years.
#[test]
fn a_hub_that_cuts_after_a_byte_each_time_is_given_up_and_what_came_is_kept() {
    let world = world();
    world.hub.fault(Place::Content, "", ALWAYS, What::CutAfter(1));
    world.hub.requests();
    world.refuses(&[WEIGHTS, "the connection was cut", "what has arrived is kept"]);
    assert_eq!(content(&world.hub.requests()).len(), 6);
    let left = fs::read(world.repository().join("blobs").join(incomplete())).unwrap();
    assert_eq!(left, weights()[..6]);
    world.hub.faults_are_over();
    world.opens_as("variant");
    assert_eq!(content(&world.hub.requests())[0].range_start(), Some(6));
}

#[test]
fn what_an_earlier_run_left_is_gone_on_with() {
    let world = world();
    let half = weights().len() / 2;
    // The run before was cut off, as often as it tried.
    world.hub.fault(Place::Content, "", 1, What::CutAfter(half));
    world.hub.fault(Place::Content, "", ALWAYS, What::HangUp);
    world.refuses(&[WEIGHTS, "the connection was cut", "what has arrived is kept"]);
    assert_eq!(world.names("blobs").len(), 2);
    let left = fs::read(world.repository().join("blobs").join(incomplete())).unwrap();
    assert_eq!(left, weights()[..half]);
    world.hub.faults_are_over();
    world.hub.requests();
    world.opens_as("variant");
    let requests = world.hub.requests();
    assert_eq!(content(&requests)[0].range_start(), Some(half));
    assert_eq!(content(&requests).len(), 1);
    assert!(!world.names("blobs").contains(&incomplete()));
}

#[test]
fn a_server_without_parts_sends_it_all_again() {
    for what in [What::IgnoreRange, What::RefuseRange] {
        let world = world();
        write_incomplete(&world, &weights()[..1000]);
        world.hub.fault(Place::Content, "", 1, what);
        world.opens_as("variant");
        world.hub.faults_are_over();
        let requests = world.hub.requests();
        assert_eq!(content(&requests)[0].range_start(), Some(1000));
    }
    // Half-way through a download of its own, nothing that is wrong gets as far as the hash.
    for (what, expected) in [
        (What::IgnoreRange, &[None, Some(1000)][..]),
        (What::RefuseRange, &[None, Some(1000), None]),
    ] {
        let world = world();
        world.hub.fault(Place::Content, "", 1, What::CutAfter(1000));
        world.hub.fault(Place::Content, "", 1, what);
        world.opens_as("variant");
        world.hub.faults_are_over();
        let requests = world.hub.requests();
        let starts: Vec<_> = content(&requests).iter().map(|r| r.range_start()).collect();
        assert_eq!(starts, expected);
    }
}

#[test]
fn what_was_left_and_is_wrong_is_downloaded_again() {
    let good = weights();
    let mut wrong = good[..1000].to_vec();
    wrong[500] ^= 1;
    let wrong_whole: Vec<u8> = good.iter().map(|byte| byte ^ 1).collect();
    let too_long = [&good[..], &[0]].concat();
    for left in [&wrong[..], &wrong_whole, &too_long, &[]] {
        let world = world();
        write_incomplete(&world, left);
        world.opens_as("variant");
        assert!(!world.names("blobs").contains(&incomplete()));
    }
    // All of it, and only the name is missing: nothing needs to come.
    let world = world();
    write_incomplete(&world, &good);
    world.opens_as("variant");
    assert!(content(&world.hub.requests()).is_empty());
}

#[test]
fn a_server_in_trouble_is_asked_again() {
    let world = world();
    for status in [500, 502, 503, 504, 408, 429] {
        let what = || What::Status(status, vec![("Retry-After", "0".to_owned())]);
        world.hub.fault(Place::List, "", 1, what());
        world.hub.fault(Place::Describe, WEIGHTS, 1, what());
        world.hub.fault(Place::Content, "", 1, what());
        world.opens_as("variant");
        world.hub.faults_are_over();
        fs::remove_dir_all(&world.options.cache).unwrap();
    }
}

#[test]
fn a_server_that_stays_in_trouble_is_given_up() {
    let world = world();
    for (status, part) in
        [(500, "status 500"), (503, "the hub's fault"), (429, "too many requests")]
    {
        for place in [Place::List, Place::Describe, Place::Content] {
            world.hub.fault(place, "", ALWAYS, What::Status(status, Vec::new()));
            world.hub.requests();
            world.refuses(&[ID, part]);
            let asked = world.hub.requests().iter().filter(|r| kind(r) == place).count();
            assert_eq!(asked, 6, "expected one try and five more of {place:?}");
            world.hub.faults_are_over();
        }
    }
    nothing_loads_and_the_next_run_is_well(&world);
}

fn kind(request: &Request) -> Place {
    match (request.content, request.path.starts_with("/api/models/"), request.method.as_str()) {
        (true, ..) => Place::Content,
        (_, true, _) => Place::List,
        (.., "HEAD") => Place::Describe,
        _ => Place::File,
    }
}

#[test]
fn a_hub_that_asks_for_patience_gets_it_within_reason() {
    let world = world();
    let later = |text: &str| vec![("Retry-After", text.to_owned())];
    world.hub.fault(Place::List, "", 1, What::Status(429, later("1")));
    let started = Instant::now();
    world.opens_as("variant");
    assert!(started.elapsed() >= Duration::from_secs(1), "it did not wait");
    fs::remove_dir_all(&world.options.cache).unwrap();
    let limit = vec![("RateLimit", "\"api\";r=0;t=300".to_owned())];
    for (headers, seconds) in [(later("3600"), "3600 seconds"), (limit, "300 seconds")] {
        world.hub.fault(Place::List, "", 1, What::Status(429, headers));
        world.refuses(&["too many requests", seconds]);
    }
}

#[test]
fn a_refusal_is_not_asked_twice() {
    let world = world();
    for status in [400, 401, 403, 404, 410, 451] {
        world.hub.fault(Place::List, "", ALWAYS, What::Status(status, Vec::new()));
        world.hub.requests();
        world.refuses(&[ID, &format!("status {status}")]);
        assert_eq!(world.hub.requests().len(), 1);
        world.hub.faults_are_over();
    }
}

#[test]
fn invalid_hub_response_is_reported() {
    let world = world();
    let redirect = |target: &str| What::Status(302, vec![("Location", target.to_owned())]);
    for what in [
        What::Text("<html>a page of a hotel's network</html>"),
        What::Text("{\"sha\": \"../../etc\", \"siblings\": []}"),
        What::Text("{\"siblings\": []}"),
        redirect("file:///etc/passwd"),
    ] {
        world.hub.fault(Place::List, "", 1, what);
        world.refuses(&[ID, "does not answer as a hub does", "HF_ENDPOINT"]);
    }
    let around = redirect(&format!("/api/models/{ID}/revision/main"));
    world.hub.fault(Place::List, "", ALWAYS, around);
    world.refuses(&["redirects without end"]);
    world.hub.faults_are_over();
    world.hub.fault(Place::Describe, WEIGHTS, 1, What::Text("no ETag"));
    world.refuses(&[WEIGHTS, "no ETag or no size"]);
    nothing_loads_and_the_next_run_is_well(&world);
}

#[test]
fn a_shard_that_the_repository_lacks_is_said_before_any_shard_is_downloaded() {
    let mut all = files("sharded");
    all.remove("vae/diffusion_pytorch_model-00002-of-00002.safetensors");
    let world = World::with(Repository::new(ID, all));
    world.refuses(&["00002-of-00002", "the repository does not have it"]);
    assert!(content(&world.hub.requests()).is_empty());
}

#[test]
fn a_file_in_the_cache_that_lost_bytes_is_noticed() {
    let world = world();
    world.opens_as("variant");
    fs::write(world.repository().join("blobs").join(blob()), &weights()[..5]).unwrap();
    world.refuses(&[WEIGHTS, "has 5 bytes", "delete it"]);
}

#[test]
fn two_at_once_download_once() {
    let world = world();
    world.hub.fault(Place::Content, "", 1, What::StallAfter(100));
    std::thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(|| world.opens_as("variant")));
        both.into_iter().for_each(|one| drop(one.join().unwrap()));
    });
    let requests = world.hub.requests();
    let starts: Vec<_> = content(&requests).iter().map(|r| r.range_start()).collect();
    assert_eq!(starts, [None, Some(100)], "expected one download, with its second try");
}

#[test]
fn a_cache_that_cannot_be_made_is_said() {
    let mut world = world();
    let file = world.folder.path().join("a file");
    fs::write(&file, "").unwrap();
    world.options.cache = file.join("hub");
    world.refuses(&["the hub's cache cannot be written", "not a directory", "HF_HUB_CACHE"]);
}
