//! Compares the pages with the code and with each other: every reason of a condition stands in `docs/troubleshooting.md`, every
//! relative link leads to a file and a heading that exist, the index names every page, and lines are at most 120 characters.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

fn in_tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(in_tree(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The text between two marks, each of which has to stand there.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let rest = text.split_once(from).unwrap_or_else(|| panic!("{from}")).1;
    rest.split_once(to).unwrap_or_else(|| panic!("{to}")).0
}

/// Whether a word has the form of a condition's reason.
fn is_reason(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_uppercase())
        && word.len() > 1
        && word.chars().all(|c| c.is_ascii_alphanumeric())
}

/// String literals of a piece of source that have the form of a reason.
fn literals(source: &str) -> BTreeSet<String> {
    let parts = source.split('"').skip(1).step_by(2);
    parts
        .filter(|word| is_reason(word))
        .map(str::to_owned)
        .collect()
}

/// Every reason that the code can put into a condition, by whose condition it is.
fn reasons_of_the_code() -> BTreeMap<String, BTreeSet<String>> {
    let claim = read("src/pool/reason.rs");
    let mut of_claims = literals(between(&claim, "fn text(self)", "\n    }\n"));
    of_claims.extend(literals(between(
        &claim,
        "fn contract_text(self)",
        "\n    }\n",
    )));
    of_claims.extend(literals(between(&claim, "const BOUND", "\n")));
    of_claims.extend(literals(between(&claim, "impl WaitState {", "\n}\n")));
    let mut all = BTreeMap::from([("claim Ready".to_owned(), of_claims)]);

    let report = read("src/pool/pool_status.rs");
    let conditions = between(&report, "fn conditions(", "let all = [");
    for part in conditions.split("\n        let ").skip(1) {
        let name = part.split(' ').next().unwrap();
        let type_ = match name {
            "ready" => "Ready",
            "exhausted" => "Exhausted",
            "paused" => "Paused",
            "consistent" => "Consistent",
            _ => continue,
        };
        all.insert(format!("pool {type_}"), literals(part));
    }
    let complete = between(
        &report,
        "fn indexes_condition(",
        "NewCondition {\n        type_",
    );
    all.insert("pool IndexesComplete".to_owned(), literals(complete));
    let gate = read("src/pool/gate.rs");
    let unready = literals(between(&gate, "fn text(self)", "\n    }\n"));
    all.get_mut("pool Ready").unwrap().extend(unready);
    let kinds = metal3_ipam::pool::ProblemKind::ALL.map(|kind| kind.to_string());
    all.get_mut("pool Consistent").unwrap().extend(kinds);
    all
}

/// Reasons that the page explains: code at the beginning of a table's rows, by the heading `## Claims: Ready` or
/// `## Pools: TYPE` above them.
fn reasons_of_the_page(page: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut here = None;
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            let words = heading.replace('`', "");
            let of = |what| words.strip_prefix(what).map(str::to_owned);
            here = of("Claims: ")
                .map(|type_| format!("claim {type_}"))
                .or_else(|| of("Pools: ").map(|type_| format!("pool {type_}")));
        }
        let cell = line
            .strip_prefix("| ")
            .and_then(|row| row.split(" | ").next());
        if let (Some(here), Some(cell)) = (&here, cell) {
            let words = cell.split('`').skip(1).step_by(2);
            let words = words.filter(|word| is_reason(word)).map(str::to_owned);
            all.entry(here.clone()).or_default().extend(words);
        }
    }
    all
}

#[test]
fn the_lines_that_the_readme_shows_of_a_run_are_counted_by_tests_tally_rs() {
    let (readme, tally) = (read("README.md"), read("tests/tally.rs"));
    let shown = between(
        &readme,
        "The end of `make test` says",
        "A part that did less",
    );
    let shown: Vec<&str> = between(shown, "```text\n", "```").lines().collect();
    assert!(shown.len() > 3, "{shown:?}");
    for line in shown {
        let what = line.trim().split_once(' ').unwrap().1;
        let counted = tally.contains(&format!("{what:?}"));
        assert!(counted, "{what:?} of README.md is not counted");
    }
}

