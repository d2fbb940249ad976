//! `explain`: every code, and what is said of it.

use serde_json::json;
use vae_fidelity::diagnosis::Code;

use super::sandbox::Sandbox;

#[test]
fn all_codes_are_listed() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&["explain"]).exits(0);
    for code in Code::ALL {
        ran.check(ran.stdout.contains(code.as_str()), code.as_str());
    }
    let object = sandbox.run(&["explain", "--json"]).exits(0).object();
    assert_eq!(object["schema_version"], 1);
    assert_eq!(object["codes"].as_array().unwrap().len(), Code::ALL.len());
}

#[test]
fn one_code_is_explained_with_remedies_and_sources() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&["explain", "channel-swap"]).exits(0);
    let ran = ran.says("meaning").says("rule").says("diffusers").says("ComfyUI").says("ports");
    ran.says("deforum/sd-webui-deforum#8");
    let object = sandbox.run(&["explain", "channel-swap", "--json"]).exits(0).object();
    assert_eq!(object["codes"][0]["code"], "channel-swap");
    assert_eq!(object["codes"][0]["severity"], "error");
}

#[test]
fn what_decides_a_code_is_named_by_command_and_flag() {
    let sandbox = Sandbox::new();
    let decided = [
        ("weights-missing", "inspect; check"),
        ("fp16-overflow-decoder", "check; check --dtype f16; check --forecast"),
        ("device-kernel-broken", "check --cross-check"),
        ("channel-swap", "check; check --latents; check --preprocessed; check --decoded-image"),
        ("symmetric-downsample-padding", "check --latents; check --decoded-image; check --against"),
    ];
    for (code, by) in decided {
        let ran = sandbox.run(&["explain", code]).exits(0).says(&format!("found by  {by}\n"));
        ran.check(!ran.stdout.contains('`'), "flags");
        let object = sandbox.run(&["explain", code, "--json"]).exits(0).object();
        assert_eq!(object["codes"][0]["decided_by"], json!(by.split("; ").collect::<Vec<_>>()));
    }
}

#[test]
fn an_unknown_code_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.run(&["explain", "nonsense"]).exits(2).notes("nonsense").notes("vae-fidelity explain");
}
