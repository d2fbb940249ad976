//! A hub that is not to be trusted: it gets no token that is not its own, and names no file outside the
//! cache.

use super::hub_cache::{ID, World, files};
use crate::hub_server::{Place, READER, Repository, What};

#[test]
fn a_name_that_the_hub_gives_stays_in_the_cache() {
    let world = World::new("variant");
    let etag =
        |name: &str| vec![("ETag", format!("\"{name}\"")), ("X-Linked-Size", "5".to_owned())];
    for name in ["../../../x", "a/b", "..", ".hidden", ""] {
        world.hub.fault(Place::Describe, "config", 1, What::Status(200, etag(name)));
        world.refuses(&["vae/config.json", "no ETag or no size"]);
    }
    assert!(world.names("blobs").is_empty());
}

/// The token goes to the hub, and to nobody whom the hub or its content host names.
#[test]
fn a_token_stays_with_the_hub_whatever_redirects_say() {
    let elsewhere = World::new("variant");
    let port = elsewhere.options.endpoint.rsplit(':').next().unwrap().to_owned();
    // Another port is another host, as is another name for this one.
    for host in ["127.0.0.1", "localhost"] {
        let mut world = World::new("variant");
        world.token(READER);
        let other = |path: &str| vec![("Location", format!("http://{host}:{port}{path}"))];
        world.hub.fault(Place::List, "", 1, What::Status(307, other("/api/models/x/y")));
        world.refuses(&[ID]);
        world.hub.fault(Place::Describe, "", 1, What::Status(302, other("/x/y/resolve/main/z")));
        world.refuses(&[ID]);
        world.hub.fault(Place::File, "", 1, What::Status(301, other("/x/y/resolve/main/z")));
        world.refuses(&[ID]);
        world.hub.faults_are_over();
        let seen = elsewhere.hub.requests();
        assert_eq!(seen.len(), 3, "expected that the redirects were followed: {seen:?}");
        for request in seen {
            assert!(!format!("{request:?}").contains(READER), "{request:?}");
        }
        assert!(world.hub.requests().iter().all(|r| r.headers.contains_key("authorization")));
    }
}

#[test]
fn a_token_that_the_hub_repeats_is_not_shown() {
    let mut world = World::new("variant");
    world.token(READER);
    let message = format!("the token {READER} is not allowed to");
    let what = What::Status(403, vec![("X-Error-Message", message)]);
    world.hub.fault(Place::List, "", 1, what);
    world.refuses(&["the token *** is not allowed to"]);
    assert!(!format!("{:?}", world.options).contains(READER));
}

#[test]
fn an_index_that_leads_elsewhere_is_refused() {
    let mut all = files("sharded");
    let index = br#"{"metadata": {}, "weight_map": {"a": "../../../etc/passwd"}}"#;
    all.insert("vae/diffusion_pytorch_model.safetensors.index.json".into(), index.to_vec());
    let world = World::with(Repository::new(ID, all));
    world.refuses(&["../../../etc/passwd", "not a file beside it"]);
}
