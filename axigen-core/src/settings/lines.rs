//! On which line of a file each option stands.

use std::collections::HashMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Options by their path: `hostname`, `imap.listeners[0].tls`.
#[derive(Debug, Default)]
pub(super) struct Lines(HashMap<String, usize>);

impl Lines {
    /// Of a text that may have anything else wrong with it, but is TOML.
    pub(super) fn of(text: &str) -> Lines {
        let mut lines = Lines::default();
        if let Ok(table) = DeTable::parse(text) {
            let starts: Vec<usize> = std::iter::once(0)
                .chain(text.match_indices('\n').map(|(at, _)| at + 1))
                .collect();
            lines.table(&starts, "", table.get_ref());
        }
        lines
    }

    /// The line of an option, from 1; if it does not stand there itself, of the
    /// table it would stand in.
    pub(super) fn find(&self, option: &str) -> Option<usize> {
        let mut path = option;
        loop {
            if let Some(line) = self.0.get(path) {
                return Some(*line);
            }
            path = path.get(..path.rfind(['.', '['])?)?;
        }
    }

    fn table(&mut self, starts: &[usize], path: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let path = join(path, name.get_ref());
            self.note(starts, &path, name.span().start);
            self.value(starts, &path, value);
        }
    }

    fn value(&mut self, starts: &[usize], path: &str, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => self.table(starts, path, table),
            DeValue::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    let path = format!("{path}[{at}]");
                    self.note(starts, &path, item.span().start);
                    self.value(starts, &path, item);
                }
            }
            _ => {}
        }
    }

    fn note(&mut self, starts: &[usize], path: &str, at: usize) {
        let line = starts.partition_point(|&start| start <= at);
        self.0.entry(path.to_owned()).or_insert(line);
    }
}

/// A name behind the path of the table it stands in.
pub(super) fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}

/// A path as a person reads it beside a line number: without the positions in
/// lists.
pub(super) fn spoken(path: &str) -> String {
    let mut inside = false;
    path.chars()
        .filter(|c| {
            inside = *c == '[' || inside && *c != ']';
            !inside && *c != ']'
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_found_where_they_stand() {
        let text = "a = 1\n\n[b]\nc = 2\nd = [\n  1,\n  2,\n]\n[[b.e]]\nf = 3\n[[b.e]]\ng.h = 4\n";
        let lines = Lines::of(text);
        for (option, line) in [
            ("a", 1),
            ("b", 3),
            ("b.c", 4),
            ("b.d", 5),
            ("b.d[1]", 7),
            ("b.e[0]", 9),
            ("b.e[0].f", 10),
            ("b.e[1]", 11),
            ("b.e[1].g.h", 12),
            // Not there: the table they would stand in.
            ("b.x", 3),
            ("b.e[1].x.y", 11),
        ] {
            assert_eq!(lines.find(option), Some(line), "{option}");
        }
        assert_eq!(lines.find("x"), None);
        assert_eq!(Lines::of("[b").find("b"), None);
        assert_eq!(spoken("b.e[1].g[22].h"), "b.e.g.h");
    }
}
