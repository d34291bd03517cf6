//! `axigen.cfg`: reading it, and saying what is wrong with it.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value as Schema;
use toml::{Table, Value};

use super::Settings;
use super::lines::{Lines, join, spoken};

/// Something wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line of the file, from 1, if it is known.
    pub line: Option<usize>,
    /// The option, with its position where it stands in a list:
    /// `imap.listeners[0].tls`. Empty for a text that is not TOML.
    pub option: String,
    /// What is wrong and what would be right; names the option.
    pub text: String,
}

impl Problem {
    /// `text` is put behind the name of the option.
    pub(super) fn new(option: impl Into<String>, text: impl fmt::Display) -> Problem {
        let option = option.into();
        Problem {
            line: None,
            text: format!("{}: {text}", spoken(&option)),
            option,
        }
    }
}

impl Problem {
    pub(super) fn unknown(option: &str, meant: Option<&str>) -> Problem {
        let hint = match meant {
            Some(meant) => format!("; did you mean {meant}?"),
            None => String::new(),
        };
        Problem {
            line: None,
            text: format!("there is no option {}{hint}", spoken(option)),
            option: option.to_owned(),
        }
    }
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
            option: String::new(),
            text: format!("the file cannot be read: {error}"),
        }]
    })?;
    let mut settings = parse(&text)?;
    let base = path.parent().unwrap_or(Path::new("."));
    for relative in settings.paths_mut() {
        make_absolute(relative, base);
    }
    match settings.problems() {
        problems if problems.is_empty() => Ok(settings),
        problems => Err(placed(problems, &Lines::of(&text))),
    }
}

fn make_absolute(path: &mut PathBuf, base: &Path) {
    if !path.as_os_str().is_empty() && path.is_relative() {
        *path = base.join(&*path);
    }
}

/// Reads settings from text; does not look at files they name.
///
/// # Errors
/// What is wrong, with its line. An unknown option names the one that was
/// probably meant.
pub fn parse(text: &str) -> Result<Settings, Vec<Problem>> {
    let error = match toml::from_str::<Settings>(text) {
        // Serde refuses most unknown options, but not those beside a flattened
        // struct.
        Ok(settings) => {
            let mut given = text.parse().unwrap_or_default();
            return match take_unknown(&mut given) {
                unknown if unknown.is_empty() => Ok(settings),
                unknown => Err(placed(unknown, &Lines::of(text))),
            };
        }
        Err(error) => error,
    };
    if let Ok(mut given) = text.parse::<Table>() {
        let mut problems = take_unknown(&mut given);
        problems.extend(wrong_values(&given));
        if !problems.is_empty() {
            return Err(placed(problems, &Lines::of(text)));
        }
    }
    let before = error.span().and_then(|span| text.get(..span.start));
    Err(vec![Problem {
        line: before.map(|before| before.matches('\n').count() + 1),
        option: String::new(),
        text: said(&error),
    }])
}

/// The problems with their lines, in the order of the file.
fn placed(mut problems: Vec<Problem>, lines: &Lines) -> Vec<Problem> {
    for problem in &mut problems {
        problem.line = lines.find(&problem.option);
    }
    problems.sort_by_key(|problem| problem.line);
    problems
}

fn said(error: &toml::de::Error) -> String {
    plain_words(error.message())
}

/// What a reader says, on one line, without the names of Rust's types.
pub(super) fn plain_words(text: &str) -> String {
    let mut text = text.trim().replace('\n', " ");
    for (name, meaning) in [
        ("expected u16", "expected a number from 0 to 65535"),
        ("expected u32", "expected a number from 0 to 4294967295"),
        ("expected u64", "expected a number from 0"),
        ("expected usize", "expected a number from 0"),
    ] {
        text = text.replace(name, meaning);
    }
    const STRUCT: &str = "expected struct ";
    if let Some(at) = text.find(STRUCT) {
        let end = text[at + STRUCT.len()..].find(|c: char| !c.is_alphanumeric());
        let end = end.map_or(text.len(), |end| at + STRUCT.len() + end);
        text.replace_range(at..end, "expected a table");
    }
    text
}

/// Takes options that do not exist out, and says so.
fn take_unknown(given: &mut Table) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Ok(schema) = serde_json::to_value(schemars::schema_for!(Settings)) {
        unknown_in(given, &schema, &schema, "", &mut problems);
    }
    problems
}

