//! From a pickle's values to named tensors.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::machine::Machine;
use super::value::{Node, Storage, Tensor, Value};
use crate::bytes::Bytes;
use crate::checksum::Checksum;
use crate::entry::{Encoding, Entry};
use vae_fidelity_core::ElementType;
use vae_fidelity_files::printable::shortened;

/// `{"state_dict": {"state_dict": ...}}` is followed this far. A pickle may contain itself.
const MAX_NESTING: usize = 8;

/// What an expanded tensor may take: more than latents of any picture do.
const MAX_EXPANDED_BYTES: usize = 1 << 28;

/// What a file of pickles holds.
pub(crate) struct Pickled {
    pub entries: BTreeMap<String, Entry>,
    /// Whether they are those of the dict that was asked for, under their names in it.
    pub at_key: bool,
    /// Functions and classes that the file asked for and that were not run, as `module.name`.
    pub not_run: Vec<String>,
}

/// Where a storage lies, and the file's checksum of the part that it lies in.
type Place = (Range<usize>, Option<Arc<Checksum>>);

/// Places the tensors that were found; `find` says where in `file` a storage lies.
pub(super) fn entries<'a>(
    machine: &Machine<'a>,
    found: Found<'a>,
    file: &Arc<Bytes>,
    find: impl Fn(&Storage<'a>, usize) -> Result<Place, String>,
) -> Result<Pickled, String> {
    let mut entries = BTreeMap::new();
    for (name, value) in found.values {
        let entry = match machine.node(value) {
            Some(Node::Tensor(tensor)) => {
                entry(tensor, file, found.expanded, &find).map_err(|problem| {
                    match name.as_str() {
                        "" => problem,
                        name => format!("{}: {problem}", shortened(name)),
                    }
                })?
            }
            Some(Node::Opaque(module, class)) => {
                Entry::unreadable(file, format!("an object of {module}.{class}, which is not run"))
            }
            _ => continue,
        };
        entries.insert(name, entry);
    }
    let not_run = machine.unknown.iter().map(|(module, name)| format!("{module}.{name}"));
    Ok(Pickled { entries, at_key: found.at_key, not_run: not_run.collect() })
}

/// The tensors of a pickle, by names in which a dot stands for each dict within another.
pub(super) struct Found<'a> {
    /// What may be a tensor; anything else has been left out.
    values: BTreeMap<String, Value<'a>>,
    /// Whether they are those of the dict that was asked for.
    pub at_key: bool,
    /// How many bytes an expanded tensor may take. Weights are never expanded.
    expanded: usize,
}

/// What is looked for in a pickle.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'k> {
    /// The tensors below the dict that the key leads to; without it, or where it leads to none, below the
    /// pickle's own dict, or the one under its `state_dict`, as diffusers looks.
    StateDict(Option<&'k str>),
    /// All tensors in dicts and lists, or the one that the pickle is.
    Tensors,
}

/// The tensors that are wanted.
pub(super) fn find<'a>(machine: &Machine<'a>, wanted: Wanted) -> Result<Found<'a>, String> {
    let key = match wanted {
        Wanted::StateDict(key) => key,
        Wanted::Tensors => return tensors(machine),
    };
    let root = behind_state_dict(machine, machine.root)?;
    let wanted = key.and_then(|key| {
        let starts = [machine.root, root];
        starts.into_iter().find_map(|start| descend(machine, start, key, MAX_NESTING))
    });
    let at = match wanted {
        Some(dict) => behind_state_dict(machine, dict)?,
        None => root,
    };
    Ok(Found { values: flattened(machine, at), at_key: wanted.is_some(), expanded: 0 })
}

/// The tensor that a pickle is, under an empty name; those of a list, by their place; or those of a dict.
fn tensors<'a>(machine: &Machine<'a>) -> Result<Found<'a>, String> {
    let values = match machine.node(machine.root) {
        Some(Node::Tensor(_)) => BTreeMap::from([(String::new(), machine.root)]),
        Some(Node::Dict(_)) => flattened(machine, machine.root),
        Some(Node::Tuple(items) | Node::List(items)) => {
            let numbered = items.iter().enumerate();
            numbered
                .filter(|(_, item)| matches!(machine.node(**item), Some(Node::Tensor(_))))
                .map(|(index, &item)| (index.to_string(), item))
                .collect()
        }
        Some(Node::Opaque(module, name)) => {
            return Err(format!(
                "expected a tensor, found an object of {module}.{name}, which is not run"
            ));
        }
        _ => return Err("expected a tensor, found something else".into()),
    };
    Ok(Found { values, at_key: false, expanded: MAX_EXPANDED_BYTES })
}

