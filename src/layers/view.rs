//! What a root will show, before it is there: its layers, and what is mounted over them.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::look::look_up;

/// What will be mounted somewhere in the root.
#[derive(Clone, Debug)]
pub struct Mounted {
    /// Where.
    pub at: PathBuf,
    /// What it shows, topmost first; none for memory, which begins empty.
    pub layers: Vec<PathBuf>,
    /// Whether it is a file.
    pub is_file: bool,
    /// Whether something can be made in it.
    pub writable: bool,
}

/// The root, with what is mounted over it in this order.
#[derive(Clone, Debug)]
pub struct View {
    mounts: Vec<Mounted>,
    /// The directories that are made in it.
    made: Vec<PathBuf>,
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A directory.
    Directory,
    /// A link, to this.
    Link(PathBuf),
    /// Anything else.
    File,
}

/// As many links as the kernel follows.
const MAX_LINKS: usize = 40;

impl View {
    /// What this mount shows by itself.
    pub fn of(root: Mounted) -> View {
        View { mounts: vec![root], made: Vec::new() }
    }

    /// Mounts this too, once these directories for it are made.
    pub fn add(&mut self, mounted: Mounted, made: &[PathBuf]) {
        self.mounts.push(mounted);
        self.made.extend_from_slice(made);
    }

    /// The mount that shows what is at this path.
    pub fn mount(&self, path: &Path) -> Option<&Mounted> {
        self.mounts.iter().rev().find(|mounted| path.starts_with(&mounted.at))
    }

    /// What is at a path on which there is no link.
    pub fn look(&self, path: &Path) -> Option<Shown> {
        if self.made.iter().any(|dir| dir == path) {
            return Some(Shown::Directory);
        }
        let mounted = self.mount(path)?;
        let inside = path.strip_prefix(&mounted.at).unwrap_or(path);
        if inside.as_os_str().is_empty() {
            return Some(if mounted.is_file { Shown::File } else { Shown::Directory });
        }
        let found = look_up(&mounted.layers, inside)?;
        let kind = fs::symlink_metadata(&found).ok()?.file_type();
        match (kind.is_symlink(), kind.is_dir()) {
            (true, _) => fs::read_link(found).ok().map(Shown::Link),
            (_, true) => Some(Shown::Directory),
            _ => Some(Shown::File),
        }
    }

    /// Where a path leads in this root, when links are followed; none where they go round in circles.
    pub fn follow(&self, path: &Path) -> Option<PathBuf> {
        let mut reached = PathBuf::from("/");
        let mut rest: Vec<OsString> = names(path).rev().collect();
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if name == ".." {
                reached.pop();
                continue;
            }
            let here = reached.join(name);
            let Some(Shown::Link(to)) = self.look(&here) else {
                reached = here;
                continue;
            };
            links += 1;
            if links > MAX_LINKS {
                return None;
            }
            if to.is_absolute() {
                reached = PathBuf::from("/");
            }
            rest.extend(names(&to).rev());
        }
        Some(reached)
    }
}

fn names(path: &Path) -> impl DoubleEndedIterator<Item = OsString> + '_ {
    let named = |part: &Component| matches!(part, Component::Normal(_) | Component::ParentDir);
    path.components().filter(named).map(|part| OsStr::to_owned(part.as_os_str()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_within_the_root_and_through_what_is_mounted() {
        let dir = tempfile::tempdir().unwrap();
        let (root, volume) = (dir.path().join("root"), dir.path().join("volume"));
        for made in ["run", "var", "mnt"] {
            fs::create_dir_all(root.join(made)).unwrap();
        }
        fs::create_dir_all(volume.join("there")).unwrap();
        for (to, at) in [("../run", "var/run"), ("../../../run", "up"), ("/round", "round")] {
            symlink(to, root.join(at)).unwrap();
        }
        symlink("there", volume.join("link")).unwrap();
        let mounted = |at: &str, layer: &Path| Mounted {
            at: at.into(),
            layers: vec![layer.to_owned()],
            is_file: false,
            writable: true,
        };
        let mut view = View::of(mounted("/", &root));
        view.add(mounted("/mnt", &volume), &[]);
        let follow = |path: &str| view.follow(Path::new(path));
        assert_eq!(follow("/var/run/x"), Some("/run/x".into()));
        assert_eq!(follow("/up/x"), Some("/run/x".into()));
        assert_eq!(follow("/mnt/link/x"), Some("/mnt/there/x".into()));
        assert_eq!(follow("/round/x"), None);
        assert_eq!(view.look(Path::new("/mnt/there")), Some(Shown::Directory));
        assert_eq!(view.look(Path::new("/mnt/nothing")), None);
    }
}
