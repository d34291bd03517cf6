//! DEFLATE below a session: COMPRESS of IMAP
//! ([RFC 4978](https://www.rfc-editor.org/rfc/rfc4978)).
//!
//! A connection that is at rest keeps what it needs to read on (the peer may
//! point back at what it sent before), but not what it would need to write: a
//! new compressor takes over wherever the last one flushed.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::stream::Io;

/// After so long without output the compressor's memory is given back.
const REST: Duration = Duration::from_secs(2);
/// Compressed bytes that wait to be sent, above which nothing more is taken.
const UNSENT: usize = 64 * 1024;
/// Bytes compressed at a time.
const PIECE: usize = 16 * 1024;
/// Compressed bytes read at a time.
const READ: usize = 8 * 1024;

/// A stream whose bytes are compressed in both directions.
pub(super) struct Deflated {
    io: Box<dyn Io>,
    inflate: Decompress,
    deflate: Option<Compress>,
    /// Compressed bytes that were read.
    incoming: Vec<u8>,
    /// So many of them are used up.
    used: usize,
    /// The last buffer was filled: there may be more without reading.
    more: bool,
    /// Compressed bytes, so many of which are sent.
    outgoing: Vec<u8>,
    sent: usize,
    /// The compressor keeps bytes.
    unflushed: bool,
    /// When the compressor is given up.
    rest: Option<Pin<Box<Sleep>>>,
}

impl Deflated {
    pub(super) fn new(io: Box<dyn Io>) -> Deflated {
        Deflated {
            io,
            inflate: Decompress::new(false),
            deflate: None,
            incoming: Vec::new(),
            used: 0,
            more: false,
            outgoing: Vec::new(),
            sent: 0,
            unflushed: false,
            rest: None,
        }
    }

    /// Compresses into what is to be sent.
    fn compress(&mut self, bytes: &[u8], flush: FlushCompress) -> io::Result<()> {
        let deflate = self
            .deflate
            .get_or_insert_with(|| Compress::new(Compression::new(6), false));
        self.rest = None;
        let mut left = bytes;
        loop {
            self.outgoing.reserve(left.len() / 2 + 256);
            let before = deflate.total_in();
            let status = deflate
                .compress_vec(left, &mut self.outgoing, flush)
                .map_err(io::Error::other)?;
            let taken = usize::try_from(deflate.total_in() - before).unwrap_or(usize::MAX);
            left = left.get(taken..).unwrap_or_default();
            let full = self.outgoing.len() == self.outgoing.capacity();
            if left.is_empty() && !full {
                return Ok(());
            }
            if status == Status::StreamEnd || (taken == 0 && !full) {
                return Err(io::Error::other("the compressor stopped"));
            }
        }
    }

    /// Sends what is compressed.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(left) = self
            .outgoing
            .get(self.sent..)
            .filter(|left| !left.is_empty())
        {
            let sent = ready!(Pin::new(&mut self.io).poll_write(cx, left))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += sent;
        }
        // A connection at rest keeps no buffer.
        self.outgoing = Vec::new();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Gives the compressor up once nothing was sent for a while.
    fn poll_rest(&mut self, cx: &mut Context<'_>) {
        if self.deflate.is_none() || self.unflushed {
            return;
        }
        let rest = self.rest.get_or_insert_with(|| Box::pin(sleep(REST)));
        if rest.as_mut().poll(cx).is_ready() {
            self.deflate = None;
            self.rest = None;
        }
    }
}

impl AsyncRead for Deflated {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            if this.more || this.used < this.incoming.len() {
                let input = this.incoming.get(this.used..).unwrap_or_default();
                let (read, made) = (this.inflate.total_in(), this.inflate.total_out());
                let space = buf.initialize_unfilled();
                let status = this
                    .inflate
                    .decompress(input, space, FlushDecompress::Sync)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                let room = space.len();
                let count = |from: u64, to: u64| usize::try_from(to - from).unwrap_or(usize::MAX);
                this.used += count(read, this.inflate.total_in());
                let made = count(made, this.inflate.total_out());
                buf.advance(made);
                this.more = made == room;
                if this.used >= this.incoming.len() {
                    this.incoming = Vec::new();
                    this.used = 0;
                }
                if made > 0 || status == Status::StreamEnd {
                    return Poll::Ready(Ok(()));
                }
                if this.used < this.incoming.len() && status == Status::BufError {
                    let error = "the compressed bytes cannot be read on";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
                }
                continue;
            }
            let mut space = [0; READ];
            let mut read = ReadBuf::new(&mut space);
            match Pin::new(&mut this.io).poll_read(cx, &mut read) {
                Poll::Pending => {
                    this.poll_rest(cx);
                    return Poll::Pending;
                }
                Poll::Ready(done) => done?,
            }
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.incoming = read.filled().to_vec();
            this.used = 0;
        }
    }
}

