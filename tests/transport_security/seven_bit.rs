//! Hosts without 8BITMIME: what they get means the same, says Python's library
//! for mail.

use axigen_core::dns::ZoneResolver;
use axigen_tests::tool;

use crate::certificates::Authority;
use crate::host::{Host, Offers};
use crate::world::{Sender, Setup, noon, until};

const ZONE: &str = "
there.test.      MX 10 mx.there.test.
mx.there.test.   A 127.0.0.1
";

/// Compares two messages, part by part, and wants the second to be ASCII.
const COMPARE: &str = r#"
import email, email.policy, sys
old, new = (open(name, "rb").read() for name in sys.argv[1:])
assert new.isascii(), "not ASCII"
assert all(len(line) <= 998 for line in new.split(b"\r\n")), "a long line"
old, new = (list(email.message_from_bytes(raw, policy=email.policy.default).walk()) for raw in (old, new))
assert len(old) == len(new), (len(old), len(new))
for before, after in zip(old, new):
    assert before.get_content_type() == after.get_content_type()
    assert before.get_filename() == after.get_filename()
    assert before.get("Subject") == after.get("Subject")
    if not before.is_multipart():
        bytes = [part.get_payload(decode=True).replace(b"\r\n", b"\n") for part in (before, after)]
        assert bytes[0] == bytes[1], bytes
        assert not after.defects, after.defects
    if not after.is_multipart() and before.get("Content-Transfer-Encoding") in (None, "7bit", "base64"):
        if before.get_payload().isascii():
            assert before.as_bytes() == after.as_bytes(), "changed without need"
print("same", len(new))
"#;

async fn sender(host: &Host, authority: &Authority) -> Sender {
    let clock = noon();
    let setup = Setup {
        zone: ZoneResolver::parse(ZONE).unwrap(),
        authority,
        host,
        web: None,
        clock: &clock,
    };
    setup.sender(|_| ()).await
}

fn messages() -> Vec<(String, usize)> {
    let long = "Füße und Hände, ".repeat(2000);
    let many = "schön = gut \t\r\n.\r\n..\r\nFrom hier\r\n".repeat(20_000);
    let text = |body: &str| {
        format!(
            "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: 8bit\r\n\r\n{body}\r\n"
        )
    };
    let inner = text("innen: ä");
    let mixed = format!(
        "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n boundary=\"b (1)\"\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\n--b (1)\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n\
         --c\r\nContent-Type: text/plain; charset=iso-8859-15\r\n\r\nascii only = \r\n--c\r\n\
         Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n<p>ä €</p>\r\n--c--\r\n\
         --b (1)\r\nContent-Type: application/json; name=x.json\r\nContent-Transfer-Encoding: 8bit\r\n\
         Content-Disposition: attachment; filename=x.json\r\n\r\n{{\"ä\":\r\n1}}\r\n\
         --b (1)\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC/w==\r\n\
         --b (1)\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{inner}\r\n--b (1)--\r\n"
    );
    vec![
        (text("hällo"), 1),
        (text(&long), 1),
        (text(&many), 1),
        (mixed, 8),
        (
            // A signature of the whole is no obstacle.
            text("ä").replace("Subject", "DKIM-Signature: v=1; b=x\r\nSubject"),
            1,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_without_8bitmime() {
    let authority = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    for (message, parts) in messages() {
        let host = Host::start(Offers::default()).await;
        let sender = sender(&host, &authority).await;
        sender.send_as("bob@there.test", &message, false).await;
        until(async || sender.empty().await).await;
        assert!(sender.inbox().await.is_empty());
        let arrived = host.arrived().remove(0);
        assert!(!arrived.mail.contains("BODY="), "{}", arrived.mail);
        let text = arrived.text.strip_suffix(".\r\n").unwrap();
        let text = text.replace("\r\n..", "\r\n.");
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("old"), &message).unwrap();
        std::fs::write(path("new"), text).unwrap();
        let said = tool::run("python3", &["-c", COMPARE, &path("old"), &path("new")], b"");
        assert_eq!(said.text.trim(), format!("same {parts}"));
        sender.engine.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_converted() {
    let authority = Authority::new();
    let (message, _) = messages().remove(0);
    // Who takes 8 bits gets them.
    let host = Host::start(Offers {
        words: &["8BITMIME"],
        ..Offers::default()
    })
    .await;
    let able = sender(&host, &authority).await;
    able.send_as("bob@there.test", &message, false).await;
    until(async || able.empty().await).await;
    let arrived = host.arrived().remove(0);
    assert!(arrived.mail.contains(" BODY=8BITMIME"), "{}", arrived.mail);
    assert_eq!(arrived.text, format!("{message}.\r\n"));
    able.engine.shutdown().await.unwrap();
    // What is signed comes back.
    let signed = "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n\
                  --s\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nä\r\n--s\r\n\
                  Content-Type: application/pgp-signature\r\n\r\nx\r\n--s--\r\n";
    let host = Host::start(Offers::default()).await;
    let unable = sender(&host, &authority).await;
    unable.send_as("bob@there.test", signed, false).await;
    until(async || unable.empty().await).await;
    assert!(host.arrived().is_empty());
    let notice = unable.inbox().await.remove(0);
    assert!(notice.contains("Status: 5.6.3\r\n"), "{notice}");
    assert!(
        notice.contains("what would be converted is signed"),
        "{notice}"
    );
    unable.engine.shutdown().await.unwrap();
}
