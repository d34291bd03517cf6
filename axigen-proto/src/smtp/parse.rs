//! The grammar of commands, addresses and reply lines.
//!
//! Parsers run on complete lines without their CRLF. Each function below the
//! public ones is one rule of the grammar, which its documentation quotes.
//! Command words and keywords are matched in any case.
//!
//! Two liberties are taken, because they are common and harmless: spaces at
//! the end of a line (RFC 5321 §4.1.1 asks for it), and spaces behind `FROM:`
//! and `TO:`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use nom::branch::alt;
use nom::bytes::complete::{tag_no_case, take_while, take_while_m_n, take_while1};
use nom::character::complete::{alpha1, char, digit1, satisfy, space0, space1};
use nom::combinator::{all_consuming, map, map_res, opt, recognize, rest, value, verify};
use nom::error::{ErrorKind, FromExternalError, ParseError};
use nom::multi::{fold_many0, many0, separated_list1};
use nom::sequence::{delimited, pair, preceded, separated_pair, terminated};
use nom::{IResult, Parser};
use zeroize::Zeroizing;

use super::address::{
    AddressError, Domain, DomainName, ForwardPath, HelloName, Mailbox, ReversePath, is_label_char,
};
use super::command::{BodyType, Command, Hello, HelloVerb, InitialResponse, Mail, Rcpt, Submitter};
use super::reply::{EnhancedCode, Reply};
use super::standard::{self, Standard};

/// What is wrong with a command, as the reply that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} {}", .0.code, .0.text)]
pub struct SyntaxError(pub Standard);

impl SyntaxError {
    fn new(code: u16, enhanced: (u8, u16, u16), text: &'static str) -> Self {
        Self(Standard {
            code,
            enhanced,
            text,
        })
    }

    fn argument(text: &'static str) -> Self {
        Self::new(501, (5, 5, 4), text)
    }
}

impl From<SyntaxError> for Reply {
    fn from(error: SyntaxError) -> Self {
        error.0.into()
    }
}

/// Parses a command line, given without its CRLF.
///
/// # Errors
/// The reply to give: 500 for what is no command, 501 for wrong arguments, 555
/// for an unknown parameter.
pub fn command(line: &[u8]) -> Result<Command, SyntaxError> {
    // RFC 5321 §2.3.8: CR and LF appear together only.
    if line.iter().any(|b| matches!(b, b'\r' | b'\n')) {
        return Err(SyntaxError(standard::BARE_LINE_END));
    }
    let line = std::str::from_utf8(line).map_err(|_| SyntaxError(standard::NOT_TEXT))?;
    if line.bytes().any(|b| b.is_ascii_control()) {
        return Err(SyntaxError(standard::NOT_TEXT));
    }
    let line = line.trim_end_matches(' ');
    let unknown = SyntaxError(standard::UNKNOWN_COMMAND);
    let (arguments, verb) = alpha1::<_, Fault>(line).map_err(|_| unknown)?;
    let arguments = match arguments.strip_prefix(' ') {
        Some(arguments) => Some(arguments),
        None if arguments.is_empty() => None,
        None => return Err(unknown),
    };
    let command = match verb.to_ascii_uppercase().as_str() {
        "EHLO" => hello(HelloVerb::Ehlo, arguments)?,
        "HELO" => hello(HelloVerb::Helo, arguments)?,
        "LHLO" => hello(HelloVerb::Lhlo, arguments)?,
        "MAIL" => mail(arguments.unwrap_or_default())?,
        "RCPT" => rcpt(arguments.unwrap_or_default())?,
        "DATA" => without_argument(Command::Data, arguments)?,
        "BDAT" => bdat(arguments.unwrap_or_default())?,
        "RSET" => without_argument(Command::Rset, arguments)?,
        "NOOP" => Command::Noop,
        "VRFY" => Command::Vrfy(text_argument(arguments)?),
        "EXPN" => Command::Expn(text_argument(arguments)?),
        "HELP" => Command::Help,
        "QUIT" => without_argument(Command::Quit, arguments)?,
        "STARTTLS" => without_argument(Command::StartTls, arguments)?,
        "AUTH" => auth(arguments.unwrap_or_default())?,
        _ => return Err(unknown),
    };
    Ok(command)
}