/// The pairs of a dict whose keys are names; `None` for anything but a dict. A later pair of the same
/// name wins.
fn named<'a>(machine: &Machine<'a>, value: Value<'a>) -> Option<BTreeMap<&'a str, Value<'a>>> {
    let Some(Node::Dict(pairs)) = machine.node(value) else { return None };
    let name = |&(key, value): &(Value<'a>, Value<'a>)| match key {
        Value::Str(name) => Some((name, value)),
        _ => None,
    };
    Some(pairs.iter().filter_map(name).collect())
}

/// The dict in `value`, or the one under its `state_dict`.
fn behind_state_dict<'a>(machine: &Machine<'a>, value: Value<'a>) -> Result<Value<'a>, String> {
    let mut value = value;
    for _ in 0..MAX_NESTING {
        let Some(pairs) = named(machine, value) else {
            return Err(match machine.node(value) {
                Some(Node::Opaque(module, name)) => {
                    // A whole model was saved.
                    let whole = ["diffusers.", "torch.nn."].iter().any(|of| module.starts_with(of));
                    let instead = if whole { ": save its state_dict() instead" } else { "" };
                    format!(
                        "expected a dict of tensors, found an object of {module}.{name}, which is \
                         not run{instead}"
                    )
                }
                _ => "expected a dict of tensors, found something else".into(),
            });
        };
        match pairs.get("state_dict") {
            Some(&inner) => value = inner,
            None => return Ok(value),
        }
    }
    Err(format!("state_dict within state_dict more than {MAX_NESTING} times"))
}

/// The dict that `key` names in the dict `value`; a dot leads into a dict, or is part of a name.
fn descend<'a>(
    machine: &Machine<'a>,
    value: Value<'a>,
    key: &str,
    depth: usize,
) -> Option<Value<'a>> {
    let pairs = named(machine, value)?;
    if let Some(&found) = pairs.get(key) {
        return named(machine, found).map(|_| found);
    }
    let depth = depth.checked_sub(1)?;
    key.match_indices('.')
        .find_map(|(dot, _)| descend(machine, *pairs.get(&key[..dot])?, &key[dot + 1..], depth))
}

/// All tensors in the dict `root` and in the dicts within it, each dict once.
fn flattened<'a>(machine: &Machine<'a>, root: Value<'a>) -> BTreeMap<String, Value<'a>> {
    // Each tensor's name repeats the names that lead to it, so these must not be long.
    const LONGEST: usize = 64;
    let mut flat = BTreeMap::new();
    let mut seen = HashSet::new();
    let mut left = vec![(root, String::new(), 0)];
    while let Some((dict, prefix, depth)) = left.pop() {
        let Value::Node(index) = dict else { continue };
        if !seen.insert(index) {
            continue;
        }
        let Some(pairs) = named(machine, dict) else { continue };
        let is_tensor = |value: &Value<'a>| matches!(machine.node(*value), Some(Node::Tensor(_)));
        let has_tensors = depth == 0 || pairs.values().any(is_tensor);
        for (name, value) in pairs {
            let short = prefix.len() + name.len() <= LONGEST;
            match machine.node(value) {
                Some(Node::Tensor(_)) => drop(flat.insert(format!("{prefix}{name}"), value)),
                Some(Node::Opaque(..)) if has_tensors => {
                    flat.insert(format!("{prefix}{name}"), value);
                }
                Some(Node::Dict(_)) if short && depth < MAX_NESTING => {
                    left.push((value, format!("{prefix}{name}."), depth + 1));
                }
                _ => {}
            }
        }
    }
    flat
}

fn entry<'a>(
    tensor: &Tensor<'a>,
    file: &Arc<Bytes>,
    expanded: usize,
    find: impl Fn(&Storage<'a>, usize) -> Result<Place, String>,
) -> Result<Entry, String> {
    let Tensor { storage, dtype, offset, shape, strides } = tensor;
    // An untyped storage counts bytes, and the tensor brings its dtype.
    let (encoding, width) = match dtype {
        Some(dtype) => (encoding_of(dtype), 1),
        None => (encoding_of(storage.kind), width_of(storage.kind)?),
    };
    let (range, checksum) = find(storage, width)?;
    let entry =
        Entry::strided(file, encoding, range, *offset, shape.clone(), strides.clone(), expanded)?;
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
    Encoding::Float(match kind {
        "DoubleStorage" | "float64" => ElementType::F64,
        "FloatStorage" | "float32" => ElementType::F32,
        "HalfStorage" | "float16" => ElementType::F16,
        "BFloat16Storage" | "bfloat16" => ElementType::Bf16,
        "float8_e4m3fn" => ElementType::Float8E4m3,
        "float8_e5m2" => ElementType::Float8E5m2,
        other => return Encoding::Other(format!("torch.{other}")),
    })
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
