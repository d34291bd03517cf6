//! `docs/security.md` is true to the tests: every class names some, and each of them
//! is there. And what can be seen of secrets in the sources.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use axigen_tests::demo::root;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|why| panic!("{path}: {why}"))
}

/// Whether a source has a test function of this name: one behind `#[test]` or the
/// like, or one whose arguments proptest draws.
fn has_test(source: &str, name: &str) -> bool {
    let plain = format!("fn {name}()");
    let drawn = format!("fn {name}(\n");
    let one_line = format!("fn {name}(");
    source.match_indices(&one_line).any(|(at, _)| {
        let rest = &source[at..];
        let before = &source[..at];
        let lines = before.lines().rev().take(6);
        let marked = lines
            .take_while(|line| !line.trim_end().ends_with('}'))
            .any(|line| {
                let line = line.trim();
                line == "#[test]" || line.starts_with("#[tokio::test")
            });
        let arguments = rest.split(')').next().unwrap_or_default();
        marked
            && (rest.starts_with(&plain) || rest.starts_with(&drawn) || arguments.contains(" in "))
    })
}

#[test]
fn every_test_that_the_page_names_exists() {
    let page = read("docs/security.md");
    let (mut classes, mut named) = (0, 0);
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [class, _, tests] = cells.as_slice() else {
            continue;
        };
        // The head of the table, and headings in it.
        if *tests == "tests" || (class.starts_with("**") && tests.is_empty()) {
            continue;
        }
        classes += 1;
        let mut of_class = 0;
        for file in tests.split("; ") {
            let mut words = file.split('`').skip(1).step_by(2);
            let path = words.next().unwrap_or_else(|| panic!("{class}: {file}"));
            let source = read(path);
            for name in words {
                assert!(
                    has_test(&source, name),
                    "{class}: {path} has no test {name}"
                );
                of_class += 1;
            }
        }
        assert!(of_class > 0, "{class}: no test is named");
        named += of_class;
    }
    assert!(classes > 60, "only {classes} classes were found");
    assert!(named > 150, "only {named} tests were found");
}

/// Neither a function that is no test nor one that is not there passes.
#[test]
fn what_is_no_test_is_none() {
    let source = "fn helper() {\n}\n\n#[test]\nfn real() {\n}\n\n    #[test]\n    fn drawn(\n        x in 0..9,\n    ) {}\n";
    assert!(has_test(source, "real") && has_test(source, "drawn"));
    assert!(!has_test(source, "helper") && !has_test(source, "gone") && !has_test(source, "rea"));
}

/// Time cannot be measured well enough in a test, so the sources are looked at: each
/// place that compares what somebody showed with what they must know asks `subtle`, or
/// does so by the `Output` of the crate of argon2; no other such value stands beside `==`.
#[test]
fn secrets_are_compared_in_constant_time() {
    for (path, how) in [
        ("axigen-proto/src/sasl/scram.rs", "stored.ct_eq("),
        ("axigen-proto/src/sasl/client.rs", "verifier.ct_eq("),
        ("axigen-core/src/service/imap/urlauth.rs", ".ct_eq(given"),
        ("axigen-core/src/delivery/srs.rs", ".ct_eq(given"),
        (
            "axigen-core/src/directory/password.rs",
            "Output::new(&output)",
        ),
    ] {
        let source = read(path);
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        assert!(code.contains(how), "{path}: {how}");
        for line in code.lines() {
            let compares = line.contains("==") || line.contains("!=");
            let secret = [
                "stored_key",
                "server_key",
                "proof",
                "signature",
                "password",
                "token(",
                "hash(",
                "secret",
                "verifier",
            ]
            .iter()
            .any(|word| line.contains(word));
            let length = line.contains(".len()") || line.contains("is_empty()");
            let fine = !compares || !secret || length || line.contains("Output::new(&output)");
            assert!(fine, "{path}: {}", line.trim());
        }
    }
}
