//! What the server says to people, in each language it can be asked for
//! (LANG, [RFC 6856 §3](https://www.rfc-editor.org/rfc/rfc6856#section-3)).

use std::fmt;

/// A language that replies can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// English, in which every session begins: RFC 1939 has only ASCII.
    #[default]
    English,
    /// German.
    German,
    /// French.
    French,
}

impl Language {
    /// All of them, as LANG lists them.
    pub const ALL: [Language; 3] = [Language::English, Language::German, Language::French];

    /// The language tag (RFC 5646).
    pub fn tag(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::German => "de",
            Language::French => "fr",
        }
    }

    /// The language's name in itself.
    pub fn name(self) -> &'static str {
        match self {
            Language::English => "English",
            Language::German => "Deutsch",
            Language::French => "Français",
        }
    }

    /// The language that fits a range best: the range itself or what it begins
    /// with (the lookup of RFC 4647 §3.4), so that `de-CH` finds `de`.
    pub fn find(range: &str) -> Option<Language> {
        let mut range = range;
        loop {
            let found = Language::ALL
                .into_iter()
                .find(|language| language.tag().eq_ignore_ascii_case(range));
            match (found, range.rsplit_once('-')) {
                (None, Some((shorter, _))) => range = shorter,
                (found, _) => return found,
            }
        }
    }
}

/// Something that is said. A number stands where the text has a `%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each is what it says, see `in_language`")]
pub enum Text {
    NowPassword,
    Messages,
    Octets,
    Top,
    Marked,
    Goodbye,
    Capabilities,
    Mechanisms,
    Languages,
    LanguageChanged,
    UnknownLanguage,
    Utf8On,
    StartTlsNow,
    ShuttingDown,
    TimedOut,
    TooManyErrors,
    BareLf,
    LineTooLong,
    UnknownCommand,
    NotUtf8,
    ControlCharacter,
    NoArgument,
    SayUser,
    SayPass,
    SayAuth,
    SayNumber,
    SayTop,
    SayLanguage,
    LoggedInAlready,
    LogInFirst,
    StartTlsFirst,
    NoStls,
    NothingBehindStls,
    NoApop,
    SayUserFirst,
    NoMechanism,
    BadBase64,
    Cancelled,
    /// An authentication that is not well formed; in English the mechanism says
    /// more.
    BadLogin,
    BadCredentials,
    NotAllowed,
    Disabled,
    TooManyLogins,
    CannotCheck,
    NoSuchMessage,
    IsMarked,
    InUse,
    LoginDelay,
    TooManySessions,
    LogInAgain,
    NoMailbox,
    CannotOpen,
    MessageGone,
    CannotRead,
    CannotDelete,
}

