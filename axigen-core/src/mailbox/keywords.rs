//! Keywords: an account's table of names and numbers.
//!
//! Rows keep numbers, so a keyword costs two bytes a message. A number is
//! never given to another name; so a table read once can only be short of new
//! ones, never wrong, and is kept in memory.

use std::{collections::HashMap, sync::Arc};

use axigen_store::{AccountId, Expect};

use super::{
    Mailboxes,
    draft::Draft,
    error::{Error, Result},
    keys,
    row::{Read, Stored},
    types::{Flags, Row},
};

/// Longest keyword, in bytes.
pub const MAX_KEYWORD: usize = 128;
/// Most keywords of one message.
pub const MAX_KEYWORDS: usize = 100;
/// Most accounts whose tables are kept in memory.
const TABLES: usize = 10_000;

/// An account's keywords.
#[derive(Debug, Default)]
pub(super) struct Table {
    names: Vec<Arc<str>>,
    numbers: HashMap<String, u16>,
}

/// A table and the names that the change at hand adds to it.
#[derive(Debug)]
pub(super) struct Words {
    table: Arc<Table>,
    new: Vec<Arc<str>>,
    most: u16,
}

impl Table {
    fn number(&self, name: &str) -> Option<u16> {
        self.numbers.get(&name.to_ascii_lowercase()).copied()
    }
}

impl Words {
    /// The keyword's number, a new one if it must be.
    fn number(&mut self, name: &Arc<str>) -> Result<u16> {
        if let Some(number) = self.table.number(name) {
            return Ok(number);
        }
        let known = self.table.names.len();
        let at = match self.new.iter().position(|n| n.eq_ignore_ascii_case(name)) {
            Some(at) => at,
            None => {
                if known + self.new.len() >= usize::from(self.most) {
                    return Err(Error::TooMany("keywords in the account"));
                }
                self.new.push(name.clone());
                self.new.len() - 1
            }
        };
        Ok((known + at) as u16)
    }

    /// Numbers of these keywords, ascending.
    pub(super) fn numbers(&mut self, names: &[Arc<str>]) -> Result<Vec<u16>> {
        let mut numbers = Vec::with_capacity(names.len());
        for name in names {
            numbers.push(self.number(name)?);
        }
        join(&mut numbers, &[])?;
        Ok(numbers)
    }

    /// Numbers of those keywords that have one.
    pub(super) fn known(&self, names: &[Arc<str>]) -> Vec<u16> {
        names
            .iter()
            .filter_map(|name| self.table.number(name))
            .collect()
    }

    /// Puts the new names into the batch.
    pub(super) fn write(&self, draft: &mut Draft) {
        for (number, name) in (self.table.names.len() as u16..).zip(&self.new) {
            draft.expect(keys::word(number), Expect::Absent);
            draft.set(keys::word(number), name.as_bytes().to_vec());
        }
    }

    /// Flags as a row has them.
    pub(super) fn flags(&self, row: &Stored) -> Result<Flags> {
        let mut keywords = Vec::with_capacity(row.words.len());
        for &number in &row.words {
            let at = usize::from(number);
            let known = self.table.names.len();
            let name = match at.checked_sub(known) {
                None => self.table.names.get(at),
                Some(new) => self.new.get(new),
            };
            keywords.push(
                name.ok_or_else(|| Error::corrupt("a keyword's number"))?
                    .clone(),
            );
        }
        Ok(Flags::new(row.system, keywords))
    }

    /// A row as the API shows it.
    pub(super) fn row(&self, uid: u32, modseq: u64, row: &Stored) -> Result<Row> {
        Ok(Row {
            uid,
            item: row.item,
            modseq,
            flags: self.flags(row)?,
            internal_date: row.internal_date,
            internal_zone: row.internal_zone,
            size: row.size,
            saved: row.saved,
        })
    }
}

/// Adds numbers to those of a message, ascending, each once.
pub(super) fn join(numbers: &mut Vec<u16>, more: &[u16]) -> Result<()> {
    numbers.extend_from_slice(more);
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.len() > MAX_KEYWORDS {
        return Err(Error::TooMany("keywords of one message"));
    }
    Ok(())
}

/// Refuses what is no atom
/// ([RFC 9051 §9](https://www.rfc-editor.org/rfc/rfc9051#section-9),
/// `flag-keyword`).
pub fn check(keyword: &str) -> Result<()> {
    if keyword.is_empty() {
        return Err(Error::BadKeyword("be empty"));
    }
    if keyword.len() > MAX_KEYWORD {
        return Err(Error::BadKeyword("be longer than 128 bytes"));
    }
    // atom-specials, and what is not printable ASCII.
    if !keyword
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b))
    {
        return Err(Error::BadKeyword(
            "have spaces, quotes, brackets or characters beyond ASCII",
        ));
    }
    Ok(())
}

/// Refuses flags that cannot be kept.
pub(super) fn check_flags(flags: &Flags) -> Result<()> {
    if flags.keywords.len() > MAX_KEYWORDS {
        return Err(Error::TooMany("keywords of one message"));
    }
    flags.keywords.iter().try_for_each(|word| check(word))
}

impl Mailboxes {
    /// The account's table, read anew if it does not know all these names, or
    /// rows have numbers beyond it.
    pub(super) async fn words(
        &self,
        account: AccountId,
        names: &[Arc<str>],
        rows: &[Read],
    ) -> Result<Words> {
        let mut table = self.table(account);
        let last = rows.iter().filter_map(|read| read.row.words.last()).max();
        if last.is_some_and(|&last| usize::from(last) >= table.names.len())
            || names.iter().any(|name| table.number(name).is_none())
        {
            table = self.read_table(account).await?;
        }
        Ok(Words {
            table,
            new: Vec::new(),
            most: self.shared.options.keywords,
        })
    }

    /// Rows as the API shows them.
    pub(super) async fn shown(&self, account: AccountId, rows: &[Read]) -> Result<Vec<Row>> {
        let words = self.words(account, &[], rows).await?;
        rows.iter()
            .map(|read| words.row(read.uid, read.row.modseq, &read.row))
            .collect()
    }

    /// All keywords that messages of the account carry or carried, in the
    /// spelling first used (for the FLAGS response).
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn keywords(&self, account: AccountId) -> Result<Vec<Arc<str>>> {
        Ok(self.read_table(account).await?.names.clone())
    }

    fn table(&self, account: AccountId) -> Arc<Table> {
        let tables = self.shared.tables.lock();
        tables.get(&account).cloned().unwrap_or_default()
    }

    async fn read_table(&self, account: AccountId) -> Result<Arc<Table>> {
        let (from, to) = keys::all(keys::WORD);
        let mut table = Table::default();
        for (_, name) in self.store.scan(account, from, to).await? {
            let name = std::str::from_utf8(&name).map_err(|_| Error::corrupt("a keyword"))?;
            let number = table.names.len() as u16;
            table.numbers.insert(name.to_ascii_lowercase(), number);
            table.names.push(name.into());
        }
        let table = Arc::new(table);
        let mut tables = self.shared.tables.lock();
        if tables.len() >= TABLES {
            tables.clear();
        }
        tables.insert(account, table.clone());
        Ok(table)
    }

    pub(super) fn forget_table(&self, account: AccountId) {
        self.shared.tables.lock().remove(&account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_atoms() {
        for good in ["$Forwarded", "NonJunk", "a", "x=1", "[x"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a\"", "(", "a*", "\\Seen", "ü", "a\r", "]"] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check(&"k".repeat(MAX_KEYWORD)).is_ok());
        assert!(check(&"k".repeat(MAX_KEYWORD + 1)).is_err());
    }
}
