//! From a pickle's values to named tensors.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::machine::Machine;
use super::value::{Node, Storage, Tensor, Value};
use crate::bytes::Bytes;
use crate::checksum::Checksum;
use crate::entry::{Encoding, Entry};

/// `{"state_dict": {"state_dict": ...}}` is followed this far. A pickle may contain itself.
const MAX_NESTING: usize = 8;

/// What a file of pickles holds.
pub(crate) struct Pickled {
    pub entries: BTreeMap<String, Entry>,
    /// Functions and classes that the file asked for and that were not run, as `module.name`.
    pub not_run: Vec<String>,
}

/// Where a storage lies, and the file's checksum of the part that it lies in.
type Found = (Range<usize>, Option<Arc<Checksum>>);

/// Places the tensors of a `state_dict`; `find` says where in `file` a storage lies.
pub(super) fn entries<'a>(
    machine: &Machine<'a>,
    state_dict: BTreeMap<&'a str, Value<'a>>,
    file: &Arc<Bytes>,
    find: impl Fn(&Storage<'a>, usize) -> Result<Found, String>,
) -> Result<Pickled, String> {
    let mut entries = BTreeMap::new();
    for (name, value) in state_dict {
        let entry = match machine.node(value) {
            Some(Node::Tensor(tensor)) => {
                entry(tensor, file, &find).map_err(|problem| format!("{name}: {problem}"))?
            }
            Some(Node::Opaque(module, class)) => {
                Entry::unreadable(file, format!("an object of {module}.{class}, which is not run"))
            }
            _ => continue,
        };
        entries.insert(name.to_owned(), entry);
    }
    let not_run = machine.unknown.iter().map(|(module, name)| format!("{module}.{name}"));
    Ok(Pickled { entries, not_run: not_run.collect() })
}

/// The dict of tensors: the pickle's own, or the one under its `state_dict`, as diffusers looks.
pub(super) fn find<'a>(machine: &Machine<'a>) -> Result<BTreeMap<&'a str, Value<'a>>, String> {
    let mut value = machine.root;
    for _ in 0..MAX_NESTING {
        let pairs = match machine.node(value) {
            Some(Node::Dict(pairs)) => pairs,
            Some(Node::Opaque(module, name)) => {
                return Err(format!(
                    "expected a dict of tensors, found an object of {module}.{name}, which is not run"
                ));
            }
            _ => return Err("expected a dict of tensors, found something else".into()),
        };
        let named: BTreeMap<&str, Value> = pairs
            .iter()
            .filter_map(|&(key, value)| match key {
                Value::Str(name) => Some((name, value)),
                _ => None,
            })
            .collect();
        match named.get("state_dict") {
            Some(&inner) => value = inner,
            None => return Ok(named),
        }
    }
    Err(format!("state_dict within state_dict more than {MAX_NESTING} times"))
}

fn entry<'a>(
    tensor: &Tensor<'a>,
    file: &Arc<Bytes>,
    find: impl Fn(&Storage<'a>, usize) -> Result<Found, String>,
) -> Result<Entry, String> {
    let Tensor { storage, dtype, offset, shape, strides } = tensor;
    // An untyped storage counts bytes, and the tensor brings its dtype.
    let (encoding, width) = match dtype {
        Some(dtype) => (encoding_of(dtype), 1),
        None => (encoding_of(storage.kind), width_of(storage.kind)?),
    };
    let (range, checksum) = find(storage, width)?;
    let entry = Entry::strided(file, encoding, range, *offset, shape.clone(), strides.clone())?;
    Ok(entry.with_checksum(checksum))
}

/// Bytes of an element of torch's storage classes.
pub(super) fn width_of(kind: &str) -> Result<usize, String> {
    Ok(match kind {
        "ComplexDoubleStorage" => 16,
        "DoubleStorage" | "LongStorage" | "ComplexFloatStorage" => 8,
        "FloatStorage" | "IntStorage" | "QInt32Storage" => 4,
        "HalfStorage" | "BFloat16Storage" | "ShortStorage" => 2,
        "ByteStorage" | "CharStorage" | "BoolStorage" | "QInt8Storage" | "QUInt8Storage"
        | "UntypedStorage" => 1,
        _ => return Err(format!("torch.{kind} is no storage that is known here")),
    })
}

fn encoding_of(kind: &str) -> Encoding {
    match kind {
        "DoubleStorage" | "float64" => Encoding::F64,
        "FloatStorage" | "float32" => Encoding::F32,
        "HalfStorage" | "float16" => Encoding::F16,
        "BFloat16Storage" | "bfloat16" => Encoding::Bf16,
        "float8_e4m3fn" => Encoding::F8E4m3,
        "float8_e5m2" => Encoding::F8E5m2,
        other => Encoding::Other(format!("torch.{other}")),
    }
}

/// `len` values of `width` bytes, `first` values after the start of `block`; `None` outside it.
pub(super) fn within(
    block: &Range<usize>,
    storage: &Storage,
    width: usize,
) -> Option<Range<usize>> {
    let start = storage.first.checked_mul(width)?.checked_add(block.start)?;
    let end = storage.len.checked_mul(width)?.checked_add(start)?;
    (end <= block.end).then_some(start..end)
}