/// Decodes a line of an AUTH exchange. The result is wiped when dropped.
///
/// # Errors
/// `501 5.5.2` for anything but padded base64 (RFC 4648 §4).
pub fn base64(line: &[u8]) -> Result<Zeroizing<Vec<u8>>, SyntaxError> {
    BASE64
        .decode(line)
        .map(Zeroizing::new)
        .map_err(|_| SyntaxError(standard::BAD_BASE64))
}

/// One line of a reply, as a client reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyLine<'a> {
    /// The three-digit code.
    pub code: u16,
    /// Whether it is the last line of its reply.
    pub last: bool,
    /// What stands behind the code.
    pub text: &'a str,
}

/// Parses a line of a reply, given without its CRLF.
///
/// ```text
/// Reply-line = Reply-code [ ("-" / SP) textstring ]
/// Reply-code = %x32-35 2DIGIT
/// ```
///
/// RFC 5321 §4.2 wants a second digit of 0 to 5; servers exist that send 571,
/// so any digit is taken. `None` for what is no reply line.
pub fn reply_line(line: &str) -> Option<ReplyLine<'_>> {
    let code = map_res(
        recognize(pair(
            satisfy(|c| ('2'..='5').contains(&c)),
            take_while_m_n(2, 2, |c: char| c.is_ascii_digit()),
        )),
        str::parse::<u16>,
    );
    let end = alt((
        map(preceded(char('-'), rest), |text| (false, text)),
        map(preceded(char(' '), rest), |text| (true, text)),
        map(verify(rest, str::is_empty), |text| (true, text)),
    ));
    let parsed: Parsed<'_, _> = all_consuming(pair(code, end)).parse(line);
    let (_, (code, (last, text))) = parsed.ok()?;
    Some(ReplyLine { code, last, text })
}

/// Splits an enhanced status code off the text of a reply.
///
/// ```text
/// status-code = ("2"/"4"/"5") "." 1*3DIGIT "." 1*3DIGIT   ; RFC 2034 §4
/// ```
pub fn enhanced_code(text: &str) -> Option<(EnhancedCode, &str)> {
    let number = || {
        map_res(take_while_m_n(1, 3, |c: char| c.is_ascii_digit()), |n| {
            str::parse::<u16>(n)
        })
    };
    let class = map(satisfy(|c| matches!(c, '2' | '4' | '5')), |c| match c {
        '2' => 2,
        '4' => 4,
        _ => 5,
    });
    let parsed: Parsed<'_, _> = (
        terminated(class, char('.')),
        terminated(number(), char('.')),
        number(),
        alt((preceded(char(' '), rest), verify(rest, str::is_empty))),
    )
        .parse(text);
    let (_, (class, subject, detail, text)) = parsed.ok()?;
    Some((EnhancedCode::from((class, subject, detail)), text))
}

pub(super) fn whole_mailbox(text: &str) -> Result<Mailbox, AddressError> {
    whole(
        mailbox,
        text,
        "not an address of the form local-part@domain",
    )
}

pub(super) fn whole_domain(text: &str) -> Result<Domain, AddressError> {
    whole(
        domain_or_literal,
        text,
        "not a domain or an address literal",
    )
}

/// Whether a local part can be written without quotes.
///
/// ```text
/// Dot-string = Atom *("." Atom)
/// Atom       = 1*atext            ; RFC 5321 §4.1.2, with UTF-8 as in RFC 6531 §3.3
/// ```
pub(super) fn is_dot_string(text: &str) -> bool {
    all_consuming(dot_string).parse(text).is_ok()
}

fn whole<'a, T>(
    parser: impl Parser<&'a str, Output = T, Error = Fault>,
    text: &'a str,
    otherwise: &'static str,
) -> Result<T, AddressError> {
    match all_consuming(parser).parse(text) {
        Ok((_, parsed)) => Ok(parsed),
        Err(nom::Err::Error(fault) | nom::Err::Failure(fault)) => {
            Err(AddressError(fault.0.unwrap_or(otherwise)))
        }
        Err(nom::Err::Incomplete(_)) => Err(AddressError(otherwise)),
    }
}

