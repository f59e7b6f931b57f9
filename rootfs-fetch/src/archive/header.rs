//! A header of a tar archive: one block, in the old form, that of POSIX or that of GNU; see tar(5).

use std::io;

/// Everything in an archive begins at a multiple of this many bytes.
pub(crate) const BLOCK: usize = 512;

/// A header.
pub(crate) struct Header(pub(crate) [u8; BLOCK]);

impl Header {
    /// Whether it is none: where a header could be, zeros are the end of the archive.
    pub(crate) fn is_end(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0)
    }

    /// Whether the checksum in it is right. Some old programs added up bytes with a sign.
    ///
    /// # Errors
    /// When it is not: then this is no header.
    pub(crate) fn check(&self) -> io::Result<()> {
        // As if its own field were blank.
        let others = [&self.0[..148], &[b' '; 8], &self.0[156..]];
        let unsigned =
            || others.iter().copied().flatten().map(|byte| i32::from(*byte)).sum::<i32>();
        let signed =
            || others.iter().copied().flatten().map(|byte| i32::from(*byte as i8)).sum::<i32>();
        match number(&self.0[148..156]) {
            Some(sum) if sum == unsigned().into() || sum == signed().into() => Ok(()),
            _ => Err(io::Error::other("the checksum of a header is wrong")),
        }
    }

    /// The letter that says what the entry is.
    pub(crate) fn kind(&self) -> u8 {
        self.0[156]
    }

    /// The name.
    pub(crate) fn name(&self) -> Vec<u8> {
        let name = text(&self.0[..100]);
        let prefix = text(&self.0[345..500]);
        if &self.0[257..263] != b"ustar\0" || prefix.is_empty() {
            return name.to_vec();
        }
        [prefix, b"/", name].concat()
    }

    /// Where a link leads.
    pub(crate) fn link(&self) -> Vec<u8> {
        text(&self.0[157..257]).to_vec()
    }

    /// The permissions.
    pub(crate) fn mode(&self) -> Option<i128> {
        number(&self.0[100..108])
    }

    /// How many bytes follow.
    pub(crate) fn size(&self) -> Option<i128> {
        number(&self.0[124..136])
    }

    /// When the file was changed, in seconds.
    pub(crate) fn time(&self) -> Option<i128> {
        number(&self.0[136..148])
    }
}

/// Up to the first NUL.
pub(crate) fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A number: octal digits among blanks, or, for what is too big for these or below zero, all bits
/// of the field but the first, which says so. Nothing but blanks is 0, as for other programs.
pub(crate) fn number(field: &[u8]) -> Option<i128> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let sign = if first & 0x40 != 0 { -1 } else { 0 };
        let begin = (sign << 6) | i128::from(first & 0x3f);
        return Some(rest.iter().fold(begin, |number, byte| (number << 8) | i128::from(*byte)));
    }
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | 0);
    let start = field.iter().position(|byte| !blank(byte)).unwrap_or(field.len());
    let field = &field[start..];
    let end = field.iter().position(blank).unwrap_or(field.len());
    let digits = std::str::from_utf8(&field[..end]).ok()?;
    if digits.is_empty() { Some(0) } else { i128::from_str_radix(digits, 8).ok() }
}

/// Writes down when a file was changed, before 1970 too.
pub(crate) fn set_time(header: &mut tar::Header, seconds: i64) {
    if let Ok(seconds) = u64::try_from(seconds) {
        return header.set_mtime(seconds);
    }
    let field = &mut header.as_old_mut().mtime;
    field.fill(0xff);
    field[4..].copy_from_slice(&seconds.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_however_programs_write_them() {
        for (field, value) in [
            (&b"0000644\0"[..], 0o644),
            (b"   644 \0", 0o644),
            (b"\x00 644 ", 0o644),
            (b"644\0junk", 0o644),
            (b"        ", 0),
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"\x80\0\0\0\0\0\x10\0", 4096),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", -2),
            (b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", u64::MAX.into()),
        ] {
            assert_eq!(number(field), Some(value), "{field:?}");
        }
        let mut header = tar::Header::new_gnu();
        for seconds in [-1, i64::MIN, 0, 7, i64::MAX] {
            set_time(&mut header, seconds);
            assert_eq!(number(&header.as_old().mtime), Some(seconds.into()));
        }
        assert_eq!(number(b"0000844\0"), None);
        assert_eq!(number(b"hello\0\0\0"), None);
    }
}
