//! ACL ([RFC 4314](https://www.rfc-editor.org/rfc/rfc4314)): who may do what
//! with a mailbox.

use std::fmt::{self, Write as _};

use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::tag;
use nom::combinator::{map, opt, value};
use nom::sequence::preceded;

use crate::imap::command::Command;
use crate::imap::parse::Grammar;
use crate::imap::parse::fault::{Parsed, expect, refused};
use crate::imap::parse::values::{astring_text, mailbox, sp};
use crate::imap::response::Status;
use crate::imap::types::MailboxName;

/// Longest identifier, in bytes.
pub const IDENTIFIER: usize = 512;

/// A set of rights
/// ([RFC 4314 §2.1](https://www.rfc-editor.org/rfc/rfc4314#section-2.1)).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Rights(u16);

/// Letters in the order they are written.
const LETTERS: [(char, Rights); 11] = [
    ('l', Rights::LOOKUP),
    ('r', Rights::READ),
    ('s', Rights::SEEN),
    ('w', Rights::WRITE),
    ('i', Rights::INSERT),
    ('p', Rights::POST),
    ('k', Rights::CREATE),
    ('x', Rights::DELETE),
    ('t', Rights::DELETE_MESSAGES),
    ('e', Rights::EXPUNGE),
    ('a', Rights::ADMINISTER),
];

/// RFC 4314 §2.1.1: rights of RFC 2086 that stand for several of today's.
const OLD: [(char, Rights); 2] = [
    ('c', Rights(Rights::CREATE.0 | Rights::DELETE.0)),
    ('d', Rights(Rights::DELETE_MESSAGES.0 | Rights::EXPUNGE.0)),
];

impl Rights {
    /// None.
    pub const NONE: Rights = Rights(0);
    /// `l`: the mailbox is seen by LIST.
    pub const LOOKUP: Rights = Rights(1);
    /// `r`: SELECT, STATUS, FETCH.
    pub const READ: Rights = Rights(2);
    /// `s`: `\Seen` is kept.
    pub const SEEN: Rights = Rights(4);
    /// `w`: flags other than `\Seen` and `\Deleted`.
    pub const WRITE: Rights = Rights(8);
    /// `i`: APPEND, COPY into it.
    pub const INSERT: Rights = Rights(16);
    /// `p`: send mail to it.
    pub const POST: Rights = Rights(32);
    /// `k`: make mailboxes below it.
    pub const CREATE: Rights = Rights(64);
    /// `x`: delete the mailbox, or rename it.
    pub const DELETE: Rights = Rights(128);
    /// `t`: `\Deleted`.
    pub const DELETE_MESSAGES: Rights = Rights(256);
    /// `e`: EXPUNGE.
    pub const EXPUNGE: Rights = Rights(512);
    /// `a`: see and change the ACL.
    pub const ADMINISTER: Rights = Rights(1024);
    /// All of them.
    pub const ALL: Rights = Rights(2047);

    /// Whether all of these are in it.
    pub fn has(self, all: Rights) -> bool {
        self.0 & all.0 == all.0
    }

    /// Whether one of these is in it.
    pub fn has_any(self, any: Rights) -> bool {
        self.0 & any.0 != 0
    }

    /// With these as well.
    #[must_use]
    pub const fn with(self, more: Rights) -> Rights {
        Rights(self.0 | more.0)
    }

    /// Without these.
    #[must_use]
    pub const fn without(self, less: Rights) -> Rights {
        Rights(self.0 & !less.0)
    }

    /// Whether it is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// As a number, to be kept.
    pub fn bits(self) -> u16 {
        self.0
    }

    /// From [`bits`](Rights::bits); unknown bits are left out.
    pub fn from_bits(bits: u16) -> Rights {
        Rights(bits & Rights::ALL.0)
    }

