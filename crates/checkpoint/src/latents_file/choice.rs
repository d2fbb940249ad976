//! Which tensor of a file holds the latents, and who wrote it so.

use std::path::Path;

use super::container::Container;

/// A tensor before it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its name; empty for a file's only one that has none.
    pub name: String,
    pub shape: Vec<usize>,
}

/// What a file is, beside its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Safetensors,
    Npy,
    Npz,
    Pickle,
}

/// How many names a question lists.
const SHOWN: usize = 12;

/// The tensor of latents among `tensors`, and whose convention it follows; else the question, as problem.
///
/// `architecture` is what musubi-tuner notes in a file's metadata.
pub(super) fn latents(
    tensors: &[Listed],
    kind: Kind,
    path: &Path,
    architecture: Option<&str>,
) -> Result<(usize, Container), String> {
    let at = |name: &str| tensors.iter().position(|tensor| tensor.name == name);
    if let Some(index) = at("latent_tensor") {
        let marked = at("latent_format_version_0").is_some();
        return Ok((index, if marked { Container::ComfyUi } else { Container::ComfyUiOld }));
    }
    if kind == Kind::Pickle
        && let Some(index) = at("latent_image")
    {
        return Ok((index, Container::OneTrainer));
    }
    let cached: Vec<usize> = tensors
        .iter()
        .enumerate()
        .filter(|(_, tensor)| tensor.shape.len() >= 3 && is_sized_latents(&tensor.name))
        .map(|(index, _)| index)
        .collect();
    match (kind, cached.as_slice()) {
        (Kind::Npz, &[only]) => return Ok((only, sd_scripts(path))),
        (Kind::Safetensors, &[only]) => return Ok((only, musubi(architecture))),
        _ => {}
    }
    if let Some(index) = at("latents") {
        let of_sd_scripts = at("original_size").is_some() || at("crop_ltrb").is_some();
        let cache = kind == Kind::Npz && of_sd_scripts;
        return Ok((index, if cache { sd_scripts_old(path) } else { Container::Plain }));
    }
    only(tensors, "latents").map(|index| (index, Container::Plain))
}

/// The tensor `name`, the only one, or the only one with the dimensions of latents or a picture; else the
/// question, as problem.
pub(super) fn named_or_only(tensors: &[Listed], name: &str) -> Result<usize, String> {
    match tensors.iter().position(|tensor| tensor.name == name) {
        Some(index) => Ok(index),
        None => only(tensors, name),
    }
}

fn only(tensors: &[Listed], name: &str) -> Result<usize, String> {
    let large = |(index, tensor): (usize, &Listed)| (tensor.shape.len() >= 3).then_some(index);
    let large: Vec<usize> = tensors.iter().enumerate().filter_map(large).collect();
    match (tensors.len(), large.as_slice()) {
        (1, _) => Ok(0),
        (_, &[only]) => Ok(only),
        (count, _) => Err(format!(
            "expected one tensor, or one named {name}, found {count}: {}",
            listed(tensors)
        )),
    }
}

