//! `explain`: every code, and what is said of it.

use vae_fidelity::diagnosis::codes;

use super::sandbox::Sandbox;

#[test]
fn all_codes_are_listed() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&["explain"]).exits(0);
    for row in codes() {
        ran.check(ran.stdout.contains(row.code), row.code);
    }
    let object = sandbox.run(&["explain", "--json"]).exits(0).object();
    assert_eq!(object["schema_version"], 1);
    assert_eq!(object["codes"].as_array().unwrap().len(), codes().count());
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
fn a_code_without_a_rule_says_so() {
    let sandbox = Sandbox::new();
    for row in codes() {
        let ran = sandbox.run(&["explain", row.code]).exits(0);
        let said = ran.stdout.contains("nothing in this version");
        ran.check(said == row.decided_by.is_empty(), "what finds it");
    }
}

#[test]
fn an_unknown_code_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.run(&["explain", "nonsense"]).exits(2).notes("nonsense").notes("vae-fidelity explain");
}
