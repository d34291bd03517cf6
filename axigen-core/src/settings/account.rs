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

/// One level of the inheritance, by name and value: for [`explain`].
type Level<'a> = (&'a str, &'a AccountSettings);

/// Where the value of an option comes from: the first of `levels` (account
/// first, server last) that sets it, with its value; `default` if none does.
/// `None` if there is no option of that name.
pub fn explain(option: &str, levels: &[Level<'_>]) -> Option<(String, String)> {
    let known = serde_json::to_value(schemars::schema_for!(AccountSettings)).ok()?;
    known.get("properties")?.get(option)?;
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
        let schema = serde_json::to_value(schemars::schema_for!(AccountSettings)).unwrap();
        for option in schema["properties"].as_object().unwrap().keys() {
            assert!(
                explain(option, &[]).is_some(),
                "{option} has no default in explain"
            );
        }
    }
}
