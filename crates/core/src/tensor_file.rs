//! Tensors in files: `.safetensors` and `.npy`.

use std::fmt;
use std::path::Path;

use ndarray::{ArrayD, ArrayView4, ArrayViewD, IxDyn, ShapeBuilder, StrideShape};
use safetensors::tensor::TensorView;
use safetensors::{Dtype as StoredDtype, SafeTensors};

use crate::element_type::ElementType;
use crate::npy_header;
use crate::safetensors_header::{self, MAX_AXES, too_many_axes};
use vae_fidelity_files::error::{Error, ErrorKind, Result};
use vae_fidelity_files::input::{MAX_TENSOR_BYTES, read_bytes};
use vae_fidelity_files::printable::{shortened, shown_shape};

/// One tensor of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct FileTensor {
    /// Its name; `None` in an `.npy` file, which has none.
    pub name: Option<String>,
    /// How the file stores its values.
    pub stored: ElementType,
    /// The values: exact, but for those of f64 that f32 does not hold, which are rounded.
    pub values: ArrayD<f32>,
    /// All values as stored, where `values` does not hold each of them exactly.
    pub wide: Option<ArrayD<f64>>,
}

impl FileTensor {
    /// The values as stored, in f64: exact from everything that is read.
    pub fn exact(&self) -> ArrayD<f64> {
        self.wide.clone().unwrap_or_else(|| self.values.mapv(f64::from))
    }
}

/// Whether [`read`] is meant for `path`: its name ends in `.safetensors` or `.npy`.
pub fn is_tensor_file(path: &Path) -> bool {
    extension(path).is_some()
}

enum Format {
    Safetensors,
    Npy,
}

fn extension(path: &Path) -> Option<Format> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "safetensors" => Some(Format::Safetensors),
        "npy" => Some(Format::Npy),
        _ => None,
    }
}

/// All tensors of `path`, sorted by name.
///
/// # Errors
///
/// Returns an error if the file is missing, broken or without a tensor, or if a tensor is not f64, f32,
/// f16, bf16 or u8.
pub fn read(path: &Path) -> Result<Vec<FileTensor>> {
    let Some(format) = extension(path) else {
        return Err(broken(path, "expected a name that ends in .safetensors or .npy"));
    };
    let bytes = read_bytes(path, MAX_TENSOR_BYTES).map_err(|problem| {
        Error::new(
            ErrorKind::Tensor,
            path.display(),
            problem,
            "give the path of a .safetensors or .npy file that can be read",
        )
    })?;
    match format {
        Format::Safetensors => from_safetensors(path, &bytes),
        Format::Npy => Ok(vec![from_npy(path, &bytes)?]),
    }
}

/// The bytes of a `.safetensors` file that holds `tensors` as f32 under their names.
///
/// # Errors
///
/// Returns an error if two tensors have the same name.
pub fn to_safetensors(tensors: &[(&str, ArrayView4<f32>)]) -> Result<Vec<u8>> {
    let stored: Vec<(&str, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, values)| {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (*name, values.shape().to_vec(), bytes)
        })
        .collect();
    let refused = |error: safetensors::SafeTensorError| {
        Error::tensor("tensors to save", error, "give each tensor a name of its own")
    };
    let views = stored
        .iter()
        .map(|(name, shape, bytes)| {
            TensorView::new(StoredDtype::F32, shape.clone(), bytes).map(|view| (*name, view))
        })
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(refused)?;
    safetensors::serialize(views, None).map_err(refused)
}

/// The bytes of an `.npy` file (version 1) that holds `values` as f32 in C order.
///
/// ```
/// let values = ndarray::arr1(&[1.0_f32, 2.0]);
/// let bytes = vae_fidelity_core::tensor_file::to_npy(values.view().into_dyn());
/// assert!(bytes.starts_with(b"\x93NUMPY\x01\x00"));
/// assert_eq!(bytes.len(), 128 + 8);
/// ```
pub fn to_npy(values: ArrayViewD<f32>) -> Vec<u8> {
    let sides: String = values.shape().iter().map(|side| format!("{side}, ")).collect();
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}), }}", sides.trim_end());
    // Magic, version and length take 10 bytes, the newline one; numpy aligns data to 64.
    let padded = (10 + header.len() + 1).next_multiple_of(64) - 10;
    header.extend(std::iter::repeat_n(' ', padded - 1 - header.len()));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

/// All tensors of the safetensors file that `bytes` are, sorted by name; `path` names it in errors.
pub fn from_safetensors(path: &Path, bytes: &[u8]) -> Result<Vec<FileTensor>> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| broken(path, safetensors_header::problem(bytes, &error)))?;
    let mut tensors = file
        .iter()
        .map(|(name, view)| {
            let refused = || unreadable(path, Some(name), view.dtype());
            let stored = ElementType::of_safetensors(view.dtype()).ok_or_else(refused)?;
            let values = stored.values(view.data()).ok_or_else(refused)?;
            let values = array(IxDyn(view.shape()), values)
                .map_err(|problem| broken(path, format!("{}: {problem}", shortened(name))))?;
            Ok(tensor(Some(name.to_owned()), stored, values))
        })
        .collect::<Result<Vec<_>>>()?;
    if tensors.is_empty() {
        return Err(broken(path, "holds no tensor"));
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tensors)
}