#[test]
fn the_troubleshooting_page_has_every_reason_of_the_code() {
    let code = reasons_of_the_code();
    for (of, least) in [
        ("claim Ready", 14),
        ("pool Ready", 9),
        ("pool Exhausted", 3),
        ("pool Paused", 2),
        ("pool Consistent", 8),
        ("pool IndexesComplete", 2),
    ] {
        let found = code.get(of).map_or(0, BTreeSet::len);
        assert!(found >= least, "{of}: only {found} were found in the code");
    }
    let page = reasons_of_the_page(&read("docs/troubleshooting.md"));
    let mut wrong = Vec::new();
    for of in code.keys().chain(page.keys()).collect::<BTreeSet<_>>() {
        let none = BTreeSet::new();
        let (code, page) = (code.get(of).unwrap_or(&none), page.get(of).unwrap_or(&none));
        let missing = code
            .difference(page)
            .map(|r| format!("{of}: {r} is missing"));
        let extra = page
            .difference(code)
            .map(|r| format!("{of}: {r} is no reason of the code"));
        wrong.extend(missing.chain(extra));
    }
    assert!(wrong.is_empty(), "docs/troubleshooting.md: {wrong:#?}");
}

/// A reader who begins with the manifests would wait for an image that nobody can pull.
#[test]
fn until_a_release_is_published_the_first_command_of_an_installation_builds_the_image() {
    let changes = read("CHANGELOG.md");
    let mut versions = changes.lines().filter(|line| line.starts_with("## "));
    if !versions.all(|line| line.starts_with("## Unreleased")) {
        return;
    }
    let readme = read("README.md");
    let of_readme = between(&readme, "\n## Install it\n", "\n## ");
    for (page, text) in [
        ("README.md", of_readme),
        ("docs/install.md", &read("docs/install.md")),
    ] {
        let mut commands = text.lines().filter_map(|line| line.strip_prefix("$ "));
        let first = commands.next().unwrap();
        assert!(first.contains("make image"), "{page} begins with {first}");
    }
}

/// Every source file below a folder as one text in which a literal that runs over several lines is one piece.
fn sources(folder: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all += &sources(&path);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            let mut lines = source.split("\\\n");
            all += lines.next().unwrap_or_default();
            all.extend(lines.map(str::trim_start));
        }
    }
    all
}

/// Pieces of the texts that a section quotes at the beginning of its rows, without what stands for a name or number: those of
/// two words and more.
fn quoted(page: &str, section: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    for row in between(page, section, "\n## ").lines() {
        let cell = row.strip_prefix("| ").and_then(|r| r.split(" | ").next());
        let spans = cell.unwrap_or_default().split('`').skip(1).step_by(2);
        for part in spans.flat_map(|span| span.split("...")) {
            for part in part.split(": ") {
                let is_name = |word: &str| word.chars().all(|c| !c.is_ascii_lowercase());
                let words: Vec<&str> = part.split_whitespace().collect();
                let parts = words.split(|word| is_name(word));
                pieces.extend(parts.filter(|w| w.len() > 1).map(|w| w.join(" ")));
            }
        }
    }
    pieces
}

#[test]
fn every_line_that_the_page_quotes_is_in_the_code() {
    let code = sources(&in_tree("src")) + &sources(&in_tree("crates"));
    let page = read("docs/troubleshooting.md");
    let mut wrong = Vec::new();
    for (section, least) in [("## Readiness\n", 6), ("## Logs\n", 20)] {
        let pieces = quoted(&page, section);
        assert!(pieces.len() >= least, "{section}: {pieces:?}");
        wrong.extend(pieces.into_iter().filter(|piece| !code.contains(piece)));
    }
    assert!(
        wrong.is_empty(),
        "docs/troubleshooting.md quotes what the program does not say: {wrong:#?}"
    );
}

#[test]
fn every_function_on_the_way_of_a_claim_is_in_its_file() {
    let page = read("docs/life-of-a-claim.md");
    let mut seen = 0;
    let mut look = |file: &str, names: &[&str]| {
        let code = read(file);
        for name in names {
            seen += 1;
            assert!(
                code.contains(&format!("fn {name}(")),
                "{file} has no {name}"
            );
        }
    };
    // Rows of the table: | hop | `file` | `function` | ...
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains("| `src/"));
    let mut hops = 0;
    for row in rows {
        let spans: Vec<&str> = row.split('`').skip(1).step_by(2).collect();
        look(spans[0], &[spans[1]]);
        hops += 1;
    }
    assert_eq!(hops, 8);
    // In sentences: `file` (`function`, `function`).
    for (at, _) in page.match_indices("` (`") {
        let file = page[..at].rsplit('`').next().unwrap();
        let list = page[at + "` (".len()..].split(')').next().unwrap();
        let names: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
        if file.starts_with("src/") {
            look(file, &names);
        }
    }
    assert!(seen >= 8 + 7, "{seen} functions");
}

