//! The PROXY protocol, versions 1 and 2: what a proxy says first of the
//! connection it passes on.
//!
//! The standard is HAProxy's `proxy-protocol.txt`; sections are cited as there.
//! Whoever reads a header must know that one comes (§2): there is no guessing,
//! and no header is taken from a peer that is not trusted to send it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::{char, digit1};
use nom::combinator::{all_consuming, map, map_opt, rest, value};
use nom::number::complete::{be_u16, be_u32, be_u128};
use nom::sequence::{preceded, terminated};
use nom::{IResult, Parser};

/// Longest line of version 1, its line end included (§2.1).
pub const V1_LENGTH: usize = 107;
/// Bytes of a header of version 2 before its addresses (§2.2).
pub const V2_FIXED: usize = 16;
/// The longest header of version 2 that there can be.
pub const V2_LENGTH: usize = V2_FIXED + u16::MAX as usize;

const V1_SIGNATURE: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Addresses and ports over IPv4 and IPv6.
const V4_ADDRESSES: usize = 12;
const V6_ADDRESSES: usize = 36;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// The connection is the proxy's own (LOCAL), or it does not say whose it
    /// is (UNKNOWN, UNSPEC, no TCP): the real end points count.
    Unspecified,
    /// TCP over IPv4.
    Tcp4 {
        /// The client.
        source: SocketAddrV4,
        /// Where the client connected to.
        destination: SocketAddrV4,
    },
    /// TCP over IPv6.
    Tcp6 {
        /// The client.
        source: SocketAddrV6,
        /// Where the client connected to.
        destination: SocketAddrV6,
    },
}

/// Why something is no header. The connection is to be dropped (§2.1, §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It begins like neither version.
    #[error("it does not begin with a PROXY header")]
    Signature,
    /// A line of version 1 that is too long, or not what the grammar says.
    #[error("the PROXY line is malformed")]
    Line,
    /// A version or a command that does not exist.
    #[error("the PROXY header has a version or a command that is not known")]
    Command,
    /// A family or a protocol that does not exist.
    #[error("the PROXY header has an address family or a protocol that is not known")]
    Family,
    /// The addresses do not fit into the length.
    #[error("the PROXY header is too short for its addresses")]
    Short,
    /// Longer than the reader allows.
    #[error("the PROXY header is too long")]
    Long,
}

impl Header {
    /// TCP from one address to another. `None` if one is of IPv4 and the other
    /// of IPv6, which no header can say.
    pub fn tcp(source: SocketAddr, destination: SocketAddr) -> Option<Header> {
        let (sent, got) = (source.port(), destination.port());
        match (source.ip(), destination.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => Some(Header::Tcp4 {
                source: SocketAddrV4::new(from, sent),
                destination: SocketAddrV4::new(to, got),
            }),
            (IpAddr::V6(from), IpAddr::V6(to)) => Some(Header::Tcp6 {
                source: SocketAddrV6::new(from, sent, 0, 0),
                destination: SocketAddrV6::new(to, got, 0, 0),
            }),
            _ => None,
        }
    }

    /// The client, if the header names one.
    pub fn source(&self) -> Option<SocketAddr> {
        match *self {
            Header::Unspecified => None,
            Header::Tcp4 { source, .. } => Some(source.into()),
            Header::Tcp6 { source, .. } => Some(source.into()),
        }
    }

    /// Where the client connected to, if the header says so.
    pub fn destination(&self) -> Option<SocketAddr> {
        match *self {
            Header::Unspecified => None,
            Header::Tcp4 { destination, .. } => Some(destination.into()),
            Header::Tcp6 { destination, .. } => Some(destination.into()),
        }
    }

