//! What holds until the server ends.

use serde_json::Value;

use super::{Problem, Settings};

/// Options, and sections of options, that are read only when the server starts.
const UNTIL_THE_END: [&str; 6] = [
    "directory",
    "threads",
    "store",
    "mailboxes",
    "search",
    "control",
];

const WHY: &str = "it cannot be changed while the server runs; stop the server and start it again";

impl Settings {
    /// What `new` would change that cannot be changed while a server runs by these,
    /// each with the option's name. Empty means that `new` can be applied.
    pub fn unchangeable(&self, new: &Settings) -> Vec<Problem> {
        let mut problems = Vec::new();
        // Settings are made of what JSON is made of.
        let values = [self, new].map(|of| serde_json::to_value(of).unwrap_or_default());
        let [old, changed] = &values;
        for option in UNTIL_THE_END {
            differ(
                option,
                old.get(option),
                changed.get(option),
                &mut |option| problems.push(Problem::new(option, WHY)),
            );
        }
        for ((name, old), (_, new)) in self.services().into_iter().zip(new.services()) {
            if old.enable && new.enable && old.threads != new.threads {
                problems.push(Problem::new(format!("{name}.threads"), WHY));
            }
        }
        problems
    }
}

/// Each option below `name` that is not the same.
fn differ(name: &str, old: Option<&Value>, new: Option<&Value>, say: &mut impl FnMut(&str)) {
    match (old, new) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let more = new.keys().filter(|key| !old.contains_key(*key));
            for key in old.keys().chain(more) {
                let name = format!("{name}.{key}");
                differ(&name, old.get(key), new.get(key), say);
            }
        }
        (old, new) if old == new => {}
        _ => say(name),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::parse;

    #[test]
    fn what_cannot_be_changed_is_named() {
        let old = parse("[smtp_in]\nenable = true\n").unwrap();
        let mut free = old.clone();
        free.hostname = "other.test".into();
        free.in_flight.0 /= 2;
        free.smtp_out.enable = true;
        free.imap.common.enable = true;
        free.imap.common.threads = 2;
        free.accounts.set("quota", "1GB").unwrap();
        assert_eq!(old.unchangeable(&free), []);
        for (text, option) in [
            ("directory = \"elsewhere\"", "directory"),
            ("threads = 3", "threads"),
            ("[store]\nengine = \"redb\"", "store.engine"),
            ("[mailboxes]\ncount = 7", "mailboxes.count"),
            ("[search]\nenable = false", "search.enable"),
            ("[control]\nenable = false", "control.enable"),
            ("[smtp_in]\nthreads = 2", "smtp_in.threads"),
        ] {
            let enabled = match text.starts_with("[smtp_in]") {
                true => format!("{text}\nenable = true\n"),
                false => format!("{text}\n[smtp_in]\nenable = true\n"),
            };
            let problems = old.unchangeable(&parse(&enabled).unwrap());
            let named: Vec<&str> = problems.iter().map(|of| of.option.as_str()).collect();
            assert_eq!(named, [option]);
            let said = problems[0].to_string();
            assert!(
                said.contains("cannot be changed while the server runs"),
                "{said}"
            );
        }
    }
}