/// Why a rule did not match, when more is known than that it did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fault(Option<&'static str>);

type Parsed<'a, T> = IResult<&'a str, T, Fault>;

impl ParseError<&str> for Fault {
    fn from_error_kind(_: &str, _: ErrorKind) -> Self {
        Fault(None)
    }

    fn append(_: &str, _: ErrorKind, other: Self) -> Self {
        other
    }

    fn or(self, other: Self) -> Self {
        Fault(self.0.or(other.0))
    }
}

impl FromExternalError<&str, AddressError> for Fault {
    fn from_external_error(_: &str, _: ErrorKind, error: AddressError) -> Self {
        Fault(Some(error.0))
    }
}

impl FromExternalError<&str, std::num::ParseIntError> for Fault {
    fn from_external_error(_: &str, _: ErrorKind, _: std::num::ParseIntError) -> Self {
        Fault(Some("the number is too large"))
    }
}

impl FromExternalError<&str, std::net::AddrParseError> for Fault {
    fn from_external_error(_: &str, _: ErrorKind, _: std::net::AddrParseError) -> Self {
        Fault(Some("the address literal is not valid"))
    }
}

/// `quit = "QUIT" CRLF`, and likewise for DATA, RSET and STARTTLS.
fn without_argument(command: Command, arguments: Option<&str>) -> Result<Command, SyntaxError> {
    match arguments {
        None => Ok(command),
        Some(_) => Err(SyntaxError::argument("this command takes no argument")),
    }
}

/// `vrfy = "VRFY" SP String CRLF`, and likewise for EXPN.
fn text_argument(arguments: Option<&str>) -> Result<String, SyntaxError> {
    match arguments {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        _ => Err(SyntaxError::argument("this command needs an argument")),
    }
}

/// `ehlo = "EHLO" SP ( Domain / address-literal ) CRLF`, taken as
/// [`HelloName`] takes it.
fn hello(verb: HelloVerb, arguments: Option<&str>) -> Result<Command, SyntaxError> {
    let Some(name) = arguments else {
        return Err(SyntaxError::argument("say your name after the command"));
    };
    let name = HelloName::new(name).map_err(|error| SyntaxError::argument(error.0))?;
    Ok(Command::Hello(Hello { verb, name }))
}

/// `mail = "MAIL FROM:" Reverse-path [SP Mail-parameters] CRLF`
fn mail(arguments: &str) -> Result<Command, SyntaxError> {
    const USAGE: &str = "the syntax is MAIL FROM:<address> and parameters";
    let input = keyword("FROM:", arguments).ok_or(SyntaxError::argument(USAGE))?;
    let (input, from) = reverse_path(input).map_err(|error| {
        SyntaxError::new(
            501,
            (5, 1, 7),
            why(error, "the sender address is not valid"),
        )
    })?;
    let mut mail = Mail::new(from);
    for (keyword, value) in parameters(input)? {
        mail_parameter(&mut mail, keyword, value)?;
    }
    Ok(Command::Mail(mail))
}

/// `rcpt = "RCPT TO:" ( "<Postmaster@" Domain ">" / "<Postmaster>" / Forward-path ) [SP Rcpt-parameters] CRLF`
fn rcpt(arguments: &str) -> Result<Command, SyntaxError> {
    const USAGE: &str = "the syntax is RCPT TO:<address>";
    let input = keyword("TO:", arguments).ok_or(SyntaxError::argument(USAGE))?;
    let (input, to) = forward_path(input).map_err(|error| {
        SyntaxError::new(
            501,
            (5, 1, 3),
            why(error, "the recipient address is not valid"),
        )
    })?;
    match parameters(input)?.first() {
        None => Ok(Command::Rcpt(Rcpt::new(to))),
        Some(_) => Err(SyntaxError(standard::UNKNOWN_PARAMETER)),
    }
}

/// What stands behind `FROM:` or `TO:`, if a path starts there.
fn keyword<'a>(word: &'static str, input: &'a str) -> Option<&'a str> {
    let parsed: Parsed<'a, _> = (tag_no_case(word), space0).parse(input);
    let (path, _) = parsed.ok()?;
    path.starts_with('<').then_some(path)
}

