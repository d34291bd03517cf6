//! Whether a message matches a search: what [`Search`] asks for is loaded.

use axigen_store::AccountId;

use super::{
    Mailboxes,
    error::{Error, Result},
    search::{Answer, Candidate, HEADER, Search},
    types::Row,
};

impl Mailboxes {
    /// Whether a message, the `seq`th of its mailbox, matches; loads what the
    /// answer depends on. A message that went meanwhile does not.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn matches(
        &self,
        account: AccountId,
        search: &Search,
        seq: u32,
        row: &Row,
    ) -> Result<bool> {
        let (mut email_id, mut structure, mut header, mut raw) = (None, None, None, None);
        loop {
            let candidate = Candidate {
                seq,
                row,
                email_id: email_id.as_ref(),
                structure: structure.as_deref(),
                header: header.as_deref(),
                raw: raw.as_deref(),
            };
            let answer = search.matches(&candidate);
            if matches!(answer, Answer::Yes | Answer::No) {
                return Ok(answer == Answer::Yes);
            }
            if answer == Answer::NeedsEmailId {
                email_id = match self.email_id(account, row.item).await {
                    Ok(id) => Some(id),
                    Err(Error::NoSuchMessage) => return Ok(false),
                    Err(error) => return Err(error),
                };
                continue;
            }
            if structure.is_none() {
                structure = match self.structure(account, row.item).await {
                    Ok(structure) => Some(structure),
                    Err(Error::NoSuchMessage) => return Ok(false),
                    Err(error) => return Err(error),
                };
            }
            let range = match (answer, &structure) {
                (Answer::NeedsHeader, Some(structure)) => {
                    let range = structure.header();
                    range.start..range.end.min(range.start + HEADER)
                }
                (Answer::NeedsBody, _) => 0..row.size,
                _ => continue,
            };
            let bytes = match self.body(account, row.item, range).await {
                Ok(bytes) => bytes,
                Err(Error::NoSuchMessage) => return Ok(false),
                Err(error) => return Err(error),
            };
            match answer {
                Answer::NeedsHeader => header = Some(bytes),
                _ => raw = Some(bytes),
            }
        }
    }
}
