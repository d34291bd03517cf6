//! `axigen.cfg`: reading it, and saying what is wrong with it.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use super::{Action, Settings, TlsMode};

/// Something wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line of the file, from 1, if it is known.
    pub line: Option<usize>,
    /// What is wrong and what would be right.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// Reads a file and checks it as a whole. Relative paths become relative to
/// the file's directory.
///
/// # Errors
/// Every problem found.
pub fn load(path: &Path) -> Result<Settings, Vec<Problem>> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        vec![Problem {
            line: None,
            text: format!("{}: {error}", path.display()),
        }]
    })?;
    let mut settings = parse(&text)?;
    let base = path.parent().unwrap_or(Path::new("."));
    for relative in [
        &mut settings.directory,
        &mut settings.tls.certificate,
        &mut settings.tls.key,
    ] {
        if !relative.as_os_str().is_empty() && relative.is_relative() {
            *relative = base.join(&*relative);
        }
    }
    match settings.problems() {
        problems if problems.is_empty() => Ok(settings),
        problems => Err(problems),
    }
}

/// Reads settings from text; does not look at files they name.
///
/// # Errors
/// What is wrong, with its line. An unknown option names the one that was
/// probably meant.
pub fn parse(text: &str) -> Result<Settings, Vec<Problem>> {
    let unknown = unknown_options(text);
    let settings: Result<Settings, _> = toml::from_str(text);
    match settings {
        Ok(settings) if unknown.is_empty() => Ok(settings),
        Ok(_) => Err(unknown),
        Err(error) => {
            let line = error
                .span()
                .map(|span| text.get(..span.start).unwrap_or(text).matches('\n').count() + 1);
            if unknown.is_empty() {
                Err(vec![Problem {
                    line,
                    text: error.message().replace('\n', " "),
                }])
            } else {
                Err(unknown)
            }
        }
    }
}

/// Options that do not exist. Serde refuses most of them, but not those beside
/// a flattened struct, and it does not say what was meant.
fn unknown_options(text: &str) -> Vec<Problem> {
    let Ok(given) = text.parse::<toml::Table>() else {
        return Vec::new();
    };
    let Ok(schema) = serde_json::to_value(schemars::schema_for!(Settings)) else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    let mut stack = vec![(String::new(), toml::Value::Table(given), schema.clone())];
    while let Some((path, value, shape)) = stack.pop() {
        let shape = resolve(&schema, &shape);
        match value {
            toml::Value::Table(table) => {
                let Some(known) = shape.get("properties").and_then(|p| p.as_object()) else {
                    continue;
                };
                for (name, value) in table {
                    let full = if path.is_empty() {
                        name.clone()
                    } else {
                        format!("{path}.{name}")
                    };
                    match known.get(&name) {
                        Some(shape) => stack.push((full, value, shape.clone())),
                        None => {
                            let names = known.keys().map(String::as_str);
                            let hint = match closest(&name, names) {
                                Some(meant) => format!("; did you mean {meant}?"),
                                None => String::new(),
                            };
                            problems.push(Problem {
                                line: line_of(text, &name),
                                text: format!("there is no option {full}{hint}"),
                            });
                        }
                    }
                }
            }
            toml::Value::Array(items) => {
                if let Some(shape) = shape.get("items") {
                    stack.extend(
                        items
                            .into_iter()
                            .map(|item| (path.clone(), item, shape.clone())),
                    );
                }
            }
            _ => {}
        }
    }
    problems.sort_by_key(|problem| problem.line);
    problems
}

fn resolve<'s>(root: &'s serde_json::Value, shape: &'s serde_json::Value) -> serde_json::Value {
    if let Some(name) = shape
        .get("$ref")
        .and_then(|r| r.as_str())
        .and_then(|r| r.strip_prefix("#/$defs/"))
        && let Some(found) = root.get("$defs").and_then(|defs| defs.get(name))
    {
        return found.clone();
    }
    shape.clone()
}

fn line_of(text: &str, option: &str) -> Option<usize> {
    let names = |line: &str| {
        let line = line.trim_start().trim_start_matches('[');
        line.strip_prefix(option)
            .is_some_and(|rest| rest.trim_start().starts_with(['=', ']', '.']))
    };
    text.lines().position(names).map(|at| at + 1)
}

