#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use proptest::prelude::*;

const MAIL: &str = "From: Terry Gray <gray@cac.washington.edu>\r\nDate: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\nSubject: a\r\n folded one\r\nContent-Type: multipart/mixed; boundary=\"b 1\"\r\n\r\npreamble\r\n--b 1\r\n\r\nfirst\r\nlines\r\n--b 1\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\nContent-Type: TEXT/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nPGI+\r\n--c--\r\n--b 1\r\nContent-Type: image/png; name=\"x \\\"y\\\".png\" (comment)\r\nContent-Disposition: attachment; filename*0=a; filename*1=b\r\nContent-Language: en, de\r\nContent-ID: <1@x>\r\n\r\nPNG\r\n--b 1--\r\nepilogue\r\n";

fn text(raw: &str, range: Range<u64>) -> &str {
    &raw[range.start as usize..range.end as usize]
}

#[test]
fn parts_are_ranges_of_the_message() {
    let s = Structure::parse(MAIL.as_bytes());
    let at = |path: &[u32], section| s.section(path, section).map(|range| text(MAIL, range));
    assert_eq!(at(&[], Section::Whole), Some(MAIL));
    assert!(
        at(&[], Section::Header)
            .unwrap()
            .ends_with("\"b 1\"\r\n\r\n")
    );
    assert!(at(&[], Section::Text).unwrap().starts_with("preamble"));
    assert_eq!(at(&[1], Section::Whole), Some("first\r\nlines"));
    assert_eq!(at(&[1], Section::Mime), Some("\r\n"));
    assert_eq!(at(&[1], Section::Header), None);
    assert_eq!(
        at(&[2], Section::Header),
        Some("Subject: inner\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n")
    );
    assert_eq!(at(&[2, 1], Section::Whole), Some("PGI+"));
    assert_eq!(
        at(&[2, 1], Section::Mime),
        Some("Content-Type: TEXT/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n")
    );
    assert_eq!(at(&[3], Section::Whole), Some("PNG"));
    assert_eq!(at(&[4], Section::Whole), None);
    assert_eq!(at(&[3, 1], Section::Whole), None);
    assert_eq!(at(&[0], Section::Whole), None);
    assert_eq!(s.sent(), Some((837_595_405, -420)));
    assert_eq!(s.envelope().subject.as_deref(), Some(&b"a folded one"[..]));
    assert_eq!(s.envelope().sender, s.envelope().from);
    assert_eq!(Structure::decode(&s.encode()), Some(s.clone()));
    assert!(s.encode().len() < 700, "{}", s.encode().len());
}

#[test]
fn body_structures() {
    let s = Structure::parse(MAIL.as_bytes());
    let BodyStructure::Multipart(top) = s.body_structure() else {
        panic!()
    };
    assert_eq!(&top.subtype[..], b"mixed");
    let [
        BodyStructure::Single(plain),
        BodyStructure::Single(message),
        BodyStructure::Single(image),
    ] = &top.parts[..]
    else {
        panic!()
    };
    assert_eq!(
        (plain.size, &plain.kind),
        (12, &PartKind::Text { lines: 1 })
    );
    assert_eq!(
        plain.params,
        [(Bytes::from("charset"), Bytes::from("us-ascii"))]
    );
    let PartKind::Message { envelope, body, .. } = &message.kind else {
        panic!()
    };
    assert_eq!(envelope.subject.as_deref(), Some(&b"inner"[..]));
    assert!(matches!(**body, BodyStructure::Multipart(_)));
    assert_eq!(
        image.params,
        [(Bytes::from("name"), Bytes::from("x \"y\".png"))]
    );
    let (disposition, params) = image.extension.disposition.clone().unwrap();
    assert_eq!(&disposition[..], b"attachment");
    assert_eq!(params.len(), 2, "RFC 2231 pieces stay as they were sent");
    assert_eq!(image.extension.language, ["en", "de"]);
    assert_eq!(image.id.as_deref(), Some(&b"<1@x>"[..]));
}

#[test]
fn a_message_that_is_no_multipart_is_its_own_part_1() {
    let raw = "Subject: x\r\n\r\nbody\r\n";
    let s = Structure::parse(raw.as_bytes());
    assert_eq!(
        s.section(&[1], Section::Whole).map(|r| text(raw, r)),
        Some("body\r\n")
    );
    assert_eq!(
        s.section(&[1], Section::Mime).map(|r| text(raw, r)),
        Some("Subject: x\r\n\r\n")
    );
    assert_eq!(s.section(&[2], Section::Whole), None);
    assert_eq!(s.section(&[1, 1], Section::Whole), None);
}

