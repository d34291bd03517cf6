//! Messages on their way in: DATA, BDAT, LMTP, and what must not end a message.

use bytes::BytesMut;

use super::peer::{Peer, bare, dialogue, mx};
use crate::session::{Close, Input, Session, Violation};
use crate::smtp::server::{BodyPolicy, Config, Role};

const GREETING: &str = "220 mx.test ESMTP ready";

/// Behind HELO, MAIL and one RCPT.
fn open(config: &Config, input: &[u8], want: &[&str]) -> Peer {
    let input = [
        b"HELO a.test\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n".as_slice(),
        input,
    ]
    .concat();
    let before = [GREETING, "250 mx.test", "250 2.1.0…", "250 2.1.5…"];
    dialogue(config, &[&input], &[&before, want].concat())
}

/// CVE-2020-28009 and its like: numbers that only just fit, and sums that do not.
#[test]
fn sizes_do_not_wrap() {
    let mut config = mx();
    config.limits.message_size = 0;
    for size in [
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999",
    ] {
        let mut peer = Peer::new(config.clone());
        peer.give(
            format!("EHLO a\r\nMAIL FROM:<a@b> SIZE={size}\r\n").as_bytes(),
            7,
        );
        assert!(peer.text().ends_with("250 2.1.0 sender OK\r\n"), "{size}");
        assert_eq!(peer.app.mails[0].size, Some(u64::MAX));
        let mut peer = Peer::new(mx());
        peer.give(
            format!("EHLO a\r\nMAIL FROM:<a@b> SIZE={size}\r\n").as_bytes(),
            7,
        );
        assert!(
            peer.text()
                .ends_with("552 5.3.4 the message is too large\r\n")
        );
    }
    // Without a limit such a chunk never ends; all that comes is of the message.
    let mut peer = Peer::new(config);
    peer.give(
        b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 3\r\nx\r\n\
          BDAT 18446744073709551615\r\nQUIT\r\n.\r\nBDAT 0 LAST\r\n",
        5,
    );
    assert!(peer.text().ends_with("250 2.0.0 chunk received\r\n"));
    assert!(peer.app.messages.is_empty() && peer.close.is_none());
    // A sum beyond 64 bits is beyond every limit.
    let mut config = mx();
    config.limits.message_size = u64::MAX - 1;
    let peer = open(
        &config,
        b"BDAT 3\r\nx\r\nBDAT 18446744073709551615\r\n",
        &["250 2.0.0 chunk received"],
    );
    assert!(peer.app.messages.is_empty());
}

#[test]
fn nul_and_line_ends_have_policies_of_their_own() {
    let mut config = mx();
    config.nul = BodyPolicy::Keep;
    open(&config, b"DATA\r\na\0b\r\n.\r\n", &["354…", "250 2.0.0 OK"]);
    open(
        &config,
        b"DATA\r\na\nb\r\n.\r\n",
        &["354…", "550 5.6.11 the message holds a CR or LF by itself"],
    );
    open(
        &mx(),
        b"DATA\r\na\0b\r\n.\r\n",
        &["354…", "550 5.6.11 the message holds a NUL"],
    );
}

#[test]
fn a_message_beyond_the_limit_is_swallowed_and_refused() {
    let mut config = mx();
    config.limits.message_size = 10;
    // Exactly the limit is fine; dots that are removed do not count.
    open(
        &config,
        b"DATA\r\n..234567\r\n.\r\nNOOP\r\n",
        &["354…", "250 2.0.0 OK", "250 2.0.0 OK"],
    );
    let peer = open(
        &config,
        b"DATA\r\n12345678\r\nx\r\n.\r\nNOOP\r\n",
        &["354…", "552 5.3.4 the message is too large", "250 2.0.0 OK"],
    );
    assert!(peer.app.messages.is_empty());
    assert_eq!(peer.app.resets, 1);
    dialogue(
        &config,
        &[b"HELO a\r\nEHLO a\r\nMAIL FROM:<a@b> SIZE=11\r\nMAIL FROM:<a@b> SIZE=10\r\n"],
        &[
            GREETING,
            "250 mx.test",
            "250-mx.test",
            "250-PIPELINING",
            "250-8BITMIME",
            "250-SMTPUTF8",
            "250-CHUNKING",
            "250-BINARYMIME",
            "250-ENHANCEDSTATUSCODES",
            "250 SIZE 10",
            "552 5.3.4 the message is too large",
            "250 2.1.0…",
        ],
    );
}

#[test]
fn swallowing_has_an_end() {
    let mut config = mx();
    config.limits.message_size = 10;
    let mut peer = Peer::new(config.clone());
    peer.give(
        b"HELO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
        99,
    );
    for _ in 0..2000 {
        peer.give(&b"0123456789".repeat(100), 1000);
    }
    assert_eq!(peer.close, Some(Close::Violate(Violation::TooLarge)));
    assert!(peer.most_held < 2048);
    assert!(
        peer.text()
            .ends_with("552 5.3.4 the message is too large\r\n")
    );
    // A chunk that nobody would wait for.
    let peer = open(
        &config,
        b"BDAT 18446744073709551615 LAST\r\nMAIL FROM:<x@y>\r\n",
        &["552 5.3.4 the message is too large"],
    );
    assert_eq!(peer.close, Some(Close::Violate(Violation::TooLarge)));
}

