//! The names of stages that others speak of.

#![allow(missing_docs)] // each is the name itself

use crate::plan::step::StageName;

pub const CGROUPS: StageName = "cgroups";
pub const CGROUP_NS: StageName = "cgroup-ns";
pub const CHROOT: StageName = "chroot";
pub const GUARD: StageName = "guard";
pub const IPC: StageName = "ipc";
pub const MNT: StageName = "mnt";
pub const NET: StageName = "net";
pub const OVERLAY: StageName = "overlay";
pub const PID: StageName = "pid";
pub const PIVOT_ROOT: StageName = "pivot-root";
pub const RLIMITS: StageName = "rlimits";
pub const ROOTFS: StageName = "rootfs";
pub const STAND_IN: StageName = "stand-in";
pub const USER: StageName = "user";
pub const UTS: StageName = "uts";
