//! A config that normalizes in other groups than the weights were trained with.

use std::path::Path;

use serde_json::Value;
use vae_fidelity::diagnosis::{Code, Finding, Severity};
use vae_fidelity::{Engine, Pipeline};

use super::planted::TRAINED;
use super::round_trip::photograph;

/// What `check` says of `picture`, where `field` of the config of `model` has another value.
fn findings(model: &str, field: &str, value: Value, picture: &Path) -> Vec<Finding> {
    let own = std::fs::read(Path::new(model).join("vae/config.json")).unwrap();
    let mut config: Value = serde_json::from_slice(&own).unwrap();
    config[field] = value;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    std::fs::write(&path, config.to_string()).unwrap();
    let builder = Pipeline::builder().repo(model).config(&path).engine(Engine::Fast);
    builder.build().unwrap().check(picture).unwrap().findings
}

#[test]
fn another_number_of_groups_is_named_with_the_one_that_was_trained() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["coffee.jpg", "astronaut.png"] {
        let picture = photograph(folder.path(), name);
        for model in TRAINED {
            for groups in [1, 2, 4, 16] {
                let what = format!("{model}, {name}, {groups}");
                let found = findings(model, "norm_num_groups", groups.into(), &picture);
                let first = found.first().unwrap_or_else(|| panic!("{what}: nothing"));
                assert_eq!(first.code, Code::NormNumGroups, "{what}: {found:?}");
                assert_eq!(first.severity, Severity::Error, "{what}");
                assert!(first.remedy.contains("set norm_num_groups to 8 in"), "{what}: {first:?}");
                let others = [Code::PassesNothing, Code::ScalingFactorMismatch];
                assert!(!found.iter().any(|f| others.contains(&f.code)), "{what}: {found:?}");
            }
        }
    }
}

/// The factor is no family's, so that the number of groups is asked for.
#[test]
fn the_number_that_was_trained_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["coffee.jpg", "astronaut.png"] {
        let picture = photograph(folder.path(), name);
        for model in TRAINED {
            let found = findings(model, "scaling_factor", 0.4.into(), &picture);
            assert!(!found.iter().any(|f| f.code == Code::NormNumGroups), "{model}: {found:?}");
        }
    }
}