#[test]
fn chunks_are_counted_exactly() {
    let peer = open(
        &mx(),
        b"BDAT 7\r\nQUIT\r\n.BDAT 3\r\n\r\n.BDAT 2 LAST\r\n\r\nNOOP\r\n",
        &[
            "250 2.0.0 chunk received",
            "250 2.0.0 chunk received",
            "250 2.0.0 OK",
            "250 2.0.0 OK",
        ],
    );
    assert_eq!(peer.app.messages[0].body, b"QUIT\r\n.\r\n.\r\n");
    let peer = open(
        &mx(),
        b"BDAT 0\r\nBDAT 3\r\na\r\nBDAT 0 LAST\r\nNOOP\r\n",
        &[
            "250 2.0.0 chunk received",
            "250 2.0.0 chunk received",
            "250 2.0.0 OK",
            "250 2.0.0 OK",
        ],
    );
    assert_eq!(peer.app.messages[0].body, b"a\r\n");
    let peer = open(&mx(), b"BDAT 0 LAST\r\n", &["250 2.0.0 OK"]);
    assert_eq!(peer.app.messages[0].body, b"");
}

#[test]
fn chunks_out_of_sequence_are_swallowed() {
    dialogue(
        &mx(),
        &[
            b"BDAT 6 LAST\r\nQUIT\r\nHELO a\r\nBDAT 6\r\nQUIT\r\nMAIL FROM:<a@b>\r\nBDAT 6\r\nQUIT\r\n\
              RCPT TO:<nobody@x>\r\nBDAT 6\r\nQUIT\r\nRCPT TO:<c@d>\r\nBDAT 2\r\n\r\nRCPT TO:<e@d>\r\nMAIL FROM:<e@d>\r\nDATA\r\n\
              BDAT 0 LAST\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n",
        ],
        &[
            GREETING,
            "503 5.5.1 introduce yourself first",
            "250 mx.test",
            "503 5.5.1 send MAIL first",
            "250 2.1.0…",
            "503 5.5.1 send RCPT first",
            "550 5.1.1…",
            "503 5.5.1 no valid recipients",
            "250 2.1.5…",
            "250 2.0.0 chunk received",
            "503 5.5.1 the message has begun; no more recipients",
            "503 5.5.1 a transaction is open already; end it or send RSET",
            "503 5.5.1 DATA and BDAT cannot be mixed",
            "250 2.0.0 OK",
            "503 5.5.1 send MAIL first",
            "250 2.0.0 OK",
        ],
    );
}

#[test]
fn chunks_beyond_the_limit_are_swallowed_and_the_transaction_is_gone() {
    let mut config = mx();
    config.limits.message_size = 10;
    let peer = open(
        &config,
        b"BDAT 8\r\n123456\r\nBDAT 4\r\nab\r\nBDAT 4 LAST\r\nab\r\nMAIL FROM:<a@b>\r\n",
        &[
            "250 2.0.0 chunk received",
            "552 5.3.4 the message is too large",
            "503 5.5.1 send MAIL first",
            "250 2.1.0…",
        ],
    );
    assert_eq!(peer.app.resets, 1);
    assert!(peer.app.messages.is_empty());
}

#[test]
fn a_malformed_bdat_ends_the_session() {
    for command in [
        "BDAT\r\n",
        "bdat x\r\n",
        "BDAT 5 LST\r\n",
        "BDAT 99999999999999999999\r\n",
    ] {
        let input = format!("{command}QUIT\r\n");
        let peer = open(
            &mx(),
            input.as_bytes(),
            &["501 5.5.4 the syntax is BDAT size [LAST]"],
        );
        assert_eq!(peer.close, Some(Close::Violate(Violation::LostSync)));
    }
}

