//! The header of NumPy's format (`numpy.lib.format`), versions 1 to 3: a Python dict of three fields.

/// The sides that a header gives.
pub fn shape(header: &str) -> Option<Vec<usize>> {
    field(header, "shape")?
        .trim_matches(['(', ')'])
        .split(',')
        .map(str::trim)
        .filter(|side| !side.is_empty())
        .map(|side| side.parse::<usize>().ok())
        .collect()
}

/// The header's text, a Python dict, and the bytes after it.
pub fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let rest = bytes.strip_prefix(b"\x93NUMPY")?;
    let ([major, _minor], rest) = rest.split_first_chunk()?;
    let (length, rest) = match major {
        1 => rest.split_first_chunk().map(|(l, rest)| (u16::from_le_bytes(*l) as usize, rest))?,
        2 | 3 => {
            rest.split_first_chunk().map(|(l, rest)| (u32::from_le_bytes(*l) as usize, rest))?
        }
        _ => return None,
    };
    let (header, data) = rest.split_at_checked(length)?;
    Some((std::str::from_utf8(header).ok()?, data))
}

/// What stands behind `'name':`, up to the comma that ends it; a tuple with its brackets.
pub fn field<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let (_, value) = header.split_once(&format!("'{name}'"))?;
    let value = value.trim_start().strip_prefix(':')?.trim_start();
    let end = match value.as_bytes().first()? {
        b'(' => value.find(')')? + 1,
        b'[' => end_of_list(value)?,
        _ => value.find([',', '}'])?,
    };
    Some(value[..end].trim_end())
}

/// Where the list that `text` begins with ends, with the lists in it.
fn end_of_list(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    text.char_indices().find_map(|(at, c)| {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(at + 1)
    })
}
