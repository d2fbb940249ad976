//! Takes bytes off the front of a file, and says so when there are too few.

/// How the error begins for a file that has fewer bytes than it announces.
pub(super) const ENDS_EARLY: &str = "ends early";

/// How an error ends about a whole file of another writer.
pub(super) const NOT_TORCH: &str = "torch.save did not write";

/// A place in a slice of bytes.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub fn take(&mut self, count: u64) -> Result<&'a [u8], String> {
        let left = &self.bytes[self.at..];
        let taken = usize::try_from(count).ok().and_then(|count| left.get(..count));
        let taken = taken.ok_or_else(|| {
            format!(
                "{ENDS_EARLY}: at byte {} it claims {count} more bytes and has {}",
                self.at,
                left.len()
            )
        })?;
        self.at += taken.len();
        Ok(taken)
    }

    pub fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    pub fn u16(&mut self) -> Result<u16, String> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    /// A name of at most `longest` bytes up to a line feed, which is taken too.
    pub fn line(&mut self, longest: usize) -> Result<&'a str, String> {
        let left = &self.bytes[self.at..];
        let left = &left[..left.len().min(longest + 1)];
        let end = left.iter().position(|&byte| byte == b'\n');
        let end = end.ok_or_else(|| format!("the name at byte {} does not end", self.at))?;
        let text = std::str::from_utf8(&left[..end])
            .map_err(|_| format!("the name at byte {} is not text", self.at))?;
        self.at += end + 1;
        Ok(text)
    }
}
