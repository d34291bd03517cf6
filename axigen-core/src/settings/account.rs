//! What can be set for an account, its class, its domain and the server.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::Size;

/// What can be set at each of the four levels: server, domain, account class,
/// account. What is not set is inherited.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccountSettings {
    /// Most bytes an account may hold; "0" is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<Size>,
    /// Whether the account may use IMAP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imap: Option<bool>,
    /// Whether the account may use POP3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pop3: Option<bool>,
    /// Whether the account may send mail by submission.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submission: Option<bool>,
    /// Whether mail to user+Folder goes into the folder of that name when it
    /// exists; otherwise into INBOX.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plus_folders: Option<bool>,
    /// Most IMAP connections of an account at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imap_connections: Option<u32>,
}

/// An account's settings with nothing left open.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// Most bytes; `None` is no limit.
    pub quota: Option<u64>,
    /// Whether IMAP is allowed.
    pub imap: bool,
    /// Whether POP3 is allowed.
    pub pop3: bool,
    /// Whether submission is allowed.
    pub submission: bool,
    /// Whether user+Folder goes into a folder.
    pub plus_folders: bool,
    /// Most IMAP connections.
    pub imap_connections: u32,
}

impl AccountSettings {
    /// These, and what they leave open from `parent`.
    #[must_use]
    pub fn or(self, parent: &AccountSettings) -> AccountSettings {
        AccountSettings {
            quota: self.quota.or(parent.quota),
            imap: self.imap.or(parent.imap),
            pop3: self.pop3.or(parent.pop3),
            submission: self.submission.or(parent.submission),
            plus_folders: self.plus_folders.or(parent.plus_folders),
            imap_connections: self.imap_connections.or(parent.imap_connections),
        }
    }

    /// Nothing left open: the built-in defaults fill the rest.
    pub fn effective(&self, server: &AccountSettings) -> Effective {
        let all = self.clone().or(server);
        Effective {
            quota: all.quota.map(|size| size.0).filter(|&size| size > 0),
            imap: all.imap.unwrap_or(true),
            pop3: all.pop3.unwrap_or(true),
            submission: all.submission.unwrap_or(true),
            plus_folders: all.plus_folders.unwrap_or(true),
            imap_connections: all.imap_connections.unwrap_or(32),
        }
    }
}

impl AccountSettings {
    /// The names of all options.
    pub fn options() -> Vec<String> {
        let schema = serde_json::to_value(schemars::schema_for!(AccountSettings));
        let schema = schema.unwrap_or_default();
        let known = schema.get("properties").and_then(|known| known.as_object());
        known.map_or_else(Vec::new, |known| known.keys().cloned().collect())
    }

    /// Sets one option as a person writes it (`5GB`, `true`), or leaves it open
    /// again with `None`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the name or the value.
    pub fn assign(&mut self, option: &str, value: Option<&str>) -> Result<(), String> {
        let known = Self::options();
        if !known.iter().any(|name| name == option) {
            return Err(format!(
                "there is no option {option:?} for accounts; there are {}",
                known.join(", ")
            ));
        }
        let failed = |error: serde_json::Error| format!("{option}: {error}");
        let mut all = serde_json::to_value(&*self).map_err(failed)?;
        let Some(fields) = all.as_object_mut() else {
            return Err(format!("{option} cannot be set"));
        };
        fields.remove(option);
        if let Some(value) = value {
            // `true` and `32` are what they look like, all else is text.
            let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
            fields.insert(option.to_owned(), value);
        }
        *self = serde_json::from_value(all).map_err(failed)?;
        Ok(())
    }
}

/// One level of the inheritance, by name and value: for [`explain`].
type Level<'a> = (&'a str, &'a AccountSettings);

/// Where the value of an option comes from: the first of `levels` (account
/// first, server last) that sets it, with its value; `default` if none does.
/// `None` if there is no option of that name.
pub fn explain(option: &str, levels: &[Level<'_>]) -> Option<(String, String)> {
    if !AccountSettings::options().iter().any(|name| name == option) {
        return None;
    }
    for (name, settings) in levels {
        let set = serde_json::to_value(settings).ok()?;
        if let Some(value) = set.get(option) {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            return Some(((*name).to_owned(), value));
        }
    }
    let none = AccountSettings::default().effective(&AccountSettings::default());
    let value = match option {
        "quota" => "0B".to_owned(),
        "imap" => none.imap.to_string(),
        "pop3" => none.pop3.to_string(),
        "submission" => none.submission.to_string(),
        "plus_folders" => none.plus_folders.to_string(),
        "imap_connections" => none.imap_connections.to_string(),
        _ => return None,
    };
    Some(("default".to_owned(), value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn nearer_levels_win() {
        let account = AccountSettings {
            imap: Some(false),
            ..Default::default()
        };
        let class = AccountSettings {
            quota: Some(Size(0)),
            imap: Some(true),
            ..Default::default()
        };
        let server = AccountSettings {
            quota: Some(Size(100)),
            pop3: Some(false),
            ..Default::default()
        };
        let effective = account.clone().or(&class).effective(&server);
        assert!(!effective.imap && !effective.pop3 && effective.submission);
        assert_eq!(effective.quota, None, "the class lifts the server's quota");
        let levels = [
            ("account", &account),
            ("class", &class),
            ("server", &server),
        ];
        assert_eq!(
            explain("imap", &levels).unwrap(),
            ("account".into(), "false".into())
        );
        assert_eq!(
            explain("quota", &levels).unwrap(),
            ("class".into(), "0B".into())
        );
        assert_eq!(
            explain("pop3", &levels).unwrap(),
            ("server".into(), "false".into())
        );
        assert_eq!(
            explain("imap_connections", &levels).unwrap(),
            ("default".into(), "32".into())
        );
        assert_eq!(explain("nothing", &levels), None);
        for option in AccountSettings::options() {
            assert!(
                explain(&option, &[]).is_some(),
                "{option} has no default in explain"
            );
        }
    }

    #[test]
    fn options_are_set_as_a_person_writes_them() {
        let mut settings = AccountSettings::default();
        settings.assign("quota", Some("5GB")).unwrap();
        settings.assign("imap", Some("false")).unwrap();
        settings.assign("imap_connections", Some("5")).unwrap();
        assert_eq!(settings.quota, Some(Size(5 << 30)));
        assert_eq!(settings.imap, Some(false));
        assert_eq!(settings.imap_connections, Some(5));
        settings.assign("imap", None).unwrap();
        assert_eq!(settings.imap, None);
        let before = settings.clone();
        for (option, value, part) in [
            ("quotas", "1", "; there are "),
            ("quota", "much", "is not a size"),
            ("imap", "maybe", "expected a boolean"),
            ("imap_connections", "-1", "invalid value"),
        ] {
            let error = settings.assign(option, Some(value)).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(settings, before);
    }
}
