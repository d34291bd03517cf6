//! IMAP URLs ([RFC 5092](https://www.rfc-editor.org/rfc/rfc5092)): of a server, a
//! mailbox, what a search finds there, a message or a part of one; absolute, or
//! relative to a server or to the mailbox that is open.
//!
//! ```text
//! imap://ann@example.org/Drafts;UIDVALIDITY=385759045/;UID=20/;SECTION=1.2/;PARTIAL=0.100
//! imap://example.org/Drafts?SUBJECT%20shadows
//! /Drafts;UIDVALIDITY=385759045/;UID=20/;SECTION=HEADER
//! ;UID=20/;SECTION=1.2
//! ```
//! Other paths that begin with no slash nobody may accept (§7.2).

use std::fmt;

use bytes::BytesMut;

use super::command::{Section, SectionText};
use super::encode::Encoder;
use super::parse::fetch::section;
use super::types::{Date, DateTime};

/// Longest URL that is read.
pub const LIMIT: usize = 8 * 1024;
/// Longest name of a header field in a section.
const FIELD: usize = 255;
/// The place of EXPIRE among the parameters, from 1.
const EXPIRE: usize = 5;

/// A URL of a mailbox, a message or a part of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImapUrl {
    /// Where; `None` in a relative one.
    pub server: Option<Server>,
    /// Which mailbox, in UTF-8; `None` means the one that is open.
    pub mailbox: Option<String>,
    /// The mailbox has to have this UID validity.
    pub uid_validity: Option<u32>,
    /// What is searched for in it: the arguments of SEARCH (§5).
    pub search: Option<Vec<u8>>,
    /// Which message.
    pub uid: Option<u32>,
    /// Which part of it.
    pub section: Option<Section>,
    /// Which bytes of that.
    pub partial: Option<Range>,
    /// Who may read it, by URLAUTH.
    pub urlauth: Option<UrlAuth>,
}

/// `iserver`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `enc-user`
    pub user: Option<String>,
    /// How one logs in there.
    pub auth: Option<Auth>,
    /// A name or address, without its port.
    pub host: String,
    /// Its port, if it is said.
    pub port: Option<u16>,
}

/// `iauth = ";AUTH=" ("*" / enc-auth-type)`
/// ([RFC 5092 §3.2](https://www.rfc-editor.org/rfc/rfc5092#section-3.2))
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// By any mechanism.
    Any,
    /// By this one.
    Mechanism(String),
}

/// `partial-range = number ["." nz-number]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First byte, from 0.
    pub offset: u64,
    /// How many; `None` means up to the end.
    pub length: Option<u64>,
}

/// `iurlauth` ([RFC 4467 §9](https://www.rfc-editor.org/rfc/rfc4467#section-9))
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlAuth {
    /// Until when it holds, as it is written.
    pub expire: Option<String>,
    /// Who may use it.
    pub access: Access,
    /// Mechanism and token; absent in what GENURLAUTH is given.
    pub verifier: Option<(String, String)>,
}

/// `access`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Anybody, also without a login.
    Anonymous,
    /// Whoever has logged in.
    AuthUser,
    /// A submission server, for this user.
    Submit(String),
    /// This user.
    User(String),
}

