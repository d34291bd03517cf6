//! The documents speak of files that are there.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use axigen_tests::demo::root;

/// Words in backquotes that name a file or a folder from the root.
fn paths(text: &str) -> Vec<&str> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| {
            [
                "axigen-",
                "tests/",
                "examples/",
                "benches/",
                "docs/",
                "fuzz/",
            ]
            .iter()
            .any(|start| word.starts_with(start))
        })
        .filter(|word| word.contains('/') && !word.contains(char::is_whitespace))
        .collect()
}

/// Where Markdown links lead, without those that leave the project.
fn links(text: &str) -> Vec<&str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|link| !link.starts_with("http") && !link.starts_with('#'))
        .map(|link| link.split('#').next().unwrap_or(link))
        .collect()
}

#[test]
fn every_path_that_is_named_exists() {
    let mut documents = vec![
        "README.md".to_owned(),
        "ARCHITECTURE.md".into(),
        "CONTRIBUTING.md".into(),
        "SECURITY.md".into(),
        "CHANGELOG.md".into(),
    ];
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            documents.push(format!("docs/{name}"));
        }
    }
    let mut named = 0;
    for document in documents {
        let text = std::fs::read_to_string(root().join(&document)).expect("a document");
        let here = root().join(&document);
        let here = here.parent().unwrap();
        for path in paths(&text) {
            named += 1;
            assert!(root().join(path).exists(), "{document} names {path}");
        }
        for link in links(&text) {
            named += 1;
            assert!(here.join(link).exists(), "{document} leads to {link}");
        }
    }
    assert!(named > 50, "only {named} paths were found");
}
