//! `axigen store stat`: what a store takes.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axigen_core::store::store::Scrubbed;

use crate::command::say;
use crate::failure::Failure;

pub(super) async fn run(dir: &Path) -> Result<(), Failure> {
    let store = super::open(dir).await?;
    let space = store.space().await?;
    let scrubbed = store.scrubbed().await?;
    store.close().await?;
    let line = |what: &str, bytes: u64, more: String| {
        say(format!(
            "{what:13} {:>12}  {bytes:>15}  {more}",
            human(bytes)
        ));
    };
    let of = |part: u64, whole: u64| match whole {
        0 => String::new(),
        _ => format!("{:.1} %", part as f64 * 100.0 / whole as f64),
    };
    line(
        "raw",
        space.raw,
        format!("{} references, if each were a copy", space.references),
    );
    line(
        "deduplicated",
        space.deduplicated,
        format!(
            "{}, {} blobs",
            of(space.deduplicated, space.raw),
            space.blobs
        ),
    );
    line(
        "compressed",
        space.live,
        format!("{} of deduplicated", of(space.live, space.deduplicated)),
    );
    line(
        "unreferenced",
        space.unreferenced,
        format!(
            "{} blobs, kept for a while after their last reference went",
            space.unreferenced_blobs
        ),
    );
    line(
        "dead",
        space.dead,
        "in packs, given back when they are rewritten".into(),
    );
    let packs = size(&dir.join("packs"));
    // One of them is there: which engine holds the rows.
    let meta = ["meta", "meta.redb"].map(|rows| size(&dir.join(rows)));
    let meta: u64 = meta.iter().sum();
    line("packs", packs, String::new());
    line("metadata", meta, String::new());
    line("search index", size(&dir.join("search")), String::new());
    line("on disk", size(dir), of(size(dir), space.raw));
    say(read_through(&scrubbed));
    Ok(())
}

/// How far the store is with reading everything.
fn read_through(scrubbed: &Scrubbed) -> String {
    let ended = match scrubbed.ended {
        0 => "not yet read through".to_owned(),
        at => format!("read through {} ago", ago(at)),
    };
    let found = match scrubbed.damaged {
        0 => "nothing damaged".to_owned(),
        damaged => format!("{damaged} damaged blobs, see `axigen store verify`"),
    };
    match scrubbed.began {
        0 if scrubbed.ended == 0 => ended,
        0 => format!("{ended}, {found}"),
        _ => format!(
            "{ended}; {} blobs read in the round that is on its way, {found}",
            scrubbed.blobs
        ),
    }
}

/// How long ago a moment in seconds since 1970 was.
fn ago(moment: u64) -> String {
    let since = UNIX_EPOCH + Duration::from_secs(moment);
    let hours = SystemTime::now()
        .duration_since(since)
        .map_or(0, |since| since.as_secs() / 3600);
    match hours {
        0 => "less than an hour".into(),
        1..48 => format!("{hours} hours"),
        _ => format!("{} days", hours / 24),
    }
}

/// Bytes of all files below a directory; what cannot be looked at counts
/// nothing.
fn size(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else {
        return std::fs::metadata(path).map_or(0, |file| file.len());
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

pub(super) fn human(bytes: u64) -> String {
    let units = ["B", "KB", "MB", "GB", "TB"];
    let mut number = bytes as f64;
    let mut unit = 0;
    while number >= 1000.0 && unit + 1 < units.len() {
        number /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{number:.1} {}", units[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn sizes_read_well() {
        let sizes = [0, 999, 1000, 1_250_000, 288_600_000, u64::MAX].map(human);
        let wanted = ["0 B", "999 B", "1.0 KB", "1.2 MB", "288.6 MB"];
        assert_eq!(sizes[..5], wanted);
        assert!(sizes[5].ends_with(" TB"));
    }
}
