#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

const MOST: usize = 512;

fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [V2_SIGNATURE, &[command, family], &length, block].concat()
}

fn tcp(source: &str, destination: &str) -> Header {
    Header::tcp(source.parse().unwrap(), destination.parse().unwrap()).unwrap()
}

/// A header is found at its last byte and not before, whatever follows it.
fn complete(header: &[u8], says: Header) {
    for end in 0..header.len() {
        let cut = parse(&header[..end], MOST);
        assert_eq!(cut, Ok(None), "{end} bytes of {header:?}");
    }
    for more in [&b""[..], b"\r\n", b"EHLO x\r\n", b"PROXY "] {
        let all = [header, more].concat();
        assert_eq!(parse(&all, MOST), Ok(Some((says, header.len()))));
    }
}

/// Something is refused at its last byte and not before, whatever follows it.
fn refused(bytes: &[u8], why: Error) {
    for end in 0..bytes.len() {
        assert_eq!(parse(&bytes[..end], MOST), Ok(None), "{end} of {bytes:?}");
    }
    for more in [&b""[..], b"\r\n", &[b'x'; 300]] {
        assert_eq!(parse(&[bytes, more].concat(), MOST), Err(why), "{bytes:?}");
    }
}

#[test]
fn lines_of_version_1() {
    for (line, says) in [
        (
            "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
            tcp("192.168.0.1:56324", "192.168.0.11:443"),
        ),
        (
            "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            tcp("255.255.255.255:65535", "255.255.255.255:65535"),
        ),
        (
            "PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n",
            tcp("0.0.0.0:0", "0.0.0.0:0"),
        ),
        (
            "PROXY TCP6 2001:db8::1 2001:DB8::2 1 25\r\n",
            tcp("[2001:db8::1]:1", "[2001:db8::2]:25"),
        ),
        (
            "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
            tcp(
                "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
                "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
            ),
        ),
        (
            "PROXY TCP6 ::ffff:192.0.2.1 :: 1 2\r\n",
            tcp("[::ffff:192.0.2.1]:1", "[::]:2"),
        ),
        ("PROXY UNKNOWN\r\n", Header::Unspecified),
        ("PROXY UNKNOWN \r\n", Header::Unspecified),
        ("PROXY UNKNOWN what\never 1 2 3\r\n", Header::Unspecified),
        (
            "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
            Header::Unspecified,
        ),
    ] {
        assert!(line.len() <= V1_LENGTH);
        complete(line.as_bytes(), says);
    }
}

#[test]
fn what_is_no_line() {
    for line in [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 \r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1\t192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
        "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP6 2001:db8::1 192.0.2.2 1 2\r\n",
        "PROXY TCP6 2001:db8::1::2 :: 1 2\r\n",
        "PROXY TCP6 2001:db8:0:0:0:0:0:0:1 :: 1 2\r\n",
        "PROXY TCP6 2001:db8::12345 :: 1 2\r\n",
        "PROXY TCP6 fe80::1%eth0 :: 1 2\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY unknown\r\n",
        "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
    ] {
        refused(line.as_bytes(), Error::Line);
    }
    // A line end that does not come in time, also when half of it does.
    for line in ["PROXY UNKNOWN ", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n"] {
        let long = format!("{line}{}", "x".repeat(V1_LENGTH - line.len()));
        refused(long.as_bytes(), Error::Line);
        let half = format!("{line}{}\r", "x".repeat(V1_LENGTH - line.len() - 1));
        refused(half.as_bytes(), Error::Line);
    }
}

#[test]
fn headers_of_version_2() {
    let four = [192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x34, 0, 25];
    let says = tcp("192.0.2.1:4660", "192.0.2.2:25");
    complete(&v2(0x21, 0x11, &four), says);
    // Fields behind the addresses are skipped, also those that lie about their length.
    for field in [&b"\x04\0\x02ab"[..], b"\x02\xff\xffx", b"\x20", &[0; 400]] {
        complete(&v2(0x21, 0x11, &[&four, field].concat()), says);
    }
    let mut six = [0; 36];
    (six[15], six[31], six[33], six[35]) = (1, 2, 3, 4);
    complete(&v2(0x21, 0x21, &six), tcp("[::1]:3", "[::2]:4"));
    // LOCAL: addresses do not count, nor does a family that there is not.
    for family in [0x00, 0x11, 0x21, 0x31, 0xff] {
        complete(&v2(0x20, family, &[]), Header::Unspecified);
        complete(&v2(0x20, family, &six), Header::Unspecified);
    }
    // What is not TCP.
    for family in [0x00, 0x01, 0x02, 0x10, 0x12, 0x20, 0x22, 0x30, 0x31, 0x32] {
        complete(&v2(0x21, family, &[]), Header::Unspecified);
        complete(&v2(0x21, family, &[b'/'; 216]), Header::Unspecified);
    }
}

