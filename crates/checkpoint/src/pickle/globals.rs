//! The globals that this reader understands. Each stands for data; none is called.

use super::machine::Machine;
use super::value::{Node, Storage, Tensor, Value};

/// Dimensions of a tensor; torch itself stops at 64, and a VAE's have at most four.
const MAX_DIMENSIONS: usize = 16;

/// What Python would get by calling `callee`, if it is one of those that rebuild tensors; anything
/// else is opaque and noted by name.
pub(super) fn made_by<'a>(
    machine: &mut Machine<'a>,
    callee: Value<'a>,
    arguments: Value<'a>,
) -> Result<Value<'a>, String> {
    let (module, name) = match machine.node(callee) {
        // An object that is called is as unknown as the one that made it.
        Some(&Node::Global(module, name) | &Node::Opaque(module, name)) => (module, name),
        _ => return Err("its pickle calls something that has no name".into()),
    };
    let items = machine.items(arguments).unwrap_or(&[]);
    let first = || items.first().copied().ok_or_else(|| format!("{name} has no arguments"));
    let node = match (module, name) {
        ("collections", "OrderedDict") => Node::Dict(pairs(machine, items)?),
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3") => {
            Node::Tensor(Box::new(tensor(machine, name, items)?))
        }
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
            return first();
        }
        // Equal to the tuple that it is made from.
        ("torch", "Size") => return first(),
        _ => {
            machine.unknown.insert((module, name));
            Node::Opaque(module, name)
        }
    };
    if let Node::Dict(pairs) = &node {
        machine.spend(pairs.len())?;
    }
    Ok(machine.add(node))
}

/// The pairs that an OrderedDict is made from: `[[key, value], ...]`, or nothing.
fn pairs<'a>(
    machine: &Machine<'a>,
    arguments: &[Value<'a>],
) -> Result<Vec<(Value<'a>, Value<'a>)>, String> {
    let Some(&list) = arguments.first() else { return Ok(Vec::new()) };
    let list =
        machine.items(list).ok_or("an OrderedDict is made from something else than pairs")?;
    list.iter()
        .map(|&pair| match machine.items(pair) {
            Some(&[key, value]) => Ok((key, value)),
            _ => Err("an OrderedDict is made from something else than pairs".into()),
        })
        .collect()
}

/// `(storage, offset, shape, strides, requires_grad, hooks[, dtype])`.
fn tensor<'a>(
    machine: &Machine<'a>,
    function: &str,
    arguments: &[Value<'a>],
) -> Result<Tensor<'a>, String> {
    let bad = || format!("{function} has arguments that torch.save does not write");
    let [storage, Value::Int(offset), shape, strides, rest @ ..] = arguments else {
        return Err(bad());
    };
    let Some(Node::Storage(storage)) = machine.node(*storage) else { return Err(bad()) };
    let sizes = |value| -> Option<Vec<usize>> {
        let items = machine.items(value)?;
        // Copied for each tensor, so a pickle must not make this long.
        if items.len() > MAX_DIMENSIONS {
            return None;
        }
        items
            .iter()
            .map(|&size| match size {
                Value::Int(size) => usize::try_from(size).ok(),
                _ => None,
            })
            .collect()
    };
    let dtype = match (function, rest) {
        ("_rebuild_tensor_v3", [_, _, dtype, ..]) => match machine.global(*dtype) {
            Some(("torch", dtype)) => Some(dtype),
            _ => return Err(bad()),
        },
        ("_rebuild_tensor_v3", _) => return Err(bad()),
        _ => None,
    };
    Ok(Tensor {
        storage: (**storage).clone(),
        dtype,
        offset: usize::try_from(*offset).map_err(|_| bad())?,
        shape: sizes(*shape).ok_or_else(bad)?,
        strides: sizes(*strides).ok_or_else(bad)?,
    })
}

/// A persistent id: `("storage", type, key, device, length[, view])`. The older format may say
/// that the storage is a view, `(key, first, length)`, of the one it names.
pub(super) fn storage<'a>(machine: &Machine<'a>, id: Value<'a>) -> Result<Storage<'a>, String> {
    let bad = || "a storage is named in a way that torch.save does not write".to_owned();
    let size = |value| match value {
        Value::Int(size) => usize::try_from(size).map_err(|_| bad()),
        _ => Err(bad()),
    };
    let Some(&[Value::Str("storage"), kind, Value::Str(key), _, len, ref view @ ..]) =
        machine.items(id)
    else {
        return Err(bad());
    };
    let Some(("torch" | "torch.storage", kind)) = machine.global(kind) else { return Err(bad()) };
    let (first, len) = match view {
        [] | [Value::None] => (0, size(len)?),
        [view] => match machine.items(*view) {
            Some(&[_, first, len]) => (size(first)?, size(len)?),
            _ => return Err(bad()),
        },
        _ => return Err(bad()),
    };
    Ok(Storage { key, kind, len, first })
}
