//! What is mounted into the new root besides: directories of the host, and memory.

use std::path::Path;

use nix::mount::MsFlags;

use super::tmpfs::Tmpfs;
use super::view;
use crate::error::Error;
use crate::layers::{View, Volume};
use crate::plan::step::{Because, Step};
use crate::stages::spec::Spec;
use crate::syscall::{Create, Location, Mkdir, Mount, MountSetattr};

/// Looks at what is to be mounted, and at the places for it. What lies in another comes after it.
pub(super) fn find(
    volumes: &[Volume],
    memory: &[Tmpfs],
    read_only: bool,
    spec: &Spec,
) -> Result<Vec<Volume>, Error> {
    let memory = memory.iter().map(|tmpfs| Volume::memory(tmpfs.target.clone(), tmpfs.size));
    let mut told: Vec<Volume> = volumes.iter().cloned().chain(memory).collect();
    for volume in &mut told {
        volume.find_source()?;
    }
    let files = view::of_files(spec);
    let laid_out = |found: &[Volume]| view::of_all(&files, !has_dev(found), read_only, spec);
    let mut found = places(&told, &files, &laid_out)?;
    let mut view = laid_out(&found);
    for i in 0..found.len() {
        let (before, volume) = (&found[..i], &found[i]);
        refuse(volume, before, &files)?;
        let mut volume = volume.clone();
        volume.fit(&view)?;
        view::refuse_to_make(&volume, &view)?;
        view.add(volume.mounted(), &volume.missing);
        found[i] = volume;
    }
    Ok(found)
}

/// Where links lead, the outermost place first. A link can be in another volume, and that one lie behind
/// a link too; so it is looked again, with all others where they were found, until none has moved.
fn places(
    told: &[Volume],
    files: &View,
    laid_out: &dyn Fn(&[Volume]) -> View,
) -> Result<Vec<Volume>, Error> {
    let mut found = told.to_vec();
    for volume in &mut found {
        // What leads nowhere in the files may lead somewhere in a volume.
        let _ = volume.find_target(files);
    }
    for _ in 0..=2 * told.len() {
        let mut sorted = found.clone();
        sorted.sort_by_key(|volume| {
            let depth = volume.target.components().count();
            (depth, volume.target.clone(), volume.source.clone())
        });
        let mut view = laid_out(&found);
        sorted.iter().for_each(|volume| view.add(volume.mounted(), &[]));
        let mut wrong = Ok(());
        let mut again = found.clone();
        for ((told, found), again) in told.iter().zip(&found).zip(&mut again) {
            again.target.clone_from(&told.target);
            if let Err(error) = again.find_target(&view.without(&found.target)) {
                again.target.clone_from(&found.target);
                wrong = wrong.and(Err(error));
            }
        }
        if again == found {
            return wrong.map(|()| sorted);
        }
        found = again;
    }
    Err(Error::usage(
        "links in the volumes lead from one to another without end",
        "name their real places in the root",
    ))
}

/// What is told about the new root says nothing to a command that stays outside.
pub(super) fn check(told: &[String], spec: &Spec) -> Result<(), Error> {
    match told.first() {
        Some(option) if !spec.changes_root() => Err(Error::usage(
            format!("`--{option}` is about the new root, and no stage steps into it"),
            "add `--with chroot` or `--with pivot-root`",
        )),
        _ => Ok(()),
    }
}

/// Whether somebody brings a /dev of their own, which is then left as it is.
pub(super) fn has_dev(found: &[Volume]) -> bool {
    found.iter().any(|volume| volume.target == Path::new("/dev"))
}

fn refuse(volume: &Volume, before: &[Volume], root: &View) -> Result<(), Error> {
    let target = volume.target.display();
    if root.follow("/proc".as_ref()).is_ok_and(|proc| volume.target.starts_with(proc)) {
        return Err(Error::usage(
            format!("`{target}` is no place to mount on: the kernel shows processes in /proc"),
            "name a place outside of /proc",
        ));
    }
    if before.iter().any(|other| other.target == volume.target) {
        return Err(Error::usage(
            format!("two things are to be mounted at `{target}`"),
            "leave one out, or name another place",
        ));
    }
    Ok(())
}

/// The mounts that were asked for.
pub(super) fn steps(found: &[Volume], spec: &Spec) -> Vec<Step> {
    found.iter().flat_map(|volume| one(volume, spec)).collect()
}

