//! The grammar of POP3 commands, on complete lines.

use nom::IResult;
use nom::Parser;
use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::digit1;
use nom::combinator::{all_consuming, map_opt, opt, rest};
use nom::sequence::preceded;

use super::command::{Command, Secret};
use super::text::Text;

/// Why a line is not a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The keyword is none of POP3's.
    #[error("unknown command")]
    Unknown,
    /// The arguments are not what the command takes.
    #[error("{0}")]
    Arguments(Text),
}

/// Parses a line without its line end.
///
/// ```text
/// command = keyword [SP args]          ; RFC 1939 §3, RFC 2449 §4
/// keyword = 3*4ALPHA                   ; UTF8 has a digit (RFC 6856 §2.1)
/// ```
///
/// # Errors
/// [`Error`].
pub fn command(line: &[u8]) -> Result<Command, Error> {
    let text = std::str::from_utf8(line).map_err(|_| Error::Arguments(Text::NotUtf8))?;
    if text.chars().any(char::is_control) {
        return Err(Error::Arguments(Text::ControlCharacter));
    }
    let (args, word) = keyword(text).map_err(|_| Error::Unknown)?;
    let bare = |command: Command| match args.trim_end() {
        "" => Ok(command),
        _ => Err(Error::Arguments(Text::NoArgument)),
    };
    match word.to_ascii_uppercase().as_str() {
        // RFC 1939 §7: the name is all that follows the one space.
        "USER" => argument(args)
            .map(|name| Command::User(name.to_owned()))
            .ok_or(Error::Arguments(Text::SayUser)),
        // A password may hold spaces.
        "PASS" => argument(args)
            .map(|password| Command::Pass(password.into()))
            .ok_or(Error::Arguments(Text::SayPass)),
        "AUTH" => auth(args).ok_or(Error::Arguments(Text::SayAuth)),
        "APOP" => Ok(Command::Apop),
        "CAPA" => bare(Command::Capa),
        "STLS" => bare(Command::Stls),
        "UTF8" => bare(Command::Utf8),
        "LANG" => lang(args).ok_or(Error::Arguments(Text::SayLanguage)),
        "STAT" => bare(Command::Stat),
        "NOOP" => bare(Command::Noop),
        "RSET" => bare(Command::Rset),
        "QUIT" => bare(Command::Quit),
        "LIST" => maybe_number(args).map(Command::List),
        "UIDL" => maybe_number(args).map(Command::Uidl),
        "RETR" => one_number(args).map(Command::Retr),
        "DELE" => one_number(args).map(Command::Dele),
        "TOP" => top(args).ok_or(Error::Arguments(Text::SayTop)),
        _ => Err(Error::Unknown),
    }
}

/// `keyword = 3*4ALPHA`, and UTF8
fn keyword(text: &str) -> IResult<&str, &str> {
    take_while1(|c: char| c.is_ascii_alphanumeric()).parse(text)
}

/// `"LANG" [SP language-range]` (RFC 6856 §3.2);
/// `language-range = (1*8ALPHA *("-" 1*8alphanum)) / "*"` (RFC 4647 §2.1)
fn lang(args: &str) -> Option<Command> {
    let range = match args.trim_end() {
        "" => return Some(Command::Lang(None)),
        args => args.strip_prefix(' ')?,
    };
    let mut subtags = range.split('-');
    let first = subtags.next()?;
    let good = (1..=8).contains(&first.len()) && first.bytes().all(|b| b.is_ascii_alphabetic());
    let others = subtags.all(|subtag| {
        (1..=8).contains(&subtag.len()) && subtag.bytes().all(|b| b.is_ascii_alphanumeric())
    });
    (range == "*" || good && others).then(|| Command::Lang(Some(range.to_owned())))
}

/// `SP 1*CHAR`
fn argument(args: &str) -> Option<&str> {
    let parsed: IResult<&str, &str> = preceded(tag(" "), rest).parse(args);
    parsed
        .ok()
        .map(|(_, argument)| argument)
        .filter(|argument| !argument.is_empty())
}

