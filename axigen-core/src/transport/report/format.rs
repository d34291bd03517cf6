//! A report as JSON ([RFC 8460 §4.4](https://www.rfc-editor.org/rfc/rfc8460#section-4.4)).

use serde::{Deserialize, Deserializer, Serialize};

/// A report of one day about one domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Report {
    #[serde(default)]
    pub(crate) organization_name: String,
    pub(crate) date_range: DateRange,
    #[serde(default)]
    pub(crate) contact_info: String,
    pub(crate) report_id: String,
    pub(crate) policies: Vec<Counted>,
}

/// The day, from its first second to its last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct DateRange {
    pub(crate) start_datetime: String,
    pub(crate) end_datetime: String,
}

/// What happened under one policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Counted {
    pub(crate) policy: Identity,
    pub(crate) summary: Summary,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) failure_details: Vec<Failures>,
}

/// Which policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Identity {
    /// `sts`, `tlsa` or `no-policy-found`.
    pub(crate) policy_type: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) policy_string: Vec<String>,
    pub(crate) policy_domain: String,
    /// Some write one name where a list should stand.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "one_or_many"
    )]
    pub(crate) mx_host: Vec<String>,
}

fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Names {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Names::deserialize(from)? {
        Names::One(name) => vec![name],
        Names::Many(names) => names,
    })
}

/// How many sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Summary {
    pub(crate) total_successful_session_count: u64,
    pub(crate) total_failure_session_count: u64,
}

/// Failures of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Failures {
    pub(crate) result_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sending_mta_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) receiving_mx_hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) receiving_ip: Option<String>,
    pub(crate) failed_session_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure_reason_code: Option<String>,
}

impl Failures {
    /// Whether these are the same but for their number.
    pub(super) fn are_like(&self, other: &Failures) -> bool {
        let one = |failures: &Failures| Failures {
            failed_session_count: 0,
            ..failures.clone()
        };
        one(self) == one(other)
    }
}
