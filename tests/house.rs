//! Compares the map of the house (`docs/design.md`) with the code: which room names which, and what a room must not know. Test
//! code (`tests.rs`, `testing.rs`, and what follows `#[cfg(test)]`) may reach further and is left out.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Room, rooms that it may name, and words of other crates that it must not know.
const HOUSE: [(&str, &[&str], &[&str]); 9] = [
    (
        "alloc",
        &[],
        &["kube", "k8s_openapi", "tokio", "std::time", "jiff"],
    ),
    ("api", &[], &["tokio", "hyper", "kube::Client"]),
    (
        "pool",
        &["alloc", "api"],
        &[
            "tokio",
            "hyper",
            "kube::Client",
            "prometheus",
            "std::net::Tcp",
            "Instant::now",
            "Timestamp::now",
        ],
    ),
    (
        "admission",
        &["alloc", "api"],
        &["tokio", "hyper", "kube::Client", "kube_embedded"],
    ),
    ("observe", &["api", "pool"], &["kube_embedded"]),
    (
        "webhook",
        &["alloc", "api", "admission", "observe"],
        &["kube_embedded"],
    ),
    (
        "controller",
        &["alloc", "api", "pool", "admission", "observe", "webhook"],
        &["kube_embedded"],
    ),
    ("standalone", &["alloc", "api", "admission"], &["hyper"]),
    (
        "cli",
        &[
            "alloc",
            "api",
            "pool",
            "admission",
            "observe",
            "webhook",
            "controller",
            "standalone",
        ],
        &[],
    ),
];

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && name != "tests" {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs")
            && name != "tests.rs"
            && name != "testing.rs"
            && !name.ends_with("_tests.rs")
        {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The lines of a file that are neither comment nor test: a `#[cfg(test)]` before an inline module ends the file, before
/// anything else it hides the next line.
fn code_lines(text: &str) -> Vec<(usize, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut code = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at].trim_start();
        if line.starts_with("#[cfg(test)]") {
            let next = lines.get(at + 1).map_or("", |l| l.trim_start());
            if next.starts_with("mod ") && next.ends_with('{') {
                break;
            }
            at += 2;
            continue;
        }
        if !line.starts_with("//") {
            code.push((at, lines[at]));
        }
        at += 1;
    }
    code
}

/// Rooms named in a line as `crate::room`, also inside `use crate::{a, b}`.
fn rooms_named(line: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for part in line.split("crate::").skip(1) {
        let names = match part.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or(list),
            None => part
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .next()
                .unwrap_or(""),
        };
        rooms.extend(
            names
                .split(',')
                .map(|n| n.trim().split("::").next().unwrap_or("").to_owned()),
        );
    }
    rooms
}

#[test]
fn rooms_use_only_what_the_table_allows() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let all: BTreeSet<&str> = HOUSE.iter().map(|(room, _, _)| *room).collect();
    let mut faults = Vec::new();
    let mut seen = BTreeMap::new();
    for (room, may_use, must_not_know) in HOUSE {
        for file in rust_files(&src.join(room)) {
            *seen.entry(room).or_insert(0) += 1;
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in code_lines(&text) {
                for named in rooms_named(line) {
                    if named != room
                        && all.contains(named.as_str())
                        && !may_use.contains(&named.as_str())
                    {
                        faults.push(format!(
                            "{}:{}: {room} must not use {named}",
                            file.display(),
                            number + 1
                        ));
                    }
                }
                for word in must_not_know {
                    let as_path = format!("{word}::");
                    if line.contains(&as_path) || (word.contains("::") && line.contains(word)) {
                        faults.push(format!(
                            "{}:{}: {room} must not know {word}",
                            file.display(),
                            number + 1
                        ));
                    }
                }
            }
        }
    }
    assert_eq!(seen.len(), HOUSE.len(), "every room has code: {seen:?}");
    let folders: BTreeSet<String> = fs::read_dir(&src)
        .unwrap()
        .map(|e| e.unwrap())
        .filter(|e| e.path().is_dir())
        .map(|e| e.file_name().into_string().unwrap())
        .collect();
    assert_eq!(
        folders,
        all.iter().map(|r| (*r).to_owned()).collect(),
        "every folder of src is a room of the table"
    );
    assert!(
        faults.is_empty(),
        "rooms use what the map of docs/design.md does not allow:\n{}",
        faults.join("\n")
    );
}