fn why(error: nom::Err<Fault>, otherwise: &'static str) -> &'static str {
    match error {
        nom::Err::Error(fault) | nom::Err::Failure(fault) => fault.0.unwrap_or(otherwise),
        nom::Err::Incomplete(_) => otherwise,
    }
}

/// `bdat-cmd = "BDAT" SP chunk-size [ SP end-marker ] CRLF` (RFC 3030 §2)
fn bdat(arguments: &str) -> Result<Command, SyntaxError> {
    let parsed: Parsed<'_, _> = all_consuming(pair(
        map_res(digit1, str::parse::<u64>),
        opt(preceded(space1, tag_no_case("LAST"))),
    ))
    .parse(arguments);
    match parsed {
        Ok((_, (size, last))) => Ok(Command::Bdat {
            size,
            last: last.is_some(),
        }),
        Err(_) => Err(SyntaxError::argument("the syntax is BDAT size [LAST]")),
    }
}

/// `auth-command = "AUTH" SP sasl-mech [SP initial-response] CRLF` (RFC 4954 §8),
/// where `initial-response = base64 / "="` and
/// `sasl-mech = 1*20mech-char`, letters, digits, `-` and `_` (RFC 4422 §3.1).
fn auth(arguments: &str) -> Result<Command, SyntaxError> {
    let mechanism = take_while_m_n(1, 20, |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
    });
    let response = preceded(space1, take_while1(|c: char| c.is_ascii_graphic()));
    let parsed: Parsed<'_, _> = all_consuming(pair(mechanism, opt(response))).parse(arguments);
    let Ok((_, (mechanism, response))) = parsed else {
        return Err(SyntaxError::argument(
            "the syntax is AUTH mechanism [initial-response]",
        ));
    };
    let initial = match response {
        None => None,
        // RFC 4954 §4: "=" is an empty response, which is not the same as none.
        Some("=") => Some(Zeroizing::new(Vec::new())),
        Some(text) => Some(base64(text.as_bytes())?),
    };
    Ok(Command::Auth {
        mechanism: mechanism.to_ascii_uppercase(),
        initial: initial.map(InitialResponse),
    })
}

/// A parameter's name and its value, if it has one.
type Parameter<'a> = (&'a str, Option<&'a str>);

/// `Mail-parameters = esmtp-param *(SP esmtp-param)`
fn parameters(input: &str) -> Result<Vec<Parameter<'_>>, SyntaxError> {
    let parsed: Parsed<'_, _> = all_consuming(many0(preceded(space1, esmtp_param))).parse(input);
    match parsed {
        Ok((_, parameters)) => Ok(parameters),
        Err(_) => Err(SyntaxError::argument(
            "parameters behind the address have the form KEYWORD or KEYWORD=value",
        )),
    }
}

/// ```text
/// esmtp-param   = esmtp-keyword ["=" esmtp-value]
/// esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-")
/// esmtp-value   = 1*(%d33-60 / %d62-126 / UTF8-non-ascii)   ; RFC 6531 §3.3
/// ```
fn esmtp_param(input: &str) -> Parsed<'_, Parameter<'_>> {
    let keyword = recognize(pair(
        satisfy(|c| c.is_ascii_alphanumeric()),
        take_while(|c: char| c.is_ascii_alphanumeric() || c == '-'),
    ));
    let value = take_while1(|c: char| !c.is_ascii() || (c.is_ascii_graphic() && c != '='));
    pair(keyword, opt(preceded(char('='), value))).parse(input)
}

