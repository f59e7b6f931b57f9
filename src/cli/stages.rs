//! Choosing stages, written alike everywhere: a level, or only these, with and without others.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use rootfs_fetch::{Progress, Store};

use crate::error::Error;
use crate::host::Host;
use crate::show;
use crate::stage::{Command, Spec, StageName};
use crate::stages::{LEVELS, STAGES, find};

#[derive(Args, Clone, Default)]
#[command(next_help_heading = "Stages")]
pub(crate) struct StageArgs {
    /// Begin with all stages up to this level: host, chroot, namespaces [default: namespaces]
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
    /// Set a variable in the command's environment
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<OsString>,
    /// Start the command in this directory
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<PathBuf>,
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
        let host = Host::gather();
        let mut stages = self.chosen()?;
        let refused = self.without.iter().any(|name| name == "user");
        if join_user(&mut stages, &host) && !refused {
            show::note(
                "not root: the stage `user` joins, to give the other stages their privilege",
            );
        } else if refused {
            stages.retain(|stage| *stage != "user");
        }
        let needs_rootfs = stages.iter().any(|s| ["rootfs", "chroot", "pivot-root"].contains(s));
        let rootfs = if needs_rootfs { rootfs(self.rootfs.as_ref())? } else { PathBuf::from("/") };
        let hostname = self.hostname.clone();
        if hostname.is_empty() || hostname.len() > 64 {
            return Err(usage("a hostname has 1 to 64 bytes", "choose another `--hostname`"));
        }
        let command = Command {
            argv,
            env: self.variables()?,
            fresh_env: false,
            workdir: self.workdir.clone(),
        };
        Ok(Spec {
            id: crate::state::new_id(),
            stages,
            host,
            rootfs,
            hostname,
            command: Some(command),
            attack: None,
            forget: self.forget.clone(),
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

/// Who is not root gets the privilege for the other stages from the stage `user`. Says whether it
/// was added.
pub(crate) fn join_user(stages: &mut Vec<StageName>, host: &Host) -> bool {
    let joins = !host.privileged && !stages.is_empty() && !stages.contains(&"user");
    if joins {
        stages.insert(0, "user");
    }
    joins
}

/// The directory of the rootfs of this name, or this directory; without one the default, which is
/// made when it is not there.
pub(crate) fn rootfs(named: Option<&OsString>) -> Result<PathBuf, Error> {
    let store = Store::open(None)?;
    let Some(named) = named else { return Ok(store.provide(&Progress::stderr())?.path) };
    if named.as_encoded_bytes().contains(&b'/') || Path::new(named) == Path::new(".") {
        let doing = format!("use `{}` as a rootfs", Path::new(named).display());
        let dir = std::fs::canonicalize(named).map_err(Error::io(doing))?;
        return if dir.is_dir() { Ok(dir) } else { Err(not_a_directory(&dir)) };
    }
    let name = named.to_string_lossy();
    match store.get(&name)? {
        Some(rootfs) => Ok(rootfs.path),
        None if name == "busybox" => Ok(store.provide(&Progress::stderr())?.path),
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

fn usage(problem: &str, hint: &str) -> Error {
    Error::Usage { problem: problem.to_owned(), hint: hint.to_owned() }
}

/// The shell of a rootfs, or the user's own on the host.
pub(crate) fn shell_of(stages: &[StageName]) -> OsString {
    let other_root = stages.iter().any(|stage| *stage == "chroot" || *stage == "pivot-root");
    if other_root { "/bin/sh".into() } else { env::var_os("SHELL").unwrap_or("/bin/sh".into()) }
}
