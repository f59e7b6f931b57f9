//! The command at the end of a plan: which file it is, and with what environment it starts.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::Args;
use nix::errno::Errno;

use super::step::{Because, Step};
use crate::error::Error;
use crate::machine::programs::is_executable;
use crate::syscall::{Chdir, Execve, Syscall};

/// Where programs are looked for inside a rootfs.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The program at the end of a plan.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// The program and its arguments; never empty.
    pub argv: Vec<OsString>,
    /// Variables on top of the others.
    pub env: Vec<(OsString, OsString)>,
    /// Whether the others are a few of ours, as in another root, and not the caller's.
    pub fresh_env: bool,
    /// The directory to start in.
    pub workdir: Option<PathBuf>,
}

// How a command starts; no stage has to do with it. (`///` here would be the help of all of `run`.)
#[allow(missing_docs)]
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "The command")]
pub struct Start {
    /// Set a variable in its environment
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<OsString>,
    /// Start it in this directory
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<PathBuf>,
}

impl Command {
    /// A command that starts like this.
    ///
    /// # Errors
    /// A variable without a name, or without `=`.
    pub fn new(argv: Vec<OsString>, start: &Start) -> Result<Command, Error> {
        let env = start.env.iter().map(variable).collect::<Result<_, _>>()?;
        Ok(Command { argv, env, fresh_env: false, workdir: start.workdir.clone() })
    }

    /// The steps that start it. In another `root` its environment is a fresh one; on the host it is
    /// the caller's; its own variables on top.
    pub fn steps(&self, root: Option<&Path>) -> Vec<Step> {
        let mut steps = Vec::new();
        if let Some(dir) = &self.workdir {
            steps.push(Chdir(dir.clone()).because("start in the directory that was asked for"));
        }
        let env = self.environment(root.is_some());
        let file = self.file(root, &env);
        steps.push(Execve { file, argv: self.argv.clone(), env }.because("become the command"));
        steps
    }

    fn environment(&self, other_root: bool) -> Vec<(OsString, OsString)> {
        let mut variables: Vec<(OsString, OsString)> = if other_root || self.fresh_env {
            let fresh = [("PATH", PATH), ("HOME", "/root")];
            let terminal = env::var_os("TERM").map(|term| ("TERM".into(), term));
            fresh
                .map(|(name, value)| (name.into(), value.into()))
                .into_iter()
                .chain(terminal)
                .collect()
        } else {
            env::vars_os().collect()
        };
        for (name, value) in &self.env {
            variables.retain(|(known, _)| known != name);
            variables.push((name.clone(), value.clone()));
        }
        variables
    }

    /// The file to execute. For a name that is found nowhere, one that is not there stands in, so that
    /// execve(2) says so.
    fn file(&self, root: Option<&Path>, env: &[(OsString, OsString)]) -> PathBuf {
        let name = self.argv.first().map_or(OsStr::new(""), OsString::as_os_str);
        if name.as_bytes().contains(&b'/') {
            return PathBuf::from(name);
        }
        let is_there = |file: &PathBuf| match root {
            None => is_executable(file),
            Some(root) => {
                rootfs_fetch::resolve_in(root, file).is_ok_and(|file| is_executable(&file))
            }
        };
        let path = env.iter().find(|(name, _)| name == "PATH");
        let path = path.map_or(OsStr::new(PATH), |(_, value)| value.as_os_str());
        let found = env::split_paths(path).map(|dir| dir.join(name)).find(is_there);
        found.unwrap_or_else(|| Path::new("/bin").join(name))
    }
}

/// `NAME=VALUE`
fn variable(pair: &OsString) -> Result<(OsString, OsString), Error> {
    let bytes = pair.as_bytes();
    let part = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    match bytes.iter().position(|byte| *byte == b'=') {
        Some(at @ 1..) => Ok((part(&bytes[..at]), part(&bytes[at + 1..]))),
        _ => Err(Error::usage(
            format!("`{}` is not a variable", pair.to_string_lossy()),
            "write `--env NAME=VALUE`",
        )),
    }
}

/// What to do when a command cannot be started.
pub fn remedy(call: &Syscall, errno: Errno) -> Option<String> {
    match (call, errno) {
        (Syscall::Chdir(_), Errno::ENOENT | Errno::ENOTDIR) => Some(
            "name a directory that is there, as the command sees it: `--workdir DIR`".to_owned(),
        ),
        _ => None,
    }
}

/// The exit code for a command that cannot be started, as a shell has them: 127 when there is none,
/// 126 when it cannot be executed.
pub fn exit_code(call: &Syscall, errno: Errno) -> u8 {
    match (call, errno) {
        (Syscall::Execve(_), Errno::ENOENT | Errno::ENOTDIR) => 127,
        (
            Syscall::Execve(_),
            Errno::EACCES | Errno::ENOEXEC | Errno::EISDIR | Errno::EPERM | Errno::ELOOP,
        ) => 126,
        _ => 125,
    }
}

/// The shell of a rootfs, or the user's own on the host.
pub fn shell(other_root: bool) -> Vec<OsString> {
    if other_root {
        // A login shell reads /etc/profile, where the prompt is.
        return vec!["/bin/sh".into(), "-l".into()];
    }
    vec![env::var_os("SHELL").unwrap_or("/bin/sh".into())]
}
