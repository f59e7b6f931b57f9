//! Calls about the mount table.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags};

use super::call::{Call, Shell, say};
use super::location::{self, Found, Location};
use super::quote::{c_string, flags, sh_path};
use crate::machine::kernel;

/// mount(2)
#[derive(Clone, Debug, PartialEq)]
pub struct Mount {
    /// What is mounted.
    pub source: Option<Location>,
    /// Where.
    pub target: Location,
    /// The kind of filesystem, for a new one.
    pub fstype: Option<&'static str>,
    /// How.
    pub flags: MsFlags,
    /// What the filesystem is told.
    pub data: Option<OsString>,
}

impl Mount {
    /// The flags for what holds no programs and no devices.
    pub const QUIET: MsFlags =
        MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);

    /// A new filesystem of this kind.
    pub fn new(kind: &'static str, target: impl Into<Location>, flags: MsFlags) -> Mount {
        let (source, target) = (Some(Location::from(kind)), target.into());
        Mount { source, target, fstype: Some(kind), flags, data: None }
    }

    /// And what the filesystem is told.
    pub fn with(self, data: impl Into<OsString>) -> Mount {
        Mount { data: Some(data.into()), ..self }
    }

    /// What is at `source`, at `target` too.
    pub fn bind(source: impl Into<Location>, target: impl Into<Location>) -> Mount {
        let (source, target) = (Some(source.into()), target.into());
        Mount { source, target, fstype: None, flags: MsFlags::MS_BIND, data: None }
    }

    /// And what is mounted below it.
    pub fn recursive(self) -> Mount {
        Mount { flags: self.flags | MsFlags::MS_REC, ..self }
    }

    /// Lets what is mounted at `target` only be read. `kept` is what the mount had forbidden already:
    /// nobody but its owner may take that back.
    pub fn read_only(target: impl Into<Location>, kept: MsFlags) -> Mount {
        let target = target.into();
        let again = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        let (source, flags) = (Some(target.clone()), again | kept);
        Mount { source, target, fstype: None, flags, data: None }
    }

    /// Changes to whom all mounts from `target` on tell of new ones; see mount_namespaces(7).
    pub fn propagation(target: impl Into<Location>, kind: MsFlags) -> Mount {
        let (target, flags) = (target.into(), MsFlags::MS_REC | kind);
        Mount { source: None, target, fstype: None, flags, data: None }
    }
}

impl Call for Mount {
    fn strace(&self) -> String {
        let path = |path: &Path| c_string(path.as_os_str());
        let null = || "NULL".to_owned();
        format!(
            "mount({}, {}, {}, {}, {})",
            self.source.as_deref().map_or_else(null, path),
            path(&self.target),
            self.fstype.map_or_else(null, |kind| c_string(kind.as_ref())),
            flags(self.flags.iter_names().map(|(name, _)| name)),
            self.data.as_ref().map_or_else(null, |data| c_string(data)),
        )
    }

    /// mount(8)
    fn by_hand(&self) -> Shell {
        let target = sh_path(&self.target);
        let source = sh_path(self.source.as_deref().unwrap_or(Path::new("none")));
        let rec = if self.flags.contains(MsFlags::MS_REC) { "r" } else { "" };
        let propagations = [
            (MsFlags::MS_PRIVATE, "private"),
            (MsFlags::MS_SLAVE, "slave"),
            (MsFlags::MS_SHARED, "shared"),
        ];
        for (flag, name) in propagations {
            if self.flags.contains(flag) {
                return Shell::line(format!("mount --make-{rec}{name} {target}"));
            }
        }
        if self.flags.contains(MsFlags::MS_REMOUNT) {
            return Shell::line(format!("mount -o remount,bind,ro {target}"));
        }
        if self.flags.contains(MsFlags::MS_BIND) {
            // mount(8) makes an absolute path of it, which this user may not be able to walk.
            let as_it_is = if source == "." { "-c " } else { "" };
            return Shell::line(format!("mount {as_it_is}--{rec}bind {source} {target}"));
        }
        let mut options: Vec<String> =
            self.flags.iter_names().map(|(flag, _)| option(flag)).collect();
        options.extend(self.data.as_ref().map(|data| data.to_string_lossy().into_owned()));
        let options = match options.is_empty() {
            true => String::new(),
            false => format!(" -o {}", options.join(",")),
        };
        let kind = self.fstype.unwrap_or("none");
        Shell::line(format!("mount -t {kind}{options} {source} {target}"))
    }

    fn perform(&self) -> nix::Result<()> {
        let (source, target) =
            (self.source.as_ref().map(Location::find).transpose()?, self.target.find()?);
        let (source, data) = (source.as_ref().map(Found::path), self.data.as_deref());
        nix::mount::mount(source.as_deref(), &target.path(), self.fstype, self.flags, data)
    }

