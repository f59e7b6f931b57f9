//! Looking at a rootfs: which programs are in it, and whether they can run.
//!
//! Nothing of it is run. Whoever made an image may have put anything into it, and a program that
//! is started to be asked what it can do has been started.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::elf::{Elf, Machine};
use super::resolve::resolve_in;
use crate::text::printable;

/// Where programs are.
const DIRS: [&str; 6] = ["bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin", "usr/local/sbin"];

/// The programs of a rootfs.
#[derive(Default)]
pub(crate) struct Programs {
    /// The names that lead to busybox, and that it knows.
    pub(crate) applets: BTreeSet<String>,
    /// The names of other programs and scripts.
    pub(crate) programs: BTreeSet<String>,
    /// What is wrong, in words.
    pub(crate) problems: BTreeSet<String>,
}

impl Programs {
    /// Looks for them in the rootfs `root`.
    pub(crate) fn find(root: &Path) -> Programs {
        let here = Machine::here().ok();
        let mut search = Search { root, here, found: Programs::default(), files: BTreeMap::new() };
        let mut seen = BTreeSet::new();
        for dir in DIRS.map(Path::new) {
            let Ok(real) = resolve_in(root, dir) else { continue };
            if seen.insert(real.clone()) {
                search.look(dir, &real);
            }
        }
        let mut found = search.found;
        if !found.applets.contains("sh") && !found.programs.contains("sh") {
            found.problems.insert("there is no shell: `sh` leads nowhere".to_owned());
        }
        found
    }
}

struct Search<'a> {
    root: &'a Path,
    here: Option<Machine>,
    found: Programs,
    /// The files that were looked at, by their inodes.
    files: BTreeMap<u64, Program>,
}

#[derive(Clone)]
enum Program {
    /// A busybox, and the names that are in it.
    Busybox(BTreeSet<Vec<u8>>),
    Other,
    Broken(String),
}

impl Search<'_> {
    fn look(&mut self, dir: &Path, real: &Path) {
        for entry in fs::read_dir(real).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.chars().any(char::is_control) {
                continue;
            }
            let path = dir.join(&name);
            match resolve_in(self.root, &path) {
                Ok(file) => self.add(&path, &name, &file),
                Err(_) => {
                    self.found.problems.insert(format!("/{} leads nowhere", path.display()));
                }
            }
        }
    }

    fn add(&mut self, path: &Path, name: &str, file: &Path) {
        let Ok(data) = file.metadata() else { return };
        if !data.is_file() || data.permissions().mode() & 0o111 == 0 {
            return;
        }
        let known = self.files.get(&data.ino()).cloned();
        let program = known.unwrap_or_else(|| {
            let program = examine(self.root, self.here, file);
            self.files.insert(data.ino(), program.clone());
            program
        });
        match program {
            Program::Other => {
                self.found.programs.insert(name.to_owned());
            }
            Program::Busybox(names) if name == "busybox" || names.contains(name.as_bytes()) => {
                self.found.applets.insert(name.to_owned());
            }
            Program::Busybox(_) => {
                self.found
                    .problems
                    .insert(format!("/{}: busybox has no such applet", path.display()));
            }
            Program::Broken(why) => {
                self.found.problems.insert(format!("/{}: {why}", path.display()));
            }
        }
    }
}

/// What a program is, from its bytes. `here` is what this machine runs, where that is known.
fn examine(root: &Path, here: Option<Machine>, file: &Path) -> Program {
    let Ok(elf) = Elf::open(file) else { return Program::Other };
    if here.is_some_and(|here| !here.runs(elf.machine)) {
        return Program::Broken("made for another architecture".to_owned());
    }
    if let Ok(Some(loader)) = elf.interpreter() {
        if !resolve_in(root, &loader).is_ok_and(|loader| loader.is_file()) {
            let loader = printable(loader.as_os_str().as_bytes());
            return Program::Broken(format!("needs {loader}, which is not there"));
        }
    }
    match fs::read(file) {
        Ok(bytes) if is_busybox(&bytes) => Program::Busybox(strings(&bytes)),
        _ => Program::Other,
    }
}

fn is_busybox(bytes: &[u8]) -> bool {
    let marker = b"BusyBox is copyrighted by many authors";
    bytes.windows(marker.len()).any(|part| part == marker)
}

/// The short strings in a program. Busybox has the names of its applets one after the other, each
/// ended by a NUL.
fn strings(bytes: &[u8]) -> BTreeSet<Vec<u8>> {
    let letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"[_-.+".contains(byte);
    let short = |part: &&[u8]| (1..32).contains(&part.len()) && part.iter().all(letter);
    bytes.split(|byte| *byte == 0).filter(short).map(<[u8]>::to_vec).collect()
}
