//! Reading as much of an ELF header as tells whether a program is static; see elf(5).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const PT_INTERP: u32 = 3;

/// The loader that a program names, as in `/lib64/ld-linux-x86-64.so.2`; `None` for a static one.
///
/// # Errors
/// When the file cannot be read, or is no ELF file for a little-endian or big-endian machine of
/// 32 or 64 bits.
pub fn interpreter(file: &Path) -> io::Result<Option<PathBuf>> {
    let file = File::open(file)?;
    let mut header = [0; 64];
    file.read_exact_at(&mut header[..52], 0)?;
    if header[..4] != *b"\x7fELF" {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not an ELF file"));
    }
    let layout = Layout { wide: header[4] == 2, big_endian: header[5] == 2 };
    if layout.wide {
        file.read_exact_at(&mut header, 0)?;
    }
    let (offset, size, count) = if layout.wide {
        (layout.number(&header[32..40]), layout.number(&header[54..56]), 56)
    } else {
        (layout.number(&header[28..32]), layout.number(&header[42..44]), 44)
    };
    let count = layout.number(&header[count..count + 2]);
    for index in 0..count {
        let mut program = [0; 56];
        let program = &mut program[..if layout.wide { 56 } else { 32 }];
        file.read_exact_at(program, offset + index * size)?;
        if layout.number(&program[..4]) != u64::from(PT_INTERP) {
            continue;
        }
        let (at, length) = if layout.wide { (8..16, 32..40) } else { (4..8, 16..20) };
        let mut name =
            vec![0; usize::try_from(layout.number(&program[length])).unwrap_or(0).min(4096)];
        file.read_exact_at(&mut name, layout.number(&program[at]))?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        return Ok(Some(PathBuf::from(String::from_utf8_lossy(name).into_owned())));
    }
    Ok(None)
}

struct Layout {
    wide: bool,
    big_endian: bool,
}

impl Layout {
    fn number(&self, bytes: &[u8]) -> u64 {
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        if self.big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_names_a_loader_and_a_text_file_is_no_program() {
        let test = std::env::current_exe().expect("this test is a file");
        let loader = interpreter(&test).expect("an ELF file").expect("a dynamic one");
        assert!(loader.is_absolute(), "{loader:?}");
        assert!(interpreter(Path::new("/etc/passwd")).is_err());
    }
}
