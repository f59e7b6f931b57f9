//! What the pages of the book show of each part: printed in a virtual machine, kept in
//! book/recorded, and compared at each run.

use std::fs;
use std::path::{Path, PathBuf};

use regex_lite::Regex;
use sandbox::cgroups::Version;
use sandbox::show::{part_html, prediction_html};
use sandbox::teach::lesson::Lesson;
use sandbox::teach::read;
use sandbox::teach::report::{LessonReport, PartReport};

/// Set to keep what was printed, instead of comparing it with what is kept.
const KEEP: &str = "SANDBOX_RECORD";

/// Compares what a machine with version 2 printed for a lesson with what the book shows.
#[track_caller]
pub(crate) fn compare(result: &LessonReport) {
    let lessons = read::of_version(Version::V2).unwrap();
    let lesson = lessons.iter().find(|lesson| lesson.slug == result.slug).unwrap();
    let dir = Path::new("book/recorded").join(&lesson.slug);
    let keep = std::env::var_os(KEEP).is_some();
    if keep {
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
    }
    let mut different = Vec::new();
    for (file, now) in pages(&dir, lesson, result) {
        if keep {
            fs::write(&file, &now).unwrap();
        }
        let kept = fs::read_to_string(&file).unwrap_or_default();
        if essence(&kept) != essence(&now) {
            different.push(format!("{}:\n{}", file.display(), first_difference(&kept, &now)));
        }
    }
    assert!(
        different.is_empty(),
        "the book shows what is no longer printed (keep it with {KEEP}=1 cargo test --test vm \
         version_2):\n{}",
        different.join("\n")
    );
}

/// For each part, the file and what belongs into it.
fn pages(dir: &Path, lesson: &Lesson, result: &LessonReport) -> Vec<(PathBuf, String)> {
    let page = |report: &PartReport| {
        let id = &report.id;
        let part = lesson.parts.iter().find(|part| part.id == *id).unwrap();
        let name = format!("{}.{id}", lesson.slug);
        let question = report.predict.as_ref().map_or(String::new(), prediction_html);
        let page = format!(
            "{question}\n```console,ignore,part={name}\n$ sandbox lesson {name}\n```\n\n\
             <div class=\"sandbox-result\" data-part=\"{name}\">\n{}</div>\n",
            part_html(part, report)
        );
        (dir.join(format!("{id}.md")), page)
    };
    result.parts.iter().map(page).collect()
}

/// What is the same at each run: numbers and dates are not, nor names that are drawn by lot, and
/// neither is how many columns they fill.
fn essence(page: &str) -> String {
    let drawn = "(sandbox-|/layers/run-)[0-9a-f]{8}";
    let date = "[A-Z][a-z]{2} [ 0-9]{2} [0-9:]{5}";
    let number = "(0x)?[0-9]+(\\.[0-9]+)?[kKMG]?";
    let all = Regex::new(&[drawn, date, number].join("|")).unwrap();
    let space = Regex::new("  +").unwrap();
    space.replace_all(&all.replace_all(page, "N"), " ").into_owned()
}

fn first_difference(kept: &str, now: &str) -> String {
    let mut lines = kept.lines().chain([""]).zip(now.lines().chain([""]));
    let different = lines.find(|(kept, now)| essence(kept) != essence(now));
    let (kept, now) = different.unwrap_or(("(shorter)", "(or longer)"));
    format!("  kept: {kept}\n  now:  {now}")
}

#[test]
fn numbers_and_drawn_names_are_not_compared_and_words_are() {
    assert_eq!(essence("sandbox-355adbeb:  12 kB"), essence("sandbox-5b5c724f: 9999 kB"));
    let listed =
        |date, id| format!("c--- 2 root root 0, 0 {date} /layers/run-{id}/upper/etc/password");
    let (one, other) = (listed("Nov 21 09:53", "31bc23f2"), listed("Dec  1 10:43", "03c06c60"));
    assert_eq!(essence(&one), essence(&other));
    assert_ne!(essence("eth0 up"), essence("eth0 down"));
}