impl ImapUrl {
    /// Reads a URL.
    ///
    /// ```text
    /// imapurl      = "imap://" iserver ipath-query
    /// imapurl-rel  = "//" iserver ipath-query / "/" [icommand] / imsg-or-part / ""
    /// ipath-query  = ["/" [icommand]]
    /// iserver      = [iuserinfo "@"] host [":" port]
    /// iuserinfo    = enc-user [iauth] / [enc-user] iauth
    /// icommand     = enc-mailbox [";UIDVALIDITY=" nz-number] ["?" enc-search] / imessagepart
    /// imessagepart = enc-mailbox [";UIDVALIDITY=" nz-number] ["/;UID=" nz-number
    ///                ["/;SECTION=" enc-section] ["/;PARTIAL=" partial-range] [iurlauth]]
    /// iurlauth     = [";EXPIRE=" date-time] ";URLAUTH=" access [":" mechanism ":" token]
    /// ```
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn parse(text: &str) -> Result<ImapUrl, &'static str> {
        if text.len() > LIMIT {
            return Err("the URL is too long");
        }
        if !text.bytes().all(|b| (0x21..0x7f).contains(&b)) {
            return Err("the URL holds a character that has to be encoded");
        }
        if text.contains('#') {
            return Err("an IMAP URL has no fragment");
        }
        let mut url = ImapUrl::default();
        let scheme = text
            .get(..7)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("imap://"));
        // §7: what begins with two slashes names the server, too.
        let of_server = match text.get(7..).filter(|_| scheme) {
            Some(rest) => Some(rest),
            None => text.strip_prefix("//"),
        };
        let path = match of_server {
            Some(rest) => {
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                let (server, path) = rest.split_at(end);
                url.server = Some(Server::parse(server)?);
                path
            }
            None => text,
        };
        let path = match path.split_once('?') {
            Some((path, search)) => {
                url.search = Some(octets(search)?);
                if search.is_empty() {
                    return Err("the URL has an empty search");
                }
                path
            }
            None => path,
        };
        let (name, mut parameters) = match path.find(';') {
            Some(at) => path.split_at(at),
            None => (path, ""),
        };
        let first = word(parameters);
        // The slash before a message belongs to it.
        let name = match first.eq_ignore_ascii_case("UIDVALIDITY") {
            true => name,
            false if parameters.is_empty() => name,
            false => match name.strip_suffix('/') {
                Some(name) => name,
                None if name.is_empty() => name,
                None => return Err("the URL lacks a / before what follows the mailbox"),
            },
        };
        match name.strip_prefix('/') {
            Some("") => {}
            Some(name) => url.mailbox = Some(decoded(name)?),
            None if name.is_empty() => {}
            None => return Err("the URL is relative to the name of a mailbox"),
        }
        if url.server.is_some() && url.mailbox.is_none() && !parameters.is_empty() {
            return Err("the URL names no mailbox");
        }
        let mut last = 0;
        while !parameters.is_empty() {
            let rest = parameters.strip_prefix(';').ok_or("a / stands alone")?;
            let (name, rest) = rest.split_once('=').ok_or("a parameter has no value")?;
            let end = rest.find(';').unwrap_or(rest.len());
            let (value, behind) = rest.split_at(end);
            let order = [
                "UIDVALIDITY",
                "UID",
                "SECTION",
                "PARTIAL",
                "EXPIRE",
                "URLAUTH",
            ]
            .iter()
            .position(|known| known.eq_ignore_ascii_case(name))
            .ok_or("a parameter of the URL is not known")?
                + 1;
            if order <= last {
                return Err("the parameters of the URL are not in their order");
            }
            last = order;
            let next = word(behind);
            let apart = ["UID", "SECTION", "PARTIAL"]
                .iter()
                .any(|name| name.eq_ignore_ascii_case(next));
            let value = match (apart, behind.is_empty()) {
                (true, _) => value.strip_suffix('/').ok_or("a / is missing in the URL")?,
                // A slash at the end is allowed behind a mailbox.
                (false, true) if order == 1 => value.strip_suffix('/').unwrap_or(value),
                _ => value,
            };
            url.set(order, value)?;
            parameters = behind;
        }
        let alone = url.section.is_some() || url.partial.is_some() || url.urlauth.is_some();
        if alone && url.uid.is_none() {
            return Err("the URL names a part of no message");
        }
        if last == EXPIRE {
            return Err("EXPIRE stands without URLAUTH");
        }
        if url.search.is_some() && (url.mailbox.is_none() || url.uid.is_some()) {
            return Err("a search is one of a mailbox");
        }
        Ok(url)
    }

    /// What the token of this URL was made of: all of `text`, which it was read
    /// from, but mechanism and token. Nothing else is changed
    /// ([RFC 4467 §6](https://www.rfc-editor.org/rfc/rfc4467#section-6)).
    pub fn rump<'t>(&self, text: &'t str) -> &'t str {
        let auth = self.urlauth.as_ref();
        let verifier = auth.and_then(|auth| auth.verifier.as_ref());
        let behind = verifier.map_or(0, |(mechanism, token)| mechanism.len() + token.len() + 2);
        let end = text.len().saturating_sub(behind);
        text.get(..end).unwrap_or_default()
    }

    fn set(&mut self, order: usize, value: &str) -> Result<(), &'static str> {
        match order {
            1 => self.uid_validity = Some(nz_number(value).ok_or("UIDVALIDITY is no number")?),
            2 => self.uid = Some(nz_number(value).ok_or("UID is no number")?),
            3 => {
                let text = format!("[{}]", decoded(value)?);
                let wrong = "SECTION is no section";
                let Ok((b"", mut section)) = section(text.as_bytes()) else {
                    return Err(wrong);
                };
                if let SectionText::HeaderFields(names) | SectionText::HeaderFieldsNot(names) =
                    &mut section.text
                {
                    // As they are written again.
                    names
                        .iter_mut()
                        .for_each(|name| name.make_ascii_uppercase());
                    if names.iter().any(|name| name.len() > FIELD) {
                        return Err(wrong);
                    }
                }
                self.section = Some(section);
            }
            4 => {
                let (offset, length) = match value.split_once('.') {
                    Some((offset, length)) => (offset, Some(length)),
                    None => (value, None),
                };
                let wrong = "PARTIAL is no range";
                let length = length.map(|length| number(length).filter(|&at| at > 0).ok_or(wrong));
                self.partial = Some(Range {
                    offset: number(offset).ok_or(wrong)?,
                    length: length.transpose()?,
                });
            }
            EXPIRE => {
                rfc3339(value).ok_or("EXPIRE is no date and time")?;
                self.urlauth = Some(UrlAuth {
                    expire: Some(value.to_owned()),
                    access: Access::Anonymous,
                    verifier: None,
                });
            }
            _ => {
                let expire = self.urlauth.take().and_then(|auth| auth.expire);
                let (access, verifier) = match value.split_once(':') {
                    None => (value, None),
                    Some((access, rest)) => {
                        let (mechanism, token) =
                            rest.split_once(':').ok_or("URLAUTH has no token")?;
                        let hex = token.len() >= 32 && token.bytes().all(|b| b.is_ascii_hexdigit());
                        let named = !mechanism.is_empty()
                            && mechanism
                                .bytes()
                                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
                        if !hex || !named {
                            return Err("URLAUTH has no token");
                        }
                        let verifier = (mechanism.to_ascii_uppercase(), token.to_owned());
                        (access, Some(verifier))
                    }
                };
                self.urlauth = Some(UrlAuth {
                    expire,
                    access: Access::parse(access)?,
                    verifier,
                });
            }
        }
        Ok(())
    }
}

