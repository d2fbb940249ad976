//! Holds graphs against `state_dicts.json`, what diffusers builds for the same configs
//! (`vae_fidelity_tools.conformance.state_dicts` writes it).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::config::VaeConfig;
use crate::graph::{Function, Graph};

/// What diffusers builds for a config.
#[derive(Deserialize)]
struct Model {
    model: String,
    config: Value,
    tensors: BTreeMap<String, Vec<usize>>,
}

fn models() -> Vec<Model> {
    serde_json::from_str(include_str!("state_dicts.json")).unwrap()
}

#[test]
fn tensors_are_those_of_diffusers() {
    for Model { model, config, tensors } in models() {
        let config = VaeConfig::from_json(&config.to_string(), &model).unwrap();
        let graph = Graph::of(&config);
        let ours = graph.tensors().into_iter().map(|spec| (spec.name, spec.shape));
        assert_eq!(ours.collect::<BTreeMap<_, _>>(), tensors, "{model}");
        let time_conv = |name: &&String| name.contains(".time_conv.");
        let idle: Vec<&String> = graph.idle.iter().map(|spec| &spec.name).collect();
        assert_eq!(idle.len(), tensors.keys().filter(time_conv).count(), "{model}");
        assert!(idle.iter().all(time_conv), "{model}");
    }
}

#[test]
fn sides_are_those_of_the_class() {
    for Model { model, config, .. } in models() {
        let config = VaeConfig::from_json(&config.to_string(), &model).unwrap();
        let graph = Graph::of(&config);
        let through = |side, functions: &[Function]| {
            functions.iter().fold(side, |side, function| function.out_side(side))
        };
        let side = 4 * config.multiple_of();
        let latents = graph.encoder.out_side(through(side, &graph.before_encoder)).unwrap();
        assert_eq!(latents, side / config.downsampling(), "{model}");
        let decoded = graph.decoder.out_side(latents).unwrap();
        assert_eq!(through(decoded, &graph.after_decoder), side, "{model}");
    }
}