/// Words of the glossary that none of the files beside them has, in a name or a comment.
fn words_elsewhere(page: &str, read: impl Fn(&str) -> String) -> Vec<String> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| "));
    let rows = rows.map(|row| row.trim_end_matches(" |").split(" | ").collect::<Vec<_>>());
    let mut elsewhere = Vec::new();
    for row in rows {
        let [words, _, files] = *row.as_slice() else {
            continue;
        };
        if words == "word" || words.starts_with("---") {
            continue;
        }
        let files = files.split('`').skip(1).step_by(2);
        let text: String = files.map(&read).collect::<String>().to_lowercase();
        let is_missing = |word: &&str| {
            let snake = word.replace(' ', "_");
            !text.contains(*word) && !text.contains(&snake)
        };
        elsewhere.extend(words.split(", ").filter(is_missing).map(str::to_owned));
    }
    elsewhere
}

#[test]
fn each_word_of_the_glossary_is_in_the_files_that_are_named() {
    assert_eq!(words_elsewhere(&read("docs/glossary.md"), read), [""; 0]);
    let page = "| word | meaning | where |\n| --- | --- | --- |\n| let go, turn | x | `f`, `g` |\n";
    let found = |text: &'static str| words_elsewhere(page, move |_| text.to_owned());
    assert_eq!(found("fn is_let_go() // Turn"), [""; 0]);
    assert_eq!(found("a turn"), ["let go"]);
}

#[test]
fn the_scenario_that_contributing_shows_is_one_of_the_suite() {
    let page = read("CONTRIBUTING.md");
    let shown = between(&page, "```rust\n", "```");
    let source = read("tests/suite/example.rs");
    assert!(
        source.ends_with(shown),
        "tests/suite/example.rs is:\n{source}"
    );
}

/// Pages for people: those at the top and those in docs/.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for folder in ["", "docs", "docs/runbooks"] {
        for entry in fs::read_dir(in_tree(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

/// Lines that are not in a block of code.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    page.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// The text without its pieces of code.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// What a link or a picture begins with in front of its target, and what ends it.
const TARGETS: [(&str, char); 3] = [("](", ')'), (" src=\"", '"'), (" srcset=\"", '"')];

/// Targets of the links and pictures of a page.
fn links(page: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in prose(page) {
        let line = without_code(line);
        for (before, end) in TARGETS {
            let targets = line.split(before).skip(1);
            links.extend(targets.filter_map(|rest| rest.split(end).next().map(str::to_owned)));
        }
    }
    links
}

/// The anchor of a heading, as GitHub makes it.
fn slug(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let kept: String = heading.chars().filter(kept).collect();
    kept.replace(' ', "-")
}

/// Anchors of a page's headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = prose(page).filter(|line| line.starts_with('#'));
    headings.map(slug).collect()
}

/// What is wrong with the links of a page at `path`.
fn broken(path: &Path, page: &str) -> Vec<String> {
    let mut broken = Vec::new();
    for link in links(page) {
        if link.contains("://") || link.starts_with("mailto:") {
            continue;
        }
        let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
        let target = if file.is_empty() {
            path.to_owned()
        } else {
            path.parent().unwrap().join(file)
        };
        if !target.exists() {
            broken.push(format!("{}: {link} leads to no file", path.display()));
        } else if !anchor.is_empty()
            && !anchors(&fs::read_to_string(&target).unwrap()).contains(anchor)
        {
            broken.push(format!("{}: {link} leads to no heading", path.display()));
        }
    }
    broken
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut all = Vec::new();
    for path in pages() {
        all.extend(broken(&path, &fs::read_to_string(&path).unwrap()));
    }
    assert!(all.is_empty(), "{all:#?}");
}

#[test]
fn the_index_names_every_page() {
    let index = links(&read("docs/README.md"));
    let missing: Vec<PathBuf> = pages()
        .into_iter()
        .filter(|path| path.parent().unwrap() == in_tree("docs") && !path.ends_with("README.md"))
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            !index.iter().any(|link| link == name)
        })
        .collect();
    assert!(missing.is_empty(), "docs/README.md lacks {missing:?}");
}

/// The widest line of a page, in characters.
const WIDEST: usize = 120;

