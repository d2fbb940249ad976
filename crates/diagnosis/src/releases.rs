//! Published files that are known to be defective, told by their SHA-256.

use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::finding::Finding;
use super::severity::Severity;

pub(super) const DEFECTIVE_RELEASE: Cause = Cause {
    code: Code::DefectiveRelease,
    severity: Severity::Warning,
    title: "a published file that is known to be defective",
    meaning: "The VAE first released with SDXL 1.0 leaves coloured fringes; its authors \
              replaced it.",
    rule: "The file's SHA-256 is in a table of known defective files: so far, \
           sd_xl_base_1.0.safetensors (31e35c80fc48...).",
    remedy: "fetch the corrected release",
    diffusers: "load stabilityai/sdxl-vae, or the 0.9 VAE",
    comfyui: "Load VAE with the corrected file",
    ports: "nothing to mend in code",
    sources: &[
        "huggingface/diffusers#4310",
        "comfyanonymous/ComfyUI_examples#10",
        "AUTOMATIC1111/stable-diffusion-webui#12548",
    ],
    decided_by: &[DecidedBy::Inspect, DecidedBy::Check],
};

/// A defective file: its SHA-256, what it is, and what took its place.
struct Release {
    sha256: &'static str,
    /// Its length, by which other files are told apart without reading them.
    bytes: u64,
    what: &'static str,
    instead: &'static str,
}

/// Only hashes that independent public sources agree on, with a public report of the defect.
const RELEASES: &[Release] = &[
    // The hash: AUTOMATIC1111/stable-diffusion-webui#12548 shows its first ten digits, and the
    // download lists of many projects pin all of it. The defect: diffusers#4310,
    // ComfyUI_examples#10.
    Release {
        sha256: "31e35c80fc4829d14f90153f4c74cd59c90b779f6afe05a74cd6120b893f7e5b",
        bytes: 6_938_078_334,
        what: "sd_xl_base_1.0.safetensors, with the VAE first released with SDXL 1.0",
        instead: "sd_xl_base_1.0_0.9vae.safetensors, or the VAE of stabilityai/sdxl-vae",
    },
];

/// `defective-release` for a file with this SHA-256 (lower-case hexadecimal), if it is listed.
///
/// ```
/// use vae_fidelity_diagnosis::{Code, defective_release};
/// let listed = "31e35c80fc4829d14f90153f4c74cd59c90b779f6afe05a74cd6120b893f7e5b";
/// assert_eq!(defective_release(listed).unwrap().code, Code::DefectiveRelease);
/// assert!(defective_release(&listed.replace('3', "4")).is_none());
/// ```
pub fn defective_release(sha256: &str) -> Option<Finding> {
    let release = RELEASES.iter().find(|release| release.sha256 == sha256)?;
    Some(
        Finding::new(&DEFECTIVE_RELEASE, format!("the file is {}", release.what))
            .evidence("sha256", sha256)
            .remedy(format!("use {}", release.instead)),
    )
}

/// Whether a listed file has this length: only then is it worth reading for its SHA-256.
///
/// ```
/// use vae_fidelity_diagnosis::perhaps_defective;
/// assert!(perhaps_defective(6_938_078_334) && !perhaps_defective(6_938_078_335));
/// ```
pub fn perhaps_defective(bytes: u64) -> bool {
    RELEASES.iter().any(|release| release.bytes == bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_whole_and_in_lower_case() {
        for release in RELEASES {
            assert_eq!(release.sha256.len(), 64);
            assert!(release.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
        }
    }
}
