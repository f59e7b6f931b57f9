//! What a captured command writes.

use std::fs::File;
use std::io::{Read, Seek};

use crate::error::Error;

/// How many bytes a captured command may write to one file, its output included.
pub const OUTPUT_LIMIT: u64 = 64 << 20;

/// Where the output of a captured command goes: files in memory, which no reader has to empty.
pub(crate) struct Output {
    pub(crate) stdin: File,
    pub(crate) stdout: File,
    pub(crate) stderr: File,
}

impl Output {
    pub(crate) fn new() -> Result<Output, Error> {
        let memory = |name: &str| {
            let fd = rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC);
            fd.map(File::from).map_err(|errno| Error::io("make a file in memory")(errno))
        };
        let stdin = File::open("/dev/null").map_err(Error::io("open /dev/null"))?;
        Ok(Output { stdin, stdout: memory("stdout")?, stderr: memory("stderr")? })
    }

    pub(crate) fn read(&mut self) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let read = |file: &mut File| {
            let mut bytes = Vec::new();
            file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map(|_| bytes)
        };
        let both = read(&mut self.stdout).and_then(|out| Ok((out, read(&mut self.stderr)?)));
        both.map_err(Error::io("read what the command wrote"))
    }
}
