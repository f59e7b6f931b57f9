//! An option does nothing without its stage: so it is refused, at every door in the same words.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::fs;

use common::{Who, as_user, everybody};
use sandbox::stages::{STAGES, with_needs};

/// A flag of a stage, with a value that it takes.
struct Flag {
    stage: &'static str,
    name: String,
    value: Option<String>,
}

/// Every flag that stands under the heading of a stage in the help of `sandbox run`.
fn flags() -> Vec<Flag> {
    let command = sandbox::cli::command();
    let run = command.find_subcommand("run").unwrap().clone();
    let mut flags = Vec::new();
    for argument in run.get_arguments() {
        let heading = argument.get_help_heading().unwrap_or_default();
        let Some(stage) = heading.strip_prefix("The stage ") else { continue };
        let stage = stage.split(' ').next().unwrap();
        let stage = STAGES.iter().find(|known| known.name() == stage).unwrap().name();
        let name = argument.get_long().unwrap().to_owned();
        let value = argument.get_action().takes_values().then(|| {
            let possible = argument.get_possible_values();
            let wanted = argument.get_value_names().unwrap()[0].as_str();
            possible.last().map_or_else(|| sample(wanted), |value| value.get_name().to_owned())
        });
        flags.push(Flag { stage, name, value });
    }
    flags
}

/// A value of this kind.
fn sample(kind: &str) -> String {
    let value = match kind {
        "NAME" => "told",
        "SIZE" => "64m",
        "NUMBER" => "1",
        "WEIGHT" => "10",
        "CPUS" => "0",
        "SECONDS" => "5",
        "PATH:RATE" => "/:1m",
        "SOURCE:TARGET[:ro]" => "/etc:/mnt",
        "TARGET[:SIZE]" => "/mnt:1m",
        other => panic!("say here what a {other} looks like"),
    };
    value.to_owned()
}

impl Flag {
    fn words(&self) -> Vec<String> {
        let flag = [format!("--{}", self.name)];
        flag.into_iter().chain(self.value.clone()).collect()
    }

    /// As a lesson file tells it.
    fn yaml(&self) -> String {
        let many = ["volume", "tmpfs"].contains(&self.name.as_str()) || self.name.contains("bps");
        let many = many || self.name.contains("iops");
        match &self.value {
            None => format!("{{{}: {{{}: true}}}}", self.stage, self.name),
            Some(value) if many => format!("{{{}: {{{}: [\"{value}\"]}}}}", self.stage, self.name),
            Some(value) => format!("{{{}: {{{}: {value}}}}}", self.stage, self.name),
        }
    }

    /// Stages among which its own is not.
    fn others(&self) -> &'static str {
        if self.stage == "uts" { "ipc" } else { "uts" }
    }

    /// Whether its stage comes along when it is told.
    fn brings_its_stage(&self) -> bool {
        ["cgroups", "init", "nice"].contains(&self.stage)
    }
}

fn run(who: &Who, flag: &Flag, verb: &str, stages: &str) -> common::Ran {
    let words = flag.words();
    let mut args = vec![verb, "--only", stages];
    if flag.stage == "user" {
        args.extend(["--without", "user"]); // it would join who is not root
    }
    args.extend(words.iter().map(String::as_str));
    args.extend(["--", "true"]);
    who.run(&args)
}

#[test]
fn every_option_is_refused_without_its_stage_on_the_command_line_and_in_a_lesson() {
    let flags = flags();
    assert!(flags.len() >= 20, "only {} flags", flags.len());
    as_user("misplaced options", |who| {
        let good = fs::read_to_string("lessons/01-chroot.yaml").unwrap();
        let dir = who.home().join("lessons");
        fs::create_dir(&dir).unwrap();
        let with = "with: {name: with chroot, stages: [mnt, rootfs, chroot]}";
        assert!(good.contains(with));
        for flag in flags.iter().filter(|flag| !flag.brings_its_stage()) {
            let told =
                format!("`--{}` is for the stage `{}`, which is not chosen", flag.name, flag.stage);
            let refused = run(who, flag, "run", flag.others()).ends_with(2);
            assert!(refused.said().contains(&told), "{}", refused.stderr);
            let add = format!("hint: add `--with {}", with_needs(flag.stage)[0]);
            assert!(refused.said().contains(&add), "{}", refused.stderr);

            let wrong = format!(
                "with: {{name: told, stages: [{}], settings: {}}}",
                flag.others(),
                flag.yaml()
            );
            fs::write(dir.join("1.yaml"), good.replacen(with, &wrong, 1)).unwrap();
            let line = good[..good.find(with).unwrap()].matches('\n').count() + 1;
            let column = 5 + wrong.find(&flag.name).unwrap();
            let args = ["lesson", "--lessons", dir.to_str().unwrap(), "1"];
            let refused = who.run(&args).ends_with(125);
            let place = format!("1.yaml:{line}:{column}: {told}");
            assert!(refused.said().contains(&place), "{place}\n{}", refused.stderr);
        }
    });
}