fn mail_parameter(mail: &mut Mail, keyword: &str, value: Option<&str>) -> Result<(), SyntaxError> {
    let twice = Err(SyntaxError::argument("a parameter is given twice"));
    match (keyword.to_ascii_uppercase().as_str(), value) {
        ("SIZE", Some(text)) => {
            let size = size_value(text)?;
            if mail.size.replace(size).is_some() {
                return twice;
            }
        }
        ("BODY", Some(text)) => {
            let body = body_value(text)?;
            if mail.body.replace(body).is_some() {
                return twice;
            }
        }
        ("SMTPUTF8", None) => {
            if std::mem::replace(&mut mail.smtputf8, true) {
                return twice;
            }
        }
        ("AUTH", Some(text)) => {
            let auth = auth_value(text)?;
            if mail.auth.replace(auth).is_some() {
                return twice;
            }
        }
        ("SIZE" | "BODY" | "AUTH", None) => {
            return Err(SyntaxError::argument("the parameter needs a value"));
        }
        ("SMTPUTF8", Some(_)) => {
            return Err(SyntaxError::argument("SMTPUTF8 takes no value"));
        }
        _ => return Err(SyntaxError(standard::UNKNOWN_PARAMETER)),
    }
    Ok(())
}

/// `size-value = 1*20DIGIT` (RFC 1870 §3)
fn size_value(text: &str) -> Result<u64, SyntaxError> {
    if text.is_empty() || text.len() > 20 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(SyntaxError::argument("SIZE is a number of up to 20 digits"));
    }
    // Beyond 64 bits it is larger than every limit, so the largest number will do.
    Ok(text.parse().unwrap_or(u64::MAX))
}

/// `body-value = "7BIT" / "8BITMIME" / "BINARYMIME"` (RFC 6152 §2, RFC 3030 §3)
fn body_value(text: &str) -> Result<BodyType, SyntaxError> {
    let body = alt((
        value(BodyType::SevenBit, tag_no_case("7BIT")),
        value(BodyType::EightBitMime, tag_no_case("8BITMIME")),
        value(BodyType::BinaryMime, tag_no_case("BINARYMIME")),
    ));
    let parsed: Parsed<'_, _> = all_consuming(body).parse(text);
    match parsed {
        Ok((_, body)) => Ok(body),
        Err(_) => Err(SyntaxError::argument(
            "BODY is 7BIT, 8BITMIME or BINARYMIME",
        )),
    }
}

/// `auth-value = xtext / "<>"`: a mailbox in the encoding of RFC 3461 §4
/// (RFC 4954 §5)
fn auth_value(text: &str) -> Result<Submitter, SyntaxError> {
    if text == "<>" {
        return Ok(Submitter::Unknown);
    }
    xtext(text)
        .and_then(|text| text.parse().ok())
        .map(Submitter::Mailbox)
        .ok_or(SyntaxError::argument("AUTH is <> or a mailbox in xtext"))
}

/// ```text
/// xtext   = *( xchar / hexchar )
/// xchar   = any CHAR between "!" and "~" except "+" and "="
/// hexchar = "+" 2HEXDIG in capitals     ; RFC 3461 §4
/// ```
fn xtext(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?),
            b'=' => return None,
            byte if byte.is_ascii_graphic() => out.push(byte),
            _ => return None,
        }
    }
    String::from_utf8(out).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// `Reverse-path = Path / "<>"`
fn reverse_path(input: &str) -> Parsed<'_, ReversePath> {
    alt((
        value(ReversePath::Null, (char('<'), space0, char('>'))),
        map(path, ReversePath::Mailbox),
    ))
    .parse(input)
}

/// `Forward-path = Path / "<Postmaster>"`
fn forward_path(input: &str) -> Parsed<'_, ForwardPath> {
    alt((
        value(
            ForwardPath::Postmaster,
            (char('<'), tag_no_case("Postmaster"), char('>')),
        ),
        map(path, ForwardPath::Mailbox),
    ))
    .parse(input)
}

/// ```text
/// Path  = "<" [ A-d-l ":" ] Mailbox ">"
/// A-d-l = At-domain *( "," At-domain )    ; dropped, RFC 5321 §C
/// ```
fn path(input: &str) -> Parsed<'_, Mailbox> {
    let route = terminated(
        separated_list1(char(','), preceded(char('@'), domain)),
        char(':'),
    );
    delimited(char('<'), preceded(opt(route), mailbox), char('>')).parse(input)
}

/// `Mailbox = Local-part "@" ( Domain / address-literal )`
fn mailbox(input: &str) -> Parsed<'_, Mailbox> {
    map_res(
        separated_pair(local_part, char('@'), domain_or_literal),
        |(local, domain)| Mailbox::new(local, domain),
    )
    .parse(input)
}

