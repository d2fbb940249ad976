//! torch.save before 1.6: five pickles (a magic number, a version, the machine, the object, the
//! keys of its storages), then each storage as its length and its values.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::machine::Machine;
use super::reader::{NOT_TORCH, Reader};
use super::state_dict::{self, Pickled, Wanted, width_of};
use super::value::{Node, Value};
use crate::bytes::Bytes;

/// The pickle of torch's magic number, `0x1950a86a20f9469cfc6c`.
const MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
const VERSION: i64 = 1001;

pub(super) fn read(file: &Arc<Bytes>, wanted: Wanted) -> Result<Pickled, String> {
    let bytes = file.as_slice();
    let mut reader = Reader::new(bytes);
    if !bytes.starts_with(MAGIC) {
        return Err(format!("it is a pickle that {NOT_TORCH}"));
    }
    reader.take(MAGIC.len() as u64)?;
    match Machine::run(&mut reader)?.root {
        Value::Int(VERSION) => {}
        other => return Err(format!("expected format version {VERSION}, found {other:?}")),
    }
    check_byte_order(&Machine::run(&mut reader)?)?;
    let machine = Machine::run(&mut reader)?;
    let found = state_dict::find(&machine, wanted)?;
    let keys = Machine::run(&mut reader)?;
    let blocks = blocks(&machine, &keys, &mut reader)?;
    state_dict::entries(&machine, found, file, |storage, width| {
        let key = storage.key;
        let block =
            blocks.get(key).ok_or_else(|| format!("its values (storage {key}) are missing"))?;
        let range = state_dict::within(block, storage, width).ok_or_else(|| {
            let (first, len) = (storage.first, storage.len);
            format!(
                "expected values {first} to {first} + {len} of {width} bytes in storage {key}, \
                 found {} bytes",
                block.len()
            )
        })?;
        // This format has no checksums.
        Ok((range, None))
    })
}

fn check_byte_order(machine: &Machine) -> Result<(), String> {
    let Some(Node::Dict(pairs)) = machine.node(machine.root) else {
        return Err("expected a description of the machine, found something else".into());
    };
    match pairs.iter().rev().find(|(key, _)| *key == Value::Str("little_endian")) {
        Some((_, Value::Bool(false))) => Err("it was written on a big-endian machine".into()),
        _ => Ok(()),
    }
}

/// Where each storage lies: they follow the pickles in the order of `keys`.
fn blocks<'a>(
    machine: &Machine<'a>,
    keys: &Machine<'a>,
    reader: &mut Reader<'a>,
) -> Result<HashMap<&'a str, Range<usize>>, String> {
    let mut widths = HashMap::new();
    for node in &machine.nodes {
        if let Node::Storage(storage) = node {
            widths.insert(storage.key, width_of(storage.kind)?);
        }
    }
    let keys = keys.items(keys.root).ok_or("expected a list of storages, found something else")?;
    let mut blocks = HashMap::new();
    for key in keys {
        let Value::Str(key) = key else { return Err("a storage has no name".into()) };
        let width = *widths.get(key).ok_or_else(|| format!("storage {key} belongs to nothing"))?;
        let size = reader.u64()?.checked_mul(width as u64);
        let start = reader.position();
        reader.take(size.ok_or_else(|| format!("storage {key} claims an impossible length"))?)?;
        blocks.insert(*key, start..reader.position());
    }
    Ok(blocks)
}
