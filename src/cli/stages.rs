//! Choosing stages, written alike everywhere: a level, or only these, with and without others.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use rootfs_fetch::{Progress, Store};

use super::layers::LayerArgs;
use super::limits::LimitArgs;
use crate::cgroups;
use crate::cgroups::Limits;
use crate::error::Error;
use crate::machine::host::Host;
use crate::machine::scope;
use crate::plan::rlimits_serve;
use crate::show;
use crate::stages::stage::{Command, Propagation, Settings, Spec, StageName};
use crate::stages::{LEVELS, STAGES, find, join_user};

#[derive(Clone, Copy, ValueEnum)]
enum PropagationArg {
    Private,
    Slave,
    Shared,
}

#[derive(Args, Clone)]
#[command(next_help_heading = "Stages")]
pub(crate) struct StageArgs {
    /// Begin with all stages up to this level: host, chroot, namespaces, cgroups, union
    /// [default: namespaces]
    #[arg(long, value_name = "LEVEL", conflicts_with = "only")]
    level: Option<String>,
    /// These stages and no others
    #[arg(long, value_name = "STAGE,…", value_delimiter = ',')]
    only: Option<Vec<String>>,
    /// Add stages
    #[arg(long, value_name = "STAGE,…", value_delimiter = ',')]
    with: Vec<String>,
    /// Take stages away
    #[arg(long, value_name = "STAGE,…", value_delimiter = ',')]
    without: Vec<String>,
    /// Leave a system call out, to see what it is for (only where that harms nobody else)
    #[arg(long, value_name = "CALL", value_delimiter = ',')]
    forget: Vec<String>,
    /// The root filesystem: a name from `sandbox rootfs list`, or a directory
    #[arg(long, value_name = "NAME|DIR", env = "SANDBOX_ROOTFS")]
    rootfs: Option<OsString>,
    /// The name that the stage `uts` gives
    #[arg(long, value_name = "NAME", default_value = "sandbox")]
    hostname: String,
    /// What the stage `mnt` lets new mounts do: stay, come in, or go out too
    #[arg(long, value_name = "KIND", default_value = "private")]
    propagation: PropagationArg,
    /// The seconds that the stage `time` adds to the time since boot
    #[arg(long, value_name = "SECONDS", default_value = "864000", allow_negative_numbers = true)]
    boottime: i64,
    /// Keep a process 1 that reaps the dead and passes signals on (with the stage `pid`)
    #[arg(long)]
    init: bool,
    /// Let the stage `user` map your subordinate ids too, see subuid(5)
    #[arg(long)]
    map_auto: bool,
    /// Set a variable in the command's environment
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<OsString>,
    /// Start the command in this directory
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<PathBuf>,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    layers: LayerArgs,
}

impl StageArgs {
    /// The chosen stages, in the order in which they run.
    pub(crate) fn chosen(&self) -> Result<Vec<StageName>, Error> {
        let base = match (&self.only, &self.level) {
            (Some(only), _) => names(only)?,
            (None, level) => level_stages(level.as_deref().unwrap_or("namespaces"))?,
        };
        adjust(base, &self.with, &self.without)
    }

    /// Everything that a plan is made from. Provides the rootfs when one is needed.
    pub(crate) fn spec(&self, argv: Vec<OsString>) -> Result<Spec, Error> {
        // ANCHOR: join
        let mut host = Host::gather();
        let mut stages = self.chosen()?;
        let refused = self.without.iter().any(|name| name == "user");
        if join_user(&mut stages, &host) && !refused {
            show::note(
                "not root: the stage `user` joins, to give the other stages their privilege",
            );
        } else if refused {
            stages.retain(|stage| *stage != "user");
        }
        // ANCHOR_END: join
        let settings = self.settings(&host)?;
        if !settings.limits.is_empty() && !stages.contains(&"rlimits") {
            stages = adjust(stages, &["cgroups".to_owned()], &self.without)?;
        }
        if stages.contains(&"cgroups") {
            self.provide_cgroups(&mut stages, &host, &settings.limits)?;
        }
        let needs_rootfs = stages.iter().any(|s| ["rootfs", "chroot", "pivot-root"].contains(s));
        let (rootfs, lowers) = match stages.contains(&"overlay") {
            true => layered_rootfs(self.rootfs.as_ref())?,
            false if needs_rootfs => (rootfs(self.rootfs.as_ref())?, Vec::new()),
            false => (PathBuf::from("/"), Vec::new()),
        };
        let command = Command {
            argv,
            env: self.variables()?,
            fresh_env: false,
            workdir: self.workdir.clone(),
        };
        let id = crate::run::state::new_id();
        let layers = self.layers.layers(&stages, &mut host, &rootfs, lowers, &id)?;
        let mut settings = settings;
        settings.limits.find_disks(Path::new("/"));
        let below =
            [vec![layers.upper(), layers.init()], layers.lowers.clone(), vec![rootfs.clone()]];
        let below = below.concat();
        self.layers.find_volumes(&mut settings.volumes, &below, &stages)?;
        Ok(Spec {
            id,
            layers,
            stages,
            host,
            rootfs,
            settings,
            command: Some(command),
            attack: None,
            forget: self.forget.clone(),
        })
    }