#[test]
fn odd_mails() {
    for (raw, leaves) in [
        ("", 1),
        ("\r\n", 1),
        ("no colon", 1),
        ("Content-Type: multipart/mixed\r\n\r\n--b\r\n", 0),
        (
            "Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\nx",
            0,
        ),
        (
            "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\nx",
            1,
        ),
        ("Content-Type: multipart/mixed; boundary=a\r\n\r\n--a", 1),
        (
            "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n--a\r\n--a--\r\n--a\r\n",
            2,
        ),
        (
            "Content-Type: multipart/mixed; boundary=a\n\n--a\n\nx\n--a--\n",
            1,
        ),
        (
            "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/mixed; boundary=aa\r\n\r\n--aa\r\n\r\nx\r\n--aa\r\n\r\ny\r\n--a--\r\n",
            2,
        ),
        (
            "Content-Type: multipart/digest; boundary=a\r\n\r\n--a\r\n\r\nSubject: d\r\n\r\nx\r\n--a--",
            1,
        ),
        ("Content-Type: text\r\n\r\nx", 1),
        ("Content-Type: ;;;=;\r\n\r\nx", 1),
    ] {
        let s = Structure::parse(raw.as_bytes());
        assert_eq!(s.leaves().len(), leaves, "{raw:?}");
        assert_eq!(Structure::decode(&s.encode()), Some(s), "{raw:?}");
    }
}

#[test]
fn limits_hold() {
    let many = format!(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n{}",
        "--b\r\n\r\nx\r\n".repeat(20_000)
    );
    assert!(Structure::parse(many.as_bytes()).leaves().len() <= PARTS);
    let deep: String = (0..500)
        .map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n"))
        .collect();
    let s = Structure::parse(deep.as_bytes());
    assert_eq!(Structure::decode(&s.encode()), Some(s));
    let messages = "Content-Type: message/rfc822\r\n\r\n".repeat(500);
    let s = Structure::parse(messages.as_bytes());
    assert_eq!(Structure::decode(&s.encode()), Some(s));
    let addresses = format!("To: {}\r\n\r\n", "a@b,".repeat(50_000));
    assert_eq!(
        Structure::parse(addresses.as_bytes()).envelope().to.len(),
        ADDRESSES
    );
}

/// Mails of the kind that has hurt other parsers, and what of it must stand in the
/// structure: parts, addresses and parameters kept.
#[test]
fn what_is_made_to_hurt_is_bounded_and_linear() {
    let begun = std::time::Instant::now();
    let parse = |raw: &str| {
        let s = Structure::parse(raw.as_bytes());
        let record = s.encode();
        ranges_are_inside(&s, raw.len() as u64);
        assert_eq!(Structure::decode(&record).as_ref(), Some(&s));
        // Two million bytes of texts, forty for each part and address.
        assert!(record.len() <= TEXTS + 40 * (PARTS + ADDRESSES));
        assert!(s.leaves().len() <= PARTS);
        s
    };
    // 100,000 fields of addresses; of each name the first that has any counts.
    let s = parse(&("To: a@b, c@d\r\nCc: e@f\r\n".repeat(50_000) + "\r\nx"));
    assert_eq!((s.envelope().to.len(), s.envelope().cc.len()), (2, 1));
    let s = parse(&("To: ,\r\n".repeat(100_000) + "To: a@b\r\n\r\nx"));
    assert_eq!(s.envelope().to.len(), 1);
    // One field of 100,000 addresses, open groups, open brackets.
    for one in [
        "a@b,", "g:", "g:a@b;", "<", "<a@b", "(", "\"", "a@b (c),", "@x:",
    ] {
        let s = parse(&format!("To: {}\r\n\r\nx", one.repeat(100_000)));
        assert!(s.envelope().to.len() <= ADDRESSES + 1, "{one}");
    }
    // Megabytes of header: one field, one folded, many; no blank line.
    let s = parse(&format!("Subject: {}\r\n\r\nx", "x".repeat(8 << 20)));
    let subject = s.envelope().subject.as_ref();
    assert!(subject.is_some_and(|text| text.len() <= TEXT));
    parse(&format!("Subject: x{}\r\n\r\nx", "\r\n y".repeat(2 << 20)));
    parse(&("X-A: y\r\n".repeat(1 << 20) + "Subject: behind\r\n\r\nx"));
    parse(&"no field at all\r\n".repeat(500_000));
    parse(&"\r".repeat(8 << 20));
    // RFC 2231: a name in 100,000 pieces, in both fields that have parameters.
    let pieces: String = (0..100_000).map(|n| format!("; name*{n}*=x")).collect();
    let s = parse(&format!("Content-Type: a/b{pieces}\r\n\r\nx"));
    assert_eq!(s.root.params.len(), PARAMETERS);
    let s = parse(&format!("Content-Disposition: attachment{pieces}\r\n\r\nx"));
    let disposition = s.root.extension.disposition.as_ref();
    assert!(disposition.is_some_and(|(_, params)| params.len() == PARAMETERS));
    // Comments that end in a backslash, or never.
    for end in ["(\\", "(\\\r\n", "((((\\)", "\"\\", "<\"\\"] {
        for name in [
            "From",
            "Content-Type",
            "Content-Disposition",
            "Content-Language",
        ] {
            parse(&format!("{name}: a/b; c=d {end}"));
            parse(&format!("{name}: {}", end.repeat(50_000)));
        }
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(30));
}

