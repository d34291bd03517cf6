#![allow(clippy::unwrap_used)]
use super::*;

/// A message converted, in pieces of a size.
fn converted(message: &str, size: usize) -> Result<String, Error> {
    let mut survey = Survey::default();
    for piece in message.as_bytes().chunks(size) {
        survey.push(piece)?;
    }
    let mut writer = Writer::new(survey.finish()?);
    let mut out = Vec::new();
    for piece in message.as_bytes().chunks(size) {
        out.extend(writer.push(piece)?);
    }
    out.extend(writer.finish()?);
    assert!(out.is_ascii());
    Ok(String::from_utf8(out).unwrap())
}

/// The same at every size of pieces.
fn each(message: &str) -> Result<String, Error> {
    let whole = converted(message, usize::MAX);
    for size in 1..message.len().min(200) {
        assert_eq!(converted(message, size), whole, "in pieces of {size}");
    }
    whole
}

#[test]
fn what_is_ascii_stays() {
    for message in [
        "",
        "Subject: x",
        "Subject: x\r\n",
        "Subject: x\r\n\r\n",
        "Subject: x\r\n\r\nhello =20 \r\n",
        "Content-Type: multipart/mixed; boundary=b\r\n\r\nhi\r\n--b\r\n\r\n--b\r\nX: y\r\n--b--\r\nbye",
        "Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\n--b--\r\n",
    ] {
        assert_eq!(each(message).unwrap(), message);
    }
}

#[test]
fn text_becomes_quoted_printable() {
    let message = "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
                   content-transfer-encoding: 8bit\r\nTo: y\r\n\r\nhällo = \t\r\n.\r\n\r\nende";
    assert_eq!(
        each(message).unwrap(),
        "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nTo: y\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\n\
         h=C3=A4llo =3D =09\r\n.\r\n\r\nende"
    );
    // Without MIME nobody knows what it is.
    assert_eq!(
        each("Subject: x\r\n\r\nä\r\n").unwrap(),
        "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4\r\n"
    );
    let long = format!("Content-Type: text/plain\r\n\r\n{}\r\n", "ä".repeat(5000));
    let written = converted(&long, 1000).unwrap();
    assert!(written.lines().all(|line| line.len() <= 76));
    let body = written
        .split_once("\r\n\r\n")
        .unwrap()
        .1
        .replace("=\r\n", "");
    assert_eq!(body, format!("{}\r\n", "=C3=A4".repeat(5000)));
}

#[test]
fn only_parts_that_need_it() {
    let message = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"a b\"\r\n\
        Content-Transfer-Encoding: 8bit\r\n\r\nprëamble\r\n--a b\r\n\r\nplain =\r\n--a b\r\n\
        Content-Type: application/json\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{\"ä\":\r\n1}\r\n\
        --a b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
        Subject: inner\r\n\r\nä\r\n--a b\r\nContent-Type: text/plain\r\n\
        Content-Transfer-Encoding: 8bit\r\n\r\nascii\r\n--a b-- \r\nepilögue";
    let wanted = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"a b\"\r\n\
        Content-Transfer-Encoding: 7bit\r\n\r\npr??amble\r\n--a b\r\n\r\nplain =\r\n--a b\r\n\
        Content-Type: application/json\r\nContent-Transfer-Encoding: base64\r\n\r\neyLDpCI6DQoxfQ==\r\n\
        --a b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
        Subject: inner\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4\r\n--a b\r\nContent-Type: text/plain\r\n\
        Content-Transfer-Encoding: 7bit\r\n\r\nascii\r\n--a b-- \r\nepil??gue";
    assert_eq!(each(message).unwrap(), wanted);
}

#[test]
fn what_is_signed_is_not_touched() {
    let signed = |text: &str| {
        format!(
            "Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\nContent-Type: text/plain\r\n\
             Content-Transfer-Encoding: 8bit\r\n\r\n{text}\r\n--s\r\n\r\nsignature\r\n--s--\r\n"
        )
    };
    assert_eq!(each(&signed("ä")), Err(Error::Signed));
    let ascii = signed("a");
    assert_eq!(each(&ascii).unwrap(), ascii);
    // Beside it something may be changed.
    let beside = format!(
        "Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n{ascii}--m\r\n\r\nä\r\n--m--\r\n"
    );
    let written = each(&beside).unwrap();
    assert!(
        written.contains(&ascii) && written.contains("=C3=A4"),
        "{written}"
    );
}

#[test]
fn what_cannot_be_converted() {
    for (message, error) in [
        ("Subject: ä\r\n\r\nx\r\n", Error::Header),
        (
            "Content-Transfer-Encoding: base64\r\n\r\nä\r\n",
            Error::Encoding,
        ),
        (
            "Content-Transfer-Encoding: x-uuencode\r\n\r\nä\r\n",
            Error::Encoding,
        ),
        (
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX: ä\r\n\r\n\r\n--b--\r\n",
            Error::Header,
        ),
    ] {
        assert_eq!(each(message), Err(error), "{message}");
    }
    let long = format!("X: {}\r\n\r\nä", "x".repeat(HEADER));
    assert_eq!(converted(&long, 1 << 16), Err(Error::Bounds));
    let deep: String = (0..=DEPTH)
        .map(|at| format!("Content-Type: multipart/mixed; boundary=b{at}\r\n\r\n--b{at}\r\n"))
        .collect();
    assert_eq!(converted(&deep, 1 << 16), Err(Error::Bounds));
    let deep = "Content-Type: message/rfc822\r\n\r\n".repeat(DEPTH);
    assert_eq!(converted(&deep, 1 << 16), Err(Error::Bounds));
    let parts = "--b\r\n\r\nx\r\n".repeat(PARTS + 1);
    let wide = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}");
    assert_eq!(converted(&wide, 1 << 16), Err(Error::Bounds));
    // Many messages beside each other are not deep.
    let digest = "--b\r\n\r\nSubject: x\r\n\r\nä\r\n".repeat(2 * DEPTH);
    let digest = format!("Content-Type: multipart/digest; boundary=b\r\n\r\n{digest}--b--\r\n");
    assert!(converted(&digest, 1 << 16).is_ok());
}

proptest::proptest! {
    /// Whatever it is, it becomes ASCII or is refused, the same in any pieces.
    #[test]
    fn anything(lines in proptest::collection::vec(
        proptest::sample::select(vec![
            "", "Content-Type: multipart/mixed; boundary=b", "Content-Type: multipart/signed; boundary=s",
            "Content-Type: message/rfc822", "Content-Transfer-Encoding: 8bit", "--b", "--b--", "--s", "--s--",
            "ä", "x ", "Subject: x", " folded", "--", "=",
        ]), 0..40), size in 1usize..50)
    {
        let message = lines.join("\r\n");
        let whole = converted(&message, usize::MAX);
        proptest::prop_assert_eq!(&converted(&message, size), &whole);
        if let Ok(written) = whole {
            if message.is_ascii() && !message.contains("8bit") {
                proptest::prop_assert_eq!(&written, &message);
            }
            // What was converted once needs it no more.
            proptest::prop_assert_eq!(converted(&written, usize::MAX), Ok(written));
        }
    }
}