/// A line without the targets of its links, which nobody can wrap.
fn without_targets(line: &str) -> String {
    let mut parts = line.split("](");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str("](");
        text.push_str(part.split_once(')').map_or(part, |(_, rest)| rest));
    }
    text
}

/// Numbers of a page's lines that are too wide. Code, rows of tables and targets of links may be.
fn wide_lines(page: &str) -> Vec<usize> {
    let mut in_code = false;
    let mut wide = Vec::new();
    for (number, line) in (1..).zip(page.lines()) {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        let is_text = !in_code && !is_fence && !line.trim_start().starts_with('|');
        if is_text && without_targets(line).chars().count() > WIDEST {
            wide.push(number);
        }
    }
    wide
}

#[test]
fn no_line_of_a_page_is_wider_than_120_characters() {
    let mut all = Vec::new();
    for path in pages() {
        for line in wide_lines(&fs::read_to_string(&path).unwrap()) {
            all.push(format!("{}:{line}", path.display()));
        }
    }
    assert!(
        all.is_empty(),
        "lines of over {WIDEST} characters: {all:#?}"
    );
}

/// Numbers of a page's lines that begin with a fence inside of a block of code and go on behind it: such a line ends no block, so
/// that the text up to the next fence is shown as code.
fn fences_that_close_nothing(page: &str) -> Vec<usize> {
    let mut in_code = false;
    let mut wrong = Vec::new();
    for (number, line) in (1..).zip(page.lines()) {
        let Some(rest) = line.trim_start().strip_prefix("```") else {
            continue;
        };
        if in_code && !rest.trim().is_empty() {
            wrong.push(number);
        } else {
            in_code = !in_code;
        }
    }
    wrong
}

#[test]
fn every_fence_inside_of_a_block_of_code_ends_it() {
    let mut all = Vec::new();
    for path in pages() {
        for line in fences_that_close_nothing(&fs::read_to_string(&path).unwrap()) {
            all.push(format!("{}:{line}", path.display()));
        }
    }
    assert!(all.is_empty(), "text behind a closing fence: {all:#?}");
}

/// Folders of `deploy/` that a repair must not name. What they have of the whole cluster names `metal3-ipam-system`, so that a
/// manager in another namespace loses its rights or its webhook.
const PARTS: [&str; 3] = ["rbac", "manager", "webhook"];
/// Those that make an installation, which a reader may have made in another way.
const WHOLE: [&str; 4] = ["default", "cert-manager", "namespaced", "clusterctl"];
/// Pages on installing: their commands are for who has chosen that way.
const INSTALLS: [&str; 5] = [
    "README.md",
    "docs/install.md",
    "docs/migration.md",
    "docs/backup.md",
    "docs/upgrade.md",
];

