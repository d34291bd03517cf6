//! Broken and odd mails: our own, and those of others where they are beside
//! the project.

use std::path::Path;

use crate::demo::root;

/// Our own corpus: what has broken other servers' parsers, and what spammers and old programs send.
pub fn odd() -> Vec<(String, Vec<u8>)> {
    let mut mails: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", b"\r\n".to_vec()),
        ("no header at all", b"\r\njust a body\r\n".to_vec()),
        ("header without end", b"Subject: no blank line\r\n".to_vec()),
        ("not a header", b"this is not a header\r\nSubject: x\r\n\r\nbody\r\n".to_vec()),
        ("folded first line", b" folded\r\nSubject: x\r\n\r\nbody\r\n".to_vec()),
        ("colon only", b":\r\n: x\r\n:: y\r\n\r\nbody\r\n".to_vec()),
        ("spaces before colon", b"Subject : x\r\nFrom\t: y@z\r\n\r\nbody\r\n".to_vec()),
        ("8-bit header", b"Subject: caf\xe9\r\nFrom: J\xfcrgen <j@x>\r\n\r\nbody\r\n".to_vec()),
        ("invalid utf-8", b"Subject: \xc3\x28\xff\xfe\r\n\r\n\xf0\x28\x8c\xbc\r\n".to_vec()),
        ("two of each", b"From: a@b\r\nFrom: c@d\r\nSubject: 1\r\nSubject: 2\r\nDate: x\r\nDate: y\r\n\r\nbody\r\n".to_vec()),
        ("bad date", b"Date: Foo, 99 Bar 99999 99:99:99 +9999\r\n\r\nbody\r\n".to_vec()),
        ("bad encoded words", b"Subject: =?utf-8?B?//8=?= =?x?Q?=GG?= =?utf-8?Q?open =?\r\n\r\nbody\r\n".to_vec()),
        ("comment ends in backslash", b"From: a@b (comment \\\r\nTo: (\\\r\n\r\nbody\r\n".to_vec()),
        ("open quote", b"From: \"open <a@b>\r\nTo: <a@b\r\nCc: a b c\r\nReply-To: group:a@b, c@d;\r\nSender: ;;;,,,\r\n\r\nbody\r\n".to_vec()),
        ("nested comments", format!("From: {}a@b{}\r\n\r\nbody\r\n", "(".repeat(400), ")".repeat(400)).into_bytes()),
        ("multipart without boundary", b"Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n".to_vec()),
        ("boundary never comes", b"Content-Type: multipart/mixed; boundary=zzz\r\n\r\n--b\r\n\r\nx\r\n".to_vec()),
        ("multipart without end", b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\nContent-Type: text/html\r\n\r\ny".to_vec()),
        ("empty parts", b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n--b\r\n\r\n--b\r\n--b--\r\n".to_vec()),
        ("boundary is prefix of the inner", b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/mixed; boundary=aa\r\n\r\n--aa\r\n\r\nx\r\n--aa--\r\n--a--\r\n".to_vec()),
        ("inner boundary equals outer", b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\nx\r\n--a--\r\n--a--\r\n".to_vec()),
        ("boundary with spaces", b"Content-Type: multipart/mixed; boundary=\"b b \"\r\n\r\n--b b\r\n\r\nx\r\n--b b--  \r\n".to_vec()),
        ("bad content type", b"Content-Type: ;;; charset\r\nContent-Transfer-Encoding: x-uuencode\r\nContent-Disposition: =\r\n\r\nx\r\n".to_vec()),
        ("content type without subtype", b"Content-Type: text\r\n\r\nx\r\n".to_vec()),
        ("rfc2231", b"Content-Type: application/x; name*0*=utf-8''a%20; name*1=b; name*9=z; name*x*=q; name*1*=%\r\n\r\nx\r\n".to_vec()),
        ("cyclic looking rfc822", b"Content-Type: message/rfc822\r\n\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: message/rfc822\r\n\r\n".to_vec()),
        ("bad base64", b"Content-Transfer-Encoding: base64\r\n\r\n!!!!====AA=A\r\n".to_vec()),
        ("bad quoted-printable", b"Content-Transfer-Encoding: quoted-printable\r\n\r\n=\r\n=G1 =3\r\n= \r\n=0D=0A".to_vec()),
        ("unknown charset", b"Content-Type: text/plain; charset=x-klingon\r\n\r\nx\r\n".to_vec()),
        ("only dots", b".\r\n..\r\n.\r\n".to_vec()),
        ("form feed and controls", b"Subject: \x01\x02\x0b\x0c\x7f\r\n\r\n\x01\x02\x08\x1b[31m\r\n".to_vec()),
    ];
    let mut addresses = b"To: ".to_vec();
    for n in 0..20_000 {
        addresses.extend_from_slice(format!("user{n}@example.test,\r\n ").as_bytes());
    }
    addresses.extend_from_slice(b"last@example.test\r\n\r\nbody\r\n");
    mails.push(("twenty thousand addresses", addresses));
    mails.push((
        "long header",
        format!("Subject: {}\r\n\r\nbody\r\n", "word \r\n ".repeat(30_000)).into_bytes(),
    ));
    mails.push((
        "many headers",
        format!("{}\r\nbody\r\n", "X-Spam: yes\r\n".repeat(20_000)).into_bytes(),
    ));
    let parameters: String = (0..3000).map(|n| format!(";\r\n p*{n}*=x")).collect();
    mails.push((
        "many parameters",
        format!("Content-Type: text/plain{parameters}\r\n\r\nbody\r\n").into_bytes(),
    ));
    mails.push((
        "many parts",
        format!(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n{}--b--\r\n",
            "--b\r\n\r\nx\r\n".repeat(12_000)
        )
        .into_bytes(),
    ));
    let mut deep = Vec::new();
    for n in 0..300 {
        deep.extend_from_slice(
            format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n").as_bytes(),
        );
    }
    deep.extend_from_slice(b"\r\ndeep\r\n");
    mails.push(("deep nesting", deep));
    mails.push((
        "deep messages",
        "Content-Type: message/rfc822\r\n\r\n"
            .repeat(300)
            .into_bytes(),
    ));
    mails.push((
        "long line",
        format!("Subject: long\r\n\r\n{}\r\n", "x".repeat(100_000)).into_bytes(),
    ));
    mails
        .into_iter()
        .map(|(name, bytes)| (name.to_owned(), bytes))
        .collect()
}

/// Other people's cases, where they are beside the project.
pub fn shared() -> Vec<(String, Vec<u8>)> {
    let mut cases = Vec::new();
    let mut dirs = vec![root().join("../shared/testdata/mime")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
            } else if is_mail(&path) {
                cases.push((
                    path.display().to_string(),
                    crlf(&std::fs::read(&path).unwrap()),
                ));
            }
        }
    }
    cases.sort();
    cases
}

fn is_mail(path: &Path) -> bool {
    matches!(
        path.extension().and_then(|e| e.to_str()),
        Some("eml" | "msg" | "txt")
    ) && !path.to_string_lossy().contains("LICENSE")
}

/// As SMTP carries it: every line ended by CRLF.
fn crlf(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for line in bytes.split_inclusive(|&b| b == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Whether SMTP may carry it as it is: a CR stands only before LF, and no NUL.
pub fn is_transportable(mail: &[u8]) -> bool {
    !mail.contains(&0)
        && mail
            .iter()
            .enumerate()
            .all(|(n, &b)| b != b'\r' || mail.get(n + 1) == Some(&b'\n'))
}
