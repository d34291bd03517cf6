//! A line of a script or a response as arguments: atoms, strings, lists.

/// One argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Arg {
    /// `NIL`
    Nil,
    /// What is neither quoted nor a literal.
    Atom(Vec<u8>),
    /// Quoted, or a literal.
    Text(Vec<u8>),
    /// What stands in parentheses.
    List(Vec<Arg>),
}

impl Arg {
    /// What an atom or a string says.
    pub(super) fn text(&self) -> Option<&[u8]> {
        match self {
            Arg::Atom(text) | Arg::Text(text) => Some(text),
            Arg::Nil | Arg::List(_) => None,
        }
    }

    /// An atom as lower-case text.
    pub(super) fn atom(&self) -> Option<String> {
        match self {
            Arg::Atom(text) => Some(String::from_utf8_lossy(text).to_ascii_lowercase()),
            _ => None,
        }
    }
}

/// The arguments of a line without its end. What is no syntax (the words of a
/// person behind a code) is atoms.
pub(super) fn parse(line: &[u8]) -> Vec<Arg> {
    let mut reader = Reader { rest: line };
    let mut args = Vec::new();
    while !reader.rest.is_empty() {
        match reader.list() {
            Some(more) => args.extend(more),
            // An unquoted `"` or a `(` without its end: words.
            None => {
                let words = reader.rest.split(|&b| b == b' ');
                args.extend(
                    words
                        .filter(|w| !w.is_empty())
                        .map(|w| Arg::Atom(w.to_vec())),
                );
                break;
            }
        }
        // A closing parenthesis that nothing opened.
        reader.rest = reader.rest.strip_prefix(b")").unwrap_or(reader.rest);
    }
    args
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    /// Up to the end or to a closing parenthesis, which stays.
    fn list(&mut self) -> Option<Vec<Arg>> {
        let mut args = Vec::new();
        loop {
            while let Some(rest) = self.rest.strip_prefix(b" ") {
                self.rest = rest;
            }
            match self.rest.first() {
                None | Some(b')') => return Some(args),
                Some(b'(') => {
                    let start = self.rest;
                    self.rest = &self.rest[1..];
                    let list = self.list();
                    match (list, self.rest.strip_prefix(b")")) {
                        (Some(list), Some(rest)) => {
                            args.push(Arg::List(list));
                            self.rest = rest;
                        }
                        _ => {
                            self.rest = start;
                            return None;
                        }
                    }
                }
                Some(b'"') => args.push(self.quoted()?),
                Some(_) => match self.literal() {
                    Some(literal) => args.push(literal),
                    None => args.push(self.atom()),
                },
            }
        }
    }

    fn quoted(&mut self) -> Option<Arg> {
        let mut text = Vec::new();
        let mut bytes = self.rest.iter().enumerate().skip(1);
        while let Some((at, &byte)) = bytes.next() {
            match byte {
                b'"' => {
                    self.rest = &self.rest[at + 1..];
                    return Some(Arg::Text(text));
                }
                b'\\' => text.push(*bytes.next()?.1),
                other => text.push(other),
            }
        }
        None
    }

    /// `{3}`, a line end, three bytes; `~` in front for any bytes.
    fn literal(&mut self) -> Option<Arg> {
        let rest = self.rest.strip_prefix(b"~").unwrap_or(self.rest);
        let rest = rest.strip_prefix(b"{")?;
        let end = rest.iter().position(|&b| b == b'}')?;
        let length: usize = std::str::from_utf8(&rest[..end])
            .ok()?
            .trim_end_matches('+')
            .parse()
            .ok()?;
        let rest = rest[end + 1..].strip_prefix(b"\r\n")?;
        let text = rest.get(..length)?.to_vec();
        self.rest = &rest[length..];
        Some(Arg::Text(text))
    }

    fn atom(&mut self) -> Arg {
        let end = |&b: &u8| b == b' ' || b == b')' || b == b'\r' || b == b'\n';
        let length = self.rest.iter().position(end).unwrap_or(self.rest.len());
        // A line end between arguments is skipped like a space.
        let (atom, rest) = self.rest.split_at(length);
        let skip = usize::from(atom.is_empty());
        self.rest = &rest[skip..];
        if atom.eq_ignore_ascii_case(b"NIL") {
            Arg::Nil
        } else {
            Arg::Atom(atom.to_vec())
        }
    }
}

/// For people who read what failed.
pub(super) fn show(args: &[Arg]) -> String {
    let words: Vec<String> = args
        .iter()
        .map(|arg| match arg {
            Arg::Nil => "NIL".into(),
            Arg::Atom(text) => String::from_utf8_lossy(text).into_owned(),
            Arg::Text(text) => format!("{:?}", String::from_utf8_lossy(text)),
            Arg::List(list) => format!("({})", show(list)),
        })
        .collect();
    words.join(" ")
}
