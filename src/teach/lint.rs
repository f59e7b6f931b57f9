//! What a lesson file must fulfil beyond its form.

use std::collections::HashSet;

use super::lesson::{Condition, Expect, Lesson, Part};
use crate::error::Error;
use crate::run::ready;
use crate::stages::levels::nearest;

/// Checks a lesson.
///
/// # Errors
/// The first thing that is wrong, with the place where it stands.
pub(super) fn check(file: &str, text: &str, lesson: &Lesson) -> Result<(), Error> {
    let file = File { name: file, text };
    if !is_name(&lesson.slug) {
        let problem = format!("`{}` is no slug: use a-z, 0-9 and -", lesson.slug);
        return Err(file.wrong(&["slug:"], problem, None));
    }
    let mut ids = HashSet::new();
    for part in &lesson.parts {
        let id = part.id.as_str();
        let begin = format!("- id: {id}");
        let wrong = |about: &str, problem| Err(file.wrong(&[&begin, about], problem, None));
        if id.parse::<u32>().is_ok() || !is_name(id) {
            return wrong(id, format!("`{id}` is no id: use a-z, 0-9 and -"));
        }
        if !ids.insert(id) {
            return wrong(id, format!("two parts have the id `{id}`"));
        }
        if part.probes.is_empty() && part.experiments.is_empty() {
            return wrong(id, format!("the part `{id}` looks at nothing"));
        }
        if part.claims.is_empty() {
            return wrong(id, format!("the part `{id}` claims nothing"));
        }
        if let Some((about, problem)) = wrong_condition(part) {
            return wrong(about, problem);
        }
        if let Some((pattern, problem)) = wrong_pattern(part) {
            return wrong(pattern, problem);
        }
        for (name, side) in [("without:", &part.without), ("with:", &part.with)] {
            if let Err(error) = ready::check(&side.stages, &side.settings) {
                let told = error.to_string();
                let option = told.split('`').nth(1).map_or("", |option| option.trim_matches('-'));
                let words = [begin.as_str(), name, option];
                return Err(file.wrong(&words, error.to_string(), error.hint()));
            }
        }
    }
    Ok(())
}

/// A lesson file, to point at.
struct File<'a> {
    name: &'a str,
    text: &'a str,
}

impl File<'_> {
    /// The error about what these words lead to.
    fn wrong(&self, words: &[&str], problem: String, hint: Option<String>) -> Error {
        let (line, column) = self.find(words);
        Error::Lesson { file: self.name.to_owned(), line, column, problem, hint }
    }

    /// Line and column where the last of these words is, each looked for from where the one before it
    /// was found; one that is nowhere is passed over.
    fn find(&self, words: &[&str]) -> (usize, usize) {
        let mut at = 0;
        for word in words {
            at += self.text[at..].find(word).unwrap_or(0);
        }
        let before = &self.text[..at];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        (line, column)
    }
}

fn is_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && name.chars().all(letter)
}

fn conditions(part: &Part) -> impl Iterator<Item = &Condition> {
    let options = part.predict.iter().flat_map(|predict| &predict.options);
    let options = options.map(|option| &option.right_if);
    part.claims.iter().map(|claim| &claim.holds_if).chain(options)
}

/// A condition must speak of something the part runs, expect something, and prove that a thing
/// was there before it says that it is gone.
fn wrong_condition(part: &Part) -> Option<(&str, String)> {
    let probes = part.probes.iter().map(|probe| probe.run.as_str());
    let actions = part.experiments.iter().flat_map(|experiment| &experiment.steps);
    let known: HashSet<&str> = probes.chain(actions.map(|action| action.name())).collect();
    for condition in conditions(part) {
        let about = condition.about.as_str();
        if !known.contains(about) {
            return Some((about, format!("the part `{}` runs no `{about}`", part.id)));
        }
        let Condition { changed, without, with, .. } = condition;
        if changed.is_none() && without.is_none() && with.is_none() {
            return Some((about, format!("nothing is expected of `{about}`")));
        }
        let lacks = with.as_ref().and_then(|expect| expect.lacks.as_ref());
        let had = without.as_ref().and_then(|expect| expect.contains.as_ref());
        if lacks.is_some() && lacks != had {
            let problem = format!("`{about}` lacks it `with`: show that it was there `without`");
            return Some((about, problem));
        }
    }
    None
}

fn wrong_pattern(part: &Part) -> Option<(&str, String)> {
    let expects = conditions(part).flat_map(|c| c.without.iter().chain(&c.with));
    let patterns = expects.filter_map(|expect: &Expect| expect.matches.as_deref());
    let ignored = part.probes.iter().filter_map(|probe| probe.ignore.as_deref());
    let mut all = patterns.chain(ignored);
    all.find_map(|pattern| {
        let error = regex_lite::Regex::new(pattern).err()?;
        Some((pattern, format!("`{pattern}` is no regular expression: {error}")))
    })
}

/// What is wrong with the form, in words and with the place.
pub(super) fn explain_yaml(file: &str, text: &str, error: &serde_yaml::Error) -> Error {
    let message = error.to_string();
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let place = error.location().map(|at| (at.line(), at.column())).filter(|at| *at != (1, 1));
    // serde_yaml has no place for a key of the outermost map: look for it.
    let searched = || {
        let key = format!("{}:", quoted.first()?);
        let line = text.lines().position(|line| line.starts_with(&key))?;
        Some((line + 1, 1))
    };
    let (line, column) = place.or_else(searched).unwrap_or((1, 1));
    let problem = message.split(" at line ").next().unwrap_or(&message).to_owned();
    let (name, known) = quoted.split_first().unwrap_or((&"", &[]));
    let nearest = nearest(name, known.iter().copied()).filter(|_| message.contains("unknown "));
    let hint = nearest.map(|name| format!("did you mean `{name}`?"));
    Error::Lesson { file: file.to_owned(), line, column, problem, hint }
}