    /// As a line of version 1.
    pub fn to_v1(&self) -> String {
        match self {
            Header::Unspecified => "PROXY UNKNOWN\r\n".to_owned(),
            Header::Tcp4 {
                source,
                destination,
            } => format!(
                "PROXY TCP4 {} {} {} {}\r\n",
                source.ip(),
                destination.ip(),
                source.port(),
                destination.port()
            ),
            Header::Tcp6 {
                source,
                destination,
            } => format!(
                "PROXY TCP6 {} {} {} {}\r\n",
                source.ip(),
                destination.ip(),
                source.port(),
                destination.port()
            ),
        }
    }

    /// In the form of version 2, without further fields.
    pub fn to_v2(&self) -> Vec<u8> {
        let (command, family, addresses) = match self {
            Header::Unspecified => (0x20, 0x00, Vec::new()),
            Header::Tcp4 {
                source,
                destination,
            } => {
                let (from, to) = (source.ip().octets(), destination.ip().octets());
                (0x21, 0x11, [from, to].concat())
            }
            Header::Tcp6 {
                source,
                destination,
            } => {
                let (from, to) = (source.ip().octets(), destination.ip().octets());
                (0x21, 0x21, [from, to].concat())
            }
        };
        let ports: Vec<u8> = [self.source(), self.destination()]
            .iter()
            .flatten()
            .flat_map(|end| end.port().to_be_bytes())
            .collect();
        // 36 at most.
        let length = (addresses.len() + ports.len()) as u16;
        let fixed = [&[command, family][..], &length.to_be_bytes()].concat();
        [V2_SIGNATURE, &fixed, &addresses, &ports].concat()
    }
}

/// Reads a header from the first bytes of a connection: what it says, and how
/// many bytes it has. `None` while it is not complete. A header of version 2
/// may have `most` bytes; what stands behind its addresses is skipped.
///
/// # Errors
/// [`Error`], as soon as it is certain that no more bytes make it a header.
pub fn parse(input: &[u8], most: usize) -> Result<Option<(Header, usize)>, Error> {
    let begins = |signature: &[u8]| {
        let common = signature.len().min(input.len());
        input.get(..common) == signature.get(..common)
    };
    if begins(V2_SIGNATURE) {
        parse_v2(input, most)
    } else if begins(V1_SIGNATURE) {
        parse_v1(input)
    } else {
        Err(Error::Signature)
    }
}

/// §2.1: nothing is decoded before CRLF is there, which is one of the first 107
/// characters.
fn parse_v1(input: &[u8]) -> Result<Option<(Header, usize)>, Error> {
    let room = input.get(..V1_LENGTH).unwrap_or(input);
    let Some(end) = room.windows(2).position(|pair| pair == b"\r\n") else {
        return match room.len() {
            V1_LENGTH => Err(Error::Line),
            _ => Ok(None),
        };
    };
    let line = room.get(..end).unwrap_or_default();
    match all_consuming(v1_line).parse(line) {
        Ok((_, header)) => Ok(Some((header, end + 2))),
        Err(_) => Err(Error::Line),
    }
}

/// `PROXY` SP ( `TCP4` / `TCP6` ) SP source SP destination SP port SP port, or
/// `PROXY UNKNOWN` with anything behind it.
fn v1_line(input: &[u8]) -> IResult<&[u8], Header> {
    let unknown = preceded(tag("UNKNOWN"), alt((preceded(char(' '), rest), end)));
    let of_four = (
        ip::<Ipv4Addr>,
        ip::<Ipv4Addr>,
        port,
        preceded(char(' '), port),
    );
    let of_six = (
        ip::<Ipv6Addr>,
        ip::<Ipv6Addr>,
        port,
        preceded(char(' '), port),
    );
    preceded(
        tag(V1_SIGNATURE),
        alt((
            value(Header::Unspecified, unknown),
            map(preceded(tag("TCP4 "), of_four), |(from, to, sent, got)| {
                Header::Tcp4 {
                    source: SocketAddrV4::new(from, sent),
                    destination: SocketAddrV4::new(to, got),
                }
            }),
            map(preceded(tag("TCP6 "), of_six), |(from, to, sent, got)| {
                Header::Tcp6 {
                    source: SocketAddrV6::new(from, sent, 0, 0),
                    destination: SocketAddrV6::new(to, got, 0, 0),
                }
            }),
        )),
    )
    .parse(input)
}

