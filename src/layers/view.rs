//! What a root will show, before it is there: its layers, and what is mounted over them.

use std::path::{Path, PathBuf};

use nix::errno::Errno;
use rootfs_fetch::path_parts;

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

    /// The same without what is mounted there.
    pub fn without(&self, at: &Path) -> View {
        let mut view = self.clone();
        view.mounts.retain(|mounted| mounted.at != at || at == Path::new("/"));
        view
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
        match (found.about().is_symlink(), found.about().is_dir()) {
            (true, _) => found.target().ok().map(Shown::Link),
            (_, true) => Some(Shown::Directory),
            _ => Some(Shown::File),
        }
    }

    /// Where a path leads in this root, when links are followed. What is not there at its end can
    /// still be made.
    ///
    /// # Errors
    /// ELOOP for links that go round in circles, ENOTDIR for a way through a file, ENOENT for one back
    /// from what is not there.
    pub fn follow(&self, path: &Path) -> Result<PathBuf, Errno> {
        let mut reached = PathBuf::from("/");
        let mut rest = path_parts(path);
        let mut links = 0;
        while let Some(part) = rest.pop() {
            match self.look(&reached) {
                Some(Shown::Directory) => {}
                None if part != ".." => {}
                None => return Err(Errno::ENOENT),
                Some(_) => return Err(Errno::ENOTDIR),
            }
            if part.is_empty() || part == "." {
                continue;
            }
            if part == ".." {
                reached.pop();
                continue;
            }
            let here = reached.join(part);
            let Some(Shown::Link(to)) = self.look(&here) else {
                reached = here;
                continue;
            };
            links += 1;
            if links > MAX_LINKS {
                return Err(Errno::ELOOP);
            }
            if to.is_absolute() {
                reached = PathBuf::from("/");
            }
            rest.extend(path_parts(&to));
        }
        Ok(reached)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::symlink;

    use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
    use proptest::prelude::*;

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
        assert_eq!(follow("/var/run/x"), Ok("/run/x".into()));
        assert_eq!(follow("/up/x"), Ok("/run/x".into()));
        assert_eq!(follow("/mnt/link/x"), Ok("/mnt/there/x".into()));
        assert_eq!(follow("/round/x"), Err(Errno::ELOOP));
        assert_eq!(view.look(Path::new("/mnt/there")), Some(Shown::Directory));
        assert_eq!(view.look(Path::new("/mnt/nothing")), None);
    }

    /// A path of a few names, some of which are there.
    fn path() -> impl Strategy<Value = String> {
        let parts = prop::sample::select(vec!["a", "b", "c", "d", "..", ".", ""]);
        let path = prop::collection::vec(parts, 1..5).prop_map(|parts| parts.join("/"));
        path.prop_map(|path| if path.is_empty() { "/".to_owned() } else { path })
    }

    /// What is put where: a directory, a file, or a link that leads there.
    fn tree() -> impl Strategy<Value = Vec<(PathBuf, Option<String>, bool)>> {
        let names = prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "d"]), 1..4);
        let place = names.prop_map(|names| names.iter().collect());
        prop::collection::vec((place, prop::option::of(path()), any::<bool>()), 1..24)
    }

    /// Where the kernel says that it leads.
    fn kernel(root: &Path, path: &str) -> Result<PathBuf, Errno> {
        let opened = fs::File::open(root).unwrap();
        let how = OpenHow::new().flags(OFlag::O_PATH).resolve(ResolveFlag::RESOLVE_IN_ROOT);
        let found = loop {
            match openat2(&opened, path, how) {
                // Somebody renamed something, somewhere, meanwhile.
                Err(Errno::EAGAIN) => {}
                found => break found?,
            }
        };
        let found = fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd())).unwrap();
        Ok(Path::new("/").join(found.strip_prefix(root).unwrap()))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

        #[test]
        fn every_path_leads_where_the_kernel_says(
            tree in tree(),
            paths in prop::collection::vec(path(), 20),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path().canonicalize().unwrap().join("root");
            fs::create_dir(&root).unwrap();
            for (place, link, is_file) in tree {
                // What is in the way of another is left out, and no link is followed out of the tree.
                let place = root.join(place);
                if place.parent().is_none_or(|dir| dir.canonicalize().ok().as_deref() != Some(dir)) {
                    continue;
                }
                let _ = match (link, is_file) {
                    (Some(to), _) => symlink(to, place),
                    (None, true) => fs::File::create_new(place).map(drop),
                    (None, false) => fs::create_dir(place),
                };
            }
            let view = View::of(Mounted {
                at: "/".into(),
                layers: vec![root.clone()],
                is_file: false,
                writable: true,
            });
            for path in &paths {
                // What is not there can be made, and to the kernel it is not there.
                let ours = view.follow(Path::new(path)).and_then(|found| {
                    view.look(&found).map(|_| found).ok_or(Errno::ENOENT)
                });
                prop_assert_eq!(ours, kernel(&root, path), "{}", path);
            }
        }
    }
}
