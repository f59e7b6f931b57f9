//! A plan as a shell script that does the same by hand.
//!
//! A shell cannot change its own namespaces; util-linux's programs make a call and then start
//! another program. So each such layer starts a shell that reads the rest, a here-document on
//! descriptor 3, which keeps the layers in order and needs no quoting.

use std::fmt::Write;
use std::path::Path;

use nix::sched::CloneFlags;

use super::step::Undo;
use super::{Plan, Planned};
use crate::syscall::quote::{sh_path, sh_word, sh_words};
use crate::syscall::{Execve, Shell, Syscall, Unshare};

/// A shell that reads the rest from descriptor 3. To open /dev/fd/3 would need the right to open
/// what it leads to, which a layer that became another user does not have.
const LAYER: &str = r#"sh -euc 'eval "$(cat <&3)"'"#;

/// The script. It runs under `sh -eu`.
pub fn script(plan: &Plan, state_dir: &Path) -> String {
    let mut writer = Writer::default();
    writer.line("#!/bin/sh -eu");
    writer.line("# What `sandbox` does for this plan, by hand, with util-linux.");
    writer.line("PATH=$PATH:/usr/sbin:/sbin");
    let undos: Vec<String> = plan.steps.iter().rev().filter_map(undo).collect();
    let (host, rest) = plan.at_fork();
    if !undos.is_empty() {
        let parent = state_dir.display().to_string();
        writer.line(&format!("mkdir -p -m 711 {}", sh_word(parent.as_ref())));
        let undos = [undos, vec![format!("rmdir {}", sh_word(parent.as_ref()))]].concat();
        writer.line(&format!("trap {} EXIT", sh_word(undos.join("; ").as_ref())));
    }
    writer.steps(host);
    // With something to undo the shell has to stay, and start the container as a child.
    writer.first_exec = if undos_are_needed(&plan.steps) { "" } else { "exec " };
    if plan.steps.iter().any(|planned| matches!(planned.step.undo, Some(Undo::Cgroup(_)))) {
        // Only the child joins: the shell that stays has to remove the cgroups.
        writer.starts.push((String::new(), None));
    }
    writer.steps(rest);
    writer.finish()
}

fn undos_are_needed(steps: &[Planned]) -> bool {
    steps.iter().any(|planned| planned.step.undo.is_some())
}

fn undo(planned: &Planned) -> Option<String> {
    let (program, path) = match planned.step.undo.as_ref()? {
        Undo::Rmdir(dir) | Undo::Cgroup(dir) => ("rmdir", dir),
        Undo::Unlink(file) => ("rm", file),
        Undo::Tree(dir) => ("rm -rf", dir),
    };
    Some(format!("{program} {}", sh_path(path)))
}

#[derive(Default)]
struct Writer {
    out: String,
    /// The ends of the here-documents that are open.
    ends: Vec<String>,
    /// Programs that start the next layer, with what each is for.
    starts: Vec<(String, Option<String>)>,
    first_exec: &'static str,
    why: &'static str,
    pivoted: bool,
}

impl Writer {
    fn steps(&mut self, steps: &[Planned]) {
        let maps_more = steps.iter().any(|p| matches!(p.step.call, Syscall::MapIds(..)));
        for (at, planned) in in_shell_order(steps).into_iter().enumerate() {
            let call = &planned.step.call;
            match call {
                Syscall::Unshare(Unshare(CloneFlags::CLONE_NEWUSER)) if maps_more => {
                    self.comment(planned);
                    let program = "unshare --user --map-root-user --map-auto";
                    self.start(Shell::Starts(program.to_owned(), None));
                }
                Syscall::Execve(Execve { argv, env, .. }) => self.command(argv, env),
                Syscall::PivotRoot(_) => self.pivot_root(call),
                // chroot(1) changes directory itself, and nothing of ours is left to read after it.
                Syscall::Chroot(_) if is_last_layer(&steps[at + 1..]) => {
                    self.comment(planned);
                    self.start(call.by_hand());
                }
                Syscall::Chdir(_) if self.starts_chroot() || self.pivoted => {}
                _ => match call.by_hand() {
                    Shell::Nothing(_) => {}
                    Shell::Line(line) => {
                        self.enter_layer();
                        self.comment(planned);
                        self.line(&line);
                    }
                    starts @ Shell::Starts(..) => {
                        self.comment(planned);
                        self.start(starts);
                    }
                },
            }
        }
    }