/// `msg-number = 1*DIGIT`; never 0.
fn number(text: &str) -> IResult<&str, u32> {
    map_opt(digit1, |digits: &str| {
        digits.parse::<u32>().ok().filter(|&n| n > 0)
    })
    .parse(text)
}

fn one_number(args: &str) -> Result<u32, Error> {
    let parsed: IResult<&str, u32> =
        all_consuming(preceded(tag(" "), number)).parse(args.trim_end());
    parsed
        .map(|(_, n)| n)
        .map_err(|_| Error::Arguments(Text::SayNumber))
}

fn maybe_number(args: &str) -> Result<Option<u32>, Error> {
    match args.trim_end() {
        "" => Ok(None),
        args => one_number(args).map(Some),
    }
}

/// `"TOP" SP msg-number SP 1*DIGIT`
fn top(args: &str) -> Option<Command> {
    let lines = map_opt(digit1, |digits: &str| digits.parse::<u64>().ok());
    let parsed: IResult<&str, (u32, u64)> =
        all_consuming((preceded(tag(" "), number), preceded(tag(" "), lines)))
            .parse(args.trim_end());
    parsed
        .ok()
        .map(|(_, (message, lines))| Command::Top(message, lines))
}

/// `"AUTH" [SP mechanism [SP initial-response]]` (RFC 5034 §4)
fn auth(args: &str) -> Option<Command> {
    if args.trim_end().is_empty() {
        return Some(Command::Auth {
            mechanism: None,
            initial: None,
        });
    }
    let word = || take_while1(|c: char| c.is_ascii_graphic());
    let parsed: IResult<&str, (&str, Option<&str>)> =
        all_consuming((preceded(tag(" "), word()), opt(preceded(tag(" "), word()))))
            .parse(args.trim_end());
    let (_, (mechanism, initial)) = parsed.ok()?;
    Some(Command::Auth {
        mechanism: Some(mechanism.to_ascii_uppercase()),
        initial: initial.map(Secret::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        for (line, want) in [
            ("USER a@b", Ok(Command::User("a@b".into()))),
            ("pass  two words ", Ok(Command::Pass(" two words ".into()))),
            ("STAT", Ok(Command::Stat)),
            ("stat  ", Ok(Command::Stat)),
            ("LIST", Ok(Command::List(None))),
            ("LIST 7", Ok(Command::List(Some(7)))),
            ("UIDL 4294967295", Ok(Command::Uidl(Some(u32::MAX)))),
            ("TOP 1 0", Ok(Command::Top(1, 0))),
            (
                "AUTH",
                Ok(Command::Auth {
                    mechanism: None,
                    initial: None,
                }),
            ),
            (
                "AUTH plain =",
                Ok(Command::Auth {
                    mechanism: Some("PLAIN".into()),
                    initial: Some("=".into()),
                }),
            ),
            ("UTF8", Ok(Command::Utf8)),
            ("LANG", Ok(Command::Lang(None))),
            ("LANG *", Ok(Command::Lang(Some("*".into())))),
            ("lang de-CH", Ok(Command::Lang(Some("de-CH".into())))),
            ("UTF", Err(Error::Unknown)),
            ("", Err(Error::Unknown)),
            ("FROB", Err(Error::Unknown)),
            ("STATX", Err(Error::Unknown)),
        ] {
            assert_eq!(command(line.as_bytes()), want, "{line}");
        }
        for bad in [
            "USER",
            "USER ",
            "PASS",
            "STAT 1",
            "LIST 0",
            "LIST -1",
            "LIST 1 2",
            "RETR",
            "RETR x",
            "RETR 4294967296",
            "TOP 1",
            "TOP 1 -1",
            "DELE  1",
            "AUTH  PLAIN",
            "UTF8 x",
            "LANG  de",
            "LANG de en",
            "LANG de-",
            "LANG 12",
            "LANG **",
            "LANG superlong9",
            "US\0ER a",
        ] {
            assert!(command(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(command(b"USER \xff").is_err());
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(line in proptest::collection::vec(proptest::num::u8::ANY, 0..60)) {
            let _ = command(&line);
        }
    }
}
