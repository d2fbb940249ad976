//! Which files of a folder hold a network's weights, by the names under which they were published.

use std::path::{Path, PathBuf};

use vae_fidelity_files::error::{Error, Result, io_reason};

use crate::net::Net;

/// Endings of files that hold tensors.
const ENDINGS: [&str; 5] = ["pth", "pt", "bin", "ckpt", "safetensors"];

/// The weights of one network and of its heads, which may lie in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightFiles {
    /// torchvision's: `alexnet-owt-7be5be79.pth`, `vgg16-397923af.pth` or `squeezenet1_1-b8a52dc0.pth`, or what
    /// begins so; or the whole of it, `lpips_alex.safetensors`.
    pub trunk: PathBuf,
    /// The heads of version 0.1: `alex.pth`, `vgg.pth` or `squeeze.pth` of the package `lpips`.
    pub heads: PathBuf,
}

/// Where the files of weights are looked for: in a folder of the user's, and then among what torch has downloaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WeightFolders {
    /// A folder of the user's, whose files have the names by which they were published, or names that begin so.
    pub own: Option<PathBuf>,
    /// `hub/checkpoints` of torch's cache, where torchvision, pytorch-fid and torch-fidelity keep what they download, by
    /// its whole name.
    pub torch_hub: Option<PathBuf>,
}

impl WeightFolders {
    /// `own`, and torch's cache by the environment: in `TORCH_HOME`, or in `torch` of `XDG_CACHE_HOME` or of `~/.cache`
    /// (`torch.hub.get_dir`).
    pub fn with_torch_hub(own: Option<PathBuf>) -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let cache = || match variable("XDG_CACHE_HOME") {
            Some(cache) => Some(PathBuf::from(cache)),
            None => Some(std::env::home_dir()?.join(".cache")),
        };
        let torch = variable("TORCH_HOME").map(PathBuf::from);
        let torch = torch.or_else(|| Some(cache()?.join("torch")));
        Self { own, torch_hub: torch.map(|torch| torch.join("hub").join("checkpoints")) }
    }

    /// The files of `net`: its trunk and its heads, those of the user's folder also in a folder `lpips` or `v0.1` of it;
    /// `None` where one of the two is nowhere.
    ///
    /// # Errors
    ///
    /// When the user's folder cannot be read, and when two of its files are named as one of them.
    pub fn lpips(&self, net: Net) -> Result<Option<WeightFiles>> {
        let Some(folder) = &self.own else { return Ok(None) };
        let mut files = listed(folder)?;
        files.extend(listed_inside(folder, ["lpips", "v0.1"])?);
        files.sort();
        let whole = |stem: &str| {
            stem.replace('-', "_").strip_prefix("lpips_").is_some_and(|rest| rest == net.name())
        };
        if let Some(file) = only(&files, whole, net.name())? {
            return Ok(Some(WeightFiles { trunk: file.clone(), heads: file }));
        }
        let of_heads = |stem: &str| stem == net.name();
        let (trunk, heads) = (self.trunk(&files, net)?, only(&files, of_heads, net.name())?);
        Ok(trunk.zip(heads).map(|(trunk, heads)| WeightFiles { trunk, heads }))
    }

    /// The files of DISTS: torchvision's VGG16, and as heads the `weights.pt` of the package `DISTS_pytorch`, in a folder
    /// of that name or `dists`, or named `dists` or `dists_weights` itself; `None` where one of the two is nowhere.
    ///
    /// # Errors
    ///
    /// As [`WeightFolders::lpips`].
    pub fn dists(&self) -> Result<Option<WeightFiles>> {
        let Some(folder) = &self.own else { return Ok(None) };
        let files = listed(folder)?;
        let named = |stem: &str| matches!(&*stem.replace('-', "_"), "dists" | "dists_weights");
        let mut own = files.clone();
        own.retain(|path| stem_of(path).is_some_and(|stem| named(&stem)));
        let mut inside = listed_inside(folder, ["DISTS_pytorch", "dists"])?;
        inside.retain(|path| stem_of(path).is_some_and(|stem| stem == "weights"));
        own.extend(inside);
        own.sort();
        let (trunk, heads) = (self.trunk(&files, Net::Vgg)?, only(&own, |_| true, "DISTS")?);
        Ok(trunk.zip(heads).map(|(trunk, heads)| WeightFiles { trunk, heads }))
    }

    /// The file of the Fréchet inception distance's network: `pt_inception-2015-12-05-6726825d.pth` of pytorch-fid or
    /// `weights-inception-2015-12-05-6726825d.pth` of torch-fidelity, or in the user's folder what begins so; `None`
    /// where neither is anywhere.
    ///
    /// # Errors
    ///
    /// As [`WeightFolders::lpips`], and when the user's folder has only `inception-2015-12-05.pt`, which is TorchScript.
    pub fn inception(&self) -> Result<Option<PathBuf>> {
        let downloaded =
            || INCEPTION.iter().find_map(|name| self.downloaded(&format!("{name}-6726825d.pth")));
        let Some(folder) = &self.own else { return Ok(downloaded()) };
        let files = listed(folder)?;
        let begins = |stem: &str| INCEPTION.iter().any(|known| stem.starts_with(known));
        let found = only(&files, begins, "InceptionV3")?.or_else(downloaded);
        let script = only(&files, |stem| stem == "inception-2015-12-05", "InceptionV3")?;
        match script.filter(|_| found.is_none()) {
            None => Ok(found),
            Some(script) => Err(Error::checkpoint(
                &script,
                "is TorchScript: a program, which is not run here",
                "put pt_inception-2015-12-05-6726825d.pth of pytorch-fid there, which has the same weights",
            )),
        }
    }

    /// Whether a file lies in torch's cache.
    pub fn is_downloaded(&self, file: &Path) -> bool {
        self.torch_hub.as_deref().is_some_and(|folder| file.parent() == Some(folder))
    }

    /// torchvision's file of a network.
    fn trunk(&self, files: &[PathBuf], net: Net) -> Result<Option<PathBuf>> {
        let name = net.trunk();
        let is_named = |stem: &str| stem == name || stem.starts_with(&format!("{name}-"));
        Ok(only(files, is_named, name)?.or_else(|| self.downloaded(net.published())))
    }

    /// A file of torch's cache.
    fn downloaded(&self, name: &str) -> Option<PathBuf> {
        let file = self.torch_hub.as_ref()?.join(name);
        file.is_file().then_some(file)
    }
}