    /// Where no cgroup can be had: in one that the user's service manager lends, or with `rlimits`
    /// instead when `cgroups` was not asked for by name.
    fn provide_cgroups(
        &self,
        stages: &mut Vec<StageName>,
        host: &Host,
        limits: &Limits,
    ) -> Result<(), Error> {
        let Err(error) = cgroups::choose(host, limits, "ID") else { return Ok(()) };
        if host.cgroups.user_manager {
            scope::start_again().map_or(Ok(()), Err)?;
        }
        let by_name = self.with.iter().chain(self.only.iter().flatten());
        if by_name.clone().any(|name| name == "cgroups") || !rlimits_serve(limits) {
            return Err(error);
        }
        show::note(&format!(
            "{error}: the stage `rlimits` takes the place of `cgroups`; it limits each process by \
             itself"
        ));
        stages.retain(|stage| *stage != "cgroups");
        *stages = adjust(stages.clone(), &["rlimits".to_owned()], &[])?;
        Ok(())
    }

    fn settings(&self, host: &Host) -> Result<Settings, Error> {
        if self.hostname.is_empty() || self.hostname.len() > 64 {
            return Err(usage("a hostname has 1 to 64 bytes", "choose another `--hostname`"));
        }
        if self.map_auto && host.subids.is_none() {
            return Err(usage(
                "you have no subordinate ids, or newuidmap(1) is not installed",
                "install the package `uidmap`; an administrator gives ids with \
                 `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 YOU`",
            ));
        }
        let propagation = match self.propagation {
            PropagationArg::Private => Propagation::Private,
            PropagationArg::Slave => Propagation::Slave,
            PropagationArg::Shared => Propagation::Shared,
        };
        let hostname = self.hostname.clone();
        let (boottime, init, map_auto) = (self.boottime, self.init, self.map_auto);
        let limits = self.limits.limits();
        let storage = self.layers.driver();
        let (volumes, read_only) = (self.layers.volumes(), self.layers.read_only);
        Ok(Settings {
            hostname,
            propagation,
            boottime,
            init,
            map_auto,
            limits,
            storage,
            volumes,
            read_only,
            disk: None,
        })
    }

    fn variables(&self) -> Result<Vec<(OsString, OsString)>, Error> {
        use std::os::unix::ffi::OsStrExt;
        let split = |pair: &OsString| {
            let bytes = pair.as_bytes();
            let at = bytes.iter().position(|byte| *byte == b'=').filter(|at| *at > 0);
            let part = |bytes: &[u8]| std::ffi::OsStr::from_bytes(bytes).to_owned();
            at.map(|at| (part(&bytes[..at]), part(&bytes[at + 1..]))).ok_or_else(|| {
                let problem = format!("`{}` is not a variable", pair.to_string_lossy());
                usage(&problem, "write `--env NAME=VALUE`")
            })
        };
        self.env.iter().map(split).collect()
    }
}

/// A set of stages in one word: `chroot`, `namespaces-net`, `host+uts+pid`. A name with a dash in
/// it is recognised as a whole.
pub(crate) fn stage_set(text: &str) -> Result<Vec<StageName>, Error> {
    let mut stages: Vec<StageName> = Vec::new();
    let mut rest = text;
    let mut sign = '+';
    loop {
        let levels = LEVELS.iter().map(|(name, _)| *name);
        let known = levels.chain(STAGES.iter().map(|stage| stage.name()));
        let begins = known.filter(|name| {
            rest.strip_prefix(name)
                .is_some_and(|after| after.is_empty() || after.starts_with(['+', '-']))
        });
        let Some(name) = begins.max_by_key(|name| name.len()) else {
            let word = rest.split(['+', '-']).next().unwrap_or(rest);
            return Err(stage_name(word).err().unwrap_or_else(|| {
                usage(&format!("`{text}` is no set of stages"), "write it like `namespaces-net`")
            }));
        };
        let level = LEVELS.iter().find(|(level, _)| *level == name);
        let meant = level.map_or(vec![stage_name(name).unwrap_or_default()], |(_, s)| s.to_vec());
        match sign {
            '+' => stages.extend(meant),
            _ => stages.retain(|stage| !meant.contains(stage)),
        }
        rest = &rest[name.len()..];
        let Some(next) = rest.chars().next() else { break };
        (sign, rest) = (next, &rest[1..]);
    }
    adjust(stages, &[], &[])
}