    fn remedy(&self, errno: Errno) -> Option<String> {
        match (self.fstype, errno) {
            (Some("proc"), Errno::EPERM) => say(
                "the kernel mounts a new /proc only where a complete one is visible, and container \
                 runtimes mask it; run outside of the container, or leave `pid` out",
            ),
            (_, Errno::ENOSPC) => {
                say("the disk or the memory for it is full: free some, or choose a smaller rootfs")
            }
            (_, Errno::EPERM | Errno::EACCES) => {
                say("mounting needs privilege over the mount namespace: see `sandbox doctor`")
            }
            _ => location::remedy(errno),
        }
    }
}

/// mount_setattr(2): what a mount allows no more. What it forbade already stays forbidden.
#[derive(Clone, Debug, PartialEq)]
pub struct MountSetattr {
    /// Where it is.
    pub target: Location,
    /// What is forbidden.
    pub set: MsFlags,
    /// Whether for all that is mounted below it too.
    pub recursive: bool,
}

impl MountSetattr {
    /// Forbids this for the mount at `target` and for all below it.
    pub fn below(target: impl Into<Location>, set: MsFlags) -> MountSetattr {
        MountSetattr { target: target.into(), set, recursive: true }
    }

    /// Forbids this for the mount at `target` alone.
    pub fn only(target: impl Into<Location>, set: MsFlags) -> MountSetattr {
        MountSetattr { target: target.into(), set, recursive: false }
    }
}

impl Call for MountSetattr {
    fn strace(&self) -> String {
        let target = c_string(self.target.as_os_str());
        let how = if self.recursive { "AT_RECURSIVE" } else { "0" };
        let names = self.set.iter_names().map(|(name, _)| name.replacen("MS_", "MOUNT_ATTR_", 1));
        let names: Vec<String> = names.collect();
        let set = flags(names.iter().map(String::as_str));
        format!("mount_setattr(AT_FDCWD, {target}, {how}, {{attr_set={set}}}, 32)")
    }

    fn by_hand(&self) -> Shell {
        let target = sh_path(&self.target);
        let options: Vec<String> = self.set.iter_names().map(|(name, _)| option(name)).collect();
        let mount = format!("mount -o remount,bind,{}", options.join(","));
        Shell::line(match self.recursive {
            true => {
                format!(
                    "findmnt -nlRo TARGET {target} | while IFS= read -r at; do {mount} \"$at\"; done"
                )
            }
            false => format!("{mount} {target}"),
        })
    }

    fn perform(&self) -> nix::Result<()> {
        // As attributes of a mount these flags have the same numbers.
        let how = if self.recursive { AT_RECURSIVE } else { 0 };
        kernel::mount_setattr(&self.target.find()?.path(), how, self.set.bits())
    }

    fn remedy(&self, errno: Errno) -> Option<String> {
        match errno {
            Errno::ENOSYS => say("mount_setattr(2) came with Linux 5.12"),
            _ => location::remedy(errno),
        }
    }
}

const AT_RECURSIVE: libc::c_int = 0x8000;

/// A flag as mount(8) takes it.
fn option(flag: &str) -> String {
    match flag {
        "MS_RDONLY" => "ro".to_owned(),
        flag => flag.trim_start_matches("MS_").to_lowercase(),
    }
}

/// umount2(2)
#[derive(Clone, Debug, PartialEq)]
pub struct Umount2(pub PathBuf, pub MntFlags);

impl Call for Umount2 {
    fn strace(&self) -> String {
        let how = flags(self.1.iter_names().map(|(name, _)| name));
        format!("umount2({}, {how})", c_string(self.0.as_os_str()))
    }

    fn by_hand(&self) -> Shell {
        let lazily = if self.1.contains(MntFlags::MNT_DETACH) { "-l " } else { "" };
        Shell::line(format!("umount {lazily}{}", sh_path(&self.0)))
    }

    fn perform(&self) -> nix::Result<()> {
        nix::mount::umount2(&self.0, self.1)
    }
}

/// pivot_root(2)
#[derive(Clone, Debug, PartialEq)]
pub struct PivotRoot {
    /// What becomes the root.
    pub new_root: PathBuf,
    /// Where the old one goes.
    pub put_old: PathBuf,
}

impl Call for PivotRoot {
    fn strace(&self) -> String {
        let path = |path: &Path| c_string(path.as_os_str());
        format!("pivot_root({}, {})", path(&self.new_root), path(&self.put_old))
    }

    fn by_hand(&self) -> Shell {
        Shell::line(format!("pivot_root {} {}", sh_path(&self.new_root), sh_path(&self.put_old)))
    }

    fn perform(&self) -> nix::Result<()> {
        nix::unistd::pivot_root(&self.new_root, &self.put_old)
    }

    fn remedy(&self, errno: Errno) -> Option<String> {
        if errno == Errno::EINVAL {
            return say(
                "the new root must be a mount point in a private mount namespace, and the machine's \
                 root must not be an initramfs; `chroot` works there",
            );
        }
        None
    }
}
