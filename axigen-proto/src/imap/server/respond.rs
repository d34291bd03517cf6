//! Untagged responses of the application, and FETCH responses whose data are streamed.

use bytes::Bytes;

use super::Server;
use crate::imap::command::FetchAttribute;
use crate::imap::response::{FetchItem, Response};
use crate::session::Misuse;

impl Server {
    /// Sends an untagged response: during a command, during IDLE, or between
    /// commands (what the standard allows then is the caller's to know).
    ///
    /// # Errors
    /// [`Misuse`] before the login, and while a FETCH response is open.
    pub fn untagged(&mut self, response: &Response) -> Result<(), Misuse> {
        if self.is_closed() {
            return Ok(());
        }
        if self.identity.is_none() {
            return Err(Misuse("an untagged response before the login"));
        }
        if self.out.is_open() {
            return Err(Misuse("a FETCH response is open"));
        }
        self.say(response);
        Ok(())
    }

    /// Begins a FETCH response whose data are streamed: then any number of
    /// [`Server::fetch_item`] and [`Server::fetch_data`], then [`Server::fetch_end`].
    ///
    /// # Errors
    /// [`Misuse`] before the login, and while another one is open.
    pub fn fetch_begin(&mut self, seq: u32) -> Result<(), Misuse> {
        if self.is_closed() {
            return Ok(());
        }
        if self.identity.is_none() {
            return Err(Misuse("an untagged response before the login"));
        }
        self.out.fetch_begin(self.enabled, seq)
    }

    /// The same as UIDFETCH, for a client that has enabled UIDONLY
    /// ([RFC 9586 §3.3](https://www.rfc-editor.org/rfc/rfc9586#section-3.3)).
    ///
    /// # Errors
    /// As [`Server::fetch_begin`].
    pub fn uid_fetch_begin(&mut self, uid: u32) -> Result<(), Misuse> {
        if self.is_closed() {
            return Ok(());
        }
        if self.identity.is_none() {
            return Err(Misuse("an untagged response before the login"));
        }
        self.out.uid_fetch_begin(self.enabled, uid)
    }

    /// One small item of a FETCH response begun with [`Server::fetch_begin`].
    ///
    /// # Errors
    /// [`Misuse`] when none is open, or bytes are missing from the item before.
    pub fn fetch_item(&mut self, item: &FetchItem) -> Result<(), Misuse> {
        if self.is_closed() {
            return Ok(());
        }
        self.out.fetch_item(self.enabled, item)
    }

    /// An item of exactly `len` bytes, which follow by [`Server::body`].
    /// `attribute` is what the client asked for; it is answered by its response
    /// name. Bytes of a partial have to be cut to it. `nul` says that bytes of
    /// BINARY may hold NUL
    /// ([RFC 3516 §4.3](https://www.rfc-editor.org/rfc/rfc3516#section-4.3)).
    ///
    /// # Errors
    /// [`Misuse`] when no FETCH response is open, or bytes are missing from
    /// the item before.
    pub fn fetch_data(
        &mut self,
        attribute: &FetchAttribute,
        len: u64,
        nul: bool,
    ) -> Result<(), Misuse> {
        if self.is_closed() {
            return Ok(());
        }
        self.out.fetch_data(self.enabled, attribute, len, nul)
    }

    /// The next bytes announced by [`Server::fetch_data`], in pieces of any
    /// size. Large ones are not copied. Look at [`Server::pending_output`]
    /// between pieces.
    ///
    /// # Errors
    /// [`Misuse`] for more bytes than were announced.
    pub fn body(&mut self, bytes: Bytes) -> Result<(), Misuse> {
        if self.is_closed() {
            return Ok(());
        }
        self.out.body(bytes)
    }

    /// Ends a FETCH response.
    ///
    /// # Errors
    /// [`Misuse`] when none is open, or bytes are missing.
    pub fn fetch_end(&mut self) -> Result<(), Misuse> {
        if self.is_closed() {
            return Ok(());
        }
        self.out.fetch_end()
    }

    /// Begins an URLFETCH response with what one URL names, exactly `len` bytes,
    /// which follow by [`Server::body`]; then [`Server::url_end`].
    ///
    /// # Errors
    /// [`Misuse`] before the login, and while another response is open.
    pub fn url_begin(&mut self, url: &str, len: u64) -> Result<(), Misuse> {
        if self.is_closed() {
            return Ok(());
        }
        if self.identity.is_none() {
            return Err(Misuse("an untagged response before the login"));
        }
        self.out.url_begin(self.enabled.rev2, url, len)
    }

    /// Ends an URLFETCH response.
    ///
    /// # Errors
    /// [`Misuse`] when none is open, or bytes are missing.
    pub fn url_end(&mut self) -> Result<(), Misuse> {
        if self.is_closed() {
            return Ok(());
        }
        self.out.url_end()
    }

    /// Bytes made and not yet taken by [`poll_output`](crate::Session::poll_output): a producer
    /// stops above a bound of its choice and goes on when they are sent.
    pub fn pending_output(&self) -> usize {
        self.out.len()
    }
}
