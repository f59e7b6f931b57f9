//! Paths in trees that nobody thought of: where the kernel says they lead.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rootfs_fetch::resolve_in;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

/// A path of a few names, some of which are there.
fn path() -> impl Strategy<Value = String> {
    let parts = prop::sample::select(vec!["a", "b", "c", "d", "..", ".", ""]);
    let path = prop::collection::vec(parts, 1..5).prop_map(|parts| parts.join("/"));
    (any::<bool>(), path).prop_map(|(absolute, path)| {
        let path = if absolute { format!("/{path}") } else { path };
        if path.is_empty() { "/".to_owned() } else { path }
    })
}

/// What is put where: a directory, a file, or a link that leads there.
fn tree() -> impl Strategy<Value = Vec<(PathBuf, Option<String>, bool)>> {
    let names = prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "d"]), 1..4);
    let place = names.prop_map(|names| names.iter().collect());
    prop::collection::vec((place, prop::option::of(path()), any::<bool>()), 1..24)
}

/// Where the kernel says that it leads.
fn kernel(root: &Path, path: &str) -> Result<PathBuf, Errno> {
    let opened = File::open(root).expect("the root");
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let found: OwnedFd = loop {
        match openat2(&opened, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            // Somebody renamed something, somewhere, meanwhile.
            Err(Errno::AGAIN) => {}
            found => break found?,
        }
    };
    Ok(fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd())).expect("its path"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_path_leads_where_the_kernel_says(
        tree in tree(),
        paths in prop::collection::vec(path(), 20),
    ) {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().canonicalize().expect("its path").join("root");
        fs::create_dir(&root).expect("a directory");
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
        for path in &paths {
            let ours = resolve_in(&root, Path::new(path));
            let ours = ours.map_err(|error| Errno::from_io_error(&error).expect("an errno"));
            // The same place, whether or not a slash ends its name.
            let ours = ours.map(|found| found.components().collect::<PathBuf>());
            prop_assert_eq!(ours, kernel(&root, path), "{}", path);
        }
    }
}