    fn start(&mut self, shell: Shell) {
        let Shell::Starts(program, value) = shell else { return };
        match (self.starts.last_mut(), value) {
            (Some((last, Some(values))), Some(value)) if *last == program => {
                let _ = write!(values, ",{value}");
            }
            (_, value) => self.starts.push((program, value)),
        }
    }

    fn starts_chroot(&self) -> bool {
        self.starts.last().is_some_and(|(program, _)| program.starts_with("chroot "))
    }

    /// Starts a shell under the programs that wait to start something; it reads what follows.
    fn enter_layer(&mut self) {
        if self.starts.is_empty() {
            return;
        }
        let end = format!("LAYER_{}", self.ends.len() + 1);
        let programs = self.take_programs();
        self.line(&format!("{programs}{LAYER} 3<<'{end}'"));
        self.line("exec 3<&-");
        self.ends.push(end);
    }

    fn take_programs(&mut self) -> String {
        let exec = if self.ends.is_empty() { self.first_exec } else { "exec " };
        let programs = self.starts.drain(..).map(|(program, value)| match value {
            Some(value) => format!("{program} {value} "),
            None if program.is_empty() => program,
            None => format!("{program} "),
        });
        let programs: String = programs.collect();
        format!("{exec}{programs}")
    }

    /// After pivot_root the host's programs are out of reach: the rootfs's own take over.
    fn pivot_root(&mut self, call: &Syscall) {
        self.enter_layer();
        if let Shell::Line(line) = call.by_hand() {
            self.line("# make its mount the root; the old root now lies on top of it");
            self.line(&line);
        }
        self.pivoted = true;
    }

    fn command(
        &mut self,
        argv: &[std::ffi::OsString],
        env: &[(std::ffi::OsString, std::ffi::OsString)],
    ) {
        self.why = "";
        let other_root = self.pivoted || self.starts_chroot();
        let programs = self.take_programs();
        let mut clean = String::new();
        if other_root {
            let pairs = env
                .iter()
                .map(|(name, value)| format!("{}={} ", name.to_string_lossy(), sh_word(value)));
            clean = format!("env -i {}", pairs.collect::<String>());
        }
        let exec = programs.starts_with("exec ");
        let programs = programs.trim_start_matches("exec ");
        let exec = if exec { "exec " } else { "" };
        self.line(&format!("{exec}{clean}{programs}{}", sh_words(argv)));
    }

    fn comment(&mut self, planned: &Planned) {
        if planned.step.why != self.why {
            self.why = planned.step.why;
            self.line(&format!("# {}: {}", planned.by, planned.step.why));
        }
    }

    fn line(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
    }

    fn finish(mut self) -> String {
        while let Some(end) = self.ends.pop() {
            self.line(&end);
        }
        self.out
    }
}

/// A capability that is given up is gone for the programs that are started from there on, while
/// the process that gives it up keeps it: so a script gives up only after it has set the clocks.
fn in_shell_order(steps: &[Planned]) -> Vec<&Planned> {
    let guards = |p: &&Planned| matches!(p.step.call, Syscall::DropCapability(_));
    let Some(clocks) = steps.iter().position(|p| matches!(p.step.call, Syscall::TimeOffset(_)))
    else {
        return steps.iter().collect();
    };
    let (before, after) = steps.split_at(clocks + 1);
    let given_up = before.iter().filter(guards);
    before.iter().filter(|p| !guards(p)).chain(given_up).chain(after).collect()
}

fn is_last_layer(rest: &[Planned]) -> bool {
    rest.iter().all(|planned| {
        matches!(planned.step.call, Syscall::Chdir(_) | Syscall::Execve(_) | Syscall::CloseFrom(_))
    })
}
