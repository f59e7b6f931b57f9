//! Taking a file out of a Debian package: an ar(1) archive, in which `data.tar`, compressed or not,
//! holds the files; see deb(5).

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tar::{Archive, EntryType};

use crate::archive::compression;
use crate::error::Error;

/// The first bytes of an ar archive.
const MAGIC: &[u8; 8] = b"!<arch>\n";

/// Where the packages of different years have it.
const PLACES: [&str; 2] = ["bin/busybox", "usr/bin/busybox"];

/// The most bytes of a busybox, and of the files in its package.
const MAX_BUSYBOX: u64 = 32 << 20;
const MAX_DATA: u64 = 128 << 20;

/// Writes the busybox that is in a package to a new file.
///
/// # Errors
/// When the package is broken, or there is none in it.
pub(crate) fn extract_busybox(deb: &Path, to: &Path) -> Result<(), Error> {
    let file = File::open(deb).map_err(Error::io("open", deb))?;
    let data = data(BufReader::new(file)).map_err(Error::io("read", deb))?;
    let plain = compression::plain(data).map_err(Error::io("read", deb))?;
    let mut archive = Archive::new(plain.take(MAX_DATA));
    for entry in archive.entries().map_err(Error::io("read", deb))? {
        let mut entry = entry.map_err(Error::io("read", deb))?;
        let name = entry.path_bytes().into_owned();
        let name = name.strip_prefix(b"./").unwrap_or(&name);
        let is_program = entry.header().entry_type() == EntryType::Regular;
        if !is_program || !PLACES.iter().any(|place| place.as_bytes() == name) {
            continue;
        }
        if entry.size() > MAX_BUSYBOX {
            return Err(wrong(deb, "has a busybox that is too big to be one"));
        }
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o755).open(to);
        let copied = file.and_then(|mut file| io::copy(&mut entry, &mut file));
        return copied.map(drop).map_err(Error::io("write", to));
    }
    Err(wrong(deb, "has no busybox in it"))
}

fn wrong(deb: &Path, problem: &str) -> Error {
    let name = deb.file_name().unwrap_or_default().to_string_lossy();
    Error::Unfit { problem: format!("the package {name} {problem}"), hint: None }
}

/// The bytes of the member `data.tar`, whatever its ending is, of an ar archive.
fn data(mut archive: impl BufRead) -> io::Result<impl BufRead> {
    let mut magic = [0; 8];
    archive.read_exact(&mut magic)?;
    if magic != *MAGIC {
        return Err(broken("not a Debian package"));
    }
    loop {
        // A header has 16 bytes for the name, 32 of no interest here, 10 for the size, 2 as an
        // end. A member of an odd size is followed by one byte more.
        let mut header = [0; 60];
        archive.read_exact(&mut header)?;
        let size = std::str::from_utf8(&header[48..58]).unwrap_or_default().trim_end();
        let size: u64 = size.parse().map_err(|_| broken("a member without a size"))?;
        if header.starts_with(b"data.tar") {
            return Ok(archive.take(size));
        }
        let whole = size.next_multiple_of(2);
        if io::copy(&mut (&mut archive).take(whole), &mut io::sink())? != whole {
            return Err(broken("ends in the middle"));
        }
    }
}

fn broken(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, data: &str) -> String {
        let odd = if data.len() % 2 == 1 { "\n" } else { "" };
        format!("{name:<16}{:<32}{:<10}`\n{data}{odd}", "0", data.len())
    }

    fn read(archive: &str) -> io::Result<String> {
        let mut text = String::new();
        data(archive.as_bytes())?.read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn the_data_of_a_package_is_found_behind_what_is_before_it() {
        let before = member("debian-binary", "2.0\n") + &member("control.tar.xz", "odd");
        let magic = "!<arch>\n";
        let whole =
            format!("{magic}{before}{}{}", member("data.tar.xz", "yes"), member("_x", "no"));
        assert_eq!(read(&whole).expect("data"), "yes");
        for wrong in ["", "PK\x03\x04 and more", magic, &format!("{magic}{before}")] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
        let huge = format!("{magic}{:<48}{:<10}`\n", "x", "9999999999");
        assert!(read(&huge).is_err());
        assert!(read(&format!("{magic}{:<58}`\n", "x")).is_err());
    }
}
