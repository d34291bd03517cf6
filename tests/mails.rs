//! Mails that are hard on a mail server, as the bytes a client sends.

/// One mail and what is special about it.
#[derive(Debug, Clone)]
pub struct Mail {
    /// What is special, usable in a file name.
    pub name: &'static str,
    /// The whole mail, CRLF line ends.
    pub bytes: Vec<u8>,
}

/// Mails every transport must carry byte for byte. Those with 8-bit content
/// are marked by [`is_8bit`].
pub fn ordinary() -> Vec<Mail> {
    let mut mails = vec![
        mail("plain", "Subject: plain\r\n", b"Hello,\r\n\r\nthis is all.\r\n"),
        mail("empty-body", "Subject: empty body\r\n", b""),
        mail("dots", "Subject: dots at line starts\r\n", b".\r\n..\r\n...\r\n.x\r\n.\r\n. \r\n..end\r\n"),
        mail("blank-lines", "Subject: blank lines at the end\r\n", b"\r\n\r\ntext\r\n\r\n\r\n\r\n"),
        mail("folded", "Subject: a subject\r\n that goes on\r\n\tand on\r\nX-Empty:\r\nX-Blank: \r\n", b"folded\r\n"),
        mail("encoded-words", "Subject: =?utf-8?B?w4TDlsOc?= =?iso-8859-1?Q?_=E9?=\r\n", b"words\r\n"),
        mail("8bit", "Subject: eight bits\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n", "Grüße aus Köln, 日本語, emoji 🦀\r\n".as_bytes()),
        mail("latin1-raw", "Subject: raw latin-1\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n", b"caf\xe9 \xfcber\r\n"),
        mail("utf8-header", "Subject: Grüße ohne Kodierung\r\n", b"utf-8 in the header\r\n"),
        mail("looks-like-commands", "Subject: commands\r\n", b"QUIT\r\nA1 LOGOUT\r\nRSET\r\nMAIL FROM:<x@y>\r\n* BYE\r\n+ go\r\nA1 OK\r\n{10}\r\n"),
        mail("from-line", "Subject: mbox\r\n", b"From here on\r\n>From there\r\n"),
        mail("no-line-end", "Subject: no line end\r\n", b"the last line has no end"),
        mail("multipart", "Subject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"b\"\r\n", b"preamble\r\n--b\r\nContent-Type: text/plain\r\n\r\none\r\n--b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n\r\ntwo\r\n--c\r\nContent-Type: text/html\r\n\r\n<b>three</b>\r\n--c--\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nFrom: x@y\r\n\r\ninner body\r\n--b--\r\nepilogue\r\n"),
    ];
    // RFC 5322 §2.1.1: 998 characters is the longest line one may send.
    let mut long = b"Subject: long lines\r\n".to_vec();
    long = with_envelope("long-lines", &long);
    for n in [997, 998] {
        long.extend(std::iter::repeat_n(b'x', n));
        long.extend_from_slice(b"\r\n");
    }
    mails.push(Mail {
        name: "long-lines",
        bytes: long,
    });
    mails
}

/// A mail with an attachment of `megabytes`, base64 in lines of 76.
pub fn large(megabytes: usize) -> Mail {
    use base64::Engine;
    let mut bytes = with_envelope(
        "large",
        b"Subject: large\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n",
    );
    bytes.extend_from_slice(b"--b\r\n\r\nattached\r\n--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n");
    let mut state = 1u64;
    let raw: Vec<u8> = (0..megabytes * 1024 * 1024)
        .map(|_| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 56) as u8
        })
        .collect();
    for line in base64::engine::general_purpose::STANDARD
        .encode(raw)
        .as_bytes()
        .chunks(76)
    {
        bytes.extend_from_slice(line);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"--b--\r\n");
    Mail {
        name: "large",
        bytes,
    }
}

/// Whether a mail has bytes above 127.
pub fn is_8bit(mail: &Mail) -> bool {
    !mail.bytes.is_ascii()
}

fn mail(name: &'static str, headers: &str, body: &[u8]) -> Mail {
    let mut bytes = with_envelope(name, headers.as_bytes());
    bytes.extend_from_slice(body);
    Mail { name, bytes }
}

fn with_envelope(name: &str, headers: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "From: Alice <alice@example.test>\r\nTo: bob@example.test\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{name}@example.test>\r\n"
    )
    .into_bytes();
    bytes.extend_from_slice(headers);
    bytes.extend_from_slice(b"\r\n");
    bytes
}