/// Nothing follows.
fn end(input: &[u8]) -> IResult<&[u8], &[u8]> {
    nom::combinator::eof(input)
}

/// An address and the space behind it. Leading zeros are none of its forms.
fn ip<T: std::str::FromStr>(input: &[u8]) -> IResult<&[u8], T> {
    let text = take_while1(|byte: u8| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.');
    let address = map_opt(text, |text| std::str::from_utf8(text).ok()?.parse().ok());
    terminated(address, char(' ')).parse(input)
}

/// 0 to 65535 without leading zeros.
fn port(input: &[u8]) -> IResult<&[u8], u16> {
    map_opt(digit1, |digits: &[u8]| {
        let plain = digits.len() == 1 || digits.first() != Some(&b'0');
        std::str::from_utf8(digits)
            .ok()
            .filter(|_| plain)?
            .parse()
            .ok()
    })
    .parse(input)
}

fn parse_v2(input: &[u8], most: usize) -> Result<Option<(Header, usize)>, Error> {
    let Some(&command) = input.get(12) else {
        return Ok(None);
    };
    let proxied = match command {
        0x20 => false,
        0x21 => true,
        _ => return Err(Error::Command),
    };
    let Some(&family) = input.get(13) else {
        return Ok(None);
    };
    // What LOCAL says of a family is ignored.
    if proxied && (family >> 4 > 3 || family & 0x0f > 2) {
        return Err(Error::Family);
    }
    let Some(length) = input.get(14..V2_FIXED) else {
        return Ok(None);
    };
    let (_, length) = be_u16::<_, nom::error::Error<_>>(length).map_err(|_| Error::Short)?;
    let length = usize::from(length);
    if V2_FIXED + length > most {
        return Err(Error::Long);
    }
    // §2.2: what is not supported here of the valid combinations (UDP, Unix sockets) falls back to
    // the real end points.
    let needed = match (proxied, family) {
        (true, 0x11) => V4_ADDRESSES,
        (true, 0x21) => V6_ADDRESSES,
        _ => 0,
    };
    if length < needed {
        return Err(Error::Short);
    }
    let Some(block) = input.get(V2_FIXED..V2_FIXED + length) else {
        return Ok(None);
    };
    let addresses = block.get(..needed).unwrap_or_default();
    let header = match needed {
        V4_ADDRESSES => v2_tcp4(addresses),
        V6_ADDRESSES => v2_tcp6(addresses),
        _ => return Ok(Some((Header::Unspecified, V2_FIXED + length))),
    };
    let (_, header) = header.map_err(|_| Error::Short)?;
    Ok(Some((header, V2_FIXED + length)))
}

fn v2_tcp4(input: &[u8]) -> IResult<&[u8], Header> {
    map((be_u32, be_u32, be_u16, be_u16), |(from, to, sent, got)| {
        Header::Tcp4 {
            source: SocketAddrV4::new(Ipv4Addr::from_bits(from), sent),
            destination: SocketAddrV4::new(Ipv4Addr::from_bits(to), got),
        }
    })
    .parse(input)
}

fn v2_tcp6(input: &[u8]) -> IResult<&[u8], Header> {
    map(
        (be_u128, be_u128, be_u16, be_u16),
        |(from, to, sent, got)| Header::Tcp6 {
            source: SocketAddrV6::new(Ipv6Addr::from_bits(from), sent, 0, 0),
            destination: SocketAddrV6::new(Ipv6Addr::from_bits(to), got, 0, 0),
        },
    )
    .parse(input)
}

#[cfg(test)]
mod tests;