    /// Reads letters, `c` and `d` of RFC 2086 too. `None` for an unknown one:
    /// upper case is never a right.
    ///
    /// `rights = astring   ; only lowercase ASCII letters and digits are allowed`
    pub fn parse(text: &str) -> Option<Rights> {
        text.chars().try_fold(Rights::NONE, |rights, letter| {
            let known = LETTERS.iter().chain(&OLD);
            let (_, right) = known.into_iter().find(|(known, _)| *known == letter)?;
            Some(rights.with(*right))
        })
    }

    /// The letters as a server shows them: with those of RFC 2086 that hold one
    /// of them, for clients that know only these (§2.1.1).
    pub fn shown(self) -> String {
        let old = OLD.iter().filter(|(_, rights)| self.has_any(*rights));
        let mut letters = self.to_string();
        letters.extend(old.map(|(letter, _)| *letter));
        letters
    }

    /// The sets of LISTRIGHTS as a server shows them: `required`, then those that
    /// can be given. `c` and `d` stand only once, each by itself unless what it
    /// stands for comes with another right (§2.1.1, §3.7).
    pub(crate) fn listed(required: Rights, optional: &[Rights]) -> Vec<String> {
        let mut sets: Vec<String> = vec![required.shown()];
        sets.extend(optional.iter().map(Rights::to_string));
        for (letter, stands_for) in &OLD {
            if required.has_any(*stands_for) || !optional.iter().any(|set| set.has_any(*stands_for))
            {
                continue;
            }
            let tied =
                |set: &Rights| set.has_any(*stands_for) && !set.without(*stands_for).is_empty();
            match optional.iter().position(tied) {
                Some(at) => sets[at + 1].push(*letter),
                None => sets.push(letter.to_string()),
            }
        }
        sets
    }

    /// Each right by itself.
    pub fn each() -> impl Iterator<Item = Rights> {
        LETTERS.iter().map(|(_, right)| *right)
    }
}

impl fmt::Display for Rights {
    /// The letters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = LETTERS.iter().filter(|(_, right)| self.has(*right));
        letters
            .map(|(letter, _)| *letter)
            .try_for_each(|letter| f.write_char(letter))
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rights({self})")
    }
}

/// What SETACL does with the rights an identifier has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Exactly these.
    Replace,
    /// `+`: these as well.
    Add,
    /// `-`: without these.
    Remove,
}

/// A command of ACL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acl {
    /// SETACL (§3.1)
    Set {
        /// Which mailbox.
        mailbox: MailboxName,
        /// Who; `-` in front of it takes rights away.
        identifier: String,
        /// What is done with the rights.
        change: Change,
        /// The rights.
        rights: Rights,
    },
    /// DELETEACL (§3.2)
    Delete {
        /// Which mailbox.
        mailbox: MailboxName,
        /// Who.
        identifier: String,
    },
    /// GETACL (§3.3)
    Get {
        /// Which mailbox.
        mailbox: MailboxName,
    },
    /// LISTRIGHTS (§3.4)
    ListRights {
        /// Which mailbox.
        mailbox: MailboxName,
        /// Who.
        identifier: String,
    },
    /// MYRIGHTS (§3.5)
    MyRights {
        /// Which mailbox.
        mailbox: MailboxName,
    },
}

/// A response of ACL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AclResponse {
    /// `* ACL` (§3.6)
    Acl {
        /// Which mailbox.
        mailbox: MailboxName,
        /// Who may do what.
        entries: Vec<(String, Rights)>,
    },
    /// `* LISTRIGHTS` (§3.7)
    ListRights {
        /// Which mailbox.
        mailbox: MailboxName,
        /// Who.
        identifier: String,
        /// What this identifier always has.
        required: Rights,
        /// What can be given, each set only as a whole.
        optional: Vec<Rights>,
    },
    /// `* MYRIGHTS` (§3.8)
    MyRights {
        /// Which mailbox.
        mailbox: MailboxName,
        /// What the user may do.
        rights: Rights,
    },
}

