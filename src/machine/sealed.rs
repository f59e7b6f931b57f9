//! This program, run from a copy in memory that nobody can write to.
//!
//! Process 1 of the stand-in host is this program, and /proc/1/exe leads to its file: on the host,
//! whatever the root directory is. Whoever is mapped to the file's owner could change it for the next
//! one who starts it (runc had that, CVE-2019-5736). So where somebody else types, the file is a copy,
//! sealed as memfd_create(2) and fcntl(2) describe.

use std::env;
use std::ffi::{CStr, CString, OsStr};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

use crate::error::Error;

/// Where a sealed program finds its own file, when it has to start that.
pub(crate) const PROGRAM: &str = "SANDBOX_PROGRAM";

/// Copies this program into memory, and seals the copy.
///
/// # Errors
/// When there is no memory, or no sealing.
pub(crate) fn copy() -> Result<File, Error> {
    let copied = File::open("/proc/self/exe").and_then(|program| seal(c"sandbox", program));
    copied.map_err(Error::io("copy this program into memory"))
}

/// A program in memory that nobody can write to.
pub(crate) fn seal(name: &CStr, mut program: impl Read) -> io::Result<File> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    // Kernels before 6.3 do not know MFD_EXEC, and do not need it.
    let to_run = MFdFlags::from_bits_retain(libc::MFD_EXEC);
    let memory = match memfd_create(name, flags | to_run) {
        Err(Errno::EINVAL) => memfd_create(name, flags),
        made => made,
    };
    let mut memory = File::from(memory?);
    io::copy(&mut program, &mut memory)?;
    let seals = SealFlag::F_SEAL_SEAL
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_WRITE;
    fcntl(&memory, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(memory)
}

/// How deep the kernel looks for the program behind a script, see execve(2).
const DEEPEST: usize = 5;

/// Whether execve(2) of this file would follow a link of /proc that is a door and no name, as
/// /proc/self/exe is. A script that names it as its interpreter would be given this very program, with
/// the libraries of whoever wrote the script, and with its file on the host in /proc/self/exe.
pub(crate) fn is_behind_a_door(file: &Path) -> bool {
    let mut file = file.to_owned();
    for _ in 0..DEEPEST {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = openat2(CWD, &file, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS);
        let opened = match opened {
            Err(rustix::io::Errno::LOOP) => return true,
            Err(_) => return false,
            Ok(opened) => opened,
        };
        let mut begin = Vec::new();
        let _ = File::from(opened).take(256).read_to_end(&mut begin);
        let Some(line) = begin.strip_prefix(b"#!") else { return false };
        let is_blank = |byte: &u8| byte.is_ascii_whitespace();
        let words = line.trim_ascii_start().split(is_blank);
        let Some(interpreter) = words.into_iter().next() else { return false };
        file = Path::new(OsStr::from_bytes(interpreter)).to_owned();
    }
    false
}

/// Whether this process runs from such a copy.
fn is_sealed() -> bool {
    let file = fs::read_link("/proc/self/exe");
    file.is_ok_and(|file| file.as_os_str().as_bytes().starts_with(b"/memfd:sandbox"))
}

/// The file that this program was started from first.
pub(crate) fn program() -> io::Result<PathBuf> {
    match env::var_os(PROGRAM) {
        Some(program) if is_sealed() => Ok(program.into()),
        _ => env::current_exe(),
    }
}

/// Starts this very command again from a copy, if it does not run from one already.
///
/// # Errors
/// When there can be no copy.
pub(crate) fn start_again() -> Result<(), Error> {
    if is_sealed() {
        return Ok(());
    }
    let copy = copy()?;
    let words = env::args_os().map(|word| CString::new(word.into_vec()).unwrap_or_default());
    let program = env::current_exe().map_err(Error::io("find this program"))?;
    let own = (PROGRAM.into(), program.into_os_string());
    let variables = env::vars_os().chain([own]).map(|(name, value)| {
        CString::new([name.into_vec(), value.into_vec()].join(&b'=')).unwrap_or_default()
    });
    let (words, variables) = (words.collect::<Vec<_>>(), variables.collect::<Vec<_>>());
    super::caller::give_back();
    match nix::unistd::fexecve(&copy, &words, &variables) {
        Ok(never) => match never {},
        Err(errno) => Err(Error::io("start this program from memory")(errno)),
    }
}