fn one(volume: &Volume, spec: &Spec) -> Vec<Step> {
    let target = spec.in_root(&volume.target);
    let why_place = "a place to mount it on";
    let mut steps = Vec::new();
    for dir in &volume.missing {
        steps.push(Mkdir(spec.in_root(dir), 0o755).because(why_place));
    }
    let Some(source) = &volume.source else {
        let memory = Mount::new("tmpfs", target, MsFlags::MS_NOSUID | MsFlags::MS_NODEV);
        let told = format!("mode=1777,size={}", volume.size.unwrap_or(Tmpfs::SIZE));
        steps.push(memory.with(told).because("memory, gone when the sandbox ends"));
        return steps;
    };
    if volume.is_file && volume.new {
        steps.push(Create(target.clone(), 0o644).because(why_place));
    }
    let why = "a volume: what is written there is on the host, and in no layer";
    steps.push(Mount::bind(Location::looked_at(source), target.clone()).recursive().because(why));
    if volume.read_only {
        let only_read = MountSetattr::below(target, MsFlags::MS_RDONLY);
        steps.push(only_read.because("and may only be read, with all that is mounted in it"));
    }
    steps
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;
    use crate::stages::names::{CHROOT, OVERLAY, ROOTFS};

    /// A root and two directories of the host, with links among their directories.
    struct Host(tempfile::TempDir);

    impl Host {
        fn new(links: &[(&str, &str)]) -> Host {
            let dir = tempfile::tempdir().unwrap();
            for path in ["root/a/b", "root/c", "one/a/b", "one/c", "two/b"] {
                fs::create_dir_all(dir.path().join(path)).unwrap();
            }
            for (to, at) in links {
                // What is there already is in the way.
                let _ = symlink(to, dir.path().join(at));
            }
            Host(dir)
        }

        /// Where what is mounted.
        fn places(&self, volumes: &[(&str, &str)]) -> Result<Vec<(PathBuf, PathBuf)>, String> {
            let spec = Spec {
                rootfs: self.0.path().join("root"),
                stages: vec![CHROOT, ROOTFS, OVERLAY],
                ..Spec::default()
            };
            let volume = |(source, target): &(&str, &str)| Volume {
                source: Some(self.0.path().join(source)),
                target: target.into(),
                ..Volume::default()
            };
            let told: Vec<Volume> = volumes.iter().map(volume).collect();
            let found = find(&told, &[], false, &spec).map_err(|error| error.to_string())?;
            Ok(found.into_iter().map(|v| (v.target, v.source.unwrap_or_default())).collect())
        }
    }

    #[test]
    fn a_volume_behind_a_link_in_another_is_mounted_before_what_lies_in_it() {
        let host = Host::new(&[("/z", "one/l")]);
        let told = [("one", "/m"), ("two", "/m/l/x"), ("one/c", "/z/x/y")];
        let places = host.places(&told).unwrap();
        let targets: Vec<_> = places.iter().map(|(target, _)| target.to_str().unwrap()).collect();
        assert_eq!(targets, ["/m", "/z/x", "/z/x/y"]);
        assert_eq!(host.places(&[told[2], told[1], told[0]]).unwrap(), places);
    }

    #[test]
    fn a_way_through_a_file_is_no_place_unless_a_volume_lies_over_it() {
        let host = Host::new(&[]);
        fs::write(host.0.path().join("root/a/file"), "").unwrap();
        fs::create_dir(host.0.path().join("one/file")).unwrap();
        let inner = ("two", "/a/file/x");
        let error = host.places(&[inner]).unwrap_err();
        assert!(error.contains("`/a/file/x` leads through a file"), "{error}");
        assert_eq!(host.places(&[inner, ("one", "/a")]).unwrap().len(), 2);
    }

    fn link() -> impl Strategy<Value = (&'static str, &'static str)> {
        let to = ["/", "/a", "/c", "/a/b", "/l", "/k/x", "..", "l", "../k", "b", "/m/l"];
        let at = ["root/l", "root/k", "root/a/l", "one/l", "one/k", "one/a/k", "two/l", "two/b/k"];
        (prop::sample::select(to.to_vec()), prop::sample::select(at.to_vec()))
    }

    fn volumes() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
        let targets = [
            "/a", "/a/b", "/c", "/m", "/m/l", "/m/l/x", "/m/a/k", "/l", "/l/k", "/k", "/k/l/x",
            "/a/l", "/a/b/x/y", "/c/x", "/dev", "/dev/x",
        ];
        let sources = prop::sample::select(vec!["one", "two", "one/a"]);
        prop::collection::vec((sources, prop::sample::select(targets.to_vec())), 1..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

        #[test]
        fn volumes_are_mounted_outermost_first_wherever_they_are_told(
            links in prop::collection::vec(link(), 0..6),
            (told, mixed) in volumes().prop_flat_map(|told| {
                (Just(told.clone()), Just(told).prop_shuffle())
            }),
        ) {
            let host = Host::new(&links);
            let places = host.places(&told);
            prop_assert_eq!(&places, &host.places(&mixed));
            let targets: Vec<PathBuf> = places.into_iter().flatten().map(|(at, _)| at).collect();
            for (i, target) in targets.iter().enumerate() {
                let inner = targets[..i].iter().find(|before| before.starts_with(target));
                prop_assert_eq!(inner, None, "before {:?}: {:?}", target, &targets);
            }
        }
    }
}