fn unknown_in(
    table: &mut Table,
    root: &Schema,
    shape: &Schema,
    path: &str,
    problems: &mut Vec<Problem>,
) {
    let Some(known) = resolve(root, shape)
        .get("properties")
        .and_then(Schema::as_object)
    else {
        return;
    };
    table.retain(|name, value| {
        let path = join(path, name);
        let Some(shape) = known.get(name) else {
            let meant = closest(name, known.keys().map(String::as_str));
            problems.push(Problem::unknown(&path, meant));
            return false;
        };
        let shape = resolve(root, shape);
        match value {
            Value::Table(table) => unknown_in(table, root, shape, &path, problems),
            Value::Array(items) => {
                let Some(shape) = shape.get("items") else {
                    return true;
                };
                for (at, item) in items.iter_mut().enumerate() {
                    if let Value::Table(item) = item {
                        unknown_in(item, root, shape, &format!("{path}[{at}]"), problems);
                    }
                }
            }
            _ => {}
        }
        true
    });
}

fn resolve<'s>(root: &'s Schema, shape: &'s Schema) -> &'s Schema {
    shape
        .get("$ref")
        .and_then(Schema::as_str)
        .and_then(|name| name.strip_prefix("#/$defs/"))
        .and_then(|name| root.get("$defs")?.get(name))
        .unwrap_or(shape)
}

/// Values that are not what their options take. The reader stops at the first
/// and does not know where it stands when a struct is flattened; so each value
/// is tried alone.
fn wrong_values(given: &Table) -> Vec<Problem> {
    let mut alone = Vec::new();
    split(Vec::new(), given, &mut alone);
    let mut problems: Vec<Problem> = Vec::new();
    for problem in alone.iter().flat_map(Alone::problems) {
        // What stands in a table that should not be one was told already.
        let inside = |outer: &Problem| {
            let rest = problem.option.strip_prefix(&outer.option);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        if !problems.iter().any(inside) {
            problems.push(problem);
        }
    }
    problems
}

/// Most values of one table of a list that are named as wrong; finding each
/// costs as many tries as the table has values.
const NAMED: usize = 8;

/// One value, or one table of a list of tables: what can be read without the
/// rest of the file.
struct Alone<'v> {
    tables: Vec<&'v str>,
    name: &'v str,
    value: &'v Value,
    /// Its position, if it stands in a list.
    at: Option<usize>,
}

fn split<'v>(tables: Vec<&'v str>, given: &'v Table, alone: &mut Vec<Alone<'v>>) {
    for (name, value) in given {
        let mut one = |value, at| {
            alone.push(Alone {
                tables: tables.clone(),
                name,
                value,
                at,
            });
        };
        match value {
            Value::Table(table) => {
                // Also something else than a table may be wanted here.
                one(value, None);
                let mut tables = tables.clone();
                tables.push(name);
                split(tables, table, alone);
            }
            Value::Array(items) if items.iter().any(Value::is_table) => {
                for (at, item) in items.iter().enumerate() {
                    one(item, Some(at));
                }
            }
            _ => one(value, None),
        }
    }
}

impl Alone<'_> {
    fn problems(&self) -> Vec<Problem> {
        let place = self
            .tables
            .iter()
            .fold(String::new(), |path, name| join(&path, name));
        let place = join(&place, self.name);
        let place = match self.at {
            Some(at) => format!("{place}[{at}]"),
            None => place,
        };
        if self.at.is_none() && self.value.is_table() {
            let empty = Value::Table(Table::new());
            return match self.read(&empty) {
                Some(why) => vec![Problem::new(place, why)],
                None => Vec::new(),
            };
        }
        let mut problems = Vec::new();
        let mut value = self.value.clone();
        while problems.len() < NAMED
            && let Some(why) = self.read(&value)
        {
            let mut inner = Vec::new();
            leaves("", &value, &mut inner);
            // The one whose absence changes the complaint is to blame.
            let blamed = inner.iter().find_map(|leaf| {
                let rest = without(&value, leaf)?;
                let next = self.read(&rest);
                (next.as_ref() != Some(&why)).then_some((leaf, rest, next))
            });
            let Some((leaf, rest, next)) = blamed else {
                problems.push(Problem::new(place, why));
                break;
            };
            let path = match leaf.strip_prefix('.') {
                Some(leaf) => join(&place, leaf),
                None => format!("{place}{leaf}"),
            };
            problems.push(Problem::new(path, why));
            if next.is_some_and(|next| next.starts_with("missing field")) {
                break;
            }
            value = rest;
        }
        problems
    }

    /// What the reader says when there is nothing but this value.
    fn read(&self, value: &Value) -> Option<String> {
        let value = match self.at {
            Some(_) => Value::Array(vec![value.clone()]),
            None => value.clone(),
        };
        let mut all = Table::from_iter([(self.name.to_owned(), value)]);
        for name in self.tables.iter().rev() {
            all = Table::from_iter([((*name).to_owned(), Value::Table(all))]);
        }
        Settings::deserialize(Value::Table(all))
            .err()
            .map(|error| said(&error))
    }
}

