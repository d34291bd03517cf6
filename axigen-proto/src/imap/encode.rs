//! Responses written as bytes, and commands.

use std::fmt::Write as _;

use bytes::{BufMut, BytesMut};

use super::extensions::acl::{AclResponse, Rights};
use super::extensions::metadata::{EntryName, MetadataResponse};
use super::response::{Esearch, ListItem, Namespace, Numbers, Response, Status};
use super::separator::Separator;
use super::types::{Flag, MailboxName, StatusItem, Tag};
use super::utf7;

mod command;
mod fetch;
mod status;
mod structure;

/// Longest text sent as a quoted string; longer ones go as literals.
const QUOTED: usize = 1024;

/// Writes responses (or, for a client, commands) into a buffer.
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut BytesMut,
    rev2: bool,
    utf8: bool,
    separator: Separator,
}

impl<'a> Encoder<'a> {
    /// Writes to the end of `out`. With `rev2` (the client has enabled
    /// IMAP4rev2) mailbox names go as UTF-8, quoted strings may hold UTF-8, and
    /// what RFC 9051 has done away with is left out.
    pub fn new(out: &'a mut BytesMut, rev2: bool) -> Encoder<'a> {
        Encoder {
            out,
            rev2,
            utf8: rev2,
            separator: Separator::Slash,
        }
    }

    /// The same with UTF-8 in names and quoted strings also without IMAP4rev2,
    /// once the client has enabled UTF8=ACCEPT
    /// ([RFC 9755 §3](https://www.rfc-editor.org/rfc/rfc9755#section-3)).
    #[must_use]
    pub fn with_utf8(mut self, utf8: bool) -> Self {
        self.utf8 |= utf8;
        self
    }

    /// The same with another hierarchy separator in names.
    #[must_use]
    pub fn separated_by(mut self, separator: Separator) -> Self {
        self.separator = separator;
        self
    }

    /// An untagged response, line end included.
    ///
    /// ```text
    /// response-data = "*" SP (resp-cond-state / resp-cond-bye / mailbox-data / message-data /
    ///                 capability-data / enable-data) CRLF
    /// ```
    pub fn response(&mut self, response: &Response) {
        match response {
            // RFC 9051 §2.3.2: \Recent is no more.
            Response::Recent(_) if self.rev2 => return,
            Response::Status(status) => {
                self.put("* ");
                self.status(status);
            }
            Response::Preauth(status) => {
                self.put("* PREAUTH ");
                self.status_text(status);
            }
            Response::Other(text) => {
                self.put("* ");
                self.out.put_slice(text);
            }
            Response::Bye(status) => {
                self.put("* BYE ");
                self.status_text(status);
            }
            Response::Flags(flags) => {
                self.put("* FLAGS ");
                self.flags(flags, false);
            }
            Response::Exists(n) => self.print(format_args!("* {n} EXISTS")),
            Response::Recent(n) => self.print(format_args!("* {n} RECENT")),
            Response::Expunge(n) => self.print(format_args!("* {n} EXPUNGE")),
            Response::Fetch { seq, items } => {
                self.fetch_begin(*seq);
                self.fetch_items(items);
            }
            Response::UidFetch { uid, items } => {
                self.uid_fetch_begin(*uid);
                self.fetch_items(items);
            }
            Response::List(item) => self.list("* LIST ", item),
            Response::Lsub(item) => self.list("* LSUB ", item),
            Response::MailboxStatus { mailbox, items, id } => {
                self.put("* STATUS ");
                self.mailbox(mailbox);
                self.put(" (");
                let sent = items
                    .iter()
                    // A client that has enabled IMAP4rev2 may ask for it, and gets none.
                    .filter(|(item, _)| !(self.rev2 && *item == StatusItem::Recent));
                for (index, (item, value)) in sent.enumerate() {
                    let space = if index > 0 { " " } else { "" };
                    let _ = write!(self.out, "{space}{} {value}", item.as_str());
                }
                if let Some(id) = id {
                    let space = if self.out.ends_with(b"(") { "" } else { " " };
                    self.print(format_args!("{space}MAILBOXID ({id})"));
                }
                self.put(")");
            }
            Response::Vanished { uids, .. } if uids.is_empty() => return,
            Response::Vanished { earlier, uids } => {
                let earlier = if *earlier { " (EARLIER)" } else { "" };
                self.print(format_args!("* VANISHED{earlier} {uids}"));
            }
            Response::Acl(acl) => self.acl(acl),
            Response::Metadata(metadata) => self.metadata(metadata),
            Response::GenUrlAuth(urls) => {
                self.put("* GENURLAUTH");
                for url in urls {
                    self.put(" ");
                    self.string(url.as_bytes());
                }
            }
            Response::UrlFetch(found) => {
                self.put("* URLFETCH");
                for (url, data) in found {
                    self.put(" ");
                    self.string(url.as_bytes());
                    self.put(" ");
                    match data {
                        Some(data) => {
                            self.print(format_args!("{{{}}}\r\n", data.len()));
                            self.out.put_slice(data);
                        }
                        None => self.put("NIL"),
                    }
                }
            }
            Response::Quota { root, resources } => {
                self.put("* QUOTA ");
                self.string(root.as_bytes());
                self.put(" (");
                for (index, of) in resources.iter().enumerate() {
                    let space = if index > 0 { " " } else { "" };
                    let name = of.resource.as_str();
                    self.print(format_args!("{space}{name} {} {}", of.used, of.limit));
                }
                self.put(")");
            }
            Response::QuotaRoot { mailbox, roots } => {
                self.put("* QUOTAROOT ");
                self.mailbox(mailbox);
                for root in roots {
                    self.put(" ");
                    self.string(root.as_bytes());
                }
            }
            Response::Search(found) => self.numbers("* SEARCH", found),
            Response::Sort(found) => self.numbers("* SORT", found),
            Response::Thread(threads) => threads.write(self.out),
            Response::Esearch(found) => self.esearch(found),
            // RFC 10022 §4: "UIDBATCHES" search-correlator [SP uid-range *("," uid-range)]
            Response::UidBatches { tag, batches } => {
                self.put("* UIDBATCHES (TAG ");
                self.string(tag.as_str().as_bytes());
                self.put(")");
                for (index, (high, low)) in batches.iter().enumerate() {
                    let before = if index > 0 { "," } else { " " };
                    self.print(format_args!("{before}{high}:{low}"));
                }
            }
            Response::Namespace {
                personal,
                other,
                shared,
            } => {
                self.put("* NAMESPACE ");
                self.namespaces(personal);
                self.put(" ");
                self.namespaces(other);
                self.put(" ");
                self.namespaces(shared);
            }
            Response::Capability(names) => {
                self.put("* CAPABILITY");
                for name in names {
                    self.print(format_args!(" {name}"));
                }
            }
            Response::Enabled(names) => {
                self.put("* ENABLED");
                for name in names {
                    self.print(format_args!(" {name}"));
                }
            }
            Response::Id(pairs) => {
                self.put("* ID ");
                self.id(pairs);
            }
        }
        self.put("\r\n");
    }

    /// ```text
    /// metadata-resp = "METADATA" SP mailbox SP (entry-values / entry-list)
    /// entry-list    = entry *(SP entry)
    /// ```
    fn metadata(&mut self, response: &MetadataResponse) {
        let (MetadataResponse::Values { mailbox, .. } | MetadataResponse::Changed { mailbox, .. }) =
            response;
        self.put("* METADATA ");
        self.mailbox(mailbox);
        match response {
            MetadataResponse::Values { values, .. } => {
                self.put(" (");
                for (index, (entry, value)) in values.iter().enumerate() {
                    if index > 0 {
                        self.put(" ");
                    }
                    self.entry(entry);
                    self.put(" ");
                    self.nstring(value.as_deref());
                }
                self.put(")");
            }
            MetadataResponse::Changed { entries, .. } => {
                for entry in entries {
                    self.put(" ");
                    self.entry(entry);
                }
            }
        }
    }

    fn entry(&mut self, entry: &EntryName) {
        let name = entry.as_str();
        match name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b))
        {
            true => self.put(name),
            false => self.string(name.as_bytes()),
        }
    }

    /// ```text
    /// acl-data        = "ACL" SP mailbox *(SP identifier SP rights)
    /// listrights-data = "LISTRIGHTS" SP mailbox SP identifier SP rights *(SP rights)
    /// myrights-data   = "MYRIGHTS" SP mailbox SP rights
    /// ```
    fn acl(&mut self, response: &AclResponse) {
        match response {
            AclResponse::Acl { mailbox, entries } => {
                self.put("* ACL ");
                self.mailbox(mailbox);
                for (identifier, rights) in entries {
                    self.put(" ");
                    self.string(identifier.as_bytes());
                    self.put(" ");
                    self.string(rights.shown().as_bytes());
                }
            }
            AclResponse::ListRights {
                mailbox,
                identifier,
                required,
                optional,
            } => {
                self.put("* LISTRIGHTS ");
                self.mailbox(mailbox);
                self.put(" ");
                self.string(identifier.as_bytes());
                for rights in Rights::listed(*required, optional) {
                    self.put(" ");
                    self.string(rights.as_bytes());
                }
            }
            AclResponse::MyRights { mailbox, rights } => {
                self.put("* MYRIGHTS ");
                self.mailbox(mailbox);
                self.put(" ");
                self.string(rights.shown().as_bytes());
            }
        }
    }

    /// A tagged response, line end included.
    ///
    /// `response-tagged = tag SP resp-cond-state CRLF`
    pub fn tagged(&mut self, tag: &Tag, status: &Status) {
        self.print(format_args!("{tag} "));
        self.status(status);
        self.put("\r\n");
    }

    /// `continue-req = "+" SP (resp-text / base64) CRLF`
    pub fn proceed(&mut self, text: &str) {
        self.print(format_args!("+ {text}\r\n"));
    }

    /// `"*" SP "URLFETCH" SP url-full SP literal`, up to the literal's bytes
    /// (RFC 4467 §9)
    pub fn url_begin(&mut self, url: &str, len: u64) {
        self.put("* URLFETCH ");
        self.string(url.as_bytes());
        self.print(format_args!(" {{{len}}}\r\n"));
    }

    /// `flag-list`, with `\*` at its end if new keywords can be made.
    fn flags(&mut self, flags: &[Flag], keywords: bool) {
        self.put("(");
        let mut first = true;
        for flag in flags {
            if self.rev2 && *flag == Flag::Recent {
                continue;
            }
            if !first {
                self.put(" ");
            }
            first = false;
            self.print(format_args!("{flag}"));
        }
        if keywords {
            self.put(if first { "\\*" } else { " \\*" });
        }
        self.put(")");
    }

    /// ```text
    /// mailbox-list = "(" [mbx-list-flags] ")" SP (DQUOTE QUOTED-CHAR DQUOTE / nil) SP mailbox
    ///                [SP mbox-list-extended]
    /// ```
    fn list(&mut self, start: &str, item: &ListItem) {
        self.put(start);
        self.put("(");
        for (index, attribute) in item.attributes.iter().enumerate() {
            if index > 0 {
                self.put(" ");
            }
            self.put(attribute.as_str());
        }
        self.put(") ");
        self.delimiter(item.delimiter);
        self.put(" ");
        self.mailbox(&item.name);
        if item.child_subscribed || item.old_name.is_some() {
            self.put(" (");
            if item.child_subscribed {
                self.put("\"CHILDINFO\" (\"SUBSCRIBED\")");
            }
            if let Some(old) = &item.old_name {
                if item.child_subscribed {
                    self.put(" ");
                }
                self.put("\"OLDNAME\" (");
                self.mailbox(old);
                self.put(")");
            }
            self.put(")");
        }
    }

    fn delimiter(&mut self, delimiter: Option<char>) {
        match delimiter {
            Some(c) => {
                let c = if c == '/' {
                    self.separator.as_char()
                } else {
                    c
                };
                self.string(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            None => self.put("NIL"),
        }
    }

    /// `"SEARCH" [1*(SP nz-number) [SP "(" "MODSEQ" SP mod-sequence-value ")"]]`
    fn numbers(&mut self, name: &str, found: &Numbers) {
        self.put(name);
        for number in &found.numbers {
            self.print(format_args!(" {number}"));
        }
        if let Some(modseq) = found.modseq.filter(|_| !found.numbers.is_empty()) {
            self.print(format_args!(" (MODSEQ {modseq})"));
        }
    }

    /// ```text
    /// esearch-response  = "ESEARCH" [search-correlator] [SP "UID"] *(SP search-return-data)
    /// search-correlator = SP "(" one-correlator *(SP one-correlator) ")"
    /// one-correlator    = ("TAG" SP tag-string) / ("MAILBOX" SP astring) /
    ///                     ("UIDVALIDITY" SP nz-number)
    /// ```
    fn esearch(&mut self, found: &Esearch) {
        self.put("* ESEARCH");
        if let Some(tag) = &found.tag {
            self.put(" (TAG ");
            self.string(tag.as_str().as_bytes());
        }
        if let Some(of) = &found.found_in {
            self.put(if found.tag.is_some() { " " } else { " (" });
            self.put("MAILBOX ");
            self.mailbox(&of.mailbox);
            self.print(format_args!(" UIDVALIDITY {}", of.uid_validity));
        }
        if found.tag.is_some() || found.found_in.is_some() {
            self.put(")");
        }
        if found.uid {
            self.put(" UID");
        }
        if let Some(min) = found.min {
            self.print(format_args!(" MIN {min}"));
        }
        if let Some(max) = found.max {
            self.print(format_args!(" MAX {max}"));
        }
        // RFC 4731 §3.1: ALL is left out when nothing was found.
        if !found.all.is_empty() {
            self.put(" ALL ");
            self.in_order(&found.all);
        }
        if let Some((range, results)) = &found.partial {
            self.print(format_args!(" PARTIAL ({range} "));
            match results.is_empty() {
                true => self.put("NIL"),
                false => self.in_order(results),
            }
            self.put(")");
        }
        if let Some(count) = found.count {
            self.print(format_args!(" COUNT {count}"));
        }
        if let Some(modseq) = found.modseq {
            self.print(format_args!(" MODSEQ {modseq}"));
        }
        // RFC 6203 §7: "RELEVANCY" SP "(" [score *(SP score)] ")"
        if let Some(scores) = &found.relevancy {
            let scores: Vec<String> = scores.iter().map(u8::to_string).collect();
            self.print(format_args!(" RELEVANCY ({})", scores.join(" ")));
        }
        self.shifts("REMOVEFROM", &found.remove_from);
        self.shifts("ADDTO", &found.add_to);
    }

    /// ```text
    /// resp-text-code             =/ "INPROGRESS" [SP "(" inprogress-tag SP inprogress-state ")"]
    /// inprogress-tag              = quoted / nil
    /// inprogress-state            = inprogress-state-unknown / inprogress-state-counting /
    ///                               inprogress-state-known-goal
    /// inprogress-state-unknown    = nil SP nil
    /// inprogress-state-counting   = number SP nil
    /// inprogress-state-known-goal = number SP nz-number
    /// ```
    fn in_progress(&mut self, tag: Option<&Tag>, done: Option<u32>, goal: Option<u32>) {
        // RFC 9051 §9: no bracket inside a code.
        let tag = tag.filter(|tag| !tag.as_str().contains(']'));
        let goal = goal.filter(|goal| done.is_some() && *goal > 0);
        if tag.is_none() && done.is_none() {
            return self.put("[INPROGRESS] ");
        }
        self.put("[INPROGRESS (");
        match tag {
            Some(tag) => self.print(format_args!("\"{tag}\"")),
            None => self.put("NIL"),
        }
        for number in [done, goal] {
            match number {
                Some(number) => self.print(format_args!(" {number}")),
                None => self.put(" NIL"),
            }
        }
        self.put(")] ");
    }

    /// `sequence-set` whose order is kept: only what ascends becomes a range
    /// (RFC 5267 §3.2).
    pub(crate) fn in_order(&mut self, numbers: &[u32]) {
        let follows = |a: &u32, b: &u32| a.checked_add(1) == Some(*b);
        for (index, run) in numbers.chunk_by(follows).enumerate() {
            let comma = if index > 0 { "," } else { "" };
            match run {
                [first, .., last] => self.print(format_args!("{comma}{first}:{last}")),
                [only] => self.print(format_args!("{comma}{only}")),
                [] => {}
            }
        }
    }

    /// `namespace = nil / "(" 1*namespace-descr ")"`
    fn namespaces(&mut self, namespaces: &[Namespace]) {
        if namespaces.is_empty() {
            self.put("NIL");
            return;
        }
        self.put("(");
        for namespace in namespaces {
            self.put("(");
            let prefix = self.separator.swap(&namespace.prefix);
            if self.utf8 {
                self.string(prefix.as_bytes());
            } else {
                self.string(utf7::encode(&prefix).as_bytes());
            }
            self.put(" ");
            self.delimiter(namespace.delimiter);
            self.put(")");
        }
        self.put(")");
    }

    /// `id-params-list = "(" [string SP nstring *(SP string SP nstring)] ")" / nil`
    fn id(&mut self, pairs: &[(String, Option<String>)]) {
        if pairs.is_empty() {
            self.put("NIL");
            return;
        }
        self.put("(");
        for (index, (name, value)) in pairs.iter().enumerate() {
            if index > 0 {
                self.put(" ");
            }
            self.string(name.as_bytes());
            self.put(" ");
            self.nstring(value.as_ref().map(String::as_bytes));
        }
        self.put(")");
    }

    /// `mailbox = "INBOX" / astring`
    pub fn mailbox(&mut self, name: &MailboxName) {
        let name = self.separator.swap(name.as_str());
        if self.utf8 {
            self.astring(name.as_bytes());
        } else {
            self.astring(utf7::encode(&name).as_bytes());
        }
    }

    /// `astring = 1*ASTRING-CHAR / string`. An atom only where it is a plain
    /// word: older clients trip over `]` or a number as an atom.
    pub fn astring(&mut self, text: &[u8]) {
        let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/');
        let nil = text.eq_ignore_ascii_case(b"NIL");
        if text.first().is_some_and(u8::is_ascii_alphabetic) && text.iter().all(plain) && !nil {
            self.out.put_slice(text);
        } else {
            self.string(text);
        }
    }

    /// `nstring = string / nil`
    pub fn nstring(&mut self, text: Option<&[u8]>) {
        match text {
            Some(text) => self.string(text),
            None => self.put("NIL"),
        }
    }

    /// ```text
    /// string = quoted / literal
    /// ```
    /// Quoted where the grammar lets it be. NUL, which no string may hold, is left out.
    pub fn string(&mut self, text: &[u8]) {
        if text.contains(&0) {
            let without: Vec<u8> = text.iter().copied().filter(|&b| b != 0).collect();
            return self.string(&without);
        }
        let quotable = text.len() <= QUOTED
            && !text.iter().any(|b| matches!(b, b'\r' | b'\n'))
            && (text.is_ascii() || self.utf8 && std::str::from_utf8(text).is_ok());
        if !quotable {
            self.print(format_args!("{{{}}}\r\n", text.len()));
            self.out.put_slice(text);
            return;
        }
        self.quoted(text);
    }

    /// `quoted = DQUOTE *QUOTED-CHAR DQUOTE`
    fn quoted(&mut self, text: &[u8]) {
        self.put("\"");
        if text.iter().any(|b| matches!(b, b'"' | b'\\')) {
            for &byte in text {
                if matches!(byte, b'"' | b'\\') {
                    self.put("\\");
                }
                self.out.put_u8(byte);
            }
        } else {
            self.out.put_slice(text);
        }
        self.put("\"");
    }

    pub(crate) fn put(&mut self, text: &str) {
        self.out.put_slice(text.as_bytes());
    }

    pub(crate) fn print(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing into a BytesMut cannot fail: it grows.
        let _ = self.out.write_fmt(text);
    }
}