/// ```text
/// setacl     = "SETACL" SP mailbox SP identifier SP mod-rights
/// mod-rights = astring   ; +rights to add, -rights to remove, rights to replace
/// ```
pub(crate) fn set_acl<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, Command> {
    let (rest, (mailbox, identifier)) = who(grammar, input)?;
    let (rest, ()) = sp(rest)?;
    let (after, text) = expect("rights", astring_text)(rest)?;
    let (change, letters) = modified(&text);
    // §2.1: an unknown right, also one in upper case, is a mistake.
    let Some(rights) = Rights::parse(letters) else {
        return Err(refused(rest, Status::bad("There is no such right")));
    };
    let set = Acl::Set {
        mailbox,
        identifier,
        change,
        rights,
    };
    Ok((after, Command::Acl(set)))
}

fn modified(text: &str) -> (Change, &str) {
    let mut sign = opt(alt((
        value(Change::Add, tag::<_, _, nom::error::Error<&str>>("+")),
        value(Change::Remove, tag("-")),
    )));
    match sign.parse(text) {
        Ok((letters, Some(change))) => (change, letters),
        _ => (Change::Replace, text),
    }
}

/// `deleteacl = "DELETEACL" SP mailbox SP identifier`
pub(crate) fn delete_acl<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, Command> {
    map(
        |i| who(grammar, i),
        |(mailbox, identifier)| {
            Command::Acl(Acl::Delete {
                mailbox,
                identifier,
            })
        },
    )
    .parse(input)
}

/// `getacl = "GETACL" SP mailbox`
pub(crate) fn get_acl<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, Command> {
    map(preceded(sp, |i| mailbox(grammar, i)), |mailbox| {
        Command::Acl(Acl::Get { mailbox })
    })
    .parse(input)
}

/// `listrights = "LISTRIGHTS" SP mailbox SP identifier`
pub(crate) fn list_rights<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, Command> {
    map(
        |i| who(grammar, i),
        |(mailbox, identifier)| {
            Command::Acl(Acl::ListRights {
                mailbox,
                identifier,
            })
        },
    )
    .parse(input)
}

/// `myrights = "MYRIGHTS" SP mailbox`
pub(crate) fn my_rights<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, Command> {
    map(preceded(sp, |i| mailbox(grammar, i)), |mailbox| {
        Command::Acl(Acl::MyRights { mailbox })
    })
    .parse(input)
}

/// ```text
/// SP mailbox SP identifier
/// identifier = astring
/// ```
fn who<'a>(grammar: &Grammar, input: &'a [u8]) -> Parsed<'a, (MailboxName, String)> {
    let (rest, mailbox) = preceded(sp, |i| mailbox(grammar, i)).parse(input)?;
    let (rest, ()) = sp(rest)?;
    let (after, identifier) = expect("an identifier", astring_text)(rest)?;
    if identifier.is_empty() || identifier.len() > IDENTIFIER {
        return Err(refused(
            rest,
            Status::bad("An identifier has 1 to 512 bytes"),
        ));
    }
    Ok((after, (mailbox, identifier)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters() {
        assert_eq!(Rights::ALL.to_string(), "lrswipkxtea");
        assert_eq!(Rights::ALL.shown(), "lrswipkxteacd");
        assert_eq!(Rights::CREATE.shown(), "kc");
        assert_eq!(Rights::parse("lrswipkxtea"), Some(Rights::ALL));
        assert_eq!(Rights::parse("c"), Rights::parse("xk"));
        assert_eq!(Rights::parse("d"), Rights::parse("te"));
        assert_eq!(Rights::parse(""), Some(Rights::NONE));
        for bad in ["L", "lq", "l ", "0", "é"] {
            assert_eq!(Rights::parse(bad), None, "{bad}");
        }
        for right in Rights::each() {
            assert_eq!(Rights::parse(&right.to_string()), Some(right));
            assert_eq!(Rights::from_bits(right.bits()), right);
        }
        assert_eq!(Rights::from_bits(u16::MAX), Rights::ALL);
    }
}