impl UrlAuth {
    /// Until when it holds, in seconds since 1970.
    pub fn expires(&self) -> Option<i64> {
        rfc3339(self.expire.as_deref()?)
    }
}

impl Server {
    fn parse(text: &str) -> Result<Server, &'static str> {
        let (user, auth, host) = match text.rsplit_once('@') {
            Some((info, host)) => {
                let end = info.find(';').unwrap_or(info.len());
                let (user, auth) = info.split_at(end);
                let user = (!user.is_empty()).then(|| decoded(user)).transpose()?;
                let auth = (!auth.is_empty()).then(|| Auth::parse(auth)).transpose()?;
                if user.is_none() && auth.is_none() {
                    return Err(NO_USER);
                }
                (user, auth, host)
            }
            None => (None, None, text),
        };
        // An address in brackets holds colons too.
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (host, None),
        };
        let port = match port {
            Some(port) => {
                let port = number(port).and_then(|port| u16::try_from(port).ok());
                Some(port.ok_or("the port is no number")?)
            }
            None => None,
        };
        let host_like = |b: u8| b.is_ascii_alphanumeric() || b"-._~[]:".contains(&b);
        if host.is_empty() || !host.bytes().all(host_like) {
            return Err("the URL names no server");
        }
        Ok(Server {
            user,
            auth,
            host: host.to_owned(),
            port,
        })
    }
}

