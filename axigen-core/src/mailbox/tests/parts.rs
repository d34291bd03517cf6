//! Attachments that travel are kept once.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::*;

fn noise(len: usize, mut state: u64) -> Vec<u8> {
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn with_attachment(subject: &str, bytes: &[u8]) -> NewMessage {
    let text = STANDARD.encode(bytes);
    let lines = text.as_bytes().chunks(76);
    let lines: String = lines
        .map(|line| format!("{}\r\n", std::str::from_utf8(line).unwrap()))
        .collect();
    NewMessage {
        raw: Bytes::from(format!(
            "Subject: {subject}\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/mixed; boundary=b\r\n\r\n\
             --b\r\n\r\nLook at this.\r\n\
             --b\r\nContent-Type: application/pdf; name=x.pdf\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n{lines}--b--\r\n"
        )),
        ..message("")
    }
}

#[tokio::test]
async fn what_is_sent_on_is_kept_once() {
    let mailboxes = fresh().await;
    let attachment = noise(200_000, 1);
    let mut sent = Vec::new();
    for n in 0..10 {
        let message = with_attachment(&format!("the {n}th time"), &attachment);
        sent.push(message.raw.clone());
        let target = [to(ALICE, "INBOX")];
        mailboxes.append(message, &target).await.unwrap();
    }
    let space = mailboxes.store.space().await.unwrap();
    let raw: u64 = sent.iter().map(|raw| raw.len() as u64).sum();
    assert_eq!(space.raw, raw);
    assert!(space.deduplicated < 210_000, "{space:?}");
    assert!(space.held < 210_000, "{space:?}");
    let inbox = mailboxes.find(ALICE, "INBOX").await.unwrap().id;
    let uids = uids(&mailboxes, inbox).await;
    for (uid, raw) in uids.iter().zip(&sent) {
        let rows = mailboxes.rows(ALICE, inbox, &[*uid]).await.unwrap();
        let item = rows[0].item;
        let whole = mailboxes.body(ALICE, item, 0..u64::MAX).await.unwrap();
        assert_eq!(whole, raw);
        let (from, to) = (raw.len() / 3, raw.len() / 3 + 1000);
        let range = from as u64..to as u64;
        let part = mailboxes.body(ALICE, item, range).await.unwrap();
        assert_eq!(part, raw[from..to]);
    }
}