/// The rooms of the map in `docs/design.md`, in its order, each with the rooms that its cell `may use` names.
fn rooms_of_the_map(page: &str) -> Vec<(String, BTreeSet<String>)> {
    let (_, table) = page.split_once("| room (`src/...`) |").unwrap();
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let mut rooms = Vec::<(String, BTreeSet<String>)>::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let words = |cell: &str| -> BTreeSet<String> {
            let words = cell.split('`').skip(1).step_by(2);
            words
                .map(|word| word.trim_end_matches('/').to_owned())
                .collect()
        };
        let above = || rooms.iter().map(|(room, _)| room.clone()).collect();
        let may_use = match cells[3] {
            "all above" | "everything" => above(),
            cell => words(cell),
        };
        rooms.push((words(cells[1]).pop_first().unwrap(), may_use));
    }
    rooms
}

#[test]
fn the_map_in_the_pages_is_the_table() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/design.md");
    let shown = rooms_of_the_map(&fs::read_to_string(page).unwrap());
    let table = HOUSE.map(|(room, may_use, _)| {
        let may_use = may_use.iter().map(|room| (*room).to_owned());
        (room.to_owned(), may_use.collect::<BTreeSet<_>>())
    });
    assert_eq!(shown, table);
}

/// What the crates are for stands in their own pages; no word of the product stands in their code. `xtask` is not among them: it
/// uses the product's library, and no crate uses it.
#[test]
fn no_crate_below_the_product_has_a_word_of_it() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates");
    let mut faults = Vec::new();
    let mut seen = 0;
    for entry in fs::read_dir(&crates).unwrap() {
        let root = entry.unwrap().path();
        if root.ends_with("xtask") {
            continue;
        }
        let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
        let is_below = !manifest.contains("metal3") && !manifest.contains("xtask");
        assert!(is_below, "{}", root.display());
        for file in rust_files(&root.join("src")) {
            seen += 1;
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in code_lines(&text) {
                let line = line.to_lowercase();
                if ["ipam", "metal3", "ippool", "ipclaim"]
                    .iter()
                    .any(|word| line.contains(word))
                {
                    faults.push(format!("{}:{}: {line}", file.display(), number + 1));
                }
            }
        }
    }
    assert!(seen > 50, "{seen} files");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Functions that are named like a question and take `&mut self`.
fn questions_that_change(text: &str) -> Vec<String> {
    let code: Vec<&str> = code_lines(text).into_iter().map(|(_, line)| line).collect();
    let code = code.join("\n");
    let mut found = Vec::new();
    for part in code.split("fn ").skip(1) {
        let Some((name, rest)) = part.split_once('(') else {
            continue;
        };
        let asks = ["is_", "are_", "has_", "have_", "was_", "can_", "may_"];
        if asks.iter().any(|word| name.starts_with(word))
            && rest.trim_start().starts_with("&mut self")
        {
            found.push(name.to_owned());
        }
    }
    found
}

/// A reader takes `is_x()` for a question, and moves or drops the call.
#[test]
fn no_question_changes_what_it_asks() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut faults = Vec::new();
    for file in [root.join("src"), root.join("crates")]
        .iter()
        .flat_map(|dir| rust_files(dir))
    {
        let text = fs::read_to_string(&file).unwrap();
        for name in questions_that_change(&text) {
            faults.push(format!("{}: {name} takes &mut self", file.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let text = "fn is_a(\n    &mut self,\n) {}\nfn has_b(&self) {}\nfn note(&mut self) {}\n";
    assert_eq!(questions_that_change(text), ["is_a"]);
}

#[test]
fn the_check_finds_a_forbidden_use() {
    assert_eq!(
        rooms_named("use crate::controller::Controller;"),
        BTreeSet::from(["controller".to_owned()])
    );
    assert_eq!(
        rooms_named("use crate::{api::ip, pool};"),
        BTreeSet::from(["api".to_owned(), "pool".to_owned()])
    );
    let text = "// use crate::cli;\nfn a() {}\n#[cfg(test)]\nmod tests;\nfn b() {}\n#[cfg(test)]\nmod tests {\nuse crate::cli;\n}\n";
    let lines: Vec<&str> = code_lines(text).into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines, ["fn a() {}", "fn b() {}"]);
}