/// The known name that differs least, if it differs little.
fn closest<'n>(given: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    names
        .map(|name| (distance(given, name), name))
        .filter(|(distance, name)| *distance <= name.len() / 3 + 1)
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, cb) in row.iter_mut().skip(1).zip(&b) {
            let next = (left + 1)
                .min(*cell + 1)
                .min(diagonal + usize::from(ca != *cb));
            diagonal = std::mem::replace(cell, next);
            left = next;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

/// What is wrong with settings that can be read.
pub(super) fn validate(settings: &Settings) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut say = |text: String| problems.push(Problem { line: None, text });
    if axigen_proto::smtp::address::DomainName::new(settings.hostname.as_str()).is_err() {
        say(format!(
            "hostname: {:?} is not a host name",
            settings.hostname
        ));
    }
    let has_certificate = !settings.tls.certificate.as_os_str().is_empty();
    if has_certificate {
        if let Err(error) = crate::net::tls::from_files(
            &settings.tls.certificate,
            &settings.tls.key,
            settings.tls.minimum,
        ) {
            say(format!("tls: {error}"));
        }
    } else if !settings.tls.key.as_os_str().is_empty() {
        say("tls.key is set but tls.certificate is not".into());
    }
    let mut taken = HashMap::new();
    for (name, common) in settings.services() {
        if common.enable && common.listeners.is_empty() {
            say(format!("{name} is enabled but has no listener"));
        }
        for listener in common.listeners.iter().filter(|_| common.enable) {
            let address = listener.address;
            if address.port() != 0
                && let Some(other) = taken.insert(address, name)
            {
                say(format!("{name}: {address} is taken by {other} already"));
            }
            if listener.tls != TlsMode::None && !has_certificate {
                say(format!(
                    "{name}: {address} wants TLS, but tls.certificate is not set"
                ));
            }
            if listener.plaintext_login && !address.ip().is_loopback() {
                say(format!(
                    "{name}: {address} allows logins without TLS, which is allowed on loopback addresses only"
                ));
            }
            if name == "submission" && listener.tls == TlsMode::None && !listener.plaintext_login {
                say(format!(
                    "submission: nobody can log in at {address}: it has neither TLS nor plaintext_login"
                ));
            }
            for rule in &listener.rules {
                if !(1..=1000).contains(&rule.priority) {
                    say(format!(
                        "{name}: {address}: a rule's priority is {}, but it goes from 1 to 1000",
                        rule.priority
                    ));
                }
                if rule.action == Action::Deny && rule.limits != super::ConnectionLimits::default()
                {
                    say(format!("{name}: {address}: a deny rule cannot have limits"));
                }
            }
        }
    }
    // LMTP takes mail without a login, for any local recipient.
    for listener in settings
        .lmtp
        .common
        .listeners
        .iter()
        .filter(|_| settings.lmtp.common.enable)
    {
        if !listener.address.ip().is_loopback()
            && listener
                .rules
                .iter()
                .all(|rule| rule.action != Action::Deny)
        {
            say(format!(
                "lmtp: {} is open to everyone; give it rules that deny all but your own hosts",
                listener.address
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn wrong(text: &str) -> String {
        match parse(text) {
            Ok(settings) => settings
                .problems()
                .iter()
                .map(|p| p.to_string() + "\n")
                .collect(),
            Err(problems) => problems.iter().map(|p| p.to_string() + "\n").collect(),
        }
    }

    #[test]
    fn unknown_options_are_named_with_what_was_meant() {
        assert_eq!(
            wrong("hostnam = \"x\"\n"),
            "line 1: there is no option hostnam; did you mean hostname?\n"
        );
        let text =
            "hostname = \"mx.example.org\"\n[smtp_in]\nenable = true\nmesage_size = \"1MB\"\n";
        assert_eq!(
            wrong(text),
            "line 4: there is no option smtp_in.mesage_size; did you mean message_size?\n"
        );
        let text = "[[imap.listeners]]\naddress = \"127.0.0.1:143\"\nplaintext = true\n";
        assert!(
            wrong(text).starts_with("line 3: there is no option imap.listeners.plaintext"),
            "{}",
            wrong(text)
        );
    }

    #[test]
    fn wrong_values_are_named_with_their_line() {
        assert!(
            wrong("in_flight = \"5 apples\"").contains("is not a size"),
            "{}",
            wrong("in_flight = \"5 apples\"")
        );
        assert!(wrong("\nhostname = 5\n").starts_with("line 2: "));
        assert!(wrong("[smtp_in\n").starts_with("line 1: "));
    }

    #[test]
    fn what_cannot_be_served_is_refused() {
        let listener = |service: &str, more: &str| {
            format!(
                "hostname = \"mx.example.org\"\n[{service}]\nenable = true\n[[{service}.listeners]]\n{more}"
            )
        };
        assert_eq!(
            wrong(&listener(
                "imap",
                "address = \"127.0.0.1:143\"\ntls = \"none\"\nplaintext_login = true\n"
            )),
            ""
        );
        assert!(
            wrong(&listener(
                "imap",
                "address = \"0.0.0.0:143\"\ntls = \"none\"\nplaintext_login = true\n"
            ))
            .contains("loopback")
        );
        assert!(
            wrong(&listener("imap", "address = \"127.0.0.1:143\"\n")).contains("tls.certificate")
        );
        assert!(
            wrong(&listener(
                "lmtp",
                "address = \"0.0.0.0:24\"\ntls = \"none\"\n"
            ))
            .contains("open to everyone")
        );
        assert!(wrong("hostname = \"a b\"\n").contains("host name"));
        assert!(wrong("[pop3]\nenable = true\n").contains("no listener"));
    }
}