/// What the two packages call InceptionV3's weights; they are the same.
const INCEPTION: [&str; 2] = ["pt_inception-2015-12-05", "weights-inception-2015-12-05"];

fn stem_of(path: &Path) -> Option<String> {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned())
}

/// The files of those folders in `folder` that are there.
fn listed_inside(folder: &Path, names: [&str; 2]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for inner in names.map(|name| folder.join(name)) {
        if inner.is_dir() {
            files.extend(listed(&inner)?);
        }
    }
    Ok(files)
}

fn listed(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error: std::io::Error| {
        Error::option(
            folder.display(),
            io_reason(&error),
            "name the folder with the metrics' weights",
        )
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        if ENDINGS.contains(&ending.as_str()) && path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

/// The only one of `files` that is named so.
fn only(files: &[PathBuf], is_named: impl Fn(&str) -> bool, of: &str) -> Result<Option<PathBuf>> {
    let mut found = files.iter().filter(|path| stem_of(path).is_some_and(|stem| is_named(&stem)));
    let first = found.next();
    if let (Some(first), Some(second)) = (first, found.next()) {
        let problem = format!("the weights of {of} may be this or {}", first.display());
        return Err(Error::option(
            second.display(),
            problem,
            "take one of the two out of the folder",
        ));
    }
    Ok(first.cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_folder(folder: &Path) -> WeightFolders {
        WeightFolders { own: Some(folder.to_owned()), torch_hub: None }
    }

    fn found(names: &[&str], net: Net) -> Result<Option<WeightFiles>> {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = own_folder(folder.path()).lpips(net)?;
        let inside = |path: PathBuf| path.strip_prefix(folder.path()).unwrap().to_owned();
        Ok(found
            .map(|files| WeightFiles { trunk: inside(files.trunk), heads: inside(files.heads) }))
    }

    #[test]
    fn published_names_are_known() {
        let names =
            ["alexnet-owt-7be5be79.pth", "v0.1/alex.pth", "vgg16-397923af.pth", "vgg.pth", "x.txt"];
        let [alex, vgg, squeeze] = Net::ALL.map(|net| found(&names, net).unwrap());
        let files = |trunk: &str, heads: &str| {
            Some(WeightFiles { trunk: PathBuf::from(trunk), heads: PathBuf::from(heads) })
        };
        assert_eq!(alex, files("alexnet-owt-7be5be79.pth", "v0.1/alex.pth"));
        assert_eq!(vgg, files("vgg16-397923af.pth", "vgg.pth"));
        assert_eq!(squeeze, None);
        let whole = found(&["lpips-alex.safetensors"], Net::Alex).unwrap();
        assert_eq!(whole, files("lpips-alex.safetensors", "lpips-alex.safetensors"));
        assert_eq!(found(&["vgg16-397923af.pth"], Net::Vgg).unwrap(), None);
    }

    #[test]
    fn those_of_dists_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            path
        };
        let own = write("DISTS_pytorch/weights.pt");
        // Whose weights that is, nobody knows.
        write("weights.pt");
        assert_eq!(own_folder(folder.path()).dists().unwrap(), None);
        let trunk = write("vgg16-397923af.pth");
        let found = own_folder(folder.path()).dists().unwrap();
        assert_eq!(found, Some(WeightFiles { trunk, heads: own }));
        write("dists.safetensors");
        let error = own_folder(folder.path()).dists().unwrap_err().to_string();
        assert!(error.contains("the weights of DISTS may be this or"), "{error}");
    }

    #[test]
    fn the_file_of_either_package_is_known_and_torchscript_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| std::fs::write(folder.path().join(name), "").unwrap();
        assert_eq!(own_folder(folder.path()).inception().unwrap(), None);
        write("inception-2015-12-05.pt");
        let error = own_folder(folder.path()).inception().unwrap_err().to_string();
        assert!(error.contains("TorchScript"), "{error}");
        write("pt_inception-2015-12-05-6726825d.pth");
        let found = own_folder(folder.path()).inception().unwrap();
        assert_eq!(found, Some(folder.path().join("pt_inception-2015-12-05-6726825d.pth")));
        write("weights-inception-2015-12-05-6726825d.pth");
        assert!(own_folder(folder.path()).inception().is_err());
    }

    #[test]
    fn two_that_may_be_meant_are_named() {
        let error = found(&["vgg.pth", "vgg.safetensors", "vgg16.pth"], Net::Vgg).unwrap_err();
        assert!(error.to_string().contains("may be this or"), "{error}");
    }

    #[test]
    fn what_torch_has_downloaded_is_taken_where_the_users_folder_has_none() {
        let (own, hub) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let write = |folder: &Path, name: &str| {
            let path = folder.join(name);
            std::fs::write(&path, "").unwrap();
            path
        };
        let folders = WeightFolders {
            own: Some(own.path().to_owned()),
            torch_hub: Some(hub.path().to_owned()),
        };
        assert_eq!(folders.inception().unwrap(), None);
        let trunk = write(hub.path(), "alexnet-owt-7be5be79.pth");
        write(hub.path(), "alexnet-owt-4df8aa71.pth");
        write(hub.path(), "weights-inception-2015-12-05-6726825d.pth");
        let of_fid = write(hub.path(), "pt_inception-2015-12-05-6726825d.pth");
        assert_eq!(folders.lpips(Net::Alex).unwrap(), None, "its heads are nowhere");
        let heads = write(own.path(), "alex.pth");
        let both = WeightFiles { trunk: trunk.clone(), heads: heads.clone() };
        assert_eq!(folders.lpips(Net::Alex).unwrap(), Some(both));
        assert!(folders.is_downloaded(&trunk) && !folders.is_downloaded(&heads));
        assert_eq!(folders.inception().unwrap(), Some(of_fid.clone()));
        assert_eq!(
            WeightFolders { own: None, ..folders.clone() }.inception().unwrap(),
            Some(of_fid)
        );
        let nearer = write(own.path(), "alexnet-owt-7be5be79.pth");
        let both = WeightFiles { trunk: nearer, heads };
        assert_eq!(folders.lpips(Net::Alex).unwrap(), Some(both));
    }
}
