//! The source as it must stay for its readers.

#![allow(clippy::unwrap_used)] // a test may panic

use std::fs;
use std::path::{Path, PathBuf};

fn files(dir: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![PathBuf::from(dir)];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty());
    found
}

fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap()
}

#[test]
fn no_file_is_longer_than_400_lines_and_no_stage_than_120() {
    for dir in ["src", "tests", "rootfs-fetch"] {
        for file in files(dir) {
            let is_stage = file.starts_with("src/stages") && !file.ends_with("stage.rs");
            let limit = if is_stage { 120 } else { 400 };
            let lines = text(&file).lines().count();
            assert!(lines <= limit, "{}: {lines} lines", file.display());
        }
    }
}

#[test]
fn a_stage_knows_only_what_a_stage_is_and_the_calls() {
    for file in files("src/stages")
        .iter()
        .filter(|file| !file.ends_with("mod.rs") && !file.ends_with("stage.rs"))
    {
        for line in text(file).lines().filter(|line| line.starts_with("use ")) {
            let known = [
                "use std::",
                "use nix::",
                "use crate::stages::stage::",
                "use crate::syscall::",
                "use crate::cgroups::", // the facts about this machine
                "use crate::layers::",
                "use super::",
            ];
            let known = known.iter().any(|start| line.starts_with(start));
            assert!(known, "{}: {line}", file.display());
        }
    }
}

#[test]
fn a_stage_and_its_file_have_the_same_name() {
    for stage in sandbox::stages::STAGES.iter() {
        let file = format!("src/stages/{}.rs", stage.name().replace('-', "_"));
        let text = text(Path::new(&file));
        assert!(text.starts_with(&format!("//! {}: ", stage.name())), "{file}");
        assert!(text.contains("// ANCHOR: stage\n"), "{file}");
    }
    let in_it = |file: &&PathBuf| file.parent() == Some(Path::new("src/stages"));
    let stages = files("src/stages").iter().filter(in_it).count();
    assert_eq!(stages, sandbox::stages::STAGES.len() + 2);
}

#[test]
fn unsafe_is_where_the_architecture_says_it_is() {
    let allowed = ["run.rs", "child.rs", "signals.rs", "kernel.rs"];
    for file in files("src").iter().chain(&files("rootfs-fetch/src")) {
        let name = file.file_name().unwrap().to_str().unwrap();
        if text(file).contains("unsafe {") {
            assert!(allowed.contains(&name), "{} has unsafe code", file.display());
        }
    }
}

#[test]
fn nothing_is_left_to_do_and_no_test_is_left_out() {
    let marks = [["to", "do!("], ["unimple", "mented!("], ["#[ig", "nore"], ["FIX", "ME"]];
    for dir in ["src", "tests", "rootfs-fetch"] {
        for file in files(dir) {
            for mark in marks.map(|halves| halves.concat()) {
                assert!(!text(&file).contains(&mark), "{}: {mark}", file.display());
            }
        }
    }
}

#[test]
fn every_stage_and_lesson_is_in_the_readme() {
    let readme = text(Path::new("README.md"));
    for lesson in sandbox::teach::read::all(None).unwrap() {
        let link = format!("lessons/{:02}-{}.yaml", lesson.lesson, lesson.slug);
        assert!(readme.contains(&link), "{link}");
    }
    for stage in sandbox::stages::STAGES.iter() {
        let link = format!("src/stages/{}.rs", stage.name().replace('-', "_"));
        assert!(readme.contains(&link), "{link}");
    }
}
