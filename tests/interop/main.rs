//! Mail between this server and others: Postfix and Exim as Debian has them, both
//! ways, with everything that two servers agree on between them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod exim;
mod here;
mod peer;
mod postfix;

use here::{Here, Mail};
use peer::Peer;

/// A message whose bytes have to arrive as they are.
fn tricky() -> String {
    let mut text = String::from("Subject: tricky\r\nFrom: x@y.test\r\n\r\n");
    for line in [".", "..", ".x", "", " ", "From here on", "--", "=20", "\t"] {
        text.push_str(line);
        text.push_str("\r\n");
    }
    text.push_str(&"a".repeat(998));
    text.push_str("\r\n.\r\nend\r\n");
    text
}

/// Ten megabytes in lines.
fn large() -> String {
    let line = format!("{}\r\n", "0123456789abcdef".repeat(4));
    let mut text = String::from("Subject: large\r\nFrom: x@y.test\r\n\r\n");
    while text.len() < 10 << 20 {
        text.push_str(&line);
    }
    text
}

/// Everything that travels, and how it is asked for.
fn mails(domain: &str) -> Vec<Mail> {
    let bob = format!("bob@{domain}");
    vec![
        Mail::new(&bob, "Subject: plain\r\nFrom: x@y.test\r\n\r\nplain\r\n"),
        Mail::new(&bob, &tricky()),
        Mail {
            mail: " BODY=8BITMIME".into(),
            ..Mail::new(
                &bob,
                "Subject: eight\r\nFrom: x@y.test\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n",
            )
        },
        Mail {
            mail: " SMTPUTF8 BODY=8BITMIME".into(),
            ..Mail::new(
                &format!("jörg@{domain}"),
                "Subject: Grüße\r\nFrom: Jörg <x@y.test>\r\n\r\nutf-8 in the header\r\n",
            )
        },
        Mail::new(&bob, &large()),
    ]
}

/// What stands behind the header of a message.
fn body(text: &str) -> &str {
    text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

fn there_and_back<P: Peer>(make: impl FnOnce(&Here) -> P) {
    let here = Here::new(P::DOMAIN, P::ADDRESS);
    let peer = make(&here);
    // From here to there.
    for mail in mails(P::DOMAIN) {
        let (user, _) = mail.to.split_once('@').unwrap();
        let before = peer.mailbox(user).len();
        here.submit(&mail);
        let all = peer::until(|| {
            let all = peer.mailbox(user);
            (all.len() > before).then_some(all)
        });
        let found = all.iter().find(|text| body(text) == body(&mail.text));
        let text =
            found.unwrap_or_else(|| panic!("{} did not arrive as it was sent", mail.subject()));
        assert!(text.contains(&mail.subject()), "{text}");
        assert!(P::came_by_tls(text), "{}", &text[..text.len().min(2000)]);
    }
    // One that logs it at the end of a session.
    peer::until(|| peer.has_chunks().then_some(()));
    // What is asked for comes back from there.
    let told = Mail {
        rcpt: " NOTIFY=SUCCESS ORCPT=rfc822;Bob+40elsewhere.test".into(),
        mail: " RET=HDRS ENVID=ours-1".into(),
        ..Mail::new(&format!("bob@{}", P::DOMAIN), "Subject: told\r\n\r\nx\r\n")
    };
    here.submit(&told);
    let text = here.next();
    for says in [
        "Original-Recipient: rfc822;Bob@elsewhere.test",
        "Original-Envelope-Id: ours-1",
        "delivered",
    ] {
        let lower = text.to_lowercase().replace("rfc822; ", "rfc822;");
        assert!(lower.contains(&says.to_lowercase()), "{says}: {text}");
    }
    // Refused at each stage: its sender is told, by us.
    for (from, to, subject, says) in [
        ("carl@here.test", "nobody", "x", "5."),
        ("carl@here.test", "bob", "forbidden", "forbidden subject"),
        ("bad@here.test", "bob", "x", "not this sender"),
    ] {
        here.submit(&Mail {
            from: from.into(),
            ..Mail::new(
                &format!("{to}@{}", P::DOMAIN),
                &format!("Subject: {subject}\r\n\r\nx\r\n"),
            )
        });
        let text = here.next();
        assert!(
            text.contains("Action: failed\r\n") && text.contains(says),
            "{says}: {text}"
        );
        assert!(
            text.contains("From: Mail delivery") || text.contains("here.test"),
            "{text}"
        );
    }
    // From there to here.
    for mail in mails("here.test") {
        peer.send(&Mail {
            from: format!("bob@{}", P::DOMAIN),
            to: "carl@here.test".into(),
            ..mail.clone()
        });
        let text = here.next();
        assert_eq!(body(&text), body(&mail.text), "{}", mail.subject());
        let received = text.split("\r\nReceived:").nth(1).unwrap_or_default();
        assert!(received.contains("SMTPS"), "{received}");
    }
    // Whom we refuse, the other server tells; and what its sender asks for, we.
    let before = peer.mailbox("bob").len();
    peer.send(&Mail {
        from: format!("bob@{}", P::DOMAIN),
        ..Mail::new("nobody@here.test", "Subject: x\r\n\r\nx\r\n")
    });
    let all = peer::until(|| {
        let all = peer.mailbox("bob");
        (all.len() > before).then_some(all)
    });
    assert!(all.iter().any(|text| text.contains("550 5.1.1")), "{all:?}");
    peer.send(&Mail {
        from: format!("bob@{}", P::DOMAIN),
        mail: " RET=HDRS ENVID=theirs-1".into(),
        rcpt: " NOTIFY=SUCCESS".into(),
        ..Mail::new("carl@here.test", "Subject: tell me\r\n\r\nx\r\n")
    });
    here.next();
    peer::until(|| {
        let all = peer.mailbox("bob");
        let told = |text: &String| {
            text.contains("Action: delivered") && text.contains("Original-Envelope-Id: theirs-1")
        };
        all.iter().any(told).then_some(())
    });
}

#[test]
fn with_postfix() {
    there_and_back(postfix::Postfix::start);
}

#[test]
fn with_exim() {
    there_and_back(exim::Exim::start);
}
