//! The grammar of commands, addresses and reply lines.
//!
//! Parsers run on complete lines without their CRLF. Each function below the
//! public ones is one rule of the grammar, which its documentation quotes.
//! Command words and keywords are matched in any case.
//!
//! Two liberties are taken, because they are common and harmless: spaces at
//! the end of a line (RFC 5321 §4.1.1 asks for it), and spaces behind `FROM:`
//! and `TO:`.

mod address;
mod parameter;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use nom::branch::alt;
use nom::bytes::complete::{tag_no_case, take_while_m_n, take_while1};
use nom::character::complete::{alpha1, char, digit1, satisfy, space0, space1};
use nom::combinator::{all_consuming, map, map_res, opt, recognize, rest, verify};
use nom::error::{ErrorKind, FromExternalError, ParseError};
use nom::sequence::{pair, preceded, terminated};
use nom::{IResult, Parser};
use zeroize::Zeroizing;

use super::address::{AddressError, HelloName};
use super::command::{Command, Hello, HelloVerb, InitialResponse, Mail, Rcpt, ValueError};
use super::reply::{EnhancedCode, Reply};
use super::standard::{self, Standard};
use address::{forward_path, reverse_path};
pub(super) use address::{is_dot_string, whole_domain, whole_mailbox};
use parameter::{mail_parameter, parameters, rcpt_parameter};

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

impl From<ValueError> for SyntaxError {
    fn from(error: ValueError) -> Self {
        Self::argument(error.0)
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
        // `etrn = "ETRN" SP [<option character>]<node name> CRLF` (RFC 1985 §5)
        "ETRN" => Command::Etrn(arguments.unwrap_or_default().parse()?),
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
    const USAGE: &str = "the syntax is RCPT TO:<address> and parameters";
    let input = keyword("TO:", arguments).ok_or(SyntaxError::argument(USAGE))?;
    let (input, to) = forward_path(input).map_err(|error| {
        SyntaxError::new(
            501,
            (5, 1, 3),
            why(error, "the recipient address is not valid"),
        )
    })?;
    let mut rcpt = Rcpt::new(to);
    for (keyword, value) in parameters(input)? {
        rcpt_parameter(&mut rcpt, keyword, value)?;
    }
    Ok(Command::Rcpt(rcpt))
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

#[cfg(test)]
mod tests;
