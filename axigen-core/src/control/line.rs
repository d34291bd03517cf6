//! Lines of bounded length, for both sides of the control socket.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// The next line without its line feed, at most so many bytes; `None` at the
/// end.
///
/// # Errors
/// [`ErrorKind::InvalidData`] for a longer line, which is read no further;
/// [`ErrorKind::UnexpectedEof`] for one that has no end; of the socket.
pub(super) async fn read(
    from: &mut (impl AsyncBufRead + Unpin),
    most: usize,
) -> Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        let some = from.fill_buf().await?;
        if some.is_empty() {
            return match line.is_empty() {
                true => Ok(None),
                false => Err(ErrorKind::UnexpectedEof.into()),
            };
        }
        let end = memchr::memchr(b'\n', some);
        let piece = some.get(..end.unwrap_or(some.len())).unwrap_or_default();
        if line.len() + piece.len() > most {
            return Err(Error::new(
                ErrorKind::InvalidData,
                format!("a line of more than {most} bytes"),
            ));
        }
        line.extend_from_slice(piece);
        let used = piece.len() + usize::from(end.is_some());
        from.consume(used);
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn lines_are_cut_wherever_the_bytes_are() {
        let text: &[u8] = b"one\n\ntwelve bytes\nrest";
        for size in 1..text.len() {
            let mut from = tokio::io::BufReader::with_capacity(size, text);
            for wanted in ["one", "", "twelve bytes"] {
                let line = read(&mut from, 12).await.unwrap().unwrap();
                assert_eq!(line, wanted.as_bytes());
            }
            let end = read(&mut from, 12).await.unwrap_err();
            assert_eq!(end.kind(), ErrorKind::UnexpectedEof);
            assert!(read(&mut from, 12).await.unwrap().is_none());
            let mut from = tokio::io::BufReader::with_capacity(size, text);
            read(&mut from, 11).await.unwrap();
            read(&mut from, 11).await.unwrap();
            let long = read(&mut from, 11).await.unwrap_err();
            assert_eq!(long.kind(), ErrorKind::InvalidData);
        }
    }
}