#[test]
fn parts_made_to_hurt_are_bounded_and_linear() {
    let begun = std::time::Instant::now();
    let parse = |raw: &str| {
        let s = Structure::parse(raw.as_bytes());
        let record = s.encode();
        ranges_are_inside(&s, raw.len() as u64);
        assert!(
            record.len() <= TEXTS + 40 * (PARTS + ADDRESSES),
            "{}",
            record.len()
        );
        assert_eq!(Structure::decode(&record).as_ref(), Some(&s));
        assert!(s.leaves().len() + s.inner_headers().len() <= 2 * PARTS);
        s
    };
    let head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
    // A hundred thousand parts; each with a long header; each a message.
    let s = parse(&(head.to_owned() + &"--b\r\n\r\nx\r\n".repeat(100_000)));
    assert_eq!(s.leaves().len(), PARTS - 1);
    let long = format!(
        "--b\r\nContent-Description: {}\r\n\r\nx\r\n",
        "d".repeat(2000)
    );
    let s = parse(&(head.to_owned() + &long.repeat(9_000)));
    assert_eq!(s.leaves().len(), 9_000);
    let (mut with, mut without) = (0, 0);
    if let Inner::Parts(parts) = &s.root.inner {
        for part in parts {
            match part.description {
                Some(_) => with += 1,
                None => without += 1,
            }
        }
    }
    assert_eq!((with, without), (TEXTS / 2000, 9_000 - TEXTS / 2000));
    let message = "--b\r\nContent-Type: message/rfc822\r\n\r\nFrom: a@b\r\n\r\nx\r\n";
    parse(&(head.to_owned() + &message.repeat(50_000)));
    // Nested without end, of all kinds, with and without ends.
    parse(&"Content-Type: message/rfc822\r\n\r\n".repeat(100_000));
    parse(&"Content-Type: message/global\r\nSubject: x\r\n\r\n".repeat(100_000));
    parse(&(head.to_owned() + &format!("--b\r\n{head}").repeat(50_000)));
    let own = |n: usize| format!("Content-Type: multipart/x; boundary=b{n}\r\n\r\n--b{n}\r\n");
    parse(&(0..20_000).map(own).collect::<String>());
    let digest = "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n";
    parse(&digest.repeat(50_000));
    // Fifty messages in each other, each with a megabyte of sender.
    let deep = format!(
        "Content-Type: message/rfc822\r\nFrom: {} <a@b>\r\n\r\n",
        "n".repeat(400_000)
    );
    parse(&deep.repeat(NESTING));
    assert!(begun.elapsed() < std::time::Duration::from_secs(60));
}

fn ranges_are_inside(s: &Structure, len: u64) {
    let mut stack = vec![&s.root];
    while let Some(node) = stack.pop() {
        assert!(node.header <= node.body && node.body <= node.end && node.end <= len);
        match &node.inner {
            Inner::Nothing => {}
            Inner::Parts(parts) => stack.extend(parts),
            Inner::Message(_, inner) => stack.push(inner),
        }
    }
}

proptest! {
    #[test]
    fn any_bytes(raw in proptest::collection::vec(any::<u8>(), 0..600)) {
        let s = Structure::parse(&raw);
        ranges_are_inside(&s, raw.len() as u64);
        prop_assert_eq!(Structure::decode(&s.encode()), Some(s));
        let _ = Structure::decode(&raw);
    }

    #[test]
    fn mutated_mails(cuts in proptest::collection::vec((0usize..MAIL.len(), any::<u8>()), 0..20), from in 0usize..400, len in 0usize..900) {
        let mut raw = MAIL.as_bytes().to_vec();
        for (at, byte) in cuts {
            raw[at] = byte;
        }
        let raw: Vec<u8> = raw.into_iter().skip(from).take(len).collect();
        let s = Structure::parse(&raw);
        ranges_are_inside(&s, raw.len() as u64);
        let record = s.encode();
        prop_assert_eq!(Structure::decode(&record), Some(s));
        for end in 0..record.len() {
            prop_assert_eq!(Structure::decode(&record[..end]), None);
        }
    }
}