impl AsyncWrite for Deflated {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.outgoing.len() - this.sent > UNSENT {
            ready!(this.poll_send(cx))?;
        }
        let piece = bytes.get(..bytes.len().min(PIECE)).unwrap_or_default();
        this.compress(piece, FlushCompress::None)?;
        this.unflushed = true;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.unflushed {
            this.compress(&[], FlushCompress::Sync)?;
            this.unflushed = false;
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test]
    async fn both_directions_in_pieces_of_any_size() {
        let text: Vec<u8> = (0..300_000u32)
            .flat_map(|n| (n % 1000).to_be_bytes())
            .collect();
        // Less would not hold the mark of a flush, which nobody reads here.
        for size in [16, 4096, 100_000] {
            let (ours, theirs) = duplex(size);
            let mut ours = Deflated::new(Box::new(ours));
            let mut theirs = Deflated::new(Box::new(theirs));
            let sent = text.clone();
            let send = tokio::spawn(async move {
                ours.write_all(&sent).await.unwrap();
                ours.flush().await.unwrap();
                let mut back = vec![0; 5];
                ours.read_exact(&mut back).await.unwrap();
                assert_eq!(back, b"thank");
                ours.shutdown().await.unwrap();
            });
            let mut got = vec![0; text.len()];
            theirs.read_exact(&mut got).await.unwrap();
            assert!(got == text, "{size}");
            theirs.write_all(b"thank").await.unwrap();
            theirs.flush().await.unwrap();
            assert_eq!(theirs.read(&mut got).await.unwrap(), 0);
            send.await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn at_rest_the_compressor_is_given_up_and_the_stream_goes_on() {
        let (ours, theirs) = duplex(64 * 1024);
        let mut ours = Deflated::new(Box::new(ours));
        let mut theirs = Deflated::new(Box::new(theirs));
        for round in 0..3 {
            ours.write_all(b"the same again").await.unwrap();
            ours.flush().await.unwrap();
            assert!(ours.deflate.is_some());
            let mut got = [0; 14];
            theirs.read_exact(&mut got).await.unwrap();
            assert_eq!(&got, b"the same again", "{round}");
            let mut none = [0; 1];
            let wait = tokio::time::timeout(REST * 2, ours.read(&mut none));
            assert!(wait.await.is_err());
            assert!(ours.deflate.is_none() && ours.outgoing.capacity() == 0);
        }
    }

    #[tokio::test]
    async fn what_is_not_compressed_is_an_error() {
        let (mut ours, theirs) = duplex(1024);
        let mut theirs = Deflated::new(Box::new(theirs));
        ours.write_all(b"\xff\xff\xff a NOOP\r\n").await.unwrap();
        let error = theirs.read(&mut [0; 100]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    /// CVE-2026-73209: blocks that hold nothing.
    #[tokio::test]
    async fn blocks_without_bytes_hold_no_memory_and_do_not_recurse() {
        let (mut ours, theirs) = duplex(64 * 1024);
        let mut theirs = Deflated::new(Box::new(theirs));
        let sent = tokio::spawn(async move {
            // Stored blocks of no length, then one of two bytes.
            let empty = b"\x00\x00\x00\xff\xff".repeat(10_000);
            for _ in 0..100 {
                ours.write_all(&empty).await.unwrap();
            }
            ours.write_all(b"\x00\x02\x00\xfd\xffok").await.unwrap();
            // The last block: what comes behind it is not read.
            ours.write_all(b"\x01\x00\x00\xff\xffbehind").await.unwrap();
            ours
        });
        let mut got = [0; 2];
        theirs.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"ok");
        assert!(theirs.incoming.capacity() <= READ);
        assert_eq!(theirs.read(&mut got).await.unwrap(), 0);
        drop(sent.await.unwrap());
    }

    #[tokio::test]
    async fn a_bomb_comes_out_no_faster_than_it_is_read() {
        let mut bomb = Vec::with_capacity(1 << 20);
        let mut deflate = Compress::new(Compression::best(), false);
        let zeros = vec![0; 1 << 20];
        for _ in 0..64 {
            bomb.reserve(1 << 16);
            deflate
                .compress_vec(&zeros, &mut bomb, FlushCompress::Sync)
                .unwrap();
        }
        let (mut ours, theirs) = duplex(1 << 20);
        ours.write_all(&bomb).await.unwrap();
        let mut theirs = Deflated::new(Box::new(theirs));
        let mut small = [1; 100];
        for _ in 0..1000 {
            assert_eq!(theirs.read(&mut small).await.unwrap(), 100);
            assert!(theirs.incoming.len() <= READ);
        }
        assert_eq!(small, [0; 100]);
    }
}