/// What is said of `iuserinfo` that is none.
const NO_USER: &str = "what stands before the server is no user";

impl Auth {
    /// `iauth`, its semicolon included.
    fn parse(text: &str) -> Result<Auth, &'static str> {
        let named = text
            .get(..6)
            .is_some_and(|start| start.eq_ignore_ascii_case(";AUTH="));
        match text.get(6..).filter(|_| named) {
            None | Some("") => Err(NO_USER),
            Some("*") => Ok(Auth::Any),
            // §3.2: the asterisk that is encoded is no asterisk.
            Some(name) => match decoded(name)? {
                name if name == "*" => Err(NO_USER),
                name => Ok(Auth::Mechanism(name)),
            },
        }
    }
}

impl Access {
    /// `access = ("submit+" enc-user) / ("user+" enc-user) / "authuser" / "anonymous"`
    fn parse(text: &str) -> Result<Access, &'static str> {
        let lower = text.to_ascii_lowercase();
        let user = |prefix: &str| match text.get(prefix.len()..) {
            Some(user) if lower.starts_with(prefix) && !user.is_empty() => Some(decoded(user)),
            _ => None,
        };
        match lower.as_str() {
            "anonymous" => return Ok(Access::Anonymous),
            "authuser" => return Ok(Access::AuthUser),
            _ => {}
        }
        if let Some(name) = user("submit+") {
            return Ok(Access::Submit(name?));
        }
        match user("user+") {
            Some(name) => Ok(Access::User(name?)),
            None => Err("the access of URLAUTH is not known"),
        }
    }
}

/// The name of the first parameter.
fn word(parameters: &str) -> &str {
    let name = parameters.strip_prefix(';').unwrap_or_default();
    name.split('=').next().unwrap_or_default()
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

fn nz_number(text: &str) -> Option<u32> {
    u32::try_from(number(text)?).ok().filter(|&n| n > 0)
}

/// `date-time` of [RFC 3339 §5.6](https://www.rfc-editor.org/rfc/rfc3339#section-5.6).
pub(crate) fn rfc3339(text: &str) -> Option<i64> {
    let part = |from: usize, to: usize| text.get(from..to).and_then(number);
    let separators: [(usize, &[u8]); 5] =
        [(4, b"-"), (7, b"-"), (10, b"Tt"), (13, b":"), (16, b":")];
    let bytes = text.as_bytes();
    let at = |index: usize| bytes.get(index).copied().unwrap_or(0);
    if !separators
        .iter()
        .all(|(index, any)| any.contains(&at(*index)))
    {
        return None;
    }
    let small = |number: u64| u8::try_from(number).ok();
    let date = Date::new(
        u16::try_from(part(0, 4)?).ok()?,
        small(part(5, 7)?)?,
        small(part(8, 10)?)?,
    )?;
    let rest = text.get(19..)?;
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => {
            let end = fraction.find(|c: char| !c.is_ascii_digit())?;
            fraction.get(end..).filter(|_| end > 0)?
        }
        None => rest,
    };
    let zone = match (rest, rest.as_bytes()) {
        ("Z" | "z", _) => 0,
        (_, [sign @ (b'+' | b'-'), _, _, b':', _, _]) => {
            let hours = i16::try_from(number(rest.get(1..3)?)?).ok()?;
            let minutes = i16::try_from(number(rest.get(4..6)?)?).ok()?;
            let zone = hours * 60 + minutes;
            if minutes > 59 {
                return None;
            }
            if *sign == b'-' { -zone } else { zone }
        }
        _ => return None,
    };
    let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
    DateTime::new(date, small(hour)?, small(minute)?, small(second)?, zone).map(|at| at.unix)
}

