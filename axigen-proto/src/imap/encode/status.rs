//! Status responses: their codes and texts.

use bytes::BufMut;

use super::Encoder;
use crate::imap::extensions::notify::NotifyEvent;
use crate::imap::response::{Code, Status, StatusKind};

impl Encoder<'_> {
    pub(super) fn status(&mut self, status: &Status) {
        self.put(match status.kind {
            StatusKind::Ok => "OK ",
            StatusKind::No => "NO ",
            StatusKind::Bad => "BAD ",
        });
        self.status_text(status);
    }

    /// `resp-text = ["[" resp-text-code "]" SP] text`
    pub(super) fn status_text(&mut self, status: &Status) {
        let coded = status.code.as_ref().is_some_and(|code| self.code(code));
        // RFC 9051 §9: text is at least one character, and what begins with a
        // bracket would be taken for a code.
        if status.text.is_empty() {
            self.put("Done");
        } else if !coded && status.text.starts_with('[') {
            self.put("- ");
        }
        let rev2 = self.rev2;
        for c in status.text.chars() {
            let c = match c {
                '\0'..='\x1f' | '\x7f' => ' ',
                c if c.is_ascii() || rev2 => c,
                _ => '?',
            };
            self.out.put_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    /// The code in brackets with a space behind it; whether one was written.
    pub(super) fn code(&mut self, code: &Code) -> bool {
        let name = match code {
            Code::Unseen(_) if self.rev2 => return false,
            Code::Modified(set) if set.is_empty() => return false,
            // RFC 4315 §3: no COPYUID when nothing was copied.
            Code::CopyUid { from, .. } if from.is_empty() => return false,
            Code::AppendUid { uids, .. } if uids.is_empty() => return false,
            Code::AppendUid { uid_validity, uids } => {
                self.print(format_args!("[APPENDUID {uid_validity} {uids}] "));
                return true;
            }
            Code::CopyUid {
                uid_validity,
                from,
                to,
            } => {
                self.print(format_args!("[COPYUID {uid_validity} {from} {to}] "));
                return true;
            }
            // RFC 4467 §8
            Code::UrlMech(mechanisms) => {
                self.print(format_args!("[URLMECH {}] ", mechanisms.join(" ")));
                return true;
            }
            Code::BadUrl(url) => {
                self.put("[BADURL ");
                // RFC 4469 §5: any character of a line but the closing bracket.
                for byte in url.bytes() {
                    match byte {
                        b']' | 0..=b' ' | 0x7f.. => self.print(format_args!("%{byte:02X}")),
                        byte => self.out.put_u8(byte),
                    }
                }
                self.put("] ");
                return true;
            }
            Code::BadCharset(names) => {
                self.print(format_args!("[BADCHARSET ({})] ", names.join(" ")));
                return true;
            }
            Code::BadEvent => {
                let names = NotifyEvent::NAMES.join(" ");
                self.print(format_args!("[BADEVENT ({names})] "));
                return true;
            }
            Code::Capability(names) => {
                self.print(format_args!("[CAPABILITY {}] ", names.join(" ")));
                return true;
            }
            Code::PermanentFlags { flags, keywords } => {
                self.put("[PERMANENTFLAGS ");
                self.flags(flags, *keywords);
                self.put("] ");
                return true;
            }
            Code::InProgress { tag, done, goal } => {
                self.in_progress(tag.as_ref(), *done, *goal);
                return true;
            }
            Code::NoUpdate(tag) => {
                self.print(format_args!("[NOUPDATE \"{tag}\"] "));
                return true;
            }
            Code::HighestModSeq(n) => {
                self.print(format_args!("[HIGHESTMODSEQ {n}] "));
                return true;
            }
            Code::MailboxId(id) => {
                self.print(format_args!("[MAILBOXID ({id})] "));
                return true;
            }
            Code::Modified(set) => {
                self.print(format_args!("[MODIFIED {set}] "));
                return true;
            }
            Code::MessageLimit { limit, lowest } => {
                self.print(format_args!("[MESSAGELIMIT {limit}"));
                if let Some(lowest) = lowest {
                    self.print(format_args!(" {lowest}"));
                }
                self.put("] ");
                return true;
            }
            Code::UidNext(n) => {
                self.print(format_args!("[UIDNEXT {n}] "));
                return true;
            }
            Code::UidValidity(n) => {
                self.print(format_args!("[UIDVALIDITY {n}] "));
                return true;
            }
            Code::Unseen(n) => {
                self.print(format_args!("[UNSEEN {n}] "));
                return true;
            }
            Code::Other(text) => text,
            Code::Alert => "ALERT",
            Code::AlreadyExists => "ALREADYEXISTS",
            Code::AuthenticationFailed => "AUTHENTICATIONFAILED",
            Code::AuthorizationFailed => "AUTHORIZATIONFAILED",
            Code::Cannot => "CANNOT",
            Code::ClientBug => "CLIENTBUG",
            Code::Closed => "CLOSED",
            Code::CompressionActive => "COMPRESSIONACTIVE",
            Code::ContactAdmin => "CONTACTADMIN",
            Code::Corruption => "CORRUPTION",
            Code::Expired => "EXPIRED",
            Code::ExpungeIssued => "EXPUNGEISSUED",
            Code::HasChildren => "HASCHILDREN",
            Code::InUse => "INUSE",
            Code::Limit => "LIMIT",
            Code::NonExistent => "NONEXISTENT",
            Code::NoPerm => "NOPERM",
            Code::NotificationOverflow => "NOTIFICATIONOVERFLOW",
            Code::NotSaved => "NOTSAVED",
            Code::MetadataLongEntries(size) => {
                self.print(format_args!("[METADATA LONGENTRIES {size}] "));
                return true;
            }
            Code::MetadataMaxSize(size) => {
                self.print(format_args!("[METADATA MAXSIZE {size}] "));
                return true;
            }
            Code::MetadataTooMany => "METADATA TOOMANY",
            Code::MetadataNoPrivate => "METADATA NOPRIVATE",
            Code::OverQuota => "OVERQUOTA",
            Code::Parse => "PARSE",
            Code::PrivacyRequired => "PRIVACYREQUIRED",
            Code::ReadOnly => "READ-ONLY",
            Code::ReadWrite => "READ-WRITE",
            Code::ServerBug => "SERVERBUG",
            Code::TooBig => "TOOBIG",
            Code::TooFew => "TOOFEW",
            Code::TooMany => "TOOMANY",
            Code::TryCreate => "TRYCREATE",
            Code::UidNotSticky => "UIDNOTSTICKY",
            Code::UidRequired => "UIDREQUIRED",
            Code::Unavailable => "UNAVAILABLE",
            Code::UnknownCte => "UNKNOWN-CTE",
            Code::UseAttr => "USEATTR",
        };
        self.print(format_args!("[{name}] "));
        true
    }
}
