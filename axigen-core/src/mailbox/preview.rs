//! How a message begins, as text for a list of messages.
//! [RFC 8970](https://www.rfc-editor.org/rfc/rfc8970)

use axigen_store::AccountId;

use super::{
    Mailboxes,
    error::Result,
    search::text_of,
    structure::{Leaf, Structure},
    types::ItemId,
};

/// Most characters of a preview (RFC 8970 §3.1).
pub const PREVIEW: usize = 200;
/// So many bytes of a part, as transferred, are looked at.
const LOOKED_AT: u64 = 16 * 1024;

impl Mailboxes {
    /// How a message begins: at most [`PREVIEW`] characters of its first text,
    /// on one line. Empty if it has none, as one that is encrypted.
    ///
    /// # Errors
    /// [`Error::NoSuchMessage`](super::Error::NoSuchMessage),
    /// [`Error::Store`](super::Error::Store).
    pub async fn preview(
        &self,
        account: AccountId,
        item: ItemId,
        structure: &Structure,
    ) -> Result<String> {
        let leaves = structure.leaves();
        let texts = || {
            let shown = leaves.iter().filter(|leaf| !leaf.is_attachment);
            shown.filter(|leaf| leaf.media_type.eq_ignore_ascii_case(b"text"))
        };
        let plain = texts().find(|leaf| leaf.subtype.eq_ignore_ascii_case(b"plain"));
        let Some(leaf) = plain.or_else(|| texts().next()) else {
            return Ok(String::new());
        };
        let range = &leaf.content;
        let range = range.start..range.end.min(range.start + LOOKED_AT);
        let content = self.body(account, item, range).await?;
        Ok(beginning(leaf, &content))
    }
}

/// The beginning of a part, of which `content` is what was read.
fn beginning(leaf: &Leaf<'_>, content: &[u8]) -> String {
    let text = text_of(leaf, content);
    let text = match leaf.subtype.eq_ignore_ascii_case(b"html") {
        true => mail_parser::decoders::html::html_to_text(&text).into(),
        false => text,
    };
    let mut shown = String::new();
    let mut room = PREVIEW;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        // What a cut in the middle of a character left.
        let word = word.trim_matches(char::REPLACEMENT_CHARACTER);
        if word.is_empty() {
            continue;
        }
        if !shown.is_empty() {
            shown.push(' ');
            room -= 1;
        }
        let cut = word.char_indices().nth(room).map(|(at, _)| at);
        shown.push_str(word.get(..cut.unwrap_or(word.len())).unwrap_or_default());
        room = room.saturating_sub(word.chars().count());
        if room <= 1 {
            break;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(message: &str) -> String {
        let structure = Structure::parse(message.as_bytes());
        let leaves = structure.leaves();
        let Some(leaf) = leaves.first() else {
            return String::new();
        };
        let range = leaf.content.start as usize..leaf.content.end as usize;
        beginning(leaf, message.as_bytes().get(range).unwrap_or_default())
    }

    #[test]
    fn one_line_of_text() {
        assert_eq!(
            of("Subject: x\r\n\r\n  Hello,\r\n\r\n\tdear reader \r\n"),
            "Hello, dear reader"
        );
        assert_eq!(of("Subject: x\r\n\r\n"), "");
        let base64 = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nR3LDvMOfZQ==\r\n";
        assert_eq!(of(base64), "Grüße");
        let html = "Content-Type: text/html\r\n\r\n<html><head><style>p {}</style></head><body><p>One &amp; <b>two</b></p></body></html>";
        assert_eq!(of(html), "One & two");
    }

    #[test]
    fn never_longer_than_it_may_be() {
        for word in ["a", "ab", "äöü", &"x".repeat(500), &"ü".repeat(199)] {
            let text = format!("{word} ").repeat(300);
            let message = format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{text}");
            let shown = of(&message);
            let count = shown.chars().count();
            assert!(
                count <= PREVIEW && count + word.chars().count() >= PREVIEW - 1,
                "{word}: {count}"
            );
            assert_eq!(shown.trim(), shown);
        }
    }
}