#[test]
fn chunks_are_lines_unless_the_message_is_binary() {
    for (chunks, bad) in [
        (&b"BDAT 4\r\na\nb\r\0BDAT 0 LAST\r\n"[..], true),
        (b"BDAT 2\r\na\rBDAT 2 LAST\r\n\nb", false),
        (b"BDAT 2\r\na\rBDAT 2 LAST\r\nbc", true),
        (b"BDAT 2 LAST\r\na\r", true),
        (b"BDAT 2 LAST\r\na\0", true),
        (b"BDAT 2 LAST\r\n\n.", true),
    ] {
        let mut peer = Peer::new(mx());
        peer.give(b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", 99);
        peer.give(chunks, 1);
        assert_eq!(peer.app.messages.is_empty(), bad, "{chunks:?}");
        assert_eq!(peer.text().contains("\r\n550 5.6.11"), bad, "{chunks:?}");
        let mut peer = Peer::new(mx());
        peer.give(
            b"EHLO a\r\nMAIL FROM:<a@b> BODY=BINARYMIME\r\nRCPT TO:<c@d>\r\n",
            99,
        );
        peer.give(chunks, 1);
        if !chunks.starts_with(b"BDAT 4") {
            assert_eq!(peer.app.messages.len(), 1, "{chunks:?}");
        }
    }
}

#[test]
fn a_binary_message_needs_bdat() {
    let mut peer = Peer::new(mx());
    peer.give(
        b"EHLO a\r\nMAIL FROM:<a@b> BODY=BINARYMIME\r\nRCPT TO:<c@d>\r\nDATA\r\nBDAT 3 LAST\r\n\0\n\rNOOP\r\n",
        5,
    );
    assert!(peer.text().ends_with(
        "503 5.5.1 BODY=BINARYMIME can be sent with BDAT only\r\n250 2.0.0 OK\r\n250 2.0.0 OK\r\n"
    ));
    assert_eq!(peer.app.messages[0].body, b"\0\n\r");
}

#[test]
fn an_application_can_refuse_a_message_at_every_point() {
    let nodata = b"HELO a\r\nMAIL FROM:<nodata@x.test>\r\nRCPT TO:<c@d>\r\n".as_slice();
    let input = [nodata, b"DATA\r\nRSET\r\nNOOP\r\n"].concat();
    dialogue(
        &mx(),
        &[&input],
        &[
            GREETING,
            "250 mx.test",
            "250 2.1.0…",
            "250 2.1.5…",
            "554 5.7.1 no message from you",
            "250 2.0.0 OK",
            "250 2.0.0 OK",
        ],
    );
    let input = [nodata, b"BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"].concat();
    let peer = dialogue(
        &mx(),
        &[&input],
        &[
            GREETING,
            "250 mx.test",
            "250 2.1.0…",
            "250 2.1.5…",
            "554 5.7.1 no message from you",
            "503 5.5.1 send MAIL first",
            "250 2.0.0 OK",
        ],
    );
    assert_eq!(peer.app.resets, 1);
    let peer = open(
        &mx(),
        b"DATA\r\nX-Reject: yes\r\n.\r\nMAIL FROM:<a@b>\r\n",
        &["354…", "554 5.6.0 content refused", "250 2.1.0…"],
    );
    assert_eq!(peer.app.resets, 0);
}

#[test]
fn lmtp_answers_for_each_accepted_recipient() {
    let lmtp = bare(Role::Lmtp);
    let hello = b"LHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<nobody@d>\r\nRCPT TO:<full@d>\r\nRCPT TO:<e@d>\r\n".as_slice();
    let said = |tail: &[u8]| {
        let mut first = None;
        for chunk in 1..80 {
            let mut peer = Peer::new(lmtp.clone());
            peer.give(&[hello, tail].concat(), chunk);
            let lines = peer.lines();
            let after: Vec<String> = lines[14..].to_vec();
            assert_eq!(
                *first.get_or_insert(after.clone()),
                after,
                "chunk size {chunk}"
            );
        }
        first.unwrap()
    };
    let (ok, full) = ("250 2.0.0 OK", "452 4.2.2 mailbox full");
    let data = "354 end the message with <CRLF>.<CRLF>";
    assert_eq!(
        said(b"DATA\r\nx\r\n.\r\nNOOP\r\n"),
        [data, ok, full, ok, ok]
    );
    assert_eq!(
        said(b"BDAT 3\r\nx\r\nBDAT 0 LAST\r\nNOOP\r\n"),
        ["250 2.0.0 chunk received", ok, full, ok, ok]
    );
    // A message that the session refuses is refused for each of them (RFC 2033 §4.2).
    let bad = "550 5.6.11 the message holds a CR or LF by itself";
    assert_eq!(
        said(b"DATA\r\na\nb\r\n.\r\nNOOP\r\n"),
        [data, bad, bad, bad, ok]
    );
    assert_eq!(said(b"BDAT 3 LAST\r\na\nbNOOP\r\n"), [bad, bad, bad, ok]);
    // A chunk that is not the last has one answer.
    assert_eq!(
        said(b"BDAT 3\r\na\nbBDAT 0 LAST\r\nNOOP\r\n"),
        [bad, "503 5.5.1 send MAIL first", ok]
    );
}

/// CVE-2026-45185: the stream ends in the middle of a message, and more comes.
#[test]
fn a_message_that_breaks_off_is_dropped_and_nothing_is_read_after_it() {
    for begin in [
        "BDAT 10 LAST\r\n12345",
        "BDAT 5\r\n12345",
        "DATA\r\n12345\r\n.",
    ] {
        let mut peer = Peer::new(mx());
        peer.give(b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", 99);
        peer.give(begin.as_bytes(), 99);
        peer.eof();
        assert_eq!(peer.close, Some(Close::PeerGone), "{begin:?}");
        let said = peer.said.len();
        peer.server.handle_input(
            peer.now,
            Input::Bytes(BytesMut::from(
                &b"67890\r\n.\r\nBDAT 0 LAST\r\nMAIL FROM:<a@b>\r\n"[..],
            )),
        );
        peer.settle();
        assert!(peer.app.messages.is_empty(), "{begin:?}");
        assert_eq!(peer.said.len(), said, "{begin:?}");
    }
}
