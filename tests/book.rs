//! The book as a whole: it builds without a warning, every link leads somewhere, and every console
//! block shows what is really printed.

#![cfg(feature = "book")]
#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use sandbox::cgroups::Version;
use sandbox::teach::read;
use scraper::{ElementRef, Html, Selector};

/// Chapters by their path below book/src.
fn chapters() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![PathBuf::from("book/src")];
    while let Some(dir) = dirs.pop() {
        for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                let name = path.strip_prefix("book/src").unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }
    found
}

/// Builds the book, and returns its pages by path. What mdBook says meanwhile is added to `log`.
fn build(into: &Path, log: &Arc<Mutex<Vec<u8>>>) -> BTreeMap<String, Html> {
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_writer(move || Log(log.clone()));
    let subscriber = tracing_subscriber::util::SubscriberInitExt::set_default(subscriber.finish());
    let mut book = mdbook_driver::MDBook::load("book").unwrap();
    book.config.build.build_dir = into.to_owned();
    book.build().unwrap();
    drop(subscriber);
    let mut pages = BTreeMap::new();
    for name in chapters().keys().filter(|name| *name != "SUMMARY.md") {
        let name = name.replace(".md", ".html");
        let html = fs::read_to_string(into.join(&name));
        let html = html.unwrap_or_else(|_| panic!("{name} is not in SUMMARY.md"));
        assert!(!html.contains("{{#"), "{name}: something was not included");
        pages.insert(name, Html::parse_document(&html));
    }
    for name in ["index.html", "print.html", "404.html"] {
        let html = fs::read_to_string(into.join(name)).unwrap();
        pages.insert(name.to_owned(), Html::parse_document(&html));
    }
    pages
}

fn all<'a>(page: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    page.select(&Selector::parse(selector).unwrap()).collect()
}

fn ids(page: &Html) -> Vec<&str> {
    all(page, "[id]").iter().filter_map(|element| element.value().id()).collect()
}

