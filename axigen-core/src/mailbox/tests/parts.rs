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

/// A table in base64, which is text too, behind a text; of both it is known where what is looked
/// for is.
#[tokio::test]
async fn texts_are_searched_as_they_are_kept() {
    use crate::mailbox::search::{Context, Search};
    use axigen_proto::imap::command::SearchKey;
    use axigen_proto::imap::sequence::NumberSet;

    let mailboxes = fresh().await;
    let table = |rows: usize| -> String {
        let rows = (0..rows).map(|row| format!("{row};gr\u{fc}n;{}\r\n", row * 7));
        rows.chain(["the end;Z\u{fc}rich\r\n".into()]).collect()
    };
    // One short and one long enough to be kept apart; lines of other lengths, another ending, and
    // what no recipe gives back.
    for (rows, line, ending, behind) in [
        (100, 76, "\r\n", ""),
        (5000, 76, "\r\n", "\r\n\r\n"),
        (5000, 64, "\r\n", ""),
        (5000, 76, "\n", ""),
        (30_000, 76, "\r\n", "\r\n"),
        (5000, 75, "\r\n", ""),
        (5000, 76, "\r\n", "  \r\n"),
    ] {
        let coded = STANDARD.encode(table(rows));
        let lines = coded.as_bytes().chunks(line);
        let lines: String = lines
            .map(|line| format!("{}{ending}", std::str::from_utf8(line).unwrap()))
            .collect();
        let raw = Bytes::from(format!(
            "Subject: a table\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/mixed; boundary=b\r\n\r\n\
             --b\r\n\r\nLook at this.\r\n\
             --b\r\nContent-Type: text/csv; charset=utf-8; name=x.csv\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n{lines}{behind}\r\n\
             --b\r\nX-Mark: behind\r\n\r\nThat was it.\r\n--b--\r\n"
        ));
        let sent = NewMessage {
            raw: raw.clone(),
            ..message("")
        };
        mailboxes.append(sent, &[to(ALICE, "INBOX")]).await.unwrap();
        let inbox = mailboxes.find(ALICE, "INBOX").await.unwrap().id;
        let uid = *uids(&mailboxes, inbox).await.last().unwrap();
        let row = mailboxes
            .rows(ALICE, inbox, &[uid])
            .await
            .unwrap()
            .remove(0);
        let whole = mailboxes.body(ALICE, row.item, 0..u64::MAX).await.unwrap();
        assert_eq!(whole, raw);
        let none = NumberSet::new();
        let context = Context {
            messages: 1,
            largest_uid: uid,
            now: 0,
            saved: &none,
            recent: &none,
        };
        for (text, in_body, in_text) in [
            ("look at", true, true),
            ("that was", true, true),
            ("Z\u{fc}rich", true, true),
            ("99;GR\u{dc}N;693", true, true),
            ("a table", false, true),
            ("x-mark", false, true),
            ("nowhere", false, false),
        ] {
            for (key, is_in) in [
                (SearchKey::Body(text.into()), in_body),
                (SearchKey::Text(text.into()), in_text),
                (
                    SearchKey::Not(Box::new(SearchKey::Text(text.into()))),
                    !in_text,
                ),
            ] {
                let search = Search::new(std::slice::from_ref(&key), &context);
                let matches = mailboxes.matches(ALICE, &search, 1, &row).await.unwrap();
                assert_eq!(matches, is_in, "{key:?} {rows} {line} {behind:?}");
            }
        }
    }
}