/// `Local-part = Dot-string / Quoted-string`
fn local_part(input: &str) -> Parsed<'_, String> {
    alt((quoted_string, map(dot_string, str::to_owned))).parse(input)
}

/// `Dot-string = Atom *("." Atom)`
fn dot_string(input: &str) -> Parsed<'_, &str> {
    recognize(separated_list1(char('.'), atom)).parse(input)
}

/// ```text
/// Atom  = 1*atext
/// atext = ALPHA / DIGIT / "!#$%&'*+-/=?^_`{|}~" / UTF8-non-ascii   ; RFC 6531 §3.3
/// ```
fn atom(input: &str) -> Parsed<'_, &str> {
    take_while1(|c: char| {
        if c.is_ascii() {
            c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c)
        } else {
            !c.is_whitespace() && !c.is_control()
        }
    })
    .parse(input)
}

/// ```text
/// Quoted-string    = DQUOTE *QcontentSMTP DQUOTE
/// QcontentSMTP     = qtextSMTP / quoted-pairSMTP
/// qtextSMTP        = %d32-33 / %d35-91 / %d93-126 / UTF8-non-ascii   ; RFC 6531 §3.3
/// quoted-pairSMTP  = "\" %d32-126
/// ```
fn quoted_string(input: &str) -> Parsed<'_, String> {
    let text = satisfy(|c| !matches!(c, '"' | '\\') && !c.is_control());
    let escaped = preceded(char('\\'), satisfy(|c| c == ' ' || c.is_ascii_graphic()));
    delimited(
        char('"'),
        fold_many0(alt((text, escaped)), String::new, |mut out, c| {
            out.push(c);
            out
        }),
        char('"'),
    )
    .parse(input)
}

/// `Domain / address-literal`
fn domain_or_literal(input: &str) -> Parsed<'_, Domain> {
    alt((address_literal, map(domain, Domain::Name))).parse(input)
}

/// ```text
/// Domain     = sub-domain *("." sub-domain)
/// sub-domain = Let-dig [Ldh-str] / U-label   ; RFC 6531 §3.3
/// ```
fn domain(input: &str) -> Parsed<'_, DomainName> {
    map_res(
        take_while1(|c: char| c == '.' || is_label_char(c)),
        DomainName::new,
    )
    .parse(input)
}

