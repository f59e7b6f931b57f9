//! The source as it must stay for its readers.

#![allow(clippy::unwrap_used)] // a test may panic

mod imports;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use imports::{circle, graph, picture, room_of, tables};
use regex_lite::Regex;
use sandbox::stages::STAGES;

/// The files of Rust in a directory, sorted.
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
    found.sort();
    found
}

fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap()
}

/// What of a file the compiler reads: no comments, nothing between quotes, no tests.
fn code_of(file: &Path) -> String {
    let all = text(file);
    let all = all.split("#[cfg(test)]").next().unwrap();
    let raw = Regex::new(r##"(?s)r#".*?"#"##).unwrap().replace_all(all, "").into_owned();
    let quoted = Regex::new(r#"(?s)b?"(\\.|[^"\\])*"|b?'(\\.|[^'\\])'"#).unwrap();
    let mut code = String::new();
    for line in quoted.replace_all(&raw, "").lines() {
        code.push_str(line.split("//").next().unwrap());
        code.push('\n');
    }
    code
}

#[test]
fn a_room_imports_only_what_the_architecture_says_and_all_of_that() {
    for rooms in tables() {
        let named: BTreeSet<&str> = rooms.table.iter().map(|(name, _)| name.as_str()).collect();
        let mut unused: BTreeSet<(String, String)> = BTreeSet::new();
        for (room, may) in &rooms.table {
            unused.extend(may.iter().map(|other| (room.clone(), other.clone())));
        }
        let graph = graph(rooms.root);
        assert!(graph.len() > 20, "{}: only {} files", rooms.root, graph.len());
        for (file, imported) in &graph {
            let room = room_of(rooms.root, file);
            if ["lib", "main"].contains(&room.as_str()) {
                continue; // they only name the rooms
            }
            assert!(named.contains(room.as_str()), "{}: `{room}` is in no table", file.display());
            for other in imported.iter().map(|other| room_of(rooms.root, other)) {
                let (_, may) = rooms.table.iter().find(|(name, _)| *name == room).unwrap();
                let allowed = other == room || may.contains(&other);
                assert!(allowed, "{}: `{room}` may not import `{other}`", file.display());
                unused.remove(&(room.clone(), other));
            }
        }
        assert!(unused.is_empty(), "{}: allowed, and not so: {unused:?}", rooms.root);
    }
}

#[test]
fn no_room_stands_on_one_that_comes_later_and_no_files_run_in_a_circle() {
    for rooms in tables() {
        let mut below = BTreeSet::new();
        for (room, may) in &rooms.table {
            let later: Vec<&String> = may.iter().filter(|other| !below.contains(*other)).collect();
            assert!(later.is_empty(), "`{room}` stands on {later:?}, which come later");
            below.insert(room.clone());
        }
        let circle = circle(&graph(rooms.root));
        assert!(circle.is_none(), "a circle: {circle:#?}");
    }
}

#[test]
fn the_picture_of_the_rooms_is_made_from_the_table() {
    let page = text(Path::new("ARCHITECTURE.md"));
    let (begin, end) = ("<!-- picture -->\n", "<!-- end of picture -->");
    let (before, rest) = page.split_once(begin).unwrap();
    let (kept, after) = rest.split_once(end).unwrap();
    let now = picture(&tables()[0]);
    if std::env::var_os("SANDBOX_WRITE").is_some() {
        fs::write("ARCHITECTURE.md", format!("{before}{begin}{now}{end}{after}")).unwrap();
        return;
    }
    assert_eq!(kept, now, "make it anew: SANDBOX_WRITE=1 cargo test --test tidy");
}

#[test]
fn the_stage_that_contributors_are_shown_is_the_one_that_is_compiled() {
    let shown = text(Path::new("CONTRIBUTING.md"));
    assert!(
        shown.contains(&format!("```rust,ignore\n{}```\n", text(Path::new("src/stages/nice.rs"))))
    );
}

#[test]
fn all_that_is_written_is_written_in_one_place() {
    let writes = Regex::new(r"\b(e?print(ln)?|dbg)!|\banstream::(std|e?print)").unwrap();
    let others = files("src").into_iter().filter(|file| !file.ends_with("show/talk.rs"));
    for file in others {
        assert!(!writes.is_match(&code_of(&file)), "{} writes: use show::line", file.display());
    }
}

#[test]
fn the_rooms_below_the_screen_print_nothing() {
    let prints = Regex::new(r"\b(e?print(ln)?|dbg)!|\banstream\b").unwrap();
    for room in ["machine", "syscall", "plan", "stages", "teach"] {
        for file in files(&format!("src/{room}")) {
            assert!(!prints.is_match(&code_of(&file)), "{} prints", file.display());
        }
    }
}

#[test]
fn what_shows_starts_nothing_and_takes_no_value_without_a_type() {
    let not_here =
        Regex::new(r"\bValue\b|\bCommand::|\bfork\(|\bspawn\(|\brun\(|\bclap\b").unwrap();
    for file in files("src/show") {
        let code = code_of(&file);
        let found = not_here.find(&code).map(|found| found.as_str());
        assert_eq!(found, None, "{}", file.display());
    }
}

#[test]
fn no_file_is_longer_than_400_lines_and_no_stage_than_120() {
    let stages: Vec<PathBuf> = STAGES.iter().map(|stage| file_of(stage.name())).collect();
    for dir in ["src", "tests", "rootfs-fetch"] {
        for file in files(dir) {
            let part_of_one = stages.iter().any(|stage| file.starts_with(stage.with_extension("")));
            let limit = if stages.contains(&file) || part_of_one { 120 } else { 400 };
            let lines = text(&file).lines().count();
            assert!(lines <= limit, "{}: {lines} lines", file.display());
        }
    }
}

fn file_of(stage: &str) -> PathBuf {
    format!("src/stages/{}.rs", stage.replace('-', "_")).into()
}

#[test]
fn a_stage_and_its_file_have_the_same_name() {
    for stage in STAGES.iter() {
        let text = text(&file_of(stage.name()));
        assert!(text.starts_with(&format!("//! {}: ", stage.name())), "{}", stage.name());
        assert!(text.contains("// ANCHOR: stage\n"), "{}", stage.name());
    }
    let shared = ["levels", "mod", "names", "spec", "stage"];
    for file in files("src/stages") {
        let name = file.file_stem().unwrap().to_str().unwrap();
        if file.parent() == Some(Path::new("src/stages")) && !shared.contains(&name) {
            let is_one = STAGES.iter().any(|stage| file_of(stage.name()) == file);
            assert!(is_one, "{} is no stage of the list", file.display());
        }
    }
}

#[test]
fn unsafe_is_where_the_architecture_says_it_is() {
    let page = text(Path::new("ARCHITECTURE.md"));
    let chapter = page.split("## unsafe").nth(1).unwrap();
    let lines = chapter.lines().filter_map(|line| line.strip_prefix("- `"));
    let named: BTreeSet<&str> = lines.map(|line| line.split('`').next().unwrap()).collect();
    let is_unsafe = Regex::new(r"\bunsafe(_code)?\b").unwrap();
    let all = [files("init"), files("src"), files("rootfs-fetch/src")].concat();
    let has = all.iter().filter(|file| is_unsafe.is_match(&code_of(file)));
    let has: BTreeSet<&str> = has.map(|file| file.to_str().unwrap()).collect();
    assert_eq!(has, named);
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
    for stage in STAGES.iter() {
        let link = file_of(stage.name());
        assert!(readme.contains(link.to_str().unwrap()), "{}", link.display());
    }
}
