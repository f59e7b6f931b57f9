//! Reading as much of an ELF file as tells whether a program can run, and what it needs; see
//! elf(5). Whoever made the file may have written anything into it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const PT_INTERP: u64 = 3;
const EM_386: u64 = 3;
const EM_X86_64: u64 = 62;

/// The loader that a program names, as in `/lib64/ld-linux-x86-64.so.2`; `None` for a static one.
///
/// # Errors
/// When the file cannot be read, or is no ELF file for a little-endian or big-endian machine of
/// 32 or 64 bits.
pub fn interpreter(file: &Path) -> io::Result<Option<PathBuf>> {
    Elf::open(file)?.interpreter()
}

/// What a program is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    /// 64 bits, not 32.
    wide: bool,
    big_endian: bool,
    /// The processor.
    number: u64,
}

impl Machine {
    /// The one that this very program is made for.
    pub(crate) fn here() -> io::Result<Machine> {
        Ok(Elf::open(Path::new("/proc/self/exe"))?.machine)
    }

    /// Whether this one also runs what is made for `other`.
    pub(crate) fn runs(self, other: Machine) -> bool {
        let amd64 = Machine { wide: true, big_endian: false, number: EM_X86_64 };
        let i386 = Machine { wide: false, big_endian: false, number: EM_386 };
        other == self || (self == amd64 && other == i386)
    }

    fn number(self, bytes: &[u8]) -> u64 {
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        if self.big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) }
    }
}

/// A program, of which no more was read than what it is made for.
pub(crate) struct Elf {
    file: File,
    /// What it is made for.
    pub(crate) machine: Machine,
}

impl Elf {
    /// Opens a program.
    ///
    /// # Errors
    /// When the file cannot be read or is no ELF file.
    pub(crate) fn open(file: &Path) -> io::Result<Elf> {
        let file = File::open(file)?;
        let mut header = [0; 20];
        file.read_exact_at(&mut header, 0)?;
        if !header.starts_with(b"\x7fELF") {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not an ELF file"));
        }
        let machine = Machine { wide: header[4] == 2, big_endian: header[5] == 2, number: 0 };
        let number = machine.number(&header[18..20]);
        Ok(Elf { file, machine: Machine { number, ..machine } })
    }

    /// The loader that it names; `None` for a static one.
    ///
    /// # Errors
    /// When the file cannot be read, or ends before what its header promises.
    pub(crate) fn interpreter(&self) -> io::Result<Option<PathBuf>> {
        let number = |bytes: &[u8]| self.machine.number(bytes);
        let wide = self.machine.wide;
        let mut header = [0; 64];
        let header = &mut header[..if wide { 64 } else { 52 }];
        self.file.read_exact_at(header, 0)?;
        let (offset, size, count) =
            if wide { (32..40, 54..56, 56..58) } else { (28..32, 42..44, 44..46) };
        let (offset, size, count) =
            (number(&header[offset]), number(&header[size]), number(&header[count]));
        for index in 0..count {
            let mut program = [0; 56];
            let program = &mut program[..if wide { 56 } else { 32 }];
            self.file.read_exact_at(program, offset + index * size)?;
            if number(&program[..4]) != PT_INTERP {
                continue;
            }
            let (at, length) = if wide { (8..16, 32..40) } else { (4..8, 16..20) };
            let length = usize::try_from(number(&program[length])).unwrap_or(0).min(4096);
            let mut name = vec![0; length];
            self.file.read_exact_at(&mut name, number(&program[at]))?;
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            return Ok(Some(OsString::from_vec(name.to_vec()).into()));
        }
        Ok(None)
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

    /// A header of 32 bits for the processor `number`, and a loader behind it.
    fn program(big_endian: bool, number: u8) -> Vec<u8> {
        let word = |value: u32| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        let half = |value: u16| if big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        let mut bytes = [b"\x7fELF\x01", &[1 + u8::from(big_endian)][..], &[0; 46]].concat();
        bytes[18..20].copy_from_slice(&half(number.into()));
        bytes[28..32].copy_from_slice(&word(52));
        bytes[42..44].copy_from_slice(&half(32));
        bytes[44..46].copy_from_slice(&half(2));
        let entry = |kind| [word(kind), word(116), [0; 4], [0; 4], word(9)].concat();
        for kind in [1, 3] {
            bytes.extend(entry(kind));
            bytes.extend([0; 12]);
        }
        [bytes, b"/l/\xe9.so\0x".to_vec()].concat()
    }

    #[test]
    fn a_program_says_what_it_is_made_for_and_what_it_needs_in_its_own_byte_order() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("program");
        let open = |bytes: &[u8]| {
            std::fs::write(&file, bytes).expect("written");
            Elf::open(&file)
        };
        let amd64 = Machine { wide: true, big_endian: false, number: EM_X86_64 };
        for (big_endian, number, runs) in [(false, 3, true), (true, 3, false), (true, 8, false)] {
            let bytes = program(big_endian, number);
            let elf = open(&bytes).expect("a program");
            let loader = elf.interpreter().expect("read").expect("a loader");
            assert_eq!(loader.as_os_str().as_encoded_bytes(), b"/l/\xe9.so");
            assert_eq!((amd64.runs(elf.machine), elf.machine.runs(amd64)), (runs, false));
            assert!(elf.machine.runs(elf.machine));
            for end in [20, 51, 60, 100, bytes.len() - 3] {
                assert!(open(&bytes[..end]).expect("a program").interpreter().is_err(), "{end}");
            }
            assert!(open(&bytes[..19]).is_err());
        }
    }
}
