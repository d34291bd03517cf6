//! Reads what a trusted proxy says first: whose connection it passes on.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axigen_proto::proxy::{self, Header, V1_LENGTH, V2_FIXED};
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::stream::{Io, Stream};
use crate::settings::ProxySettings;

/// Why a proxy's connection is dropped.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// It did not say in time whose connection it is.
    #[error("no PROXY header came in time")]
    TimedOut,
    /// It went away before.
    #[error("the connection ended before the PROXY header did")]
    Ended,
    /// It sent something else.
    #[error(transparent)]
    Header(#[from] proxy::Error),
    /// The stream failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads the header off a connection; what follows it is left to be read.
pub(super) async fn read(
    io: impl Io + 'static,
    settings: &ProxySettings,
) -> Result<(Header, Stream), Error> {
    let reading = tokio::time::timeout(settings.timeout.0, header(io, settings));
    reading.await.unwrap_or(Err(Error::TimedOut))
}

async fn header(
    mut io: impl Io + 'static,
    settings: &ProxySettings,
) -> Result<(Header, Stream), Error> {
    let most = usize::try_from(settings.header_size.0).unwrap_or(usize::MAX);
    // Never more is read than a header may have: what is parsed is bounded by what is kept.
    let room = most.clamp(V1_LENGTH, proxy::V2_LENGTH);
    let mut bytes = BytesMut::with_capacity(V1_LENGTH + V2_FIXED);
    loop {
        let left = room.saturating_sub(bytes.len());
        if left == 0 {
            return Err(proxy::Error::Long.into());
        }
        if (&mut io).take(left as u64).read_buf(&mut bytes).await? == 0 {
            return Err(Error::Ended);
        }
        if let Some((header, length)) = proxy::parse(&bytes, most)? {
            bytes.advance(length);
            let stream = match bytes.is_empty() {
                true => Stream::new(io),
                false => Stream::new(Begun {
                    begun: bytes.freeze(),
                    io,
                }),
            };
            return Ok((header, stream));
        }
    }
}

/// A stream of which something was read already.
struct Begun<I> {
    begun: Bytes,
    io: I,
}

impl<I: Io> AsyncRead for Begun<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.begun.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let some = self.begun.len().min(buf.remaining());
        buf.put_slice(&self.begun.split_to(some));
        if self.begun.is_empty() {
            self.begun = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: Io> AsyncWrite for Begun<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::settings::{Size, Span};

    fn settings() -> ProxySettings {
        ProxySettings {
            timeout: Span(Duration::from_secs(5)),
            header_size: Size(300),
            ..ProxySettings::default()
        }
    }

    fn header() -> Header {
        let (from, to) = ("192.0.2.1:7", "192.0.2.2:25");
        Header::tcp(from.parse().unwrap(), to.parse().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn what_follows_is_there_to_be_read() {
        for head in [header().to_v1().into_bytes(), header().to_v2()] {
            let all = [&head[..], b"EHLO client.example\r\n"].concat();
            for piece in [1, 7, 1000] {
                let (ours, mut theirs) = tokio::io::duplex(4096);
                let sent = all.clone();
                let sending = tokio::spawn(async move {
                    for piece in sent.chunks(piece) {
                        theirs.write_all(piece).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                    theirs
                });
                let (said, stream) = read(ours, &settings()).await.unwrap();
                assert_eq!(said, header());
                drop(sending.await.unwrap());
                let mut rest = String::new();
                stream.into_inner().read_to_string(&mut rest).await.unwrap();
                assert_eq!(rest, "EHLO client.example\r\n");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_header_ends_it() {
        let long = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff"[..], &[0; 100]].concat();
        for (sent, why) in [
            (&b"EHLO client.example\r\n"[..], "does not begin"),
            (b"PROXY TCP4 nobody\r\n", "malformed"),
            (&long, "too long"),
            (b"PROXY UNKNOWN", "ended before"),
            (b"", "ended before"),
        ] {
            let (ours, mut theirs) = tokio::io::duplex(4096);
            theirs.write_all(sent).await.unwrap();
            drop(theirs);
            let error = read(ours, &settings()).await.err().unwrap().to_string();
            assert!(error.contains(why), "{error}");
        }
        // Byte by byte does not make it longer.
        let (ours, mut theirs) = tokio::io::duplex(4096);
        tokio::spawn(async move {
            for byte in b"PROXY UNKNOWN and so on and so on" {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let _ = theirs.write_all(&[*byte]).await;
            }
        });
        let begun = tokio::time::Instant::now();
        let error = read(ours, &settings()).await.err().unwrap();
        assert!(matches!(error, Error::TimedOut), "{error}");
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
    }
}
