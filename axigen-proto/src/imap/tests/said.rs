//! What servers say in the examples of RFC 3501, RFC 9051 and the extensions:
//! the client understands all of it, and it is written as it stands there.

use bytes::BytesMut;

use crate::imap::encode::Encoder;
use crate::imap::parse::response::{Reply, ResponseGrammar, response};
use crate::imap::response::{Code, FetchItem, MailboxAttribute, Response};

/// Responses of the examples. Where our encoder writes the same in another way
/// it stands behind `=>`.
const RESPONSES: &[&str] = &[
    // RFC 3501 §6 and §7, RFC 9051 §6 and §7
    "* OK IMAP4rev1 Service Ready",
    "* PREAUTH IMAP4rev1 server logged in as Smith",
    "* BYE Autologout; idle for too long",
    "* CAPABILITY IMAP4rev1 STARTTLS AUTH=GSSAPI LOGINDISABLED",
    "* CAPABILITY STARTTLS AUTH=GSSAPI IMAP4rev2 LOGINDISABLED XPIG-LATIN",
    "* ENABLED CONDSTORE",
    "* 22 EXPUNGE",
    "* 23 EXISTS",
    "* 3 RECENT",
    "* 14 FETCH (FLAGS (\\Seen \\Deleted))",
    "* 172 EXISTS",
    "* OK [UNSEEN 12] Message 12 is first unseen",
    "* OK [UIDVALIDITY 3857529045] UIDs valid",
    "* OK [UIDNEXT 4392] Predicted next UID",
    "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)",
    "* OK [PERMANENTFLAGS (\\Deleted \\Seen \\*)] Limited",
    "* OK [PERMANENTFLAGS ()] No permanent flags permitted",
    "* OK [CLOSED] Previous mailbox is now closed",
    "* LIST () \"/\" blurdybloop",
    "* LIST (\\Noselect) \"/\" foo",
    "* LIST () \"/\" foo/bar",
    "* LIST (\\Noselect) \"/\" \"\"",
    "* LIST (\\Noselect) \".\" #news. => * LIST (\\Noselect) \".\" \"#news.\"",
    "* LIST (\\Noselect) \"/\" ~/Mail/foo => * LIST (\\Noselect) \"/\" \"~/Mail/foo\"",
    "* LIST () \"/\" ~/Mail/meetings => * LIST () \"/\" \"~/Mail/meetings\"",
    "* LIST (\\Subscribed \\NonExistent) \"/\" Fruit/Peach",
    "* LIST (\\NonExistent) \"/\" Foo (\"CHILDINFO\" (\"SUBSCRIBED\"))",
    "* LIST (\\HasChildren) \"/\" foo2 (\"CHILDINFO\" (\"SUBSCRIBED\"))",
    "* LIST () \"/\" NewMailbox (\"OLDNAME\" (OldMailbox))",
    "* LIST () \".\" INBOX.Foo",
    "* LSUB () \".\" #news.comp.mail.misc => * LSUB () \".\" \"#news.comp.mail.misc\"",
    "* LSUB (\\Noselect) \".\" #news.comp.mail => * LSUB (\\Noselect) \".\" \"#news.comp.mail\"",
    "* STATUS blurdybloop (MESSAGES 231 UIDNEXT 44292)",
    "* SEARCH 2 84 882",
    "* SEARCH",
    "* SEARCH 43",
    "* ESEARCH (TAG \"A282\") MIN 2 COUNT 3",
    "* ESEARCH (TAG \"A283\") ALL 2,10:11",
    "* ESEARCH (TAG \"A284\") MIN 4",
    "* ESEARCH (TAG \"A285\") UID MIN 7 MAX 3800",
    "* ESEARCH (TAG \"A301\") UID ALL 17,900,901 => * ESEARCH (TAG \"A301\") UID ALL 17,900:901",
    "* NAMESPACE ((\"\" \"/\")) NIL NIL",
    "* 2 FETCH (FLAGS (\\Deleted \\Seen))",
    "* 23 FETCH (FLAGS (\\Seen) RFC822.SIZE 44827)",
    "* 4 FETCH (UID 7)",
    "* 12 FETCH (BODY[HEADER] {4}\r\na: b)",
    "* 1 FETCH (BODY[]<0> {3}\r\nabc)",
    "* 12 FETCH (FLAGS (\\Seen) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" RFC822.SIZE 4286 ENVELOPE (\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev2 WG mtg summary and minutes\" ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((NIL NIL \"imap\" \"cac.washington.edu\")) ((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\") (\"John Klensin\" NIL \"KLENSIN\" \"MIT.EDU\")) NIL NIL \"<B27397-0100000@cac.washington.edu>\") BODY (\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 3028 92)) => * 12 FETCH (FLAGS (\\Seen) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" RFC822.SIZE 4286 ENVELOPE (\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev2 WG mtg summary and minutes\" ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((NIL NIL \"imap\" \"cac.washington.edu\")) ((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")(\"John Klensin\" NIL \"KLENSIN\" \"MIT.EDU\")) NIL NIL \"<B27397-0100000@cac.washington.edu>\") BODY (\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 3028 92))",
    "* 2 FETCH (BODY ((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 1152 23)(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\" \"NAME\" \"cc.diff\") \"<960723163407.20117h@cac.washington.edu>\" \"Compiler diff\" \"BASE64\" 4554 73) \"MIXED\"))",
    "* NO [ALERT] The server is shutting down",
    "* BAD Command line too long",
    "A005 NO [AUTHENTICATIONFAILED] Authentication failed",
    "A142 OK [READ-WRITE] SELECT completed",
    "A932 OK [READ-ONLY] EXAMINE completed",
    "A003 NO [TRYCREATE] No such mailbox",
    "A044 BAD No such command as \"BLURDYBLOOP\"",
    "c023 NO [BADCHARSET (UTF-8)] not that one",
    "+ Ready for literal data",
    "+ YGgGCSqGSIb3EgECAgIAb2BeoAMCAQWhAwIBD6JSMFCgAwIBEKJJBEcF",
    // RFC 2342 §5
    "* NAMESPACE ((\"\" \"/\")) NIL ((\"Public Folders/\" \"/\"))",
    "* NAMESPACE ((\"\" \"/\")) ((\"~\" \"/\")) ((\"#shared/\" \"/\")(\"#public/\" \"/\")(\"#ftp/\" \"/\")(\"#news.\" \".\"))",
    "* NAMESPACE ((\"INBOX.\" \".\")) NIL NIL",
    // RFC 2971 §3
    "* ID NIL",
    "* ID (\"name\" \"Cyrus\" \"version\" \"1.5\" \"os\" \"sunos\" \"os-version\" \"5.5\" \"support-url\" \"mailto:cyrus-bugs+@andrew.cmu.edu\")",
    // RFC 3348 §4
    "* LIST (\\HasNoChildren) \"/\" INBOX",
    // RFC 3516 §4
    "* 2 FETCH (BINARY[1] ~{5}\r\na\0b\0c)",
    "* 1 FETCH (BINARY.SIZE[3.1] 5)",
    "a NO [UNKNOWN-CTE] Could not send Body part",
    // RFC 4314 §3
    "* ACL INBOX \"Fred\" \"rwipslxetad\" => * ACL INBOX \"Fred\" \"lrswipxteacd\"",
    "* LISTRIGHTS ~/Mail/saved \"smith\" \"la\" \"r\" => * LISTRIGHTS \"~/Mail/saved\" \"smith\" \"la\" \"r\"",
    "* MYRIGHTS INBOX \"rwiptsldaex\" => * MYRIGHTS INBOX \"lrswipxteacd\"",
    // RFC 4315 §3
    "A003 OK [APPENDUID 38505 3955] APPEND completed",
    "A004 OK [COPYUID 38505 304,319:320 3956:3958] Done",
    "A003 NO [UIDNOTSTICKY] Non-persistent UIDs",
    // RFC 4731 §3
    "* ESEARCH (TAG \"a567\") UID COUNT 5 ALL 4:19,21,28 => * ESEARCH (TAG \"a567\") UID ALL 4:19,21,28 COUNT 5",
    "* ESEARCH (TAG \"a\") MAX 12 MODSEQ 917162488",
    // RFC 4978 §3
    "d NO [COMPRESSIONACTIVE] DEFLATE active via TLS",
    // RFC 5256 §4
    "* SORT 2 84 882",
    "* SORT",
    "* THREAD (2)(3 6 (4 23)(44 7 96))",
    "* THREAD ((3)(5))",
    "* THREAD (166)(167)(168)(169)(172)(170)(171)(173)(174 (175)(176)(178)(181)(180))(179)(177 (183)(182)(188)(184)(185)(186)(187)(189))(190)(191)(192)(193)(194 195)(196 (197)(198))(199)(200 202)(201)(203)(204)(205)(206 207)(208)",
    "* THREAD",
    // RFC 5258 §5
    "* LIST (\\Marked \\NoInferiors) \"/\" INBOX => * LIST (\\Marked \\Noinferiors) \"/\" INBOX",
    "* LIST (\\Remote) \"/\" Bread",
    "* LIST (\\Remote \\HasNoChildren) \"/\" Meat/White",
    "* LIST () \"/\" foo (\"CHILDINFO\" (\"SUBSCRIBED\") \"COLOR\" (\"red\")) => * LIST () \"/\" foo (\"CHILDINFO\" (\"SUBSCRIBED\"))",
    // RFC 5267 §3, RFC 9394 §3
    "* ESEARCH (TAG \"E01\") UID ALL 23765,23764,23763,23761",
    "* ESEARCH (TAG \"E02\") UID COUNT 23765 => * ESEARCH (TAG \"E02\") UID COUNT 23765",
    "* ESEARCH (TAG \"A01\") UID PARTIAL (-1:-100 4:5,9)",
    "* ESEARCH (TAG \"A04\") UID PARTIAL (24000:24500 NIL)",
    // RFC 5465 §5
    "* STATUS Lists/Lemonade (UIDVALIDITY 4 UIDNEXT 10002 MESSAGES 503 HIGHESTMODSEQ 20665)",
    "* STATUS misc (UIDVALIDITY 4 UIDNEXT 132 MESSAGES 10)",
    "* 3 FETCH (FLAGS (\\Deleted $Forwarded))",
    "* LIST (\\NonExistent) \".\" INBOX.DeletedMailbox",
    "* LIST (\\Noselect) \".\" x (\"OLDNAME\" (y))",
    "* OK [NOTIFICATIONOVERFLOW] ...A comment can go here...",
    // RFC 5464 §4, §5
    "* METADATA \"\" (/shared/comment \"Shared comment\")",
    "* METADATA INBOX (/private/comment \"My own comment\" /shared/comment NIL)",
    "* METADATA \"\" /shared/comment",
    "* METADATA INBOX /shared/comment /private/comment",
    "a OK [METADATA LONGENTRIES 2199] GETMETADATA complete",
    "a NO [METADATA MAXSIZE 1024] too long",
    "a NO [METADATA TOOMANY] too many",
    "a NO [METADATA NOPRIVATE] not here",
    // RFC 5530 §3
    "A NO [CONTACTADMIN] call us",
    "A OK [EXPUNGEISSUED] somebody else did",
    "A NO [OVERQUOTA] Sorry",
    "A NO [ALREADYEXISTS] that",
    "A NO [INUSE] somebody has it",
    "A NO [CORRUPTION] broken",
    "A NO [PRIVACYREQUIRED] no",
    // RFC 5819 §4
    "* STATUS \"\" (MESSAGES 17 UNSEEN 16)",
    // RFC 6154 §5
    "* LIST (\\Marked \\Drafts) \"/\" MyDrafts",
    "t1 NO [USEATTR] \\All not supported",
    // RFC 6203, RFC 7162 §3
    "* OK [HIGHESTMODSEQ 715194045007] ok",
    "* OK [NOMODSEQ] Sorry, this mailbox format does not support modsequences",
    "* 7 FETCH (MODSEQ (2121231000))",
    "* 1 FETCH (UID 4 MODSEQ (65402) FLAGS (\\Seen))",
    "* SEARCH 2 5 6 7 11 12 18 19 20 23 (MODSEQ 917162500)",
    "* STATUS blurdybloop (MESSAGES 231 UIDNEXT 44292 HIGHESTMODSEQ 7011231777)",
    "d105 OK [MODIFIED 7,9] Conditional STORE failed",
    "* VANISHED (EARLIER) 41,43:116,118,120:211,214:540",
    "* VANISHED 405,407,410,425",
    "* VANISHED (EARLIER) 300:310,405,411",
    // RFC 7889 §3
    "* STATUS INBOX (APPENDLIMIT 257890)",
    "* STATUS foo (APPENDLIMIT NIL) => * STATUS foo ()",
    "A NO [TOOBIG] too large",
    // RFC 8438
    "* STATUS frop (SIZE 44421)",
    // RFC 8474 §4, §5
    "3 OK [MAILBOXID (F2212ea87-6097-4256-9d51-71338625)] Completed",
    "* STATUS foo (MAILBOXID (F2212ea87-6097-4256-9d51-71338625))",
    "* 1 FETCH (EMAILID (M6d99ac3275bb4e) THREADID (T64b478a75b7ea9))",
    "* 2 FETCH (EMAILID (M5fdc09b49ea703) THREADID NIL)",
    // RFC 8514, RFC 8970
    "* 2 FETCH (SAVEDATE \"10-Oct-2007 20:54:32 +0000\" UID 4294967295)",
    "* 1 FETCH (RFC822.SIZE 5647 PREVIEW {3}\r\nHi!) => * 1 FETCH (RFC822.SIZE 5647 PREVIEW \"Hi!\")",
    "* 4 FETCH (UID 23 PREVIEW NIL)",
    // RFC 9586 §3, RFC 10022 §3
    "* 25996 UIDFETCH (FLAGS (\\Seen))",
    "07 BAD [UIDREQUIRED] Message numbers are not allowed once UIDONLY is enabled",
    "* UIDBATCHES (TAG \"A143\") 215295:99696,99695:20351,20350:7830,7829:1",
    // RFC 9208 §4
    "* QUOTA \"!partition/sda4\" (STORAGE 104 10923847)",
    "* QUOTA \"#user/alice\" (STORAGE 54 111 MESSAGE 42 1000)",
    "* QUOTAROOT INBOX \"#user/alice\" \"!partition/sda4\"",
    "* QUOTAROOT comp.mail.mime",
    "* STATUS INBOX (MESSAGES 12 DELETED 4 DELETED-STORAGE 8)",
];

fn written(reply: &Reply) -> String {
    let mut out = BytesMut::new();
    let mut encoder = Encoder::new(&mut out, false);
    match reply {
        Reply::Untagged(response) => encoder.response(response),
        Reply::Tagged(tag, status) => encoder.tagged(tag, status),
        Reply::Continue(text) => encoder.proceed(text),
    }
    let line = out.strip_suffix(b"\r\n").unwrap();
    String::from_utf8(line.to_vec()).unwrap()
}

/// What is left as it came, since it is not known.
fn unknown(reply: &Reply) -> bool {
    let code = |code: &Option<Code>| matches!(code, Some(Code::Other(text)) if text != "NOMODSEQ");
    match reply {
        Reply::Tagged(_, status) => code(&status.code),
        Reply::Continue(_) => false,
        Reply::Untagged(response) => match response {
            Response::Other(_) => true,
            Response::Status(status) | Response::Bye(status) | Response::Preauth(status) => {
                code(&status.code)
            }
            Response::Fetch { items, .. } => items
                .iter()
                .any(|item| matches!(item, FetchItem::Other { .. })),
            Response::List(item) | Response::Lsub(item) => item
                .attributes
                .iter()
                .any(|attribute| matches!(attribute, MailboxAttribute::Other(_))),
            _ => false,
        },
    }
}

#[test]
fn all_that_is_said_is_understood() {
    for line in RESPONSES {
        let (said, ours) = line.split_once(" => ").unwrap_or((line, line));
        let reply = response(&ResponseGrammar::default(), said.as_bytes()).unwrap();
        assert!(!unknown(&reply), "{said}: {reply:?}");
        assert_eq!(written(&reply), ours);
    }
}