/// Clauses that tell to apply one of these folders of `deploy/`: the word and the folder with no end of a clause between them.
fn applied(text: &str, folders: &[&str]) -> Vec<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ").replace(['`', '"'], "");
    let ends = [". ", "; ", ": ", ", ", " | ", "(", ")"];
    let mut clauses = vec![text.as_str()];
    for end in ends {
        clauses = clauses.iter().flat_map(|c| c.split(end)).collect();
    }
    let tells = |clause: &&str| {
        let clause = clause.to_lowercase();
        let after = clause.split_once("apply").map_or("", |(_, after)| after);
        folders.iter().any(|folder| {
            let name = format!("deploy/{folder}");
            let mut named = after.split(name.as_str()).skip(1);
            named.any(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-'))
        })
    };
    clauses
        .into_iter()
        .filter(tells)
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_repair_applies_the_whole_of_what_was_installed() {
    let mut wrong = Vec::new();
    for path in pages() {
        let installs = INSTALLS.iter().any(|page| path == in_tree(page));
        let folders: Vec<&str> = if installs {
            PARTS.to_vec()
        } else {
            PARTS.iter().chain(&WHOLE).copied().collect()
        };
        let page = fs::read_to_string(&path).unwrap();
        // The section that says what must not be done names the folders.
        let page = page.replace("Do not apply a part such as", "");
        let found = applied(&page, &folders);
        wrong.extend(
            found
                .into_iter()
                .map(|c| format!("{}: {c}", path.display())),
        );
    }
    let messages = sources(&in_tree("src"));
    let messages = messages.lines().filter(|line| line.contains('"'));
    wrong.extend(messages.flat_map(|line| applied(line, &PARTS)));
    assert!(
        wrong.is_empty(),
        "say \"apply again what you installed\" (docs/install.md): {wrong:#?}"
    );
}

/// The headings of a page below its title, and those that the list at its head links to.
fn index_of(page: &str) -> [Vec<String>; 2] {
    let (head, _) = page.split_once("\n## ").unwrap();
    let headings = prose(page).filter(|line| line.starts_with("## "));
    let linked = links(head);
    let linked = linked.iter().filter_map(|link| link.strip_prefix('#'));
    [
        headings.map(slug).collect(),
        linked.map(str::to_owned).collect(),
    ]
}

#[test]
fn the_long_pages_begin_with_an_index_of_their_headings() {
    for path in ["docs/design.md", "docs/spec.md", "docs/testing.md"] {
        let [headings, linked] = index_of(&read(path));
        assert!(headings.len() > 5, "{path}: {headings:?}");
        assert_eq!(linked, headings, "{path}");
    }
}

/// `systemd-analyze verify` wants the program at its place, which a test has not.
#[test]
fn the_unit_of_the_embedded_server_is_one_for_systemd() {
    let unit = read("deploy/systemd/metal3-ipam-standalone.service");
    let program = between(&unit, "ExecStart=", " ");
    let unit = unit.replace(program, "/bin/true");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("metal3-ipam-standalone.service");
    fs::write(&file, unit).unwrap();
    let verify = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(&file)
        .output();
    let Ok(output) = verify else {
        println!("SKIPPED: no systemd-analyze: deploy/systemd is not checked");
        return count("checks of the systemd unit SKIPPED: no systemd-analyze");
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    count("checks of the systemd unit");
}

/// One line for `tests/tally.rs`, which closes `make test`.
fn count(what: &str) {
    if let Some(file) = std::env::var_os("METAL3_IPAM_TALLY") {
        let mut file = fs::OpenOptions::new().append(true).open(file).unwrap();
        file.write_all(format!("1 {what}\n").as_bytes()).unwrap();
    }
}

#[test]
fn the_readers_see_what_they_are_for() {
    let page = "## Claims: `Ready`\n| you see | do |\n| `A1b`, `Two` | `Three` |\n## Pools: `Ready`\n| `X1` | y |\n## Logs\n| `None` | z |\n";
    let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect();
    assert_eq!(
        reasons_of_the_page(page),
        BTreeMap::from([
            ("claim Ready".to_owned(), words(&["A1b", "Two"])),
            ("pool Ready".to_owned(), words(&["X1"])),
        ])
    );
    assert_eq!(
        literals(r#"(false, "Gone", "no word", x("B2"))"#),
        words(&["Gone", "B2"])
    );
    let here = in_tree("README.md");
    let page = "# A heading, in `code`\n[a](#a-heading-in-code) [b](LICENSE) `[c](none)` [d](https://x.example/)\n```\n[e](none)\n```\n";
    assert!(broken(&here, "[a](LICENSE)").is_empty());
    let picture = r#"<source srcset="LICENSE"><img alt="a" src="none.png">"#;
    assert_eq!(links(picture), ["none.png", "LICENSE"]);
    assert_eq!(broken(&here, picture).len(), 1);
    assert_eq!(
        links(page),
        ["#a-heading-in-code", "LICENSE", "https://x.example/"]
    );
    assert_eq!(anchors(page), words(&["a-heading-in-code"]));
    let wide = "w".repeat(121);
    let page = format!("{wide}\n| {wide} |\n```\n{wide}\n```\n[a](x/{wide})\n- {wide}\n");
    assert_eq!(wide_lines(&page), [1, 7]);
    let parts = applied(
        "To repair: apply\n`deploy/rbac/common` again. Apply deploy/default, not deploy/rbac. `kubectl apply -k deploy/webhook`; deploy/rbac has them. apply deploy/webhooks",
        &PARTS,
    );
    let wanted = [
        "apply deploy/rbac/common again",
        "kubectl apply -k deploy/webhook",
    ];
    assert_eq!(parts, wanted);
    let page = "```console\n$ a\n``` text\n```\n```rust\nb\n```\n";
    assert_eq!(fences_that_close_nothing(page), [3]);
    let page = "# A\n- [b](#b-c)\n\n## B c\n### D\n## E\n";
    assert_eq!(index_of(page), [vec!["b-c", "e"], vec!["b-c"]]);
    assert_eq!(
        broken(&here, "[a](none.md) [b](docs/spec.md#none)").len(),
        2
    );
}