/// `a (1, 4, 8, 8), b ()`.
pub(super) fn listed(tensors: &[Listed]) -> String {
    let one = |Listed { name, shape }: &Listed| {
        let name: String = name.chars().take(100).flat_map(char::escape_debug).collect();
        let sides: Vec<String> = shape.iter().map(usize::to_string).collect();
        format!("{name} ({})", sides.join(", "))
    };
    let shown: Vec<String> = tensors.iter().take(SHOWN).map(one).collect();
    let more = if tensors.len() > SHOWN { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// `latents_HxW`, `latents_FxHxW` and the same with a dtype behind it; not `latents_flipped_HxW`.
fn is_sized_latents(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("latents_") else { return false };
    let sides = rest.split('_').next().unwrap_or(rest);
    let all_numbers = |side: &str| !side.is_empty() && side.bytes().all(|b| b.is_ascii_digit());
    matches!(sides.split('x').count(), 2 | 3) && sides.split('x').all(all_numbers)
}

/// The model that a cache is of stands at the end of its name.
fn sd_scripts(path: &Path) -> Container {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("");
    let ends = |ends: &[&str]| ends.iter().any(|end| stem.ends_with(end));
    match () {
        () if ends(&["_flux", "_lumina"]) => Container::SdScriptsFlux,
        () if ends(&["_sd", "_sdxl", "_sd3"]) => Container::SdScriptsSd,
        () => Container::SdScripts,
    }
}

/// Without a size in its keys it is of Stable Diffusion 1, 2 or XL, whatever its name.
fn sd_scripts_old(path: &Path) -> Container {
    match sd_scripts(path) {
        Container::SdScripts => Container::SdScriptsSd,
        named => named,
    }
}

fn musubi(architecture: Option<&str>) -> Container {
    match architecture {
        Some("z_image" | "hunyuan_video") => Container::MusubiRaw,
        _ => Container::Musubi,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed_as(names: &[(&str, &[usize])]) -> Vec<Listed> {
        let one = |&(name, shape): &(&str, &[usize])| Listed {
            name: name.to_owned(),
            shape: shape.to_vec(),
        };
        names.iter().map(one).collect()
    }

    fn chosen(
        names: &[(&str, &[usize])],
        kind: Kind,
        path: &str,
    ) -> Result<(usize, Container), String> {
        latents(&listed_as(names), kind, Path::new(path), None)
    }

    #[test]
    fn each_writer_is_known_by_its_names() {
        let four = &[4, 8, 8][..];
        let comfy = [("latent_format_version_0", &[0][..]), ("latent_tensor", four)];
        let at = |names: &[(&str, &[usize])], kind, path| chosen(names, kind, path).unwrap();
        assert_eq!(at(&comfy, Kind::Safetensors, "a.latent"), (1, Container::ComfyUi));
        assert_eq!(at(&comfy[1..], Kind::Safetensors, "a.latent"), (0, Container::ComfyUiOld));
        let kohya = [
            ("crop_ltrb_8x8", &[4][..]),
            ("latents_8x8", four),
            ("latents_flipped_8x8", four),
            ("original_size_8x8", &[2][..]),
        ];
        let flux = at(&kohya, Kind::Npz, "a_0064x0064_flux.npz");
        assert_eq!(flux, (1, Container::SdScriptsFlux));
        assert_eq!(at(&kohya, Kind::Npz, "a_0064x0064_sd3.npz").1, Container::SdScriptsSd);
        assert_eq!(at(&kohya, Kind::Npz, "a.npz").1, Container::SdScripts);
        let old = [("crop_ltrb", &[4][..]), ("latents", four), ("original_size", &[2][..])];
        assert_eq!(at(&old, Kind::Npz, "a.npz"), (1, Container::SdScriptsSd));
        assert_eq!(at(&[("latents", four)], Kind::Npz, "a.npz"), (0, Container::Plain));
        let musubi = [("latents_1x8x8_float32", &[16, 1, 8, 8][..])];
        assert_eq!(at(&musubi, Kind::Safetensors, "a.safetensors"), (0, Container::Musubi));
        let listed = listed_as(&musubi);
        let raw = latents(&listed, Kind::Safetensors, Path::new("a"), Some("z_image")).unwrap();
        assert_eq!(raw, (0, Container::MusubiRaw));
        let cache =
            [("crop_offset", &[2][..]), ("latent_image", four), ("latent_mask", &[1, 8, 8])];
        assert_eq!(at(&cache, Kind::Pickle, "0.pt"), (1, Container::OneTrainer));
        assert_eq!(at(&[("z", four), ("step", &[])], Kind::Pickle, "0.pt"), (0, Container::Plain));
    }

    #[test]
    fn several_tensors_are_a_question_with_their_names() {
        let four = &[4, 8, 8][..];
        let two = [("latents_8x8", four), ("latents_4x16", &[4, 4, 16][..])];
        let asked = chosen(&two, Kind::Npz, "a.npz").unwrap_err();
        assert!(asked.contains("latents_8x8 (4, 8, 8), latents_4x16 (4, 4, 16)"), "{asked}");
        let asked = chosen(&[("a", four), ("b", four)], Kind::Safetensors, "a").unwrap_err();
        assert!(asked.contains("one named latents, found 2"), "{asked}");
    }

    #[test]
    fn names_that_only_look_alike_are_not_taken() {
        for name in [
            "latents_flipped_8x8",
            "latents_control_1x8x8",
            "latents_8",
            "latents_x8",
            "latents_8x8x8x8",
            "latent_8x8",
        ] {
            assert!(!is_sized_latents(name), "{name}");
        }
        for name in ["latents_8x8", "latents_1x8x8_bfloat16", "latents_128x96_float16"] {
            assert!(is_sized_latents(name), "{name}");
        }
    }
}