/// The paths of everything inside of a value that is not a table or a list.
fn leaves(path: &str, value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Table(table) => {
            for (name, value) in table {
                leaves(&format!("{path}.{name}"), value, out);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                leaves(&format!("{path}[{at}]"), item, out);
            }
        }
        _ if path.is_empty() => {}
        _ => out.push(path.to_owned()),
    }
}

/// The value without what stands at a path that [`leaves`] gave.
fn without(value: &Value, path: &str) -> Option<Value> {
    let mut seen = Vec::new();
    let mut rest = value.clone();
    take(&mut rest, "", path, &mut seen);
    (!seen.is_empty()).then_some(rest)
}

fn take(value: &mut Value, path: &str, unwanted: &str, seen: &mut Vec<()>) {
    let mut kept = |path: &str, value: &mut Value| {
        if path == unwanted {
            seen.push(());
            return false;
        }
        take(value, path, unwanted, seen);
        true
    };
    match value {
        Value::Table(table) => {
            table.retain(|name, value| kept(&format!("{path}.{name}"), value));
        }
        Value::Array(items) => {
            let mut at = 0;
            items.retain_mut(|item| {
                at += 1;
                kept(&format!("{path}[{}]", at - 1), item)
            });
        }
        _ => {}
    }
}

/// The known name that differs least, if it differs little.
pub(super) fn closest<'n>(given: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn wrong(text: &str) -> String {
        let problems = match parse(text) {
            Ok(settings) => placed(settings.problems(), &Lines::of(text)),
            Err(problems) => problems,
        };
        problems.iter().map(|p| p.to_string() + "\n").collect()
    }

    /// Each text with all that is said of it.
    fn check(cases: &[(&str, &str)]) {
        for (text, said) in cases {
            assert_eq!(wrong(text), *said, "{text}");
        }
    }

    #[test]
    fn unknown_options_are_named_with_what_was_meant() {
        check(&[
            (
                "hostnam = \"x\"\n",
                "line 1: there is no option hostnam; did you mean hostname?\n",
            ),
            (
                "hostname = \"mx.example.org\"\n[smtp_in]\nenable = true\nmesage_size = \"1MB\"\n",
                "line 4: there is no option smtp_in.mesage_size; did you mean message_size?\n",
            ),
            (
                "[[imap.listeners]]\naddress = \"127.0.0.1:143\"\nplaintext = true\n",
                "line 3: there is no option imap.listeners.plaintext; did you mean plaintext_login?\n",
            ),
            // The same name stands elsewhere too, where it is right.
            (
                "[accounts]\nquota = \"1GB\"\n[imap]\nquota = \"1GB\"\n[imp]\nx = 1\n",
                "line 4: there is no option imap.quota\nline 5: there is no option imp; did you mean imap?\n",
            ),
        ]);
    }

    #[test]
    fn wrong_values_are_named_with_their_line() {
        check(&[
            (
                "in_flight = \"5 apples\"",
                "line 1: in_flight: \"5 apples\" is not a size like \"64KB\" or \"50MB\"\n",
            ),
            (
                "\nhostname = 5\n",
                "line 2: hostname: invalid type: integer `5`, expected a string\n",
            ),
            (
                "tls = 5\n",
                "line 1: tls: invalid type: integer `5`, expected a table\n",
            ),
            (
                "[hostname]\nx = 1\n",
                "line 1: hostname: invalid type: map, expected a string\n",
            ),
            // Within a struct that is flattened, several at once.
            (
                "[smtp_in]\nenable = \"yes\"\nrecipients = -1\ncommand_timeout = \"soon\"\n[pop3.limits]\npeer_connections = \"x\"\n",
                "line 2: smtp_in.enable: invalid type: string \"yes\", expected a boolean\n\
                 line 3: smtp_in.recipients: invalid value: integer `-1`, expected a number from 0\n\
                 line 4: smtp_in.command_timeout: \"soon\" is not a time like \"30s\", \"5m\", \"12h\" or \"7d\"\n\
                 line 6: pop3.limits.peer_connections: invalid type: string \"x\", expected a number from 0 to 4294967295\n",
            ),
            // Within the second of two listeners, and in a rule of it.
            (
                "[[imap.listeners]]\naddress = \"127.0.0.1:143\"\n[[imap.listeners]]\ntls = \"sometimes\"\naddress = \"here\"\n",
                "line 4: imap.listeners.tls: unknown variant `sometimes`, expected one of `none`, `starttls`, `implicit`\n\
                 line 5: imap.listeners.address: \"here\" is no address with a port like \"0.0.0.0:25\" or \"[::]:25\", and no path like \"unix:/run/lmtp.sock\"\n",
            ),
            (
                "[[imap.listeners]]\naddress = \"127.0.0.1:143\"\n[[imap.listeners.rules]]\naction = \"deny\"\npeers = [\n\"10.0.0.0/8\",\n\"everybody\"]\n",
                "line 7: imap.listeners.rules.peers: \"everybody\" is neither an address nor a network nor a range\n",
            ),
            (
                "[pop3]\n[[pop3.listeners]]\ntls = \"none\"\n",
                "line 2: pop3.listeners: missing field `address`\n",
            ),
            // Unknown and wrong together.
            (
                "threads = \"x\"\nthread = 1\n",
                "line 1: threads: invalid type: string \"x\", expected a number from 0\nline 2: there is no option thread; did you mean threads?\n",
            ),
        ]);
        assert!(wrong("[smtp_in\n").starts_with("line 1: "));
        assert!(wrong("a = 1\na = 2\n").starts_with("line 2: "));
    }

    #[test]
    fn what_cannot_be_served_is_refused() {
        let with = |service: &str, more: &str| {
            format!(
                "hostname = \"mx.example.org\"\n[{service}]\nenable = true\n[[{service}.listeners]]\n{more}"
            )
        };
        let open = "address = \"127.0.0.1:143\"\ntls = \"none\"\nplaintext_login = true\n";
        check(&[(&with("imap", open), "")]);
        for (text, said) in [
            (
                "hostname = \"a b\"\n".to_owned(),
                "line 1: hostname: \"a b\" is not a host name",
            ),
            (
                "[pop3]\nenable = true\n".into(),
                "line 2: pop3.enable: the service is enabled but has no listener",
            ),
            ("threads = 100000\n".into(), "line 1: threads: at most 1024"),
            (
                with(
                    "imap",
                    "address = \"0.0.0.0:143\"\ntls = \"none\"\nplaintext_login = true\n",
                ),
                "line 7: imap.listeners.plaintext_login: 0.0.0.0:143 allows logins without TLS",
            ),
            (
                with("imap", "address = \"127.0.0.1:143\"\n"),
                "line 4: imap.listeners.tls: 127.0.0.1:143 wants TLS, but tls.certificate is not set",
            ),
            (
                with("pop3", "address = \"127.0.0.1:110\"\ntls = \"none\"\n"),
                "line 6: pop3.listeners.tls: nobody can log in at 127.0.0.1:110",
            ),
            (
                with("lmtp", "address = \"0.0.0.0:24\"\ntls = \"none\"\n"),
                "line 5: lmtp.listeners.address: 0.0.0.0:24 is open to everyone",
            ),
            (
                format!("{}[[imap.listeners]]\n{open}", with("imap", open)),
                "line 9: imap.listeners.address: 127.0.0.1:143 is taken by imap already",
            ),
            (
                with(
                    "imap",
                    &format!(
                        "{open}[[imap.listeners.rules]]\naction = \"deny\"\npeers = []\npriority = 0\n"
                    ),
                ),
                "line 11: imap.listeners.rules.priority: it is 0",
            ),
            (
                with(
                    "imap",
                    &format!(
                        "{open}[[imap.listeners.rules]]\naction = \"deny\"\npeers = []\nlimits.connections = 1\n"
                    ),
                ),
                "line 11: imap.listeners.rules.limits: a deny rule cannot",
            ),
            (
                with("imap", &format!("{open}idle_timeout = \"0s\"\n")),
                "line 8: imap.listeners.idle_timeout: it must be more than no time",
            ),
            (
                with("imap", &format!("{open}write_timeout = \"0s\"\n")),
                "line 8: imap.listeners.write_timeout: it must be more than no time",
            ),
            (
                format!("write_timeout = \"0s\"\n{}", with("imap", open)),
                "line 1: write_timeout: it must be more than no time",
            ),
            (
                with("imap", &format!("{open}proxy.timeout = \"0s\"\n")),
                "line 8: imap.listeners.proxy.timeout: it must be more than no time",
            ),
            (
                with(
                    "imap",
                    &format!("{open}proxy.header_size = \"1KB\"\nproxy.from = [\"here\"]\n"),
                ),
                "line 9: imap.listeners.proxy.from: ",
            ),
            (
                with("imap", &format!("{open}proxy.header_size = \"1MB\"\n")),
                "line 8: imap.listeners.proxy.header_size: it must be from 256 to 65551 bytes, not 1048576",
            ),
            (
                "[tls]\nminimum = \"1.3\"\nmaximum = \"1.2\"\n".into(),
                "line 3: tls.maximum: the newest version of TLS is older than the oldest",
            ),
            (
                with("imap", &format!("{open}tls_minimum = \"1.3\"\n")),
                "line 6: imap.listeners.tls: 127.0.0.1:143 has no TLS, but certificates or versions of it are set",
            ),
            (
                with("imap", &format!("{open}limits.interval = \"0s\"\n")),
                "line 8: imap.listeners.limits.interval: it must be more than no time",
            ),
            (
                with(
                    "imap",
                    &format!(
                        "{open}[[imap.rules]]\naction = \"allow\"\npeers = [\"10.0.0.9-10.0.0.1\"]\n"
                    ),
                ),
                "line 10: imap.rules.peers: \"10.0.0.9-10.0.0.1\" is no range",
            ),
            (
                with(
                    "imap",
                    &format!(
                        "{open}[[imap.rules]]\naction = \"allow\"\npeers = [\"10.0.0.1\"]\npriority = 1001\n"
                    ),
                ),
                "line 11: imap.rules.priority: it is 1001",
            ),
            (
                with(
                    "imap",
                    &format!(
                        "{open}[[rules]]\naction = \"deny\"\npeers = [\"10.0.0.1\"]\nlimits.connections = 1\n"
                    ),
                ),
                "line 11: rules.limits: a deny rule cannot",
            ),
            (
                with("imap", &format!("{open}socket_mode = \"0999\"\n")),
                "line 8: imap.listeners.socket_mode: \"0999\" is no mode like",
            ),
            (
                with("imap", &format!("{open}[faults]\nban = \"2d\"\n")),
                "line 8: faults.longest_ban: it is less than faults.ban, which is 2d",
            ),
            (
                with("imap", &format!("{open}[faults]\ninterval = \"0s\"\n")),
                "line 9: faults.interval: it must be more than no time",
            ),
            (
                with("imap", &format!("{open}[faults]\nremembered = 5\n")),
                "line 9: faults.remembered: it must be from 1000 to 10000000, not 5",
            ),
            (
                with("imap", &format!("{open}[faults]\ntrusted = [\"me\"]\n")),
                "line 9: faults.trusted: \"me\" is neither an address nor a network nor a range",
            ),
            (
                with(
                    "imap",
                    &format!("{open}[tls]\nhandshake_timeout = \"0s\"\n"),
                ),
                "line 9: tls.handshake_timeout: it must be more than no time",
            ),
            (
                with(
                    "imap",
                    &format!(
                        "{open}[[tls.certificates]]\ncertificate = \"/nowhere/a.pem\"\nkey = \"/nowhere/b.pem\"\nnames = [\"a b\"]\n"
                    ),
                ),
                "line 8: tls.certificates: tls.certificate is not set",
            ),
            (
                with(
                    "lmtp",
                    "address = \"unix:/run/x.sock\"\ntls = \"none\"\n[[rules]]\naction = \"deny\"\npeers = [\"10.0.0.1\"]\npriority = 0\n",
                ),
                "line 10: rules.priority: it is 0",
            ),
            (
                with(
                    "imap",
                    &format!(
                        "address = \"unix:/{}\"\ntls = \"none\"\nplaintext_login = true\n",
                        "x".repeat(107)
                    ),
                ),
                "line 5: imap.listeners.address: unix:/",
            ),
            (
                "[tls]\ncertificate = \"/nowhere/a.pem\"\nkey = \"/nowhere/b.pem\"\n".into(),
                "line 2: tls.certificate: /nowhere/a.pem: ",
            ),
            (
                "[tls]\nkey = \"/nowhere/b.pem\"\n".into(),
                "line 1: tls.certificate: it is not set, but tls.key is",
            ),
            (
                "[tls]\ncertificate = \"/nowhere/a.pem\"\n".into(),
                "line 1: tls.key: it is not set, but tls.certificate is",
            ),
        ] {
            assert!(wrong(&text).starts_with(said), "{text}\n{}", wrong(&text));
        }
    }
}
