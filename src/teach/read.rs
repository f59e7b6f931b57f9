//! Reading lesson files. The only file that knows YAML, with what is wrong with it in `lint.rs`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::lesson::Lesson;
use super::{lint, names};
use crate::cgroups::{Hierarchies, Version};
use crate::error::Error;
use crate::machine::files::read_plain;

/// The lessons that are part of the program: number, name, and text.
const EMBEDDED: &[(u32, &str, &str)] = &[
    (1, "chroot", include_str!("../../lessons/01-chroot.yaml")),
    (2, "namespaces", include_str!("../../lessons/02-namespaces.yaml")),
    (3, "cgroups", include_str!("../../lessons/03-cgroups.yaml")),
    (4, "union-fs", include_str!("../../lessons/04-union-fs.yaml")),
];

/// More than a lesson ever has, in bytes.
const LARGEST: u64 = 1 << 20;

fn file_of(number: u32, slug: &str) -> String {
    format!("lessons/{number:02}-{slug}.yaml")
}

/// All lessons: those in `dir`, or those that are part of the program.
///
/// # Errors
/// A file that cannot be read, or is wrong; with the place.
pub fn all(dir: Option<&Path>) -> Result<Vec<Lesson>, Error> {
    match dir {
        None => of_version(this_machines()),
        Some(dir) => in_directory(dir),
    }
}

/// The lesson with this number or name.
///
/// # Errors
/// When there is none; and as for [`all`].
pub fn one(dir: Option<&Path>, name: &str) -> Result<Lesson, Error> {
    let is_meant = |number: u32, slug: &str| slug == name || number.to_string() == name;
    let known: Vec<(u32, String)> = match dir {
        None => {
            if let Some((number, slug, text)) =
                EMBEDDED.iter().find(|(number, slug, _)| is_meant(*number, slug))
            {
                return parse(&file_of(*number, slug), text, this_machines());
            }
            EMBEDDED.iter().map(|(number, slug, _)| (*number, (*slug).to_owned())).collect()
        }
        Some(dir) => {
            let mut lessons = in_directory(dir)?;
            if let Some(at) = lessons.iter().position(|one| is_meant(one.lesson, &one.slug)) {
                return Ok(lessons.swap_remove(at));
            }
            lessons.into_iter().map(|lesson| (lesson.lesson, lesson.slug)).collect()
        }
    };
    let known: Vec<String> = known.iter().map(|(n, slug)| format!("{n} ({slug})")).collect();
    Err(Error::usage(
        format!("there is no lesson `{name}`"),
        format!("the lessons are {}", known.join(", ")),
    ))
}

/// The lessons that are part of the program, as a machine with this version of cgroups has them.
///
/// # Errors
/// A lesson that is wrong; with the place.
pub fn of_version(version: Version) -> Result<Vec<Lesson>, Error> {
    let parse =
        |(number, slug, text): &(u32, &str, &str)| parse(&file_of(*number, slug), text, version);
    EMBEDDED.iter().map(parse).collect()
}

/// The lessons in a directory. What is wrong with one is found on any machine: each is read and
/// checked as both versions of cgroups have it.
fn in_directory(dir: &Path) -> Result<Vec<Lesson>, Error> {
    let mut lessons = Vec::new();
    for file in files_in(dir)? {
        let name = file.display().to_string();
        let doing = format!("read the lesson `{name}`");
        let text = read_plain(&file, LARGEST).and_then(|bytes| {
            String::from_utf8(bytes).map_err(|_| io::Error::other("it is not in UTF-8"))
        });
        let text = text.map_err(Error::io(doing))?;
        lessons.push(checked(&name, &text)?);
    }
    lessons.sort_by_key(|lesson| lesson.lesson);
    Ok(lessons)
}

fn files_in(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let doing = format!("read the lessons in `{}`", dir.display());
    let entries = fs::read_dir(dir).map_err(Error::io(doing))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "yaml"));
    files.sort();
    if files.is_empty() {
        return Err(Error::usage(
            format!("there is no lesson in `{}`", dir.display()),
            "lesson files end in .yaml",
        ));
    }
    Ok(files)
}

fn this_machines() -> Version {
    Hierarchies::gather().version().unwrap_or(Version::V2)
}

/// Reads one lesson and checks that what it says about itself fits together, on machines with
/// either cgroup version. Returns the one for this machine.
///
/// # Errors
/// The first thing that is wrong, with file, line and column.
pub fn checked(file: &str, text: &str) -> Result<Lesson, Error> {
    let mut lessons = Vec::new();
    for version in [Version::V1, Version::V2] {
        let lesson = read(file, text, version)?;
        let named = names::of(text, version).unwrap_or_default();
        lint::check(file, &named, &lesson)?;
        lessons.push((version, lesson));
    }
    let own = this_machines();
    let (_, lesson) = lessons.swap_remove(usize::from(own == Version::V2));
    Ok(of_machine(lesson, own))
}

/// Reads one lesson, as a machine with this version of cgroups has it.
fn parse(file: &str, text: &str, version: Version) -> Result<Lesson, Error> {
    Ok(of_machine(read(file, text, version)?, version))
}

fn read(file: &str, text: &str, version: Version) -> Result<Lesson, Error> {
    let named = names::of(text, version).map_err(|name| {
        let line = text.lines().position(|line| line.contains(&name)).map_or(1, |line| line + 1);
        let problem = format!("the table `names` has no `{name}` for {version:?}");
        Error::Lesson { file: file.to_owned(), line, column: 1, problem, hint: None }
    })?;
    serde_yaml::from_str(&named).map_err(|error| lint::explain_yaml(file, &named, &error))
}

/// Without the parts that are about the other version.
fn of_machine(mut lesson: Lesson, version: Version) -> Lesson {
    lesson.parts.retain(|part| part.cgroups.is_none_or(|only| only == version));
    lesson
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lesson_of_the_program_is_in_order_and_named_as_its_file() {
        for (number, slug, text) in EMBEDDED {
            let lesson = checked(&file_of(*number, slug), text).unwrap();
            assert_eq!((lesson.lesson, lesson.slug.as_str()), (*number, *slug));
        }
    }
}
