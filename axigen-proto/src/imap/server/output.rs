//! What is to be sent: small responses in one buffer, large bodies as they are.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};

use crate::imap::command::FetchAttribute;
use crate::imap::encode::Encoder;
use crate::imap::extensions::enable::Enabled;
use crate::imap::response::{FetchItem, Response, Status};
use crate::imap::separator::Separator;
use crate::imap::types::Tag;
use crate::session::Misuse;

/// Bodies smaller than this are copied into the buffer.
const SMALL: usize = 2048;

/// Output in wire order, and the FETCH response that is open.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    ready: VecDeque<Bytes>,
    ready_len: usize,
    tail: BytesMut,
    fetch: Fetch,
    separator: Separator,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Fetch {
    /// None is open.
    #[default]
    None,
    /// Its parenthesis is open; `first` until it has an item.
    Open { first: bool },
    /// So many bytes of an item are missing.
    Data { left: u64 },
}

impl Outbox {
    /// Empty; names are written with this separator.
    pub(super) fn new(separator: Separator) -> Outbox {
        Outbox {
            separator,
            ..Outbox::default()
        }
    }

    /// Writes as this client wants it.
    fn encoder(&mut self, enabled: Enabled) -> Encoder<'_> {
        Encoder::new(&mut self.tail, enabled.rev2)
            .with_utf8(enabled.utf8())
            .separated_by(self.separator)
    }

    pub(super) fn response(&mut self, enabled: Enabled, response: &Response) {
        self.encoder(enabled).response(response);
    }

    pub(super) fn tagged(&mut self, enabled: Enabled, tag: &Tag, status: &Status) {
        self.encoder(enabled).tagged(tag, status);
    }

    pub(super) fn proceed(&mut self, text: &str) {
        Encoder::new(&mut self.tail, false).proceed(text);
    }

    pub(super) fn fetch_begin(&mut self, enabled: Enabled, seq: u32) -> Result<(), Misuse> {
        if self.fetch != Fetch::None {
            return Err(Misuse("a FETCH response is open"));
        }
        self.encoder(enabled).fetch_begin(seq);
        self.fetch = Fetch::Open { first: true };
        Ok(())
    }

    pub(super) fn uid_fetch_begin(&mut self, enabled: Enabled, uid: u32) -> Result<(), Misuse> {
        if self.fetch != Fetch::None {
            return Err(Misuse("a FETCH response is open"));
        }
        self.encoder(enabled).uid_fetch_begin(uid);
        self.fetch = Fetch::Open { first: true };
        Ok(())
    }

    pub(super) fn fetch_item(&mut self, enabled: Enabled, item: &FetchItem) -> Result<(), Misuse> {
        self.separate()?;
        self.encoder(enabled).fetch_item(item);
        Ok(())
    }

    pub(super) fn fetch_data(
        &mut self,
        enabled: Enabled,
        attribute: &FetchAttribute,
        len: u64,
        nul: bool,
    ) -> Result<(), Misuse> {
        self.separate()?;
        self.encoder(enabled).fetch_literal(attribute, len, nul);
        if len > 0 {
            self.fetch = Fetch::Data { left: len };
        }
        Ok(())
    }

    pub(super) fn body(&mut self, bytes: Bytes) -> Result<(), Misuse> {
        let size = bytes.len() as u64;
        let left = match self.fetch {
            _ if size == 0 => return Ok(()),
            Fetch::Data { left } if size <= left => left - size,
            _ => return Err(Misuse("more bytes than were announced")),
        };
        self.fetch = if left > 0 {
            Fetch::Data { left }
        } else {
            Fetch::Open { first: false }
        };
        if bytes.len() < SMALL {
            self.tail.put_slice(&bytes);
            return Ok(());
        }
        self.settle();
        self.ready_len += bytes.len();
        self.ready.push_back(bytes);
        Ok(())
    }

    pub(super) fn fetch_end(&mut self) -> Result<(), Misuse> {
        match self.fetch {
            Fetch::Open { .. } => {
                self.tail.put_slice(b")\r\n");
                self.fetch = Fetch::None;
                Ok(())
            }
            Fetch::None => Err(Misuse("no FETCH response is open")),
            Fetch::Data { .. } => Err(Misuse("announced bytes are missing")),
        }
    }

    /// Begins the data of a URL, which follow by `body`.
    pub(super) fn url_begin(&mut self, rev2: bool, url: &str, len: u64) -> Result<(), Misuse> {
        if self.fetch != Fetch::None {
            return Err(Misuse("a FETCH response is open"));
        }
        Encoder::new(&mut self.tail, rev2).url_begin(url, len);
        self.fetch = match len {
            0 => Fetch::Open { first: false },
            left => Fetch::Data { left },
        };
        Ok(())
    }

    pub(super) fn url_end(&mut self) -> Result<(), Misuse> {
        match self.fetch {
            Fetch::Open { .. } => {
                self.tail.put_slice(b"\r\n");
                self.fetch = Fetch::None;
                Ok(())
            }
            Fetch::None => Err(Misuse("no URLFETCH response is open")),
            Fetch::Data { .. } => Err(Misuse("announced bytes are missing")),
        }
    }

    /// Whether a FETCH response is open.
    pub(super) fn is_open(&self) -> bool {
        self.fetch != Fetch::None
    }

    /// Gives up the FETCH response that is open.
    pub(super) fn close(&mut self) {
        self.fetch = Fetch::None;
    }

    /// Bytes not yet taken.
    pub(super) fn len(&self) -> usize {
        self.ready_len + self.tail.len()
    }

    /// The next bytes to send.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        if let Some(bytes) = self.ready.pop_front() {
            self.ready_len -= bytes.len();
            return Some(bytes);
        }
        if self.tail.is_empty() {
            return None;
        }
        Some(std::mem::take(&mut self.tail).freeze())
    }

    fn separate(&mut self) -> Result<(), Misuse> {
        match self.fetch {
            Fetch::Open { first } => {
                if !first {
                    self.tail.put_u8(b' ');
                }
                self.fetch = Fetch::Open { first: false };
                Ok(())
            }
            Fetch::None => Err(Misuse("no FETCH response is open")),
            Fetch::Data { .. } => Err(Misuse("announced bytes are missing")),
        }
    }

    fn settle(&mut self) {
        if !self.tail.is_empty() {
            self.ready_len += self.tail.len();
            self.ready
                .push_back(std::mem::take(&mut self.tail).freeze());
        }
    }
}
