//! torch.save since 1.6: a zip archive of `NAME/data.pkl` and one stored file a storage.

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::Arc;

use zip::{CompressionMethod, ZipArchive};

use super::machine::Machine;
use super::reader::{NOT_TORCH, Reader};
use super::state_dict::{self, Pickled, Wanted};
use crate::bytes::Bytes;
use crate::checksum::Checksum;

pub(super) fn read(file: &Arc<Bytes>, wanted: Wanted) -> Result<Pickled, String> {
    let members = members(file.as_slice())?;
    let folder = folder(&members)?;
    if members.contains_key(&format!("{folder}constants.pkl")) {
        return Err("it is a TorchScript program, not a state dict".into());
    }
    let stored = |name: &str| match members.get(&format!("{folder}{name}")) {
        Some(Member::Stored(checksum)) => Ok(checksum),
        Some(Member::Packed) => Err(format!("{name} is compressed, which torch.save never does")),
        None => Err(format!("{name} is missing in the archive")),
    };
    if let Ok(checksum) = stored("byteorder")
        && file.as_slice()[checksum.range()] != *b"little"
    {
        return Err("it was written on a big-endian machine".into());
    }
    let checksum = stored("data.pkl")?;
    checksum.check(file)?;
    let mut pickle = Reader::new(&file.as_slice()[checksum.range()]);
    let machine = Machine::run(&mut pickle)?;
    state_dict::entries(&machine, state_dict::find(&machine, wanted)?, file, |storage, width| {
        let checksum = stored(&format!("data/{}", storage.key))?;
        let block = checksum.range();
        let range = state_dict::within(&block, storage, width).ok_or_else(|| {
            let (len, key) = (storage.len, storage.key);
            format!(
                "expected {len} values of {width} bytes in data/{key}, found {} bytes",
                block.len()
            )
        })?;
        Ok((range, Some(Arc::clone(checksum))))
    })
}

/// A file of the archive.
pub(super) enum Member {
    /// Its bytes as they are, at a place of the archive.
    Stored(Arc<Checksum>),
    /// Compressed or encrypted. Unpacking could take any amount of memory, so it is not done.
    Packed,
}

/// All files of an archive by name.
pub(super) fn members(bytes: &[u8]) -> Result<HashMap<String, Member>, String> {
    // The library's own words name its types.
    let broken = |_| "the zip archive is broken: its table of contents cannot be read".to_owned();
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    let mut members = HashMap::new();
    for index in 0..archive.len() {
        let member = archive.by_index_raw(index).map_err(broken)?;
        let name = member.name().map_err(broken)?.into_owned();
        let place = if member.compression() == CompressionMethod::Stored && !member.encrypted() {
            let start = member.data_start().and_then(|start| usize::try_from(start).ok());
            let range = start.zip(usize::try_from(member.size()).ok()).and_then(|(start, size)| {
                let end = start.checked_add(size)?;
                (end <= bytes.len()).then_some(start..end)
            });
            let range = range.ok_or_else(|| format!("{name} reaches past the end of the file"))?;
            Member::Stored(Arc::new(Checksum::new(&name, &range, member.crc32())))
        } else {
            Member::Packed
        };
        members.insert(name, place);
    }
    Ok(members)
}

/// The archive's one folder, with a slash at its end: torch names it after the file.
fn folder(members: &HashMap<String, Member>) -> Result<&str, String> {
    let mut folders = members.keys().filter_map(|name| {
        let folder = name.strip_suffix("data.pkl")?;
        let depth = folder.matches('/').count();
        (depth == usize::from(folder.ends_with('/'))).then_some(folder)
    });
    match (folders.next(), folders.next()) {
        (Some(folder), None) => Ok(folder),
        (None, _) => Err(format!("the zip archive has no data.pkl, as one that {NOT_TORCH}")),
        _ => Err("the zip archive has more than one data.pkl".into()),
    }
}