#[test]
fn the_book_builds_without_a_warning_and_every_link_leads_somewhere() {
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::default();
    let pages = build(dir.path(), &log);
    assert_eq!(String::from_utf8_lossy(&log.lock().unwrap()), "");
    assert!(pages.len() > 20);
    let mut wrong = Vec::new();
    for (name, page) in &pages {
        let here = Path::new(name).parent().unwrap();
        for element in all(page, "[href], [src]") {
            let link = element.attr("href").or(element.attr("src")).unwrap();
            // The page for missing ones is for every path, so it speaks of the top.
            if link.starts_with("https://") || link.starts_with("data:") || link == "/" {
                continue;
            }
            let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
            let file = if path.is_empty() { name.into() } else { normal(&here.join(path)) };
            let file = file.strip_prefix("/").map(Path::to_owned).unwrap_or(file);
            let known = file.to_str().and_then(|file| pages.get(file));
            let found = match known {
                Some(page) => fragment.is_empty() || ids(page).contains(&fragment),
                None => dir.path().join(&file).is_file(),
            };
            if !found {
                wrong.push(format!("{name}: {link}"));
            }
        }
        for code in all(page, "pre code") {
            if code.text().collect::<String>().trim().is_empty() {
                wrong.push(format!("{name}: an empty code block"));
            }
        }
        let ids = ids(page);
        let unique: BTreeSet<_> = ids.iter().collect();
        if unique.len() < ids.len() && name != "print.html" {
            wrong.push(format!("{name}: the same id twice"));
        }
        for heading in all(page, "main h1, main h2, main h3, main h4") {
            if heading.value().id().is_none() {
                wrong.push(format!("{name}: a heading without an id"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A path without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        if part.as_os_str() == ".." {
            normal.pop();
        } else if part.as_os_str() != "." {
            normal.push(part);
        }
    }
    normal
}

#[test]
fn every_heading_of_a_chapter_has_an_id_of_its_own() {
    for (name, text) in chapters().iter().filter(|(name, _)| *name != "SUMMARY.md") {
        let mut fenced = false;
        for line in text.lines() {
            fenced ^= line.starts_with("```");
            let heading = !fenced && line.starts_with('#');
            assert!(!heading || line.contains("{#"), "{name}: {line}");
        }
    }
}

/// mdBook itself leaves out an anchor that is missing and says nothing.
#[test]
fn what_is_included_exists() {
    let mut included = 0;
    for (name, text) in chapters() {
        let here = Path::new("book/src").join(&name);
        for include in text.split("{{#include ").skip(1) {
            let include = include.split_once("}}").unwrap().0;
            let (file, anchor) = include.split_once(':').unwrap_or((include, ""));
            let file = normal(&here.parent().unwrap().join(file));
            let text = fs::read_to_string(&file);
            let text = text.unwrap_or_else(|_| panic!("{name}: no {}", file.display()));
            let ends = [format!("ANCHOR: {anchor}\n"), format!("ANCHOR_END: {anchor}\n")];
            let there = anchor.is_empty() || ends.iter().all(|end| text.contains(end));
            assert!(there, "{name}: no anchor {anchor} in {}", file.display());
            let is_code = file.starts_with("src") || file.starts_with("lessons");
            let is_recorded = file.starts_with("book/recorded");
            assert!((is_code && !anchor.is_empty()) || is_recorded, "{name}: {include}");
            included += 1;
        }
    }
    assert!(included > 50, "{included}");
}

#[test]
fn every_lesson_has_a_chapter_every_part_a_section_and_every_block_its_part() {
    let dir = tempfile::tempdir().unwrap();
    let pages = build(dir.path(), &Arc::default());
    let [version_2, version_1] =
        [Version::V2, Version::V1].map(|version| read::of_version(version).unwrap());
    let mut known = BTreeSet::new();
    for lesson in &version_2 {
        let name = format!("lessons/{}.html", lesson.slug);
        let page = pages.get(&name).unwrap_or_else(|| panic!("no {name}"));
        for part in &lesson.parts {
            let part_name = format!("{}.{}", lesson.slug, part.id);
            assert!(ids(page).contains(&part.id.as_str()), "{name} has no section {}", part.id);
            let block = format!("pre > code[class~=\"part={part_name}\"]");
            let blocks = all(page, &block);
            let run = format!("$ sandbox lesson {part_name}\n");
            let runs = |block: &ElementRef| block.text().collect::<String>() == run;
            assert!(blocks.iter().any(runs), "{name}: no block runs {part_name}");
            known.insert(part_name);
        }
    }
    for lesson in &version_1 {
        let page = &pages[&format!("lessons/{}.html", lesson.slug)];
        for part in &lesson.parts {
            assert!(
                ids(page).contains(&part.id.as_str()),
                "{}: no section {}",
                lesson.slug,
                part.id
            );
            known.insert(format!("{}.{}", lesson.slug, part.id));
        }
    }
    for (name, page) in &pages {
        for code in all(page, "code.language-console") {
            let parts = code.value().classes().filter_map(|class| class.strip_prefix("part="));
            parts.for_each(|part| assert!(known.contains(part), "{name}: no part {part}"));
        }
    }
    let lessons = pages.keys().filter(|name| name.starts_with("lessons/")).count();
    assert_eq!(lessons, version_2.len(), "a chapter without a lesson");
    let stages: BTreeSet<String> =
        sandbox::stages::STAGES.iter().map(|s| format!("stages/{}.html", s.name())).collect();
    let written: BTreeSet<String> =
        pages.keys().filter(|name| name.starts_with("stages/")).cloned().collect();
    assert_eq!(stages, written);
}

/// Each ```` ```console ```` block runs, as an ordinary user with a rootfs and nothing else, and
/// prints what the page says.
#[test]
fn the_console_blocks_of_the_book_and_of_the_readme_print_what_they_say() {
    common::as_user("console blocks", |who| {
        who.run(&["rootfs", "fetch"]).succeeds();
        // As this user, whoever runs the tests.
        let command = who.sandbox(&[]);
        let program = who.home().join("as-user");
        let set = |name: &str| command.get_envs().find(|(key, _)| *key == name).unwrap().1;
        let set = |name: &str| set(name).unwrap().to_str().unwrap().to_owned();
        let become_user = if nix::unistd::geteuid().is_root() {
            format!("setpriv --reuid {0} --regid {0} --clear-groups", who.uid)
        } else {
            String::new()
        };
        let script = format!(
            "#!/bin/sh\ncd {home}\nexec {become_user} env -i PATH={path} HOME={home} \
             XDG_RUNTIME_DIR={run} {sandbox} \"$@\"\n",
            home = who.home().display(),
            path = set("PATH"),
            run = set("XDG_RUNTIME_DIR"),
            sandbox = command.get_program().to_str().unwrap()
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let readme = ("README.md".to_owned(), fs::read_to_string("README.md").unwrap());
        for (name, text) in chapters().into_iter().chain([readme]) {
            let name = name.replace('/', "-");
            fs::write(dir.path().join(name), for_trycmd(&text)).unwrap();
        }
        let cases = dir.path().join("*.md");
        trycmd::TestCases::new().register_bin("sandbox", program).case(cases).run();
    });
}

/// To trycmd, output ends with the end of a line only where an empty line follows, which would look
/// odd in a page.
fn for_trycmd(text: &str) -> String {
    let mut out = String::new();
    let (mut runs, mut printed) = (false, false);
    for line in text.lines() {
        let fence = line.strip_prefix("```");
        if printed && (fence.is_some() || line.starts_with("$ ")) {
            out += "\n";
        }
        if let Some(info) = fence {
            runs = !runs && info.starts_with("console") && !info.contains("ignore");
        }
        printed = runs && fence.is_none();
        out += &format!("{line}\n");
    }
    out
}