/// Bytes without their percent encoding.
fn octets(text: &str) -> Result<Vec<u8>, &'static str> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err("a % in the URL is not followed by two digits");
        };
        out.push(u8::try_from(high * 16 + low).unwrap_or(0));
    }
    Ok(out)
}

/// Text without its percent encoding.
fn decoded(text: &str) -> Result<String, &'static str> {
    let out = octets(text)?;
    if out.iter().any(|b| matches!(b, 0 | b'\r' | b'\n')) {
        return Err("the URL holds a line break or a NUL");
    }
    String::from_utf8(out).map_err(|_| "the URL is not UTF-8")
}

/// Text with percent encoding: `*bchar`, or `*achar` where `: @ /` mean something.
struct Encoded<'t>(&'t [u8], bool);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.0 {
            let plain = byte.is_ascii_alphanumeric() || b"-._~!$'()*+,&=".contains(&byte);
            match plain || self.1 && b":@/".contains(&byte) {
                true => write!(f, "{}", char::from(byte))?,
                false => write!(f, "%{byte:02X}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for ImapUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(server) = &self.server {
            f.write_str("imap://")?;
            if let Some(user) = &server.user {
                write!(f, "{}", Encoded(user.as_bytes(), false))?;
            }
            match &server.auth {
                Some(Auth::Any) => f.write_str(";AUTH=*")?,
                Some(Auth::Mechanism(name)) => {
                    write!(f, ";AUTH={}", Encoded(name.as_bytes(), false))?;
                }
                None => {}
            }
            if server.user.is_some() || server.auth.is_some() {
                f.write_str("@")?;
            }
            f.write_str(&server.host)?;
            if let Some(port) = server.port {
                write!(f, ":{port}")?;
            }
        }
        if let Some(mailbox) = &self.mailbox {
            // §7.1: the slash that a name begins with is no part of the path.
            let (slash, name) = match mailbox.strip_prefix('/') {
                Some(rest) => ("%2F", rest),
                None => ("", mailbox.as_str()),
            };
            write!(f, "/{slash}{}", Encoded(name.as_bytes(), true))?;
        }
        if let Some(number) = self.uid_validity {
            write!(f, ";UIDVALIDITY={number}")?;
        }
        if let Some(search) = &self.search {
            write!(f, "?{}", Encoded(search, true))?;
        }
        if let Some(uid) = self.uid {
            write!(f, "/;UID={uid}")?;
        }
        if let Some(section) = &self.section {
            let mut text = BytesMut::new();
            Encoder::new(&mut text, true).section(section);
            let inner = text
                .strip_prefix(b"[")
                .and_then(|text| text.strip_suffix(b"]"));
            write!(f, "/;SECTION={}", Encoded(inner.unwrap_or_default(), true))?;
        }
        if let Some(partial) = &self.partial {
            write!(f, "/;PARTIAL={}", partial.offset)?;
            if let Some(length) = partial.length {
                write!(f, ".{length}")?;
            }
        }
        if let Some(auth) = &self.urlauth {
            if let Some(expire) = &auth.expire {
                write!(f, ";EXPIRE={expire}")?;
            }
            write!(f, ";URLAUTH={}", auth.access)?;
            if let Some((mechanism, token)) = &auth.verifier {
                write!(f, ":{mechanism}:{token}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Access::Anonymous => f.write_str("anonymous"),
            Access::AuthUser => f.write_str("authuser"),
            Access::Submit(user) => write!(f, "submit+{}", Encoded(user.as_bytes(), false)),
            Access::User(user) => write!(f, "user+{}", Encoded(user.as_bytes(), false)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::imap::command::SectionText;
    use proptest::prelude::*;

    #[test]
    fn examples() {
        // RFC 5092 §10, RFC 4469 §3, RFC 4467 §9
        for text in [
            "imap://minbari.example.org/gray-council;UIDVALIDITY=385759045/;UID=20/;PARTIAL=0.1024",
            "imap://psicorp.example.org/~peter/%E6%97%A5%E6%9C%AC%E8%AA%9E/%E5%8F%B0%E5%8C%97",
            "imap://michael@minbari.example.org/users.*",
            "/Drafts;UIDVALIDITY=385759045/;UID=20/;SECTION=HEADER",
            "/INBOX;UIDVALIDITY=785799047/;UID=113330/;SECTION=1.5.9",
            "imap://joe@example.com/INBOX/;UID=20/;SECTION=1.2;URLAUTH=submit+fred",
            "imap://joe@example.com/INBOX/;UID=20/;SECTION=1.2;URLAUTH=submit+fred:INTERNAL:91354a473744909de610943775f92038",
            "imap://joe@example.com/INBOX/;UID=20;EXPIRE=2026-11-28T10:00:00Z;URLAUTH=anonymous",
            "/;UID=20/;SECTION=1.2",
            "imap://[::1]:143/a",
            "imap://;AUTH=GSSAPI@minbari.example.org/gray-council/;UID=20/;SECTION=1.2",
            "imap://;AUTH=*@minbari.example.org/gray%20council?SUBJECT%20shadows",
            "imap://john;AUTH=*@minbari.example.org/babylon5/personel?charset%20UTF-8%20SUBJECT%20%7B14+%7D%0D%0A%D0%98%D0%B2%D0%B0%D0%BD%D0%BE%D0%B2%D0%B0",
            "imap://imap.example.com",
            "/a;UIDVALIDITY=3?ALL",
            "/%2Fa",
        ] {
            let url = ImapUrl::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!(url.to_string(), text);
        }
        let url = ImapUrl::parse(";uid=20/;section=1.mime").unwrap();
        assert_eq!((url.mailbox, url.uid), (None, Some(20)));
        let section = url.section.unwrap();
        assert_eq!((section.part, section.text), (vec![1], SectionText::Mime));
        let url = ImapUrl::parse("IMAP://a;AUTH=*@b/c%3Bd/;UID=1").unwrap();
        assert_eq!(url.mailbox.as_deref(), Some("c;d"));
        let server = url.server.unwrap();
        assert_eq!(server.user.as_deref(), Some("a"));
        assert_eq!(server.auth, Some(Auth::Any));
        let url = ImapUrl::parse("//a@b:7/c").unwrap();
        assert_eq!(url.to_string(), "imap://a@b:7/c");
    }

    #[test]
    fn rumps() {
        // RFC 4467 §6: as it stands, whatever it means.
        let rump = "imap://joe@example.com/INB%4fX/;uid=20/;section=1.2;urlauth=submit+fred";
        let token = ":internal:91354a473744909de610943775f92038";
        let full = format!("{rump}{token}");
        let url = ImapUrl::parse(&full).unwrap();
        assert_eq!(url.rump(&full), rump);
        let verifier = url.urlauth.unwrap().verifier.unwrap();
        assert_eq!(verifier.0, "INTERNAL");
        let url = ImapUrl::parse(rump).unwrap();
        assert_eq!(url.rump(rump), rump);
    }

    #[test]
    fn what_is_none() {
        for text in [
            "Drafts/;UID=1",
            "/a;UID=1",
            "/a/;UID=0",
            "/a/;UID=x",
            "/a/;UID=1;SECTION=1",
            "/a/;SECTION=1",
            "/a/;UID=1/;SECTION=nonsense",
            "/a/;UID=1/;PARTIAL=0.0",
            "/a/;UID=1/;UID=2",
            "/a/;SECTION=1/;UID=2",
            "/a%zz/;UID=1",
            "/a%ff/;UID=1",
            "/a%0d%0a/;UID=1",
            "/a b/;UID=1",
            "imap:///a/;UID=1",
            "imap://a:b:c/x",
            "/a/;UID=1;EXPIRE=tomorrow;URLAUTH=anonymous",
            "/a/;UID=1;EXPIRE=2026-11-28T10:00:00Z",
            "/a?",
            "/?ALL",
            "/a/;UID=1?ALL",
            "/a/;UID=1;URLAUTH=anonymous?ALL",
            "/a#b",
            "imap://@b/c",
            "imap://a;AUTH=@b/c",
            "imap://a;AUTH=%2A@b/c",
            "imap://a;x@b/c",
            "imap://b:+7/c",
            "imap://b:65536/c",
            "/a/;UID=1;URLAUTH=all",
            "/a/;UID=1;URLAUTH=user+",
            "/a/;UID=1;URLAUTH=anonymous:INTERNAL:12",
        ] {
            assert!(ImapUrl::parse(text).is_err(), "{text}");
        }
        assert!(ImapUrl::parse(&format!("/{}", "a".repeat(LIMIT))).is_err());
    }

    #[test]
    fn expiry_counts_its_zone() {
        assert_eq!(rfc3339("1970-01-01T00:00:10Z"), Some(10));
        assert_eq!(rfc3339("1970-01-01t01:00:10.25+01:00"), Some(10));
        assert_eq!(rfc3339("1970-01-01 00:00:10Z"), None);
        assert_eq!(rfc3339("1970-02-30T00:00:10Z"), None);
        assert_eq!(rfc3339("1970-01-01T00:00:10"), None);
    }

    proptest! {
        #[test]
        fn what_is_read_is_written(text in "((imap:)?//(a%40b(;AUTH=(\\*|X))?@)?h(:1)?)?/[a-z%2;/?]{0,6}(;UIDVALIDITY=[0-9]{1,3})?(/;UID=[0-9]{1,2})?(/;SECTION=(1|1.MIME|HEADER.FIELDS%20\\(a\\)))?(/;PARTIAL=[0-9](.[0-9])?)?(;URLAUTH=(anonymous|user\\+x))?") {
            if let Ok(url) = ImapUrl::parse(&text) {
                let again = ImapUrl::parse(&url.to_string()).map_err(TestCaseError::fail)?;
                prop_assert_eq!(again, url);
            }
        }

        #[test]
        fn mailboxes(name in "\\PC{1,20}", uid in 1u32..) {
            let url = ImapUrl { mailbox: Some(name), uid: Some(uid), ..ImapUrl::default() };
            let again = ImapUrl::parse(&url.to_string()).map_err(TestCaseError::fail)?;
            prop_assert_eq!(again, url);
        }

        #[test]
        fn anything(text in any::<String>()) {
            let _ = ImapUrl::parse(&text);
        }

        #[test]
        fn a_rump_is_what_stands_before_the_token(mailbox in "\\PC{1,9}", user in "[a-z@.%]{1,9}", mechanism in "(INTERNAL|[a-zA-Z0-9.-]{1,5})", token in "[0-9a-fA-F]{32,70}") {
            let url = ImapUrl {
                mailbox: Some(mailbox),
                uid: Some(1),
                urlauth: Some(UrlAuth { expire: None, access: Access::User(user), verifier: None }),
                ..ImapUrl::default()
            };
            let rump = url.to_string();
            let full = format!("{rump}:{mechanism}:{token}");
            let read = ImapUrl::parse(&full).map_err(TestCaseError::fail)?;
            prop_assert_eq!(read.rump(&full), rump);
            let auth = read.urlauth.and_then(|auth| auth.verifier);
            prop_assert_eq!(auth, Some((mechanism.to_ascii_uppercase(), token)));
        }
    }
}