#[test]
fn an_option_that_brings_its_stage_along_does_so_and_says_it_in_its_help() {
    everybody("options that bring", |who| {
        for flag in flags().iter().filter(|flag| flag.brings_its_stage()) {
            if flag.name == "memory-high" || (flag.stage == "cgroups" && !who.may_make_cgroups()) {
                continue; // not on every machine
            }
            if flag.name.starts_with("device-") {
                continue; // the disk below / may be none
            }
            let plan = run(who, flag, "plan", "mnt,pid").succeeds();
            assert!(plan.lines().any(|line| line == flag.stage), "--{}:\n{plan}", flag.name);
        }
    });
}

#[test]
fn a_limit_that_rlimits_obeys_is_no_word_out_of_place_with_it_and_the_others_are() {
    as_user("rlimits obeys", |who| {
        let ran =
            who.run(&["run", "--only", "rlimits", "--memory", "4g", "--", "sh", "-c", "ulimit -v"]);
        assert_eq!(ran.succeeds(), "4194304\n");
        let ran = who.run(&["run", "--only", "rlimits", "--cpus", "1", "--", "true"]).ends_with(2);
        assert!(ran.said().contains("`--cpus` is for the stage `cgroups`"), "{}", ran.stderr);
    });
}

#[test]
fn a_value_that_cannot_be_is_refused_in_the_same_words_at_both_doors() {
    as_user("wrong values", |who| {
        let good = fs::read_to_string("lessons/02-namespaces.yaml").unwrap();
        let dir = who.home().join("lessons");
        fs::create_dir(&dir).unwrap();
        let name = "x".repeat(65);
        let cases = [
            ("uts", "--hostname", name.as_str(), "hostname", "a hostname has 1 to 64 bytes"),
            ("cgroups", "--memory", "12", "memory", "no process can start in less than `1m`"),
            ("mnt", "--propagation", "sideways", "propagation", "private"),
            ("nice", "--nice", "20", "nice", "a niceness is a number from -20 to 19"),
            ("rootfs", "--tmpfs", "mnt", "tmpfs", "begins with `/`"),
        ];
        for (stage, flag, value, key, told) in cases {
            let ran = who.run(&["run", flag, value, "--", "true"]).ends_with(2);
            assert!(ran.said().contains(told), "{}", ran.stderr);
            let value = if key == "tmpfs" { format!("[{value}]") } else { value.to_owned() };
            let part =
                "without: {name: shared, stages: [mnt], settings: {mnt: {propagation: shared}}}";
            assert!(good.contains(part));
            let settings = format!("settings: {{{stage}: {{{key}: {value}}}}}");
            let wrong = format!("without: {{name: x, stages: [mnt, {stage}], {settings}}}");
            fs::write(dir.join("2.yaml"), good.replacen(part, &wrong, 1)).unwrap();
            let line = good[..good.find(part).unwrap()].matches('\n').count() + 1;
            let args = ["lesson", "--lessons", dir.to_str().unwrap(), "2"];
            let ran = who.run(&args).ends_with(125);
            assert!(ran.said().contains(&format!("2.yaml:{line}:")), "{}", ran.stderr);
            assert!(ran.said().contains(told), "{}", ran.stderr);
        }
    });
}

#[test]
fn a_lesson_file_of_the_format_before_is_told_what_changed() {
    as_user("format 1", |who| {
        let good = fs::read_to_string("lessons/02-namespaces.yaml").unwrap();
        let dir = who.home().join("lessons");
        fs::create_dir(&dir).unwrap();
        let old = good.replacen("format: 2", "format: 1", 1);
        let old = old.replace("{mnt: {propagation: shared}}", "{propagation: shared}");
        fs::write(dir.join("2.yaml"), old).unwrap();
        let ran = who.run(&["lesson", "--lessons", dir.to_str().unwrap()]).ends_with(125);
        let told = "2.yaml:1:1: format 1 is no longer read: in format 2 `settings` name the stage";
        assert!(ran.said().contains(told), "{}", ran.stderr);
    });
}

#[test]
fn the_guard_cannot_be_left_out_by_the_machines_root() {
    common::as_root("guard stays", |who| {
        let ran = who.run(&["run", "--only", "uts", "--without", "guard", "--", "true"]);
        ran.ends_with(2)
            .complains(&["the stage `guard` cannot be left out", "root of this machine"]);
    });
}
