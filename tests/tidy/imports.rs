//! Which file imports which, and what the architecture allows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use regex_lite::Regex;

use crate::{code_of, files, text};

/// A table of rooms: what each may import.
pub(crate) struct Rooms {
    /// The directory of the source.
    pub(crate) root: &'static str,
    /// The rooms, and what each may import, in the order of the table.
    pub(crate) table: Vec<(String, BTreeSet<String>)>,
}

/// The tables in ARCHITECTURE.md.
pub(crate) fn tables() -> Vec<Rooms> {
    let page = text(Path::new("ARCHITECTURE.md"));
    ["src", "rootfs-fetch/src"]
        .map(|root| {
            let begin = format!("| room of `{root}/` |");
            let rows = page.lines().skip_while(|line| !line.starts_with(&begin)).skip(2);
            let table = rows.take_while(|line| line.starts_with('|')).map(|row| {
                let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
                let name =
                    cells[0].trim_matches('`').trim_end_matches(['/']).trim_end_matches(".rs");
                let may = cells[2].split(',').map(|one| one.trim().to_owned());
                (name.to_owned(), may.filter(|one| !one.is_empty()).collect())
            });
            Rooms { root, table: table.collect() }
        })
        .into()
}

/// Each file of a crate, with the files that it imports.
pub(crate) fn graph(root: &str) -> BTreeMap<PathBuf, BTreeSet<PathBuf>> {
    let mut graph = BTreeMap::new();
    for file in files(root) {
        let module = module_of(root, &file);
        let named = paths(&code_of(&file));
        let mut imported: BTreeSet<PathBuf> =
            named.iter().filter_map(|path| find(root, &module, path)).collect();
        imported.remove(&file);
        graph.insert(file, imported);
    }
    graph
}

/// The path of a file's module, from the root of its crate.
fn module_of(root: &str, file: &Path) -> Vec<String> {
    let inside = file.strip_prefix(root).unwrap().with_extension("");
    let mut parts: Vec<String> =
        inside.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if ["mod", "lib", "main"].contains(&parts.last().unwrap().as_str()) {
        parts.pop();
    }
    parts
}

/// Every path in some code that may name a module: those that begin with `crate` or `super`, and all
/// others too, for a module names its children by their names alone.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let uses = Regex::new(r"(?s)\buse\s+([^;]*);").unwrap();
    for used in uses.captures_iter(code) {
        flatten(&[], &used[1], &mut found);
    }
    // `pub(in crate::serve)` says who may import, and imports nothing.
    let visible = Regex::new(r"pub\(in [^)]*\)").unwrap();
    let plain = visible.replace_all(&uses.replace_all(code, ""), "").into_owned();
    let path = Regex::new(r"\b[a-z_][a-z0-9_]*(::[A-Za-z_][A-Za-z0-9_]*)+").unwrap();
    for one in path.find_iter(&plain) {
        found.push(one.as_str().split("::").map(str::to_owned).collect());
    }
    found
}

/// `a::{b, c::{d, e}}` as a::b, a::c::d, a::c::e.
fn flatten(before: &[String], tree: &str, found: &mut Vec<Vec<String>>) {
    let Some((head, group)) = tree.split_once('{') else {
        let tree = tree.split(" as ").next().unwrap();
        let own = tree.split("::").map(|part| part.trim().to_owned());
        found.push(before.iter().cloned().chain(own).collect());
        return;
    };
    let own = head.trim().trim_end_matches("::").split("::").filter(|part| !part.is_empty());
    let before: Vec<String> =
        before.iter().cloned().chain(own.map(|part| part.trim().to_owned())).collect();
    let group = &group[..group.rfind('}').unwrap()];
    let (mut depth, mut begin) = (0, 0);
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !group[begin..at].trim().is_empty() {
                    flatten(&before, &group[begin..at], found);
                }
                begin = at + 1;
            }
            _ => {}
        }
    }
}

/// The file that a path leads to, seen from a module; none when it leaves the crate.
fn find(root: &str, module: &[String], path: &[String]) -> Option<PathBuf> {
    let mut at = module.to_vec();
    let mut rest = path;
    let mut anchored = false;
    while let Some((first, others)) = rest.split_first() {
        match first.as_str() {
            "crate" => at.clear(),
            "super" => drop(at.pop()),
            "self" => {}
            _ => break,
        }
        anchored = true;
        rest = others;
    }
    let mut entered = false;
    while let Some((first, others)) = rest.split_first() {
        let inner = [&at[..], std::slice::from_ref(first)].concat();
        if file_of(root, &inner).is_none() {
            break;
        }
        (at, rest, entered) = (inner, others, true);
    }
    if anchored || entered { file_of(root, &at) } else { None }
}

fn file_of(root: &str, module: &[String]) -> Option<PathBuf> {
    let mut path = PathBuf::from(root);
    path.extend(module);
    let candidates = [path.with_extension("rs"), path.join("mod.rs"), path.join("lib.rs")];
    candidates.into_iter().find(|file| file.is_file())
}

/// The room that a file is in.
pub(crate) fn room_of(root: &str, file: &Path) -> String {
    let first = file.strip_prefix(root).unwrap().iter().next().unwrap();
    first.to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// A way from a file back to itself.
pub(crate) fn circle(graph: &BTreeMap<PathBuf, BTreeSet<PathBuf>>) -> Option<Vec<PathBuf>> {
    let mut done = BTreeSet::new();
    graph.keys().find_map(|file| circle_from(file, graph, &mut Vec::new(), &mut done))
}

fn circle_from(
    file: &Path,
    graph: &BTreeMap<PathBuf, BTreeSet<PathBuf>>,
    way: &mut Vec<PathBuf>,
    done: &mut BTreeSet<PathBuf>,
) -> Option<Vec<PathBuf>> {
    if let Some(at) = way.iter().position(|seen| seen == file) {
        return Some(way[at..].to_vec());
    }
    if done.contains(file) {
        return None;
    }
    way.push(file.to_owned());
    let found = graph.get(file).into_iter().flatten();
    let found = found.into_iter().find_map(|next| circle_from(next, graph, way, done));
    way.pop();
    done.insert(file.to_owned());
    found
}

/// The rooms as floors of a house, each on those that it imports.
pub(crate) fn picture(rooms: &Rooms) -> String {
    const WIDTH: usize = 62;
    let mut floors: Vec<Vec<&str>> = Vec::new();
    let mut height: BTreeMap<&str, usize> = BTreeMap::new();
    for (room, may) in &rooms.table {
        let below = may.iter().map(|other| height[other.as_str()] + 1).max().unwrap_or(0);
        height.insert(room, below);
        floors.resize(floors.len().max(below + 1), Vec::new());
        floors[below].push(room);
    }
    let mut out = String::from("```text\n");
    for (i, floor) in floors.iter().rev().enumerate() {
        let (left, right) = if i == 0 { ('┌', '┐') } else { ('├', '┤') };
        out.push_str(&format!("{left}{}{right}\n", "─".repeat(WIDTH)));
        let cell = WIDTH / floor.len();
        let cells: String = floor.iter().map(|room| format!("{room:^cell$}")).collect();
        out.push_str(&format!("│{cells:^WIDTH$}│\n"));
    }
    format!("{out}└{}┘\n```\n", "─".repeat(WIDTH))
}