impl Text {
    /// The text.
    pub fn in_language(self, language: Language) -> &'static str {
        let [english, german, french] = self.all();
        match language {
            Language::English => english,
            Language::German => german,
            Language::French => french,
        }
    }

    /// English, German, French.
    fn all(self) -> [&'static str; 3] {
        match self {
            Text::NowPassword => [
                "now the password",
                "jetzt das Passwort",
                "le mot de passe maintenant",
            ],
            Text::Messages => ["% messages", "% Nachrichten", "% messages"],
            Text::Octets => ["% octets", "% Oktette", "% octets"],
            Text::Top => [
                "top of the message follows",
                "der Anfang der Nachricht folgt",
                "le début du message suit",
            ],
            Text::Marked => [
                "marked",
                "zum Löschen vorgemerkt",
                "marqué pour être supprimé",
            ],
            Text::Goodbye => ["goodbye", "auf Wiedersehen", "au revoir"],
            Text::Capabilities => ["capabilities", "Fähigkeiten", "capacités"],
            Text::Mechanisms => ["mechanisms", "Verfahren", "mécanismes"],
            Text::Languages => ["languages", "Sprachen", "langues"],
            Text::LanguageChanged => [
                "the language is English now",
                "die Sprache ist jetzt Deutsch",
                "la langue est maintenant le français",
            ],
            Text::UnknownLanguage => [
                "this language is not spoken here",
                "diese Sprache wird hier nicht gesprochen",
                "cette langue n'est pas parlée ici",
            ],
            Text::Utf8On => [
                "UTF-8 from now on",
                "ab jetzt UTF-8",
                "UTF-8 à partir de maintenant",
            ],
            Text::StartTlsNow => [
                "start TLS now",
                "TLS kann jetzt beginnen",
                "TLS peut commencer maintenant",
            ],
            Text::ShuttingDown => [
                "the server is shutting down",
                "der Server wird beendet",
                "le serveur s'arrête",
            ],
            Text::TimedOut => [
                "timed out while waiting for you",
                "zu lange auf Sie gewartet",
                "délai d'attente dépassé",
            ],
            Text::TooManyErrors => ["too many errors", "zu viele Fehler", "trop d'erreurs"],
            Text::BareLf => [
                "a line has to end with CRLF, not with LF alone",
                "eine Zeile endet mit CRLF, nicht mit LF allein",
                "une ligne se termine par CRLF, pas par LF seul",
            ],
            Text::LineTooLong => [
                "the line is too long",
                "die Zeile ist zu lang",
                "la ligne est trop longue",
            ],
            Text::UnknownCommand => ["unknown command", "unbekannter Befehl", "commande inconnue"],
            Text::NotUtf8 => [
                "the command is not UTF-8",
                "der Befehl ist kein UTF-8",
                "la commande n'est pas en UTF-8",
            ],
            Text::ControlCharacter => [
                "the command has a control character",
                "der Befehl enthält ein Steuerzeichen",
                "la commande contient un caractère de contrôle",
            ],
            Text::NoArgument => [
                "this command takes no argument",
                "dieser Befehl hat kein Argument",
                "cette commande n'a pas d'argument",
            ],
            Text::SayUser => [
                "say USER and a name",
                "USER braucht einen Namen",
                "USER demande un nom",
            ],
            Text::SayPass => [
                "say PASS and a password",
                "PASS braucht ein Passwort",
                "PASS demande un mot de passe",
            ],
            Text::SayAuth => [
                "say AUTH, a mechanism and perhaps a response",
                "AUTH braucht ein Verfahren und vielleicht eine Antwort",
                "AUTH demande un mécanisme et peut-être une réponse",
            ],
            Text::SayNumber => [
                "say the number of a message",
                "die Nummer einer Nachricht fehlt",
                "le numéro d'un message manque",
            ],
            Text::SayTop => [
                "say TOP, a message number and a number of lines",
                "TOP braucht die Nummer einer Nachricht und eine Anzahl von Zeilen",
                "TOP demande le numéro d'un message et un nombre de lignes",
            ],
            Text::SayLanguage => [
                "say LANG and perhaps a language or *",
                "LANG braucht höchstens eine Sprache oder *",
                "LANG demande au plus une langue ou *",
            ],
            Text::LoggedInAlready => [
                "you are logged in already",
                "Sie sind schon angemeldet",
                "vous êtes déjà connecté",
            ],
            Text::LogInFirst => [
                "log in first",
                "melden Sie sich zuerst an",
                "connectez-vous d'abord",
            ],
            Text::StartTlsFirst => [
                "start TLS first (STLS)",
                "beginnen Sie zuerst TLS (STLS)",
                "commencez d'abord TLS (STLS)",
            ],
            Text::NoStls => [
                "STLS is not available",
                "STLS gibt es hier nicht",
                "STLS n'est pas disponible",
            ],
            Text::NothingBehindStls => [
                "nothing may be sent behind STLS before the handshake",
                "hinter STLS darf vor dem Handshake nichts gesendet werden",
                "rien ne doit être envoyé après STLS avant la négociation",
            ],
            Text::NoApop => [
                "APOP is not offered: it needs the password in the clear on the server",
                "APOP gibt es hier nicht: dafür müsste das Passwort im Klartext auf dem Server liegen",
                "APOP n'est pas offert: le serveur devrait garder le mot de passe en clair",
            ],
            Text::SayUserFirst => ["say USER first", "zuerst USER", "d'abord USER"],
            Text::NoMechanism => [
                "this mechanism is not offered",
                "dieses Verfahren gibt es hier nicht",
                "ce mécanisme n'est pas offert",
            ],
            Text::BadBase64 => [
                "that is not valid base64",
                "das ist kein gültiges Base64",
                "ce n'est pas du base64 valide",
            ],
            Text::Cancelled => [
                "the authentication was cancelled",
                "die Anmeldung wurde abgebrochen",
                "l'authentification a été annulée",
            ],
            Text::BadLogin => [
                "the authentication is not well formed",
                "die Anmeldung ist nicht richtig aufgebaut",
                "l'authentification est mal formée",
            ],
            Text::BadCredentials => [
                "user or password is wrong",
                "Name oder Passwort ist falsch",
                "le nom ou le mot de passe est faux",
            ],
            Text::NotAllowed => [
                "this login is not allowed here",
                "diese Anmeldung ist hier nicht erlaubt",
                "cette connexion n'est pas permise ici",
            ],
            Text::Disabled => [
                "the account is disabled",
                "das Konto ist gesperrt",
                "le compte est désactivé",
            ],
            Text::TooManyLogins => [
                "too many logins, try again later",
                "zu viele Anmeldungen, bitte später wieder",
                "trop de connexions, réessayez plus tard",
            ],
            Text::CannotCheck => [
                "logins cannot be checked now",
                "Anmeldungen können gerade nicht geprüft werden",
                "les connexions ne peuvent pas être vérifiées maintenant",
            ],
            Text::NoSuchMessage => [
                "there is no such message",
                "diese Nachricht gibt es nicht",
                "ce message n'existe pas",
            ],
            Text::IsMarked => [
                "the message is marked as deleted",
                "die Nachricht ist zum Löschen vorgemerkt",
                "le message est marqué comme supprimé",
            ],
            Text::InUse => [
                "another session has the maildrop",
                "eine andere Sitzung hat das Postfach",
                "une autre session a la boîte",
            ],
            Text::LoginDelay => [
                "you have logged in a moment ago, wait a little",
                "Sie haben sich eben erst angemeldet, bitte warten Sie etwas",
                "vous venez de vous connecter, attendez un peu",
            ],
            Text::TooManySessions => [
                "too many sessions of this account",
                "zu viele Sitzungen dieses Kontos",
                "trop de sessions de ce compte",
            ],
            Text::LogInAgain => [
                "log in again",
                "bitte noch einmal anmelden",
                "connectez-vous de nouveau",
            ],
            Text::NoMailbox => [
                "there is no such mailbox",
                "diesen Ordner gibt es nicht",
                "ce dossier n'existe pas",
            ],
            Text::CannotOpen => [
                "the maildrop cannot be opened now",
                "das Postfach kann gerade nicht geöffnet werden",
                "la boîte ne peut pas être ouverte maintenant",
            ],
            Text::MessageGone => [
                "the message is gone",
                "die Nachricht ist nicht mehr da",
                "le message n'est plus là",
            ],
            Text::CannotRead => [
                "the message cannot be read now",
                "die Nachricht kann gerade nicht gelesen werden",
                "le message ne peut pas être lu maintenant",
            ],
            Text::CannotDelete => [
                "the messages could not be deleted",
                "die Nachrichten konnten nicht gelöscht werden",
                "les messages n'ont pas pu être supprimés",
            ],
        }
    }
}

impl fmt::Display for Text {
    /// In English.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.in_language(Language::English))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_find_languages() {
        for (range, want) in [
            ("en", Some(Language::English)),
            ("DE", Some(Language::German)),
            ("de-CH-1996", Some(Language::German)),
            ("fr-x-a", Some(Language::French)),
            ("english", None),
            ("mul", None),
            ("e", None),
            ("", None),
            ("-de", None),
        ] {
            assert_eq!(Language::find(range), want, "{range}");
        }
        for language in Language::ALL {
            assert_eq!(Language::find(language.tag()), Some(language));
        }
    }

    #[test]
    fn the_first_language_is_ascii() {
        // The last of them is the largest.
        for text in [Text::NowPassword, Text::NoApop, Text::CannotDelete] {
            assert!(text.in_language(Language::English).is_ascii());
            assert_eq!(text.to_string(), text.in_language(Language::English));
        }
    }
}
