//! A commented `axigen.cfg`, made from the documents of the options.

use serde_json::Value;

use super::Settings;

/// The settings as a file in which every option stands with its meaning.
/// Options that are not set are there as comments.
pub fn render(settings: &Settings) -> String {
    let (Ok(schema), Ok(Value::Object(values))) = (
        serde_json::to_value(schemars::schema_for!(Settings)),
        serde_json::to_value(settings),
    ) else {
        return String::new();
    };
    let mut out = String::from(
        "# axigen.cfg: the settings of this mail server. `axigen check --config axigen.cfg` says what is wrong.\n\
         # Sizes are written as \"64KB\" or \"50MB\", times as \"30s\", \"5m\", \"12h\" or \"7d\".\n\n",
    );
    table(&mut out, &schema, &schema, &values, "");
    out
}

type Object = serde_json::Map<String, Value>;

fn table(out: &mut String, root: &Value, shape: &Value, values: &Object, path: &str) {
    let Some(properties) = shape.get("properties").and_then(Value::as_object) else {
        return;
    };
    // Plain options first: behind a table header they would belong to the table.
    let mut tables = Vec::new();
    for (name, option) in properties {
        let resolved = resolve(root, option);
        let is_table = resolved.get("properties").is_some();
        let is_list_of_tables = resolved
            .get("items")
            .is_some_and(|items| resolve(root, items).get("properties").is_some());
        if is_table || is_list_of_tables {
            tables.push((name, option, resolved, is_list_of_tables));
            continue;
        }
        comment(out, option, resolved);
        match values.get(name) {
            Some(value) if !value.is_null() => {
                out.push_str(&format!("{name} = {}\n\n", plain(value)))
            }
            _ => {
                let given = option.get("examples").and_then(|examples| examples.get(0));
                let example = given.map_or_else(|| example(resolved), plain);
                out.push_str(&format!("# {name} = {example}\n\n"));
            }
        }
    }
    for (name, option, resolved, is_list) in tables {
        let full = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        if !is_list {
            comment(out, option, resolved);
            out.push_str(&format!("[{full}]\n"));
            let empty = Object::new();
            let inner = values
                .get(name)
                .and_then(Value::as_object)
                .unwrap_or(&empty);
            table(out, root, resolved, inner, &full);
            continue;
        }
        let Some(item) = resolved.get("items").map(|items| resolve(root, items)) else {
            continue;
        };
        let items = values
            .get(name)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        if items.is_empty() {
            comment(out, option, resolved);
            out.push_str(&format!("# [[{full}]]\n"));
            let mut inner = String::new();
            table(&mut inner, root, item, &Object::new(), &full);
            for line in inner.lines().filter(|line| !line.is_empty()) {
                out.push_str(&format!("# {}\n", line.trim_start_matches("# ")));
            }
            out.push('\n');
        }
        for value in items.iter().filter_map(Value::as_object) {
            comment(out, option, resolved);
            out.push_str(&format!("[[{full}]]\n"));
            table(out, root, item, value, &full);
        }
    }
}

fn resolve<'s>(root: &'s Value, shape: &'s Value) -> &'s Value {
    let name = shape
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|r| r.strip_prefix("#/$defs/"));
    if let Some(found) = name.and_then(|name| root.get("$defs")?.get(name)) {
        return found;
    }
    // An option that may be absent: `anyOf: [{$ref}, {type: null}]`.
    if let Some(first) = shape
        .get("anyOf")
        .and_then(Value::as_array)
        .and_then(|any| any.first())
    {
        return resolve(root, first);
    }
    shape
}

fn comment(out: &mut String, option: &Value, resolved: &Value) {
    let text = option
        .get("description")
        .or(resolved.get("description"))
        .and_then(Value::as_str)
        .unwrap_or("");
    for line in text.lines() {
        out.push_str(&format!("# {line}\n"));
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Array(items) => format!(
            "[{}]",
            items.iter().map(plain).collect::<Vec<_>>().join(", ")
        ),
        Value::String(text) => toml::Value::String(text.clone()).to_string(),
        other => other.to_string(),
    }
}

fn example(shape: &Value) -> String {
    if let Some(words) = shape.get("enum").and_then(Value::as_array) {
        return words.first().map(plain).unwrap_or_default();
    }
    if let Some(word) = shape
        .get("oneOf")
        .and_then(|one| one.get(0))
        .and_then(|first| first.get("const"))
    {
        return plain(word);
    }
    let kind = match shape.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str).unwrap_or(""),
        _ => "",
    };
    match kind {
        "boolean" => "true".into(),
        "integer" => "0".into(),
        "array" => "[]".into(),
        _ => match shape.get("pattern").and_then(Value::as_str) {
            Some(pattern) if pattern.contains("smhd") => "\"60s\"".into(),
            Some(_) => "\"0B\"".into(),
            None => "\"\"".into(),
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::{ListenerSettings, TlsMode, parse};
    use super::*;

    #[test]
    fn what_is_rendered_reads_as_what_it_was() {
        let mut settings = Settings::default();
        assert_eq!(parse(&render(&settings)).unwrap(), settings);
        settings.hostname = "mx.example.org".into();
        settings.imap.common.enable = true;
        for (port, tls) in [(143, TlsMode::Starttls), (993, TlsMode::Implicit)] {
            let address = format!("127.0.0.1:{port}").parse().unwrap();
            settings
                .imap
                .common
                .listeners
                .push(ListenerSettings::new(address, tls));
        }
        settings.accounts.imap = Some(false);
        let text = render(&settings);
        assert_eq!(parse(&text).unwrap(), settings, "{text}");
        assert!(text.contains("# The name the server calls itself"));
    }

    #[test]
    fn every_option_stands_in_the_file() {
        let text = render(&Settings::default());
        for option in [
            "hostname",
            "in_flight",
            "message_size",
            "quota",
            "idle_timeout",
            "peer_connections",
            "listeners",
            "rules",
            "plaintext_login",
        ] {
            assert!(text.contains(option), "{option} is missing in\n{text}");
        }
    }
}
