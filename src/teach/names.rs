//! What a lesson calls by one name and machines by another.
//!
//! The same limit is a file of another name in cgroup version 1 and 2. A lesson that speaks of both
//! has a table `names`, with an entry for each version, and writes `@name@` in its texts and
//! commands. The machine's own names stand there before anybody reads it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::cgroups::Version;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Variants {
    names: Names,
}

/// The names in each version.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Names {
    v1: BTreeMap<String, String>,
    v2: BTreeMap<String, String>,
}

/// The text of a lesson with the names of this version.
///
/// # Errors
/// The name that is missing from the table, as `@name@`.
pub(super) fn of(text: &str, version: Version) -> Result<String, String> {
    // What is wrong with the rest is told when all of it is read.
    let variants: Variants = serde_yaml::from_str(text).unwrap_or_default();
    let table = match version {
        Version::V1 => variants.names.v1,
        Version::V2 => variants.names.v2,
    };
    let mut text = text.to_owned();
    for (name, meaning) in &table {
        text = text.replace(&format!("@{name}@"), meaning);
    }
    let pattern = regex_lite::Regex::new("@[a-z][a-z0-9.-]*@").ok();
    match pattern.as_ref().and_then(|pattern| pattern.find(&text)) {
        Some(unknown) => Err(unknown.as_str().to_owned()),
        _ => Ok(text),
    }
}