/// Adds and takes away stages, and puts them in the order in which they run.
pub(crate) fn adjust(
    mut stages: Vec<StageName>,
    with: &[String],
    without: &[String],
) -> Result<Vec<StageName>, Error> {
    stages.extend(names(with)?);
    let without = names(without)?;
    stages.retain(|stage| !without.contains(stage));
    Ok(STAGES.iter().map(|stage| stage.name()).filter(|name| stages.contains(name)).collect())
}

/// The directory of the rootfs of this name, or this directory; without one the default, which is
/// made when it is not there. A layered one is not a directory.
pub(crate) fn rootfs(named: Option<&OsString>) -> Result<PathBuf, Error> {
    let (path, layers) = layered_rootfs(named)?;
    if layers.is_empty() {
        return Ok(path);
    }
    let name = named.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Err(usage(
        &format!("`{name}` is made of layers"),
        "only the stage `overlay` can put them together: `--level union`, or `--with overlay`",
    ))
}

/// The same, and the layers over it, topmost first.
pub(crate) fn layered_rootfs(named: Option<&OsString>) -> Result<(PathBuf, Vec<PathBuf>), Error> {
    let store = Store::open(None)?;
    let whole = |path| Ok((path, Vec::new()));
    let Some(named) = named else { return whole(store.provide(&Progress::stderr())?.path) };
    if named.as_encoded_bytes().contains(&b'/') || Path::new(named) == Path::new(".") {
        let doing = format!("use `{}` as a rootfs", Path::new(named).display());
        let dir = std::fs::canonicalize(named).map_err(Error::io(doing))?;
        return if dir.is_dir() { whole(dir) } else { Err(not_a_directory(&dir)) };
    }
    let name = named.to_string_lossy();
    match store.get(&name)? {
        Some(rootfs) => Ok((rootfs.path, rootfs.layers)),
        None if name == "busybox" => whole(store.provide(&Progress::stderr())?.path),
        None => Err(usage(
            &format!("there is no rootfs `{name}`"),
            "see `sandbox rootfs list`; a directory is written with a slash: `./DIR`",
        )),
    }
}

fn not_a_directory(path: &Path) -> Error {
    let problem = format!("`{}` is not a directory", path.display());
    usage(&problem, "unpack an archive with `sandbox rootfs import FILE NAME`")
}

fn level_stages(name: &str) -> Result<Vec<StageName>, Error> {
    let found = LEVELS.iter().find(|(level, _)| *level == name);
    found.map(|(_, stages)| stages.to_vec()).ok_or_else(|| {
        let levels: Vec<&str> = LEVELS.iter().map(|(level, _)| *level).collect();
        let problem = format!("there is no level `{name}`");
        usage(&problem, &format!("the levels are {}", levels.join(", ")))
    })
}

fn names(given: &[String]) -> Result<Vec<StageName>, Error> {
    given.iter().filter(|name| !name.is_empty()).map(|name| stage_name(name)).collect()
}

/// The stage of this name.
pub(crate) fn stage_name(name: &str) -> Result<StageName, Error> {
    find(name).map(|stage| stage.name()).ok_or_else(|| Error::UnknownStage {
        name: name.to_owned(),
        nearest: nearest(name, STAGES.iter().map(|stage| stage.name())),
    })
}

/// The name that was probably meant.
pub(crate) fn nearest(
    name: &str,
    among: impl Iterator<Item = &'static str>,
) -> Option<&'static str> {
    let scored = among.map(|known| (strsim::jaro_winkler(name, known), known));
    let best = scored.filter(|(score, _)| *score > 0.7).max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, known)| known)
}

pub(super) fn usage(problem: &str, hint: &str) -> Error {
    Error::Usage { problem: problem.to_owned(), hint: hint.to_owned() }
}

/// The shell of a rootfs, or the user's own on the host.
pub(crate) fn shell_of(stages: &[StageName]) -> Vec<OsString> {
    let other_root = stages.iter().any(|stage| *stage == "chroot" || *stage == "pivot-root");
    if other_root {
        // A login shell reads /etc/profile, where the prompt is.
        return vec!["/bin/sh".into(), "-l".into()];
    }
    vec![env::var_os("SHELL").unwrap_or("/bin/sh".into())]
}
