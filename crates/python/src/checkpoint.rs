//! A checkpoint's tensors, by the names that diffusers has for them.

use numpy::ndarray::ArrayD;
use numpy::{IntoPyArray, PyArrayDyn};
use pyo3::prelude::*;
use vae_fidelity::Error;
use vae_fidelity::checkpoint::Contents;

use super::options::{Repo, Source};
use super::{errors, waiting};

/// Name, shape, and the dtype as safetensors writes it.
type Listed = (String, Vec<usize>, String);

/// A checkpoint that was opened, and whose tensors are read one by one.
#[pyclass(frozen)]
pub struct Checkpoint {
    contents: Contents,
}

#[pymethods]
impl Checkpoint {
    #[new]
    #[pyo3(signature = (repo, *, subfolder=None, revision=None, variant=None, key=None, config=None,
                        family=None, offline=false))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn new(
        py: Python<'_>,
        repo: Repo,
        subfolder: Option<String>,
        revision: Option<String>,
        variant: Option<String>,
        key: Option<String>,
        config: Option<std::path::PathBuf>,
        family: Option<String>,
        offline: bool,
    ) -> PyResult<Self> {
        let about = Source { subfolder, revision, variant, key, config, family, offline };
        let contents = waiting::until_done(py, move || about.opened(repo))?;
        Ok(Self { contents })
    }

    /// Every tensor of the VAE, in the order of their names.
    fn tensors(&self) -> Vec<Listed> {
        let listed = self.contents.tensors().into_iter();
        listed.map(|tensor| (tensor.name, tensor.shape, tensor.dtype.to_string())).collect()
    }

    /// The config as JSON, defaults filled in, where one is known.
    fn config(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let json = self.contents.config().map(super::json::json).transpose();
        json.map_err(|error| errors::raised(py, &error))
    }

    /// The values of a tensor in f32, which is exact for what is stored in 16 bits or 8.
    fn array<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
        let read = || {
            let unknown = || {
                let next = "names are diffusers': see the checkpoint's list";
                Error::tensor(name, "no such tensor in this checkpoint", next)
            };
            let stored = self.contents.read(name).ok_or_else(unknown)?;
            let array = ArrayD::from_shape_vec(stored.shape.clone(), stored.to_f32());
            self.contents.check_unchanged()?;
            array.map_err(|error| Error::tensor(name, error, "please report it to the authors"))
        };
        let array = py.detach(read).map_err(|error| errors::raised(py, &error))?;
        Ok(array.into_pyarray(py))
    }
}