#[test]
fn what_is_no_header() {
    for command in (0..=0xff).filter(|command| !matches!(command, 0x20 | 0x21)) {
        refused(&[V2_SIGNATURE, &[command]].concat(), Error::Command);
    }
    for family in [0x13, 0x1f, 0x23, 0x40, 0x41, 0xf0, 0xff] {
        refused(&[V2_SIGNATURE, &[0x21, family]].concat(), Error::Family);
    }
    for (family, most) in [(0x11, 11), (0x21, 35)] {
        for length in 0..=most {
            let head = [V2_SIGNATURE, &[0x21, family, 0, length]].concat();
            refused(&head, Error::Short);
        }
    }
    let length = u16::try_from(MOST - V2_FIXED + 1).unwrap().to_be_bytes();
    for command in [0x20, 0x21] {
        let head = [V2_SIGNATURE, &[command, 0x11], &length].concat();
        refused(&head, Error::Long);
    }
    assert_eq!(parse(b"", MOST), Ok(None));
    for other in [
        &b"E"[..],
        b"EHLO x\r\n",
        b"PROXX",
        b"proxy ",
        b"\r\n\r\n\r",
        b"\n",
        b"\x16\x03\x01",
    ] {
        assert_eq!(parse(other, MOST), Err(Error::Signature), "{other:?}");
    }
}

#[test]
fn of_two_families_nothing_can_be_said() {
    let (four, six) = ("192.0.2.1:1".parse().unwrap(), "[::1]:1".parse().unwrap());
    assert_eq!(Header::tcp(four, six), None);
    assert_eq!(Header::tcp(six, four), None);
}

fn any_header() -> impl Strategy<Value = Header> {
    let four = any::<([u8; 4], u16, [u8; 4], u16)>().prop_map(|(from, sent, to, got)| {
        Header::tcp((from, sent).into(), (to, got).into()).unwrap()
    });
    let six = any::<([u8; 16], u16, [u8; 16], u16)>().prop_map(|(from, sent, to, got)| {
        Header::tcp((from, sent).into(), (to, got).into()).unwrap()
    });
    prop_oneof![Just(Header::Unspecified), four, six]
}

/// Bytes that are a header, nearly one, or noise.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let fields = proptest::collection::vec(any::<u8>(), 0..40);
    let written = (any_header(), any::<bool>(), fields)
        .prop_map(|(header, text, rest)| {
            let mut bytes = match text {
                true => header.to_v1().into_bytes(),
                false => header.to_v2(),
            };
            bytes.extend(rest);
            bytes
        })
        .boxed();
    let broken = (written.clone(), any::<(usize, u8)>()).prop_map(|(mut bytes, (at, byte))| {
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes
    });
    let noise = proptest::collection::vec(any::<u8>(), 0..200);
    prop_oneof![written, broken, noise]
}

proptest! {
    #[test]
    fn what_is_written_is_read(header in any_header(), rest: Vec<u8>) {
        for written in [header.to_v1().into_bytes(), header.to_v2()] {
            let length = written.len();
            let all = [written, rest.clone()].concat();
            prop_assert_eq!(parse(&all, MOST), Ok(Some((header, length))));
        }
    }

    /// However the bytes come, the answer is the same, and it comes once.
    #[test]
    fn more_bytes_change_no_answer(bytes in any_bytes()) {
        let mut answer = Ok(None);
        for end in 0..=bytes.len() {
            let now = parse(&bytes[..end], MOST);
            if answer != Ok(None) {
                prop_assert_eq!(now, answer);
            }
            if let Ok(Some((_, length))) = now {
                prop_assert!(length <= end && length <= MOST);
            }
            answer = now;
        }
        // It is certain in time: no more than this has to be kept.
        if bytes.len() >= MOST {
            prop_assert_ne!(answer, Ok(None));
        }
    }
}
