//! What is mounted into the new root besides: directories of the host, and memory.

use std::path::Path;

use nix::mount::MsFlags;

use super::tmpfs::Tmpfs;
use super::view;
use crate::error::Error;
use crate::layers::{View, Volume, places};
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
    for volume in &mut found {
        refuse_in_proc(volume, &files)?;
        volume.fit(&view)?;
        view::refuse_to_make(volume, &view)?;
        view.add(volume.mounted(), &volume.missing);
    }
    Ok(found)
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

fn refuse_in_proc(volume: &Volume, root: &View) -> Result<(), Error> {
    let target = volume.target.display();
    if root.follow("/proc".as_ref()).is_ok_and(|proc| volume.target.starts_with(proc)) {
        return Err(Error::usage(
            format!("`{target}` is no place to mount on: the kernel shows processes in /proc"),
            "name a place outside of /proc",
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
