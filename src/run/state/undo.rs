//! Taking away what a sandbox has put on the host.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::place::{JOURNAL, Place};
use crate::cgroups;
use crate::error::Error;
use crate::layers;
use crate::machine::inside;
use crate::plan::step::Undo;
use crate::stages;

/// How long a tree may still be written to by who is dying.
const PATIENCE: Duration = Duration::from_secs(1);

// ANCHOR: undo
/// Takes all of it away, the newest first. What will not go keeps nothing else from going.
///
/// # Errors
/// The first thing that would not go.
pub(super) fn all(undos: &[Undo]) -> Result<(), Error> {
    let mut failure = Ok(());
    for undo in undos.iter().rev() {
        let (path, removed) = match undo {
            Undo::Rmdir(path) => (path, fs::remove_dir(path)),
            Undo::Tree(path) => (path, tree(path)),
            Undo::Unlink(path) => (path, fs::remove_file(path)),
            Undo::Cgroup(path) => (path, cgroups::remove(path)),
        };
        match removed {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                failure = failure.and(Err(Error::Undo { path: path.clone(), source }));
            }
            _ => {}
        }
    }
    failure
}
// ANCHOR_END: undo

/// A tree with the files of all whom its sandbox could be.
fn tree(path: &Path) -> io::Result<()> {
    // On a disk that is only read, what was never made is no error.
    fs::symlink_metadata(path)?;
    let until = Instant::now() + PATIENCE;
    loop {
        match inside::remove(path) {
            Err(error)
                if error.kind() == ErrorKind::DirectoryNotEmpty && Instant::now() < until =>
            {
                sleep(Duration::from_millis(1));
            }
            removed => return removed,
        }
    }
}

/// What the journal of a dead sandbox says is to be taken away; and what it says that cannot be so, in
/// words. Whoever wrote there could have us remove anything: so only what a sandbox of this name
/// makes is an undo.
pub(super) fn journal(place: &Place) -> io::Result<(Vec<Undo>, Option<String>)> {
    let text = match place.read(JOURNAL) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        text => text?,
    };
    Ok(lines(&text, &place.path, &place.name))
}

/// The same of these bytes, for a place of this path and name.
pub(super) fn lines(text: &[u8], dir: &Path, name: &str) -> (Vec<Undo>, Option<String>) {
    let (mut undos, mut strange) = (Vec::new(), None);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        match serde_json::from_slice::<Undo>(line) {
            Ok(undo) if is_of(&undo, dir, name) => undos.push(undo),
            // A line that a kill cut short stands for something that was never made.
            Err(_) if !line.ends_with(b"\n") => {}
            _ => strange = Some(shown(line)),
        }
    }
    (undos, strange)
}

/// A line as it can be printed, whatever is in it and however long it is.
fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line.trim_ascii());
    let plain = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    plain.take(200).collect()
}

/// Whether a sandbox of this name, with its state in this directory, can have made it.
fn is_of(undo: &Undo, dir: &Path, name: &str) -> bool {
    let plain = |path: &Path| {
        let is_plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
        let can_be = !path.as_os_str().as_bytes().contains(&0);
        path.is_absolute() && path.components().all(is_plain) && can_be
    };
    match undo {
        Undo::Rmdir(path) => plain(path) && path.parent() == Some(dir),
        Undo::Tree(path) => plain(path) && layers::is_of(path, name),
        Undo::Unlink(path) => plain(path) && stages::is_disk_of(path, name),
        Undo::Cgroup(path) => plain(path) && cgroups::is_of(path, name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_no_file_can_have_is_no_undo() {
        let journal = b"{\"tree\":\"/a\\u0000/run-one\"}\n{\"unlink\":\"/a/../.disk-one\"}\n";
        let (undos, strange) = lines(journal, Path::new("/state/one"), "one");
        assert_eq!((undos, strange.is_some()), (Vec::new(), true));
    }
}
