//! What `sandbox doctor` found.

use colored::Colorize;

use super::lesson::lesson_line;
use super::text::{pad, width, word, wrap};
use crate::plan::step::StageName;
use crate::stages::find;
use crate::teach::lab::Lab;
use crate::teach::lesson::Lesson;
use crate::teach::report::Skip;

/// Every stage with whether it works, every lesson with what of it cannot be done.
pub fn doctor(
    lab: &Lab,
    problems: &[String],
    stages: &[(StageName, Option<Skip>)],
    lessons: &[(Lesson, Vec<(String, Skip)>)],
) -> String {
    let kernel = nix::sys::utsname::uname();
    let kernel = kernel.map_or("?".into(), |name| name.release().to_string_lossy().into_owned());
    let mut out = String::new();
    let mut fact = |name: &str, text: &str| {
        out.push_str(&format!("{}{text}\n", pad(name, 10).bold()));
    };
    fact("kernel", &kernel);
    fact("user", &who(lab));
    fact("rootfs", &word(&lab.rootfs));
    for problem in problems {
        fact("", &word(format!("{problem}: `sandbox rootfs fetch` makes it anew")));
    }
    out.push_str("\nEach stage, tried just now in a child that ended at once:\n\n");
    for (stage, skip) in stages {
        let title = find(stage).map_or("", |stage| stage.about().title);
        let mark = if skip.is_none() { "✔".green() } else { "✘".red().bold() };
        out.push_str(&format!("  {mark} {}{title}\n", pad(stage, 12).bold()));
        if let Some(skip) = skip {
            out.push_str(&indented(&skip.reason));
            out.push_str(&skip.fix.as_deref().map_or(String::new(), indented));
        }
    }
    out.push_str("\nThe lessons:\n\n");
    for (lesson, skipped) in lessons {
        let mark = if skipped.is_empty() { "✔".green() } else { "✘".red().bold() };
        out.push_str(&format!("  {mark} {}", lesson_line(lesson, 0, skipped, None)));
    }
    out
}

fn who(lab: &Lab) -> String {
    match (lab.host.uid, lab.host.privileged) {
        (0, true) => "root".to_owned(),
        (0, false) => "root without the right to mount: inside a container?".to_owned(),
        (uid, false) => format!("{uid}, not root: the stage `user` joins where it is needed"),
        (uid, true) => format!("{uid}, with root's capabilities"),
    }
}

fn indented(text: &str) -> String {
    let lines = wrap(text, width().saturating_sub(16).max(20));
    lines.iter().map(|line| format!("                {line}\n")).collect()
}
