//! Commands written as bytes, as a client sends them.

use bytes::BufMut;

use super::Encoder;
use crate::imap::command::{
    Append, Command, Fetch, FetchAttribute, List, ListSelect, Partial, Search, SearchKey,
    SearchReturn, Select, Store, StoreAction,
};
use crate::imap::extensions::acl::{Acl, Change};
use crate::imap::extensions::condstore::{ENTRY, Resync};
use crate::imap::extensions::metadata::{Depth, EntryName, Metadata};
use crate::imap::extensions::multiappend::{AppendPiece, Inside};
use crate::imap::extensions::notify::{Notify, NotifyEvent, NotifyMailboxes};
use crate::imap::extensions::sort::SortCriterion;
use crate::imap::extensions::urlauth::UrlAuthCommand;
use crate::imap::sequence::SequenceNumber;
use crate::imap::types::{DateTime, Flag, MailboxName, SpecialUse, StatusItem, Tag};
use crate::imap::utf7;

impl Encoder<'_> {
    /// A command, line end included. Texts that cannot be quoted go as
    /// non-synchronising literals (RFC 7888). Of APPEND and REPLACE
    /// everything up to the first literal of a message is written, and no line end.
    pub fn command(&mut self, tag: &Tag, command: &Command) {
        self.print(format_args!("{tag} "));
        match command {
            Command::Capability => self.put("CAPABILITY"),
            Command::Logout => self.put("LOGOUT"),
            Command::StartTls => self.put("STARTTLS"),
            Command::Authenticate { mechanism, initial } => {
                self.print(format_args!("AUTHENTICATE {mechanism}"));
                if let Some(initial) = initial {
                    self.print(format_args!(" {}", initial.0.as_str()));
                }
            }
            Command::Login { user, password } => {
                self.put("LOGIN ");
                self.client_string(user.as_bytes());
                self.put(" ");
                self.client_string(password.0.as_bytes());
            }
            Command::Enable(names) => self.print(format_args!("ENABLE {}", names.join(" "))),
            Command::Id(pairs) => self.client_id(pairs),
            Command::Append(append) => return self.append(append),
            Command::Compress => self.put("COMPRESS DEFLATE"),
            Command::Unauthenticate => self.put("UNAUTHENTICATE"),
            Command::Idle => self.put("IDLE"),
            Command::Noop => self.put("NOOP"),
            Command::Select(select) => self.select("SELECT", select),
            Command::Examine(select) => self.select("EXAMINE", select),
            Command::Create {
                mailbox,
                special_use,
            } => {
                self.of_mailbox("CREATE", mailbox.as_str());
                if !special_use.is_empty() {
                    let names: Vec<_> = special_use
                        .iter()
                        .copied()
                        .map(SpecialUse::as_str)
                        .collect();
                    self.print(format_args!(" (USE ({}))", names.join(" ")));
                }
            }
            Command::Delete { mailbox } => self.of_mailbox("DELETE", mailbox.as_str()),
            Command::Rename { from, to } => {
                self.of_mailbox("RENAME", from.as_str());
                self.put(" ");
                self.client_mailbox(to.as_str());
            }
            Command::Subscribe { mailbox } => self.of_mailbox("SUBSCRIBE", mailbox.as_str()),
            Command::Unsubscribe { mailbox } => self.of_mailbox("UNSUBSCRIBE", mailbox.as_str()),
            Command::List(list) => self.client_list(list),
            Command::Lsub { reference, pattern } => {
                self.of_mailbox("LSUB", reference);
                self.put(" ");
                self.client_mailbox(&pattern.0);
            }
            Command::Namespace => self.put("NAMESPACE"),
            Command::Acl(acl) => self.client_acl(acl),
            Command::Metadata(metadata) => self.client_metadata(metadata),
            Command::UrlAuth(command) => self.client_urlauth(command),
            Command::GetQuota { root } => {
                self.put("GETQUOTA ");
                self.client_string(root.as_bytes());
            }
            Command::GetQuotaRoot { mailbox } => {
                self.of_mailbox("GETQUOTAROOT", mailbox.as_str());
            }
            Command::Notify(notify) => self.client_notify(notify),
            Command::Status { mailbox, items } => {
                self.of_mailbox("STATUS", mailbox.as_str());
                self.print(format_args!(" ({})", status_items(items)));
            }
            Command::Check => self.put("CHECK"),
            Command::Close => self.put("CLOSE"),
            Command::Unselect => self.put("UNSELECT"),
            Command::Expunge => self.put("EXPUNGE"),
            Command::UidExpunge { set } => self.print(format_args!("UID EXPUNGE {set}")),
            Command::CancelUpdate(tags) => {
                self.put("CANCELUPDATE");
                for tag in tags {
                    self.print(format_args!(" \"{tag}\""));
                }
            }
            Command::UidBatches(batches) => {
                self.print(format_args!("UIDBATCHES {}", batches.size));
                if let Some((from, to)) = batches.range {
                    self.print(format_args!(" {from}:{to}"));
                }
            }
            Command::Search(search) => self.client_search(search),
            Command::MultiSearch(search) => {
                self.put("ESEARCH IN (");
                for (index, source) in search.sources.iter().enumerate() {
                    self.put(if index > 0 { " " } else { "" });
                    self.client_filter(source);
                }
                self.put(")");
                self.returns(Some(search.returns), &search.update_items);
                self.client_charset();
                self.search_keys(&search.keys);
            }
            Command::Sort(sort) => {
                self.print(format_args!("{}SORT", uid_prefix(sort.uid)));
                self.returns(sort.returns, &sort.update_items);
                self.put(" (");
                for (index, SortCriterion { reverse, by }) in sort.criteria.iter().enumerate() {
                    let space = if index > 0 { " " } else { "" };
                    let reverse = if *reverse { "REVERSE " } else { "" };
                    self.print(format_args!("{space}{reverse}{}", by.as_str()));
                }
                self.put(") UTF-8");
                self.search_keys(&sort.keys);
            }
            Command::Thread(thread) => {
                let uid = uid_prefix(thread.uid);
                let algorithm = thread.algorithm.as_str();
                self.print(format_args!("{uid}THREAD {algorithm} UTF-8"));
                self.search_keys(&thread.keys);
            }
            Command::Fetch(fetch) => self.client_fetch(fetch),
            Command::Store(store) => self.client_store(store),
            Command::Copy { uid, set, mailbox } => {
                self.print(format_args!("{}COPY {set} ", uid_prefix(*uid)));
                self.client_mailbox(mailbox.as_str());
            }
            Command::Move { uid, set, mailbox } => {
                self.print(format_args!("{}MOVE {set} ", uid_prefix(*uid)));
                self.client_mailbox(mailbox.as_str());
            }
        }
        self.put("\r\n");
    }

    fn client_acl(&mut self, acl: &Acl) {
        let who = match acl {
            Acl::Get { mailbox } => return self.of_mailbox("GETACL", mailbox.as_str()),
            Acl::MyRights { mailbox } => return self.of_mailbox("MYRIGHTS", mailbox.as_str()),
            Acl::Set {
                mailbox,
                identifier,
                ..
            } => ("SETACL", mailbox, identifier),
            Acl::Delete {
                mailbox,
                identifier,
            } => ("DELETEACL", mailbox, identifier),
            Acl::ListRights {
                mailbox,
                identifier,
            } => ("LISTRIGHTS", mailbox, identifier),
        };
        let (name, mailbox, identifier) = who;
        self.of_mailbox(name, mailbox.as_str());
        self.put(" ");
        self.client_string(identifier.as_bytes());
        if let Acl::Set { change, rights, .. } = acl {
            let sign = match change {
                Change::Replace => "",
                Change::Add => "+",
                Change::Remove => "-",
            };
            self.put(" ");
            self.client_string(format!("{sign}{rights}").as_bytes());
        }
    }

    fn client_metadata(&mut self, metadata: &Metadata) {
        match metadata {
            Metadata::Get {
                mailbox,
                max_size,
                depth,
                entries,
            } => {
                let size = max_size.map(|size| format!("MAXSIZE {size}"));
                let size = size.unwrap_or_default();
                let depth = match depth {
                    Depth::Zero => "",
                    Depth::One => "DEPTH 1",
                    Depth::Infinity => "DEPTH infinity",
                };
                self.put("GETMETADATA");
                self.parameters(&words(&[
                    (!size.is_empty(), &size),
                    (!depth.is_empty(), depth),
                ]));
                self.put(" ");
                self.client_mailbox(mailbox.as_str());
                self.put(" ");
                self.client_entries(entries);
            }
            Metadata::Set { mailbox, values } => {
                self.of_mailbox("SETMETADATA", mailbox.as_str());
                self.put(" ");
                self.in_parentheses(values, |out, (entry, value)| {
                    out.client_string(entry.as_str().as_bytes());
                    out.put(" ");
                    match value {
                        Some(value) => out.client_string(value),
                        None => out.put("NIL"),
                    }
                });
            }
        }
    }

    fn client_entries(&mut self, entries: &[EntryName]) {
        self.in_parentheses(entries, |out, entry| {
            out.client_string(entry.as_str().as_bytes());
        });
    }

    fn select(&mut self, name: &str, select: &Select) {
        self.of_mailbox(name, select.mailbox.as_str());
        let qresync = select.parameters.qresync.as_ref().map(written);
        let qresync = qresync.unwrap_or_default();
        let chosen = [
            (select.parameters.condstore, "CONDSTORE"),
            (!qresync.is_empty(), qresync.as_str()),
        ];
        self.parameters(&words(&chosen));
    }

    /// ` (…)`, or nothing.
    fn parameters(&mut self, words: &str) {
        if !words.is_empty() {
            self.print(format_args!(" ({words})"));
        }
    }

    fn client_fetch(&mut self, fetch: &Fetch) {
        let Fetch { set, modifiers, .. } = fetch;
        self.print(format_args!("{}FETCH {set} ", uid_prefix(fetch.uid)));
        self.in_parentheses(&fetch.attributes, |out, item| out.client_attribute(item));
        let since = modifiers.changed_since;
        let since = since.map(|since| format!("CHANGEDSINCE {since}"));
        let since = since.unwrap_or_default();
        let partial = modifiers.partial.map(|range| format!("PARTIAL {range}"));
        let partial = partial.unwrap_or_default();
        let chosen = [
            (!since.is_empty(), since.as_str()),
            (modifiers.vanished, "VANISHED"),
            (!partial.is_empty(), partial.as_str()),
        ];
        self.parameters(&words(&chosen));
    }

    fn client_store(&mut self, store: &Store) {
        let sign = match store.action {
            StoreAction::Replace => "",
            StoreAction::Add => "+",
            StoreAction::Remove => "-",
        };
        let silent = if store.silent { ".SILENT" } else { "" };
        self.print(format_args!("{}STORE {}", uid_prefix(store.uid), store.set));
        if let Some(since) = store.unchanged_since {
            self.print(format_args!(" (UNCHANGEDSINCE {since})"));
        }
        self.print(format_args!(" {sign}FLAGS{silent} "));
        self.flags(&store.flags, false);
    }

    fn append(&mut self, append: &Append) {
        match append.replaces {
            None => self.of_mailbox("APPEND", append.mailbox.as_str()),
            Some(replaced) => {
                let number = match replaced.number {
                    SequenceNumber::Largest => "*".to_owned(),
                    SequenceNumber::Number(number) => number.to_string(),
                };
                let uid = uid_prefix(replaced.uid);
                self.print(format_args!("{uid}REPLACE {number} "));
                self.client_mailbox(append.mailbox.as_str());
            }
        }
        self.append_options(&append.flags, append.date);
        self.append_pieces(Inside::Message, &append.pieces);
    }

    fn append_options(&mut self, flags: &[Flag], date: Option<DateTime>) {
        if !flags.is_empty() {
            self.put(" ");
            self.flags(flags, false);
        }
        if let Some(date) = date {
            self.print(format_args!(" \"{date}\""));
        }
    }

    /// What stands between two literals of APPEND, or behind the last.
    pub(crate) fn append_pieces(&mut self, mut inside: Inside, pieces: &[AppendPiece]) {
        for piece in pieces {
            // In a list only what is not its first part follows a space.
            let spaced = !matches!(inside, Inside::Catenate { first: true });
            if spaced && !matches!(piece, AppendPiece::Message { .. } | AppendPiece::End) {
                self.put(" ");
            }
            match piece {
                AppendPiece::Literal => {}
                AppendPiece::Utf8 => self.put("UTF8 ("),
                AppendPiece::Catenate => self.put("CATENATE ("),
                AppendPiece::Url(url) => {
                    self.put("URL ");
                    self.client_string(url.as_bytes());
                }
                AppendPiece::Text => self.put("TEXT "),
                AppendPiece::End => self.put(")"),
                AppendPiece::Message { flags, date } => self.append_options(flags, *date),
            }
            inside = inside.then(piece);
        }
    }

    fn client_id(&mut self, pairs: &[(String, Option<String>)]) {
        if pairs.is_empty() {
            return self.put("ID NIL");
        }
        self.put("ID (");
        for (index, (name, value)) in pairs.iter().enumerate() {
            if index > 0 {
                self.put(" ");
            }
            self.client_string(name.as_bytes());
            self.put(" ");
            match value {
                Some(value) => self.client_string(value.as_bytes()),
                None => self.put("NIL"),
            }
        }
        self.put(")");
    }

    fn client_list(&mut self, list: &List) {
        self.put("LIST ");
        if list.select != ListSelect::default() {
            let chosen = [
                (list.select.subscribed, "SUBSCRIBED"),
                (list.select.remote, "REMOTE"),
                (list.select.recursive_match, "RECURSIVEMATCH"),
                (list.select.special_use, "SPECIAL-USE"),
            ];
            self.print(format_args!("({}) ", words(&chosen)));
        }
        self.client_mailbox(&list.reference);
        self.put(" ");
        if let [pattern] = list.patterns.as_slice() {
            self.client_mailbox(&pattern.0);
        } else {
            self.in_parentheses(&list.patterns, |out, pattern| {
                out.client_mailbox(&pattern.0)
            });
        }
        if !list.extended {
            return;
        }
        let returns = &list.returns;
        let status = if returns.status.is_empty() {
            String::new()
        } else {
            format!("STATUS ({})", status_items(&returns.status))
        };
        let chosen = [
            (returns.subscribed, "SUBSCRIBED"),
            (returns.children, "CHILDREN"),
            (returns.my_rights, "MYRIGHTS"),
            (returns.special_use, "SPECIAL-USE"),
            (!status.is_empty(), status.as_str()),
        ];
        self.print(format_args!(" RETURN ({}", words(&chosen)));
        if !returns.metadata.is_empty() {
            let space = if self.out.ends_with(b"(") { "" } else { " " };
            self.print(format_args!("{space}METADATA "));
            self.client_entries(&returns.metadata);
        }
        self.put(")");
    }

    fn client_notify(&mut self, notify: &Notify) {
        let Notify::Set { status, groups } = notify else {
            return self.put("NOTIFY NONE");
        };
        self.put(if *status {
            "NOTIFY SET STATUS"
        } else {
            "NOTIFY SET"
        });
        for group in groups {
            self.put(" (");
            self.client_filter(&group.mailboxes);
            self.put(" ");
            if group.events.is_empty() {
                self.put("NONE");
            } else {
                self.in_parentheses(&group.events, |out, event| {
                    out.put(event.as_str());
                    if let NotifyEvent::MessageNew(items) = event
                        && !items.is_empty()
                    {
                        out.put(" ");
                        out.in_parentheses(items, |out, item| out.client_attribute(item));
                    }
                });
            }
            self.put(")");
        }
    }

    /// `filter-mailboxes`
    fn client_filter(&mut self, mailboxes: &NotifyMailboxes) {
        let (name, mailboxes): (_, &[MailboxName]) = match mailboxes {
            NotifyMailboxes::Selected => ("selected", &[]),
            NotifyMailboxes::SelectedDelayed => ("selected-delayed", &[]),
            NotifyMailboxes::Inboxes => ("inboxes", &[]),
            NotifyMailboxes::Personal => ("personal", &[]),
            NotifyMailboxes::Subscribed => ("subscribed", &[]),
            NotifyMailboxes::Subtree(names) => ("subtree", names),
            NotifyMailboxes::SubtreeOne(names) => ("subtree-one", names),
            NotifyMailboxes::Mailboxes(names) => ("mailboxes", names),
        };
        self.put(name);
        if !mailboxes.is_empty() {
            self.put(" ");
            self.in_parentheses(mailboxes, |out, name| out.client_mailbox(name.as_str()));
        }
    }

    fn in_parentheses<T>(&mut self, items: &[T], mut one: impl FnMut(&mut Self, &T)) {
        self.put("(");
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.put(" ");
            }
            one(self, item);
        }
        self.put(")");
    }

    fn client_search(&mut self, search: &Search) {
        self.print(format_args!("{}SEARCH", uid_prefix(search.uid)));
        self.returns(search.returns, &search.update_items);
        self.client_charset();
        self.search_keys(&search.keys);
    }

    /// RFC 9755 §3: none behind UTF8=ACCEPT; RFC 9051 §6.4.4: UTF-8 needs none.
    fn client_charset(&mut self) {
        if !self.utf8 {
            self.put(" CHARSET UTF-8");
        }
    }

    fn returns(&mut self, returns: Option<SearchReturn>, update_items: &[FetchAttribute]) {
        if let Some(returns) = returns {
            let SearchReturn {
                min,
                max,
                all,
                count,
                save,
                relevancy,
                update,
                context,
                partial,
            } = returns;
            let partial = partial.map(|range| format!("PARTIAL {range}"));
            let partial = partial.unwrap_or_default();
            let chosen = [
                (min, "MIN"),
                (max, "MAX"),
                (all, "ALL"),
                (count, "COUNT"),
                (save, "SAVE"),
                (relevancy, "RELEVANCY"),
                (context, "CONTEXT"),
                (!partial.is_empty(), partial.as_str()),
                (update, "UPDATE"),
            ];
            self.print(format_args!(" RETURN ({}", words(&chosen)));
            if update && !update_items.is_empty() {
                self.put(" ");
                self.in_parentheses(update_items, Self::client_attribute);
            }
            self.put(")");
        }
    }

    fn search_keys(&mut self, keys: &[SearchKey]) {
        for key in keys {
            self.put(" ");
            self.search_key(key);
        }
    }

    fn search_key(&mut self, key: &SearchKey) {
        let (name, text) = match key {
            SearchKey::And(keys) => {
                return self.in_parentheses(keys, Self::search_key);
            }
            SearchKey::Not(key) => {
                self.put("NOT ");
                return self.search_key(key);
            }
            SearchKey::Fuzzy(key) => {
                self.put("FUZZY ");
                return self.search_key(key);
            }
            SearchKey::Or(a, b) => {
                self.put("OR ");
                self.search_key(a);
                self.put(" ");
                return self.search_key(b);
            }
            SearchKey::Sequence(set) => return self.print(format_args!("{set}")),
            SearchKey::Uid(set) => return self.print(format_args!("UID {set}")),
            SearchKey::All => return self.put("ALL"),
            SearchKey::Answered => return self.put("ANSWERED"),
            SearchKey::Deleted => return self.put("DELETED"),
            SearchKey::Draft => return self.put("DRAFT"),
            SearchKey::Flagged => return self.put("FLAGGED"),
            SearchKey::Seen => return self.put("SEEN"),
            SearchKey::Unanswered => return self.put("UNANSWERED"),
            SearchKey::Undeleted => return self.put("UNDELETED"),
            SearchKey::Undraft => return self.put("UNDRAFT"),
            SearchKey::Unflagged => return self.put("UNFLAGGED"),
            SearchKey::Unseen => return self.put("UNSEEN"),
            SearchKey::New => return self.put("NEW"),
            SearchKey::Old => return self.put("OLD"),
            SearchKey::Recent => return self.put("RECENT"),
            SearchKey::Keyword(flag) => return self.print(format_args!("KEYWORD {flag}")),
            SearchKey::Unkeyword(flag) => return self.print(format_args!("UNKEYWORD {flag}")),
            SearchKey::UidAfter(n) => return self.print(format_args!("UIDAFTER {n}")),
            SearchKey::UidBefore(n) => return self.print(format_args!("UIDBEFORE {n}")),
            SearchKey::Younger(n) => return self.print(format_args!("YOUNGER {n}")),
            SearchKey::Older(n) => return self.print(format_args!("OLDER {n}")),
            SearchKey::Before(day) => return self.print(format_args!("BEFORE {day}")),
            SearchKey::On(day) => return self.print(format_args!("ON {day}")),
            SearchKey::SaveDateSupported => return self.put("SAVEDATESUPPORTED"),
            SearchKey::SavedBefore(day) => return self.print(format_args!("SAVEDBEFORE {day}")),
            SearchKey::SavedOn(day) => return self.print(format_args!("SAVEDON {day}")),
            SearchKey::SavedSince(day) => return self.print(format_args!("SAVEDSINCE {day}")),
            SearchKey::Since(day) => return self.print(format_args!("SINCE {day}")),
            SearchKey::SentBefore(day) => return self.print(format_args!("SENTBEFORE {day}")),
            SearchKey::SentOn(day) => return self.print(format_args!("SENTON {day}")),
            SearchKey::SentSince(day) => return self.print(format_args!("SENTSINCE {day}")),
            SearchKey::Larger(size) => return self.print(format_args!("LARGER {size}")),
            SearchKey::Smaller(size) => return self.print(format_args!("SMALLER {size}")),
            SearchKey::EmailId(id) => return self.print(format_args!("EMAILID {id}")),
            SearchKey::ThreadId(id) => return self.print(format_args!("THREADID {id}")),
            SearchKey::ModSeq { entry, since } => {
                self.put("MODSEQ ");
                if let Some(entry) = entry {
                    self.quoted(format!("{ENTRY}{}", entry.flag).as_bytes());
                    self.print(format_args!(" {} ", entry.kind.as_str()));
                }
                return self.print(format_args!("{since}"));
            }
            SearchKey::Header(field, text) => {
                self.put("HEADER ");
                self.client_string(field.as_bytes());
                self.put(" ");
                return self.client_string(text.as_bytes());
            }
            SearchKey::Bcc(text) => ("BCC ", text),
            SearchKey::Body(text) => ("BODY ", text),
            SearchKey::Cc(text) => ("CC ", text),
            SearchKey::From(text) => ("FROM ", text),
            SearchKey::Subject(text) => ("SUBJECT ", text),
            SearchKey::Text(text) => ("TEXT ", text),
            SearchKey::To(text) => ("TO ", text),
        };
        self.put(name);
        self.client_string(text.as_bytes());
    }

    fn client_attribute(&mut self, attribute: &FetchAttribute) {
        match attribute {
            FetchAttribute::BodySection {
                section,
                partial,
                peek,
            } => {
                self.put(if *peek { "BODY.PEEK" } else { "BODY" });
                self.section(section);
                self.client_partial(*partial);
            }
            FetchAttribute::Binary {
                part,
                partial,
                peek,
            } => {
                self.put(if *peek { "BINARY.PEEK[" } else { "BINARY[" });
                self.part(part);
                self.put("]");
                self.client_partial(*partial);
            }
            _ => self.fetch_name(attribute),
        }
    }

    fn client_partial(&mut self, partial: Option<Partial>) {
        if let Some(Partial { offset, length }) = partial {
            self.print(format_args!("<{offset}.{length}>"));
        }
    }

    fn of_mailbox(&mut self, name: &str, mailbox: &str) {
        self.print(format_args!("{name} "));
        self.client_mailbox(mailbox);
    }

    fn client_mailbox(&mut self, name: &str) {
        if self.utf8 {
            self.client_string(name.as_bytes());
        } else {
            self.client_string(utf7::encode(name).as_bytes());
        }
    }

    /// A string that a server takes without a word: quoted, or a literal with `+`.
    fn client_urlauth(&mut self, command: &UrlAuthCommand) {
        match command {
            UrlAuthCommand::Generate(urls) => {
                self.put("GENURLAUTH");
                for (url, mechanism) in urls {
                    self.put(" ");
                    self.client_string(url.as_bytes());
                    self.print(format_args!(" {mechanism}"));
                }
            }
            UrlAuthCommand::Reset {
                mailbox,
                mechanisms,
            } => {
                self.put("RESETKEY");
                if let Some(mailbox) = mailbox {
                    self.put(" ");
                    self.client_mailbox(mailbox.as_str());
                    for mechanism in mechanisms {
                        self.print(format_args!(" {mechanism}"));
                    }
                }
            }
            UrlAuthCommand::Fetch(urls) => {
                self.put("URLFETCH");
                for url in urls {
                    self.put(" ");
                    self.client_string(url.as_bytes());
                }
            }
        }
    }

    fn client_string(&mut self, text: &[u8]) {
        let quotable = text.is_ascii() || self.utf8 && std::str::from_utf8(text).is_ok();
        if quotable && !text.iter().any(|b| matches!(b, 0 | b'\r' | b'\n')) {
            return self.quoted(text);
        }
        self.print(format_args!("{{{}+}}\r\n", text.len()));
        self.out.put_slice(text);
    }
}

fn uid_prefix(uid: bool) -> &'static str {
    if uid { "UID " } else { "" }
}

fn written(resync: &Resync) -> String {
    let mut text = format!("QRESYNC ({} {}", resync.uid_validity, resync.modseq);
    if let Some(known) = &resync.known {
        text.push_str(&format!(" {known}"));
    }
    if let Some((numbers, uids)) = &resync.matched {
        text.push_str(&format!(" ({numbers} {uids})"));
    }
    text.push(')');
    text
}

fn words(chosen: &[(bool, &str)]) -> String {
    let words: Vec<&str> = chosen
        .iter()
        .filter(|(chosen, _)| *chosen)
        .map(|&(_, word)| word)
        .collect();
    words.join(" ")
}

fn status_items(items: &[StatusItem]) -> String {
    let names: Vec<_> = items.iter().copied().map(StatusItem::as_str).collect();
    names.join(" ")
}
