//! A sandbox beside a hub that has the sandbox's model.

use std::process::Command;

use super::sandbox::{Ran, Sandbox};
use crate::hub_server::{HubServer, Repository, files_of};

pub const ID: &str = "somebody/a-model";

pub struct World {
    pub sandbox: Sandbox,
    pub hub: HubServer,
    pub commit: String,
}

impl World {
    pub fn new(change: impl FnOnce(Repository) -> Repository) -> Self {
        let sandbox = Sandbox::new();
        sandbox.store_weights(|_| ());
        let repository = change(Repository::new(ID, files_of(&sandbox.path("model"))));
        let commit = repository.hash("main").to_owned();
        Self { sandbox, hub: HubServer::start(vec![repository]), commit }
    }

    pub fn prepare(&self, mut command: Command, variables: &[(&str, &str)]) -> Command {
        for variable in ["HF_HOME", "HF_TOKEN", "HF_HUB_OFFLINE", "HF_TOKEN_PATH", "XDG_CACHE_HOME"]
        {
            command.env_remove(variable);
        }
        command.env("HF_ENDPOINT", self.hub.endpoint()).env("HF_HUB_CACHE", "cache");
        command.env("HOME", "/nowhere").env("HF_HUB_DOWNLOAD_TIMEOUT", "1");
        command.envs(variables.iter().copied());
        command
    }

    pub fn check(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
        let check = ["check", "photo.png", "--repo", ID, "--device", "cpu"];
        let command = self.sandbox.command(&[&check, arguments].concat());
        Ran::of(self.prepare(command, variables))
    }

    /// `script`, in which `"$@"` checks with the hub's model.
    pub fn shell(&self, script: &str, variables: &[(&str, &str)]) -> Ran {
        let check = ["check", "photo.png", "--repo", ID, "--device", "cpu"];
        Ran::of(self.prepare(self.sandbox.shell(script, &check), variables))
    }
}
