//! Whether a message matches a search: what [`Search`] asks for is loaded.

use axigen_store::AccountId;

use super::{
    Mailboxes,
    error::{Error, Result},
    search::{Answer, BEST, Candidate, HEADER, Search},
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
        let score = self.relevancy(account, search, seq, row).await?;
        Ok(score.is_some())
    }

    /// As [`matches`](Mailboxes::matches); and how well, from 1 to 100, which is
    /// always 100 where nothing inexact was asked. `None` if it does not match.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn relevancy(
        &self,
        account: AccountId,
        search: &Search,
        seq: u32,
        row: &Row,
    ) -> Result<Option<u8>> {
        let (mut email_id, mut opened, mut header, mut raw) = (None, None, None, None);
        loop {
            let candidate = Candidate {
                seq,
                row,
                email_id: email_id.as_ref(),
                structure: opened.as_ref().map(|(structure, _)| structure),
                header: header.as_deref(),
                raw: raw.as_ref(),
            };
            let answer = search.matches(&candidate);
            if matches!(answer, Answer::Yes | Answer::No) {
                return Ok((answer == Answer::Yes).then(|| match search.is_fuzzy() {
                    true => search.relevancy(&candidate),
                    false => BEST,
                }));
            }
            if answer == Answer::NeedsEmailId {
                email_id = match self.email_id(account, row.item).await {
                    Ok(id) => Some(id),
                    Err(Error::NoSuchMessage) => return Ok(None),
                    Err(error) => return Err(error),
                };
                continue;
            }
            if opened.is_none() {
                opened = match self.opened(account, row.item).await {
                    Ok(opened) => Some(opened),
                    Err(Error::NoSuchMessage) => return Ok(None),
                    Err(error) => return Err(error),
                };
            }
            let Some((structure, content)) = &opened else {
                continue;
            };
            let read = match answer {
                Answer::NeedsHeader => {
                    let range = structure.header();
                    let range = range.start..range.end.min(range.start + HEADER);
                    let read = self.part(content, range).await;
                    read.map(|bytes| header = Some(bytes))
                }
                Answer::NeedsBody => {
                    let read = match raw.take() {
                        None => self.excerpt(content, structure).await,
                        Some(first) => self.rest_of(first, content, structure).await,
                    };
                    read.map(|texts| raw = Some(texts))
                }
                _ => continue,
            };
            match read {
                Ok(()) => {}
                Err(Error::NoSuchMessage) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}
