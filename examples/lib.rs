//! What the examples share. `AXIGEN_EXAMPLE_SECONDS` ends those that would
//! otherwise wait for Ctrl-C.

/// Waits for Ctrl-C, or as long as `AXIGEN_EXAMPLE_SECONDS` says.
pub async fn wait_for_ctrl_c() {
    let seconds = std::env::var("AXIGEN_EXAMPLE_SECONDS")
        .ok()
        .and_then(|seconds| seconds.parse().ok());
    match seconds {
        Some(seconds) => tokio::time::sleep(std::time::Duration::from_secs(seconds)).await,
        None => drop(tokio::signal::ctrl_c().await),
    }
}

/// The code of these documents compiles.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../ARCHITECTURE.md")]
    struct Architecture;
    #[doc = include_str!("../CONTRIBUTING.md")]
    struct Contributing;
    #[doc = include_str!("../docs/write-a-storage-backend.md")]
    struct WriteAStorageBackend;
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_readme_shows_the_example_hello() {
        let code: Vec<&str> = include_str!("hello.rs")
            .lines()
            .filter(|line| !line.starts_with("//!") && !line.starts_with("#!["))
            .collect();
        let readme = include_str!("../README.md");
        assert!(readme.contains(code.join("\n").trim()));
    }

    /// Excerpts are compiled where they stand: in the example.
    #[test]
    fn the_guide_to_backends_shows_the_example() {
        let lines = |text: &str| {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            lines.map(|line| format!("{line}\n")).collect::<String>()
        };
        let example = [
            include_str!("custom_store/blobs.rs"),
            include_str!("custom_store/database.rs"),
            include_str!("custom_store/main.rs"),
            include_str!("custom_store/rows.rs"),
        ]
        .map(lines);
        let guide = include_str!("../docs/write-a-storage-backend.md");
        let excerpts: Vec<&str> = guide
            .split("```rust,ignore\n")
            .skip(1)
            .filter_map(|rest| rest.split("```").next())
            .collect();
        assert!(excerpts.len() > 8, "{}", excerpts.len());
        for excerpt in excerpts {
            let found = example.iter().any(|file| file.contains(&lines(excerpt)));
            assert!(found, "not in the example:\n{excerpt}");
        }
    }

    #[test]
    fn the_example_hello_is_short() {
        assert!(include_str!("hello.rs").lines().count() <= 25);
    }
}