/// ```text
/// address-literal = "[" ( IPv4-address-literal / "IPv6:" IPv6-addr ) "]"
/// ```
/// No other form (General-address-literal) has ever been registered.
fn address_literal(input: &str) -> Parsed<'_, Domain> {
    let text = || take_while1(|c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':'));
    let v6 = map_res(preceded(tag_no_case("IPv6:"), text()), |text: &str| {
        text.parse::<Ipv6Addr>().map(IpAddr::V6)
    });
    let v4 = map_res(text(), |text: &str| {
        text.parse::<Ipv4Addr>().map(IpAddr::V4)
    });
    map(
        delimited(char('['), alt((v6, v4)), char(']')),
        Domain::Address,
    )
    .parse(input)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn code(line: &str) -> String {
        let Standard { code, enhanced, .. } = command(line.as_bytes()).unwrap_err().0;
        format!("{code} {}", EnhancedCode::from(enhanced))
    }

    fn parsed_mail(line: &str) -> Mail {
        match command(line.as_bytes()) {
            Ok(Command::Mail(mail)) => mail,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn simple_commands_in_any_case_and_with_trailing_spaces() {
        for (line, want) in [
            ("DATA", Command::Data),
            ("data", Command::Data),
            ("DaTa   ", Command::Data),
            ("RSET", Command::Rset),
            ("NOOP", Command::Noop),
            ("NOOP whatever it is", Command::Noop),
            ("HELP MAIL", Command::Help),
            ("QUIT", Command::Quit),
            ("starttls", Command::StartTls),
            ("VRFY joe", Command::Vrfy("joe".to_owned())),
            ("EXPN list", Command::Expn("list".to_owned())),
            (
                "BDAT 0",
                Command::Bdat {
                    size: 0,
                    last: false,
                },
            ),
            (
                "bdat 18446744073709551615 last",
                Command::Bdat {
                    size: u64::MAX,
                    last: true,
                },
            ),
        ] {
            assert_eq!(command(line.as_bytes()).unwrap(), want, "{line}");
        }
    }

    #[test]
    fn what_is_wrong_gets_the_standards_code() {
        for (line, want) in [
            ("", "500 5.5.1"),
            ("   ", "500 5.5.1"),
            (" NOOP", "500 5.5.1"),
            ("FROB", "500 5.5.1"),
            ("EHLO:", "500 5.5.1"),
            ("MAILFROM:<a@b>", "500 5.5.1"),
            ("DATA\0", "500 5.5.2"),
            ("NOOP\tx", "500 5.5.2"),
            ("NOOP\rQUIT", "500 5.5.2"),
            ("NOOP\u{7f}", "500 5.5.2"),
            ("DATA x", "501 5.5.4"),
            ("QUIT now", "501 5.5.4"),
            ("STARTTLS now", "501 5.5.4"),
            ("EHLO", "501 5.5.4"),
            ("EHLO a b", "501 5.5.4"),
            ("HELO ünï", "501 5.5.4"),
            ("VRFY", "501 5.5.4"),
            ("MAIL", "501 5.5.4"),
            ("MAIL a@b", "501 5.5.4"),
            ("MAIL FROM:a@b", "501 5.5.4"),
            ("MAIL FROM", "501 5.5.4"),
            ("MAIL TO:<a@b>", "501 5.5.4"),
            ("MAIL FROM:<a@b", "501 5.1.7"),
            ("MAIL FROM:<a b@c>", "501 5.1.7"),
            ("MAIL FROM:<a>", "501 5.1.7"),
            ("MAIL FROM:<a@b>x", "501 5.5.4"),
            ("MAIL FROM:<a@b>SIZE=1", "501 5.5.4"),
            ("MAIL FROM:<a@b> SIZE", "501 5.5.4"),
            ("MAIL FROM:<a@b> SIZE=", "501 5.5.4"),
            ("MAIL FROM:<a@b> SIZE=x", "501 5.5.4"),
            ("MAIL FROM:<a@b> SIZE=-1", "501 5.5.4"),
            ("MAIL FROM:<a@b> SIZE=+1", "501 5.5.4"),
            ("MAIL FROM:<a@b> SIZE=111111111111111111111", "501 5.5.4"),
            ("MAIL FROM:<a@b> SIZE=1 SIZE=1", "501 5.5.4"),
            ("MAIL FROM:<a@b> BODY=9BIT", "501 5.5.4"),
            ("MAIL FROM:<a@b> SMTPUTF8=1", "501 5.5.4"),
            ("MAIL FROM:<a@b> SMTPUTF8 SMTPUTF8", "501 5.5.4"),
            ("MAIL FROM:<a@b> AUTH=a+4", "501 5.5.4"),
            ("MAIL FROM:<a@b> AUTH=a", "501 5.5.4"),
            ("MAIL FROM:<a@b> AUTH=a@b+0D+0Ax", "501 5.5.4"),
            ("MAIL FROM:<a@b> FROB=1", "555 5.5.4"),
            ("MAIL FROM:<a@b> FROB", "555 5.5.4"),
            ("MAIL FROM:<a@b> =1", "501 5.5.4"),
            ("MAIL FROM:<a@b> A=", "501 5.5.4"),
            ("MAIL FROM:<a@b> A=b=c", "501 5.5.4"),
            ("RCPT TO:<>", "501 5.1.3"),
            ("RCPT TO:<a@b> SIZE=1", "555 5.5.4"),
            ("RCPT FROM:<a@b>", "501 5.5.4"),
            ("BDAT", "501 5.5.4"),
            ("BDAT x", "501 5.5.4"),
            ("BDAT -1", "501 5.5.4"),
            ("BDAT 1 LST", "501 5.5.4"),
            ("BDAT 1LAST", "501 5.5.4"),
            ("BDAT 18446744073709551616", "501 5.5.4"),
            ("AUTH", "501 5.5.4"),
            ("AUTH PLAIN a b", "501 5.5.4"),
            ("AUTH MECHANISM-NAMES-ARE-NOT-THAT-LONG", "501 5.5.4"),
            ("AUTH PLAIN a", "501 5.5.2"),
            ("AUTH PLAIN ====", "501 5.5.2"),
            ("AUTH PLAIN YQ", "501 5.5.2"),
        ] {
            assert_eq!(code(line), want, "{line:?}");
        }
        assert_eq!(command(b"NOOP \xff").unwrap_err().0, standard::NOT_TEXT);
    }

    #[test]
    fn paths_of_every_form() {
        for (text, want) in [
            ("<>", ReversePath::Null),
            (
                "<a@b.test>",
                ReversePath::Mailbox("a@b.test".parse().unwrap()),
            ),
            (
                "<@x.test,@y.test:a@b.test>",
                ReversePath::Mailbox("a@b.test".parse().unwrap()),
            ),
            (
                " <\"a b>\"@[IPv6:::1]>",
                ReversePath::Mailbox("\"a b>\"@[IPv6:::1]".parse().unwrap()),
            ),
            ("<jörg@bücher.test>", {
                ReversePath::Mailbox("jörg@bücher.test".parse().unwrap())
            }),
        ] {
            assert_eq!(parsed_mail(&format!("MAIL FROM:{text}")).from, want);
        }
        for text in ["<Postmaster>", "<POSTMASTER>"] {
            assert_eq!(
                command(format!("rcpt to:{text}").as_bytes()).unwrap(),
                Command::Rcpt(Rcpt::new(ForwardPath::Postmaster))
            );
        }
    }

    #[test]
    fn parameters_of_mail() {
        let mail = parsed_mail(
            "MAIL FROM:<a@b> SIZE=99999999999999999999 body=8bitmime SMTPUTF8 AUTH=e+3Dmc2@example.com",
        );
        assert_eq!(mail.size, Some(u64::MAX));
        assert_eq!(mail.body, Some(BodyType::EightBitMime));
        assert!(mail.smtputf8);
        // The example of RFC 4954 §5.
        assert_eq!(
            mail.auth,
            Some(Submitter::Mailbox("e=mc2@example.com".parse().unwrap()))
        );
        assert_eq!(
            parsed_mail("MAIL FROM:<a@b> AUTH=<>").auth,
            Some(Submitter::Unknown)
        );
    }

    #[test]
    fn initial_responses() {
        for (line, want) in [
            ("AUTH PLAIN", None),
            ("AUTH plain =", Some(&b""[..])),
            ("AUTH PLAIN AGEAYg==", Some(&b"\0a\0b"[..])),
        ] {
            let Command::Auth { mechanism, initial } = command(line.as_bytes()).unwrap() else {
                panic!("{line}");
            };
            assert_eq!(mechanism, "PLAIN");
            assert_eq!(initial.as_ref().map(|i| i.0.as_slice()), want, "{line}");
            assert!(!format!("{initial:?}").contains("97"));
        }
    }

    #[test]
    fn reply_lines() {
        let line = |code, last, text| Some(ReplyLine { code, last, text });
        assert_eq!(reply_line("250 OK"), line(250, true, "OK"));
        assert_eq!(reply_line("250-OK"), line(250, false, "OK"));
        assert_eq!(reply_line("250"), line(250, true, ""));
        assert_eq!(reply_line("571 x"), line(571, true, "x"));
        for bad in [
            "", "25", "2500", "250_x", "150 x", "600 x", "2x0 y", "-250", "٢50 x",
        ] {
            assert_eq!(reply_line(bad), None, "{bad}");
        }
    }

    #[test]
    fn enhanced_codes() {
        assert_eq!(
            enhanced_code("5.1.1 no user"),
            Some(((5, 1, 1).into(), "no user"))
        );
        assert_eq!(enhanced_code("2.0.0"), Some(((2, 0, 0).into(), "")));
        for bad in [
            "",
            "3.1.1 x",
            "5.1 x",
            "5.1.1x",
            "5.1000.1 x",
            "5..1 x",
            "OK",
        ] {
            assert_eq!(enhanced_code(bad), None, "{bad}");
        }
    }
}
