//! What is wrong with a safetensors file that its reader refuses, in words that name the tensor: the reader's own
//! say that something is invalid.

use safetensors::{Dtype, SafeTensorError};
use serde_json::Value;

use vae_fidelity_files::printable::{shortened, shown_shape};

/// As many axes as NumPy has at most. torch has no more in practice.
pub const MAX_AXES: usize = 64;

/// What is wrong with the file `bytes`, which the reader refuses with `error`.
pub fn problem(bytes: &[u8], error: &SafeTensorError) -> String {
    of_tensors(bytes).unwrap_or_else(|| match error {
        SafeTensorError::InvalidHeader(_) => "its header is no text in UTF-8".to_owned(),
        SafeTensorError::InvalidHeaderDeserialization(_) | SafeTensorError::JsonError(_) => {
            "its header is no JSON that describes tensors".to_owned()
        }
        SafeTensorError::HeaderTooLarge => "its header is longer than 100 MB".to_owned(),
        SafeTensorError::HeaderTooSmall | SafeTensorError::InvalidHeaderLength => {
            format!("it ends within its header, after {} bytes", bytes.len())
        }
        _ => "its header contradicts itself".to_owned(),
    })
}

/// The first tensor whose description cannot be; `None` where each can, and where there is no header.
fn of_tensors(bytes: &[u8]) -> Option<String> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (header, data) =
        rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let header: Value = serde_json::from_slice(header).ok()?;
    let mut places = Vec::new();
    for (name, tensor) in header.as_object()? {
        if name == "__metadata__" {
            continue;
        }
        let said = |problem: String| Some(format!("{}: {problem}", shortened(name)));
        let dtype = tensor.get("dtype").cloned().unwrap_or_default();
        let Ok(known) = serde_json::from_value::<Dtype>(dtype.clone()) else {
            let found = dtype.to_string();
            return said(format!("expected a dtype such as F32, found {}", shortened(&found)));
        };
        let numbers = |field: &str| {
            let numbers = tensor.get(field)?.as_array()?.iter();
            numbers.map(|number| usize::try_from(number.as_u64()?).ok()).collect::<Option<Vec<_>>>()
        };
        let Some(shape) = numbers("shape") else {
            return said("expected a shape of whole numbers".to_owned());
        };
        if shape.len() > MAX_AXES {
            return said(too_many_axes(shape.len()));
        }
        let Some([start, end]) =
            numbers("data_offsets").and_then(|two| <[_; 2]>::try_from(two).ok())
        else {
            return said("expected data_offsets of two whole numbers".to_owned());
        };
        let Some(held) = end.checked_sub(start).filter(|_| end <= data.len()) else {
            let there = data.len();
            return said(format!(
                "lies in bytes {start} to {end}, and the file has {there} of tensors"
            ));
        };
        let bits = shape.iter().try_fold(known.bitsize(), |bits, &side| bits.checked_mul(side));
        if bits != Some(8 * held) {
            let (shape, takes) = (shown_shape(&shape), bits.map(|bits| bits.div_ceil(8)));
            let takes =
                takes.map_or("more than there can be".to_owned(), |takes| takes.to_string());
            return said(format!("{shape} of {known:?} takes {takes} bytes, found {held}"));
        }
        places.push((start, end, name));
    }
    places.sort();
    let mut at = 0;
    for (start, end, name) in places {
        if start != at {
            let name = shortened(name);
            return Some(format!(
                "{name}: expected its values from byte {at} of the tensors on, found byte {start}"
            ));
        }
        at = end;
    }
    let more = data.len() - at;
    (more > 0).then(|| format!("it has {} bytes, {more} more than its tensors take", bytes.len()))
}

/// That a tensor has `axes` axes, where it may have [`MAX_AXES`].
pub fn too_many_axes(axes: usize) -> String {
    format!("expected a shape of at most {MAX_AXES} axes, found {axes}")
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;

    use super::*;

    fn said(header: &str, data: usize) -> String {
        let length = (header.len() as u64).to_le_bytes();
        let bytes = [&length[..], header.as_bytes(), &vec![0; data]].concat();
        problem(&bytes, &SafeTensors::deserialize(&bytes).unwrap_err())
    }

    #[test]
    fn the_tensor_is_named_with_what_was_expected_and_found() {
        let tensor = |dtype: &str, shape: &str, end: usize| {
            format!(
                r#"{{"latents":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{end}]}}}}"#
            )
        };
        for (header, data, part) in [
            (tensor("F32", "[1,2]", 4), 4, "latents: [1, 2] of F32 takes 8 bytes, found 4"),
            (tensor("F32", "[0,2]", 4), 4, "latents: [0, 2] of F32 takes 0 bytes, found 4"),
            (tensor("F32", "[]", 8), 8, "latents: [] of F32 takes 4 bytes, found 8"),
            (tensor("F31", "[1]", 4), 4, "latents: expected a dtype such as F32, found \"F31\""),
            (tensor("F32", "[-1]", 4), 4, "latents: expected a shape of whole numbers"),
            (tensor("F32", "[2]", 8), 4, "latents: lies in bytes 0 to 8, and the file has 4"),
            (tensor("F32", "[1]", 4), 5, "1 more than its tensors take"),
            (tensor("F32", "[18446744073709551615,9]", 4), 4, "more than there can be"),
            ("{\"a\":".to_owned(), 0, "no JSON that describes tensors"),
        ] {
            let said = said(&header, data);
            assert!(said.contains(part), "{said}");
        }
    }
}
