//! Which programs a lesson runs, and whether a rootfs has them.

use std::collections::BTreeSet;

use rootfs_fetch::Verified;

use crate::teach::lesson::Lesson;

/// What a lesson runs, and a rootfs has not.
pub(crate) struct Needs {
    /// The lesson's number.
    pub(crate) lesson: u32,
    /// Its name.
    pub(crate) slug: String,
    /// The programs that are missing.
    pub(crate) missing: Vec<String>,
}

impl Needs {
    /// Compares what a lesson runs with what a rootfs has.
    pub(crate) fn of(lesson: &Lesson, verified: &Verified) -> Needs {
        let mut used = BTreeSet::new();
        for part in &lesson.parts {
            let commands = part.experiments.iter().filter(|one| one.containers.is_none());
            let steps = commands.flat_map(|one| &one.steps);
            let probes = part.probes.iter().map(|probe| &probe.run);
            for command in probes.chain(steps.map(|step| &step.run)) {
                used.extend(programs(command));
            }
        }
        used.retain(|name| !verified.has(name));
        let slug = lesson.slug.clone();
        Needs { lesson: lesson.lesson, slug, missing: used.into_iter().collect() }
    }
}

/// The programs that a shell command runs: the first words of its parts, roughly.
fn programs(command: &str) -> BTreeSet<String> {
    let mut command = command.to_owned();
    while let Some((before, sum)) = command.split_once("$((") {
        let after = sum.split_once("))").map_or("", |(_, after)| after);
        command = format!("{before}0{after}");
    }
    let mut quote = None;
    let unquoted: String = command
        .chars()
        .filter(|c| match quote {
            Some(open) if open == *c => quote.take().is_none(),
            Some(_) => false,
            None if *c == '\'' || *c == '"' => quote.replace(*c).is_some(),
            None => true,
        })
        .collect();
    let functions = || {
        unquoted.match_indices("()").filter_map(|(at, _)| {
            unquoted[..at].rsplit(|c: char| c.is_whitespace() || c == ';').next()
        })
    };
    let parts = unquoted.split(['|', ';', '&', '(', ')', '`', '\n']);
    let is_function = |name: &String| functions().any(|function| function == name);
    parts.filter_map(program).filter(|name| !is_function(name)).collect()
}

/// The program that a simple command runs, if that is no matter of the shell and no path.
fn program(command: &str) -> Option<String> {
    const BEFORE: [&str; 10] =
        ["!", "if", "then", "else", "elif", "while", "until", "do", "exec", "{"];
    const SHELL: [&str; 25] = [
        ".", ":", "break", "case", "cd", "command", "continue", "done", "esac", "eval", "exit",
        "export", "fi", "for", "jobs", "read", "return", "set", "shift", "trap", "type", "ulimit",
        "umask", "unset", "wait",
    ];
    let mut words = command.split_whitespace();
    let word = words.find(|word| !BEFORE.contains(word) && !word.contains('='))?;
    let name = |c: char| c.is_ascii_alphanumeric() || "_-+.[".contains(c);
    let begins = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '[');
    (begins && word.chars().all(name) && !SHELL.contains(&word)).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_of_a_command_are_found() {
        let names = |command: &str| programs(command).into_iter().collect::<Vec<_>>().join(" ");
        assert_eq!(names("mount | grep -c 'a|b' 2>&1; cd /; A=1 env"), "env grep mount");
        assert_eq!(names("ls $(strings x | sort) && /bin/busybox ls"), "ls sort strings");
        assert_eq!(names("i=$((i + 1)); echo $((a * 2))"), "echo");
        assert_eq!(names("take() { head f; }; take & take"), "head");
        assert_eq!(names("while ! test -e f; do sleep 1; done"), "sleep test");
    }
}