/// A tensor of a file, narrowed to f32 where that loses nothing.
fn tensor(name: Option<String>, stored: ElementType, exact: ArrayD<f64>) -> FileTensor {
    let values = exact.mapv(|value| value as f32);
    let rounded = exact
        .iter()
        .zip(&values)
        .any(|(&exact, &value)| exact.is_finite() && f64::from(value) != exact);
    FileTensor { name, stored, values, wide: rounded.then_some(exact) }
}

/// The shape of the array in the `.npy` file that `bytes` are, where it holds whole numbers of more than a
/// byte: sizes, boxes, indices, which are no values of a tensor here. `None` for any other.
pub fn npy_shape_of_whole_numbers(bytes: &[u8]) -> Option<Vec<usize>> {
    let (header, _) = npy_header::split(bytes)?;
    let descr = npy_header::field(header, "descr")?.trim_matches(['\'', '"']);
    let kind = descr.trim_start_matches(['<', '|', '>', '=']);
    let whole = kind != "u1" && kind.starts_with(['i', 'u', 'b']);
    npy_header::shape(header).filter(|_| whole)
}

/// The array of the `.npy` file that `bytes` are; `path` names it in errors.
///
/// NumPy's own format (`numpy.lib.format`), versions 1 to 3. Read here, since the crates for it
/// either know no f16 or bring a parser generator for a header of three fields.
///
/// # Errors
///
/// As [`read`].
pub fn from_npy(path: &Path, bytes: &[u8]) -> Result<FileTensor> {
    let not_npy = || broken(path, "is not an .npy file: its header does not read as one");
    let (header, data) = npy_header::split(bytes).ok_or_else(not_npy)?;
    let stored = npy_header::field(header, "descr").ok_or_else(not_npy)?.trim_matches(['\'', '"']);
    let fortran = npy_header::field(header, "fortran_order").ok_or_else(not_npy)? == "True";
    let shape = npy_header::shape(header).ok_or_else(not_npy)?;
    let stored = match stored {
        "<f8" => ElementType::F64,
        "<f4" => ElementType::F32,
        "<f2" => ElementType::F16,
        "|u1" => ElementType::U8,
        other if other.starts_with('[') => {
            return Err(Error::new(
                ErrorKind::Tensor,
                path.display(),
                format!(
                    "expected an array of numbers, found one with fields: {}",
                    shortened(other)
                ),
                "save the field that holds the values: numpy.save(F, array[\"NAME\"])",
            ));
        }
        other => return Err(unreadable(path, None, shortened(other))),
    };
    if shape.len() > MAX_AXES {
        return Err(broken(path, too_many_axes(shape.len())));
    }
    let product = |product: usize, &side| product.checked_mul(side);
    let wanted = match shape.contains(&0) {
        true => Some(0),
        false => shape.iter().try_fold(stored.size_bytes(), product),
    };
    if wanted != Some(data.len()) {
        let (shape, found) = (shown_shape(&shape), data.len());
        return Err(broken(path, format!("{shape} of {stored:?} does not fit {found} bytes")));
    }
    let values = stored.values(data).ok_or_else(|| unreadable(path, None, stored))?;
    let values =
        array(IxDyn(&shape).set_f(fortran), values).map_err(|problem| broken(path, problem))?;
    Ok(tensor(None, stored, values))
}

/// `values` in `shape`. Their number fits; a shape of no values may have sides that no array has.
fn array(
    shape: impl Into<StrideShape<IxDyn>>,
    values: Vec<f64>,
) -> std::result::Result<ArrayD<f64>, &'static str> {
    let problem = "expected the sides of an array that memory holds, found larger ones";
    ArrayD::from_shape_vec(shape, values).map_err(|_| problem)
}

fn broken(path: &Path, problem: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Tensor, path.display(), problem, "write or fetch the file again")
}

fn unreadable(path: &Path, name: Option<&str>, found: impl fmt::Debug) -> Error {
    let name = name.map(|name| format!("{}: ", shortened(name))).unwrap_or_default();
    Error::new(
        ErrorKind::Tensor,
        path.display(),
        format!("{name}expected float64, float32, float16, bfloat16 or uint8, found {found:?}"),
        "convert it first, for example with tensor.float() or array.astype(\"float32\")",
    )
}

/// The tensor `name` of a file, or its only one whatever its name.
///
/// # Errors
///
/// As [`read`], and where there is neither.
pub fn read_named(path: &Path, name: &str) -> Result<ArrayD<f32>> {
    let mut tensors = read(path)?;
    let found: Vec<String> = tensors.iter().filter_map(|tensor| tensor.name.clone()).collect();
    let named = tensors.iter().position(|tensor| tensor.name.as_deref() == Some(name));
    match (named, tensors.len()) {
        (Some(at), _) => Ok(tensors.swap_remove(at).values),
        (None, 1) => Ok(tensors.swap_remove(0).values),
        (None, count) => Err(Error::tensor(
            path.display(),
            format!(
                "expected one tensor, or one named {name}, found {count}: {}",
                found.join(", ")
            ),
            "save the tensor alone, or under that name",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(header: &str, data: &[u8]) -> Vec<u8> {
        let length = (header.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
    }

    fn problem(bytes: &[u8]) -> String {
        from_npy(Path::new("a.npy"), bytes).unwrap_err().to_string()
    }

    #[test]
    fn both_orders_of_an_npy_file_give_the_same_tensor() {
        let bytes = |values: [f32; 4]| values.map(f32::to_le_bytes).concat();
        let header =
            |order| format!("{{'descr': '<f4', 'fortran_order': {order}, 'shape': (2, 2), }}\n");
        let path = Path::new("a.npy");
        let c = from_npy(path, &npy(&header("False"), &bytes([1.0, 2.0, 3.0, 4.0]))).unwrap();
        let f = from_npy(path, &npy(&header("True"), &bytes([1.0, 3.0, 2.0, 4.0]))).unwrap();
        assert_eq!(c, f);
        assert_eq!(c.values[[0, 1]], 2.0);
        let scalar = "{'descr': '<f2', 'fortran_order': False, 'shape': (), }";
        let scalar = from_npy(path, &npy(scalar, &[0x00, 0x3c])).unwrap();
        assert_eq!(
            (scalar.values.ndim(), scalar.values.sum(), scalar.stored),
            (0, 1.0, ElementType::F16)
        );
    }

    #[test]
    fn f64_and_u8_are_read_exactly() {
        let header =
            |descr| format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (2,), }}");
        let path = Path::new("a.npy");
        let bytes = |values: [f64; 2]| values.map(f64::to_le_bytes).concat();
        let exact = from_npy(path, &npy(&header("<f8"), &bytes([0.5, f64::NAN]))).unwrap();
        assert_eq!((exact.stored, &exact.wide), (ElementType::F64, &None));
        let tenth = from_npy(path, &npy(&header("<f8"), &bytes([0.1, 1e300]))).unwrap();
        assert_eq!(tenth.values.as_slice().unwrap(), [0.1, f32::INFINITY]);
        assert_eq!(tenth.exact().as_slice().unwrap(), [0.1, 1e300]);
        let levels = from_npy(path, &npy(&header("|u1"), &[0, 255])).unwrap();
        assert_eq!((levels.stored, levels.values.sum()), (ElementType::U8, 255.0));
        for (stored, descr) in
            [(StoredDtype::F64, ElementType::F64), (StoredDtype::U8, ElementType::U8)]
        {
            let data = vec![0; 2 * descr.size_bytes()];
            let view = TensorView::new(stored, vec![2], &data).unwrap();
            let file = safetensors::serialize([("a", view)], None).unwrap();
            assert_eq!(from_safetensors(path, &file).unwrap()[0].stored, descr);
        }
    }

    #[test]
    fn lies_in_an_npy_header_are_errors() {
        let header = |descr, shape| {
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}")
        };
        assert!(problem(&npy(&header("<f4", "(2,)"), &[0; 4])).contains("does not fit 4 bytes"));
        let huge = "(18446744073709551615, 18446744073709551615)";
        assert!(problem(&npy(&header("<f4", huge), &[0; 4])).contains("does not fit"));
        assert!(problem(&npy(&header("<i8", "(1,)"), &[0; 8])).contains("found \"<i8\""));
        for wrong in [header("<f4", "(-1,)"), header("<f4", "(2"), "{}".into(), "(".repeat(60000)] {
            assert!(problem(&npy(&wrong, &[])).contains("is not an .npy file"), "{wrong}");
        }
        let empty = "(0, 18446744073709551615, 32, 32)";
        assert!(problem(&npy(&header("<f4", empty), &[])).contains("that memory holds"));
        let axes = format!("({})", "1, ".repeat(20_000));
        assert!(problem(&npy(&header("<f4", &axes), &[0; 4])).contains("at most 64 axes"));
        let fields = "{'descr': [('a', '<f4'), ('b', [('c', '<f4')])], 'fortran_order': False, 'shape': (1,), }";
        let said = problem(&npy(fields, &[0; 8]));
        assert!(said.contains("fields: [('a', '<f4'), ('b', [('c', '<f4')])]"), "{said}");
        for cut in 0..12 {
            let whole = npy(&header("<f4", "(1,)"), &[0; 4]);
            assert!(problem(&whole[..cut]).contains("is not an .npy file"));
        }
    }

    #[test]
    fn what_is_written_as_safetensors_is_read_back() {
        let values =
            ndarray::Array4::from_shape_fn((1, 2, 3, 1), |(_, c, y, _)| (c * 3 + y) as f32);
        let bytes = to_safetensors(&[("z", values.view()), ("a", values.view())]).unwrap();
        let tensors = from_safetensors(Path::new("a.safetensors"), &bytes).unwrap();
        let names: Vec<_> = tensors.iter().map(|tensor| tensor.name.as_deref()).collect();
        assert_eq!(names, [Some("a"), Some("z")]);
        assert_eq!(tensors[0].values, values.into_dyn());
    }
}
