//! The replies that this crate gives by itself, in one table.
//!
//! An application uses them too: `server.reply(standard::NO_SUCH_USER.into())`.

use super::reply::{EnhancedCode, Reply};

/// A row of the table: a reply that is known at compile time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standard {
    /// The three-digit code.
    pub code: u16,
    /// The enhanced status code; class 0 for a reply that has none.
    pub enhanced: (u8, u16, u16),
    /// The text.
    pub text: &'static str,
}

impl From<Standard> for Reply {
    fn from(row: Standard) -> Self {
        Reply {
            code: row.code,
            enhanced: (row.enhanced.0 != 0).then(|| EnhancedCode::from(row.enhanced)),
            text: row.text.into(),
        }
    }
}

const fn row(code: u16, enhanced: (u8, u16, u16), text: &'static str) -> Standard {
    Standard {
        code,
        enhanced,
        text,
    }
}

/// The answer to NOOP and RSET, and a plain yes.
pub const OK: Standard = row(250, (2, 0, 0), "OK");
/// MAIL is accepted.
pub const SENDER_OK: Standard = row(250, (2, 1, 0), "sender OK");
/// RCPT is accepted.
pub const RECIPIENT_OK: Standard = row(250, (2, 1, 5), "recipient OK");
/// STARTTLS is accepted.
pub const READY_FOR_TLS: Standard = row(220, (2, 0, 0), "ready to start TLS");
/// The answer to a BDAT that is not the last (RFC 3030 §2).
pub const CHUNK_OK: Standard = row(250, (2, 0, 0), "chunk received");
/// The answer to QUIT.
pub const GOODBYE: Standard = row(221, (2, 0, 0), "goodbye");
/// AUTH succeeded.
pub const AUTHENTICATED: Standard = row(235, (2, 7, 0), "authentication succeeded");
/// The answer to VRFY (RFC 5321 §3.5.3).
pub const CANNOT_VRFY: Standard = row(
    252,
    (2, 5, 0),
    "cannot verify the user, but will take mail and try to deliver it",
);
/// The answer to EXPN (RFC 5321 §7.3 wants 252 where it is switched off).
pub const CANNOT_EXPN: Standard = row(252, (2, 5, 0), "cannot tell who is on the list");
/// For an application that has begun to send what waits (RFC 1985 §5).
pub const QUEUE_STARTED: Standard = row(250, (2, 0, 0), "sending what waits for this node");
/// For an application where nothing waits (RFC 1985 §5).
pub const NOTHING_WAITS: Standard = row(251, (2, 0, 0), "no messages wait for this node");
/// For an application that cannot send now (RFC 1985 §5).
pub const CANNOT_START_QUEUE: Standard =
    row(458, (4, 3, 0), "cannot send what waits for this node now");
/// For an application that does not send to this node (RFC 1985 §5).
pub const NODE_NOT_ALLOWED: Standard = row(459, (4, 7, 1), "this node is not allowed");
/// DATA is accepted.
pub const START_DATA: Standard = row(354, (0, 0, 0), "end the message with <CRLF>.<CRLF>");
/// The server stops.
pub const SHUTTING_DOWN: Standard = row(421, (4, 3, 2), "the service is shutting down");
/// A deadline passed.
pub const TIMED_OUT: Standard = row(421, (4, 4, 2), "timed out while waiting for you");
/// The peer made more errors than allowed.
pub const TOO_MANY_ERRORS: Standard = row(421, (4, 7, 0), "too many errors");
/// The peer failed to log in more often than allowed.
pub const TOO_MANY_AUTH_FAILURES: Standard = row(421, (4, 7, 0), "too many failed logins");
/// The session has had as many transactions as allowed (RFC 9422 §4.1).
pub const TOO_MANY_TRANSACTIONS: Standard = row(421, (4, 7, 0), "too many transactions");
/// For an application that limits connections.
pub const TOO_MANY_CONNECTIONS: Standard = row(421, (4, 7, 0), "too many connections");
/// For an application whose store or directory failed.
pub const LOCAL_ERROR: Standard = row(451, (4, 3, 0), "local error, try again later");
/// The transaction has as many recipients as allowed.
pub const TOO_MANY_RECIPIENTS: Standard = row(452, (4, 5, 3), "too many recipients");
/// The recipients of the session have as many domains as allowed (RFC 9422
/// §4.3).
pub const TOO_MANY_DOMAINS: Standard =
    row(452, (4, 5, 3), "too many recipient domains in one session");
/// Login refused for now.
pub const TOO_MANY_LOGINS: Standard = row(454, (4, 7, 0), "too many logins, try again later");
/// The directory could not be asked (RFC 4954 §4).
pub const AUTH_UNAVAILABLE: Standard =
    row(454, (4, 7, 0), "cannot check logins now, try again later");
/// No such command.
pub const UNKNOWN_COMMAND: Standard = row(500, (5, 5, 1), "unknown command");
/// EHLO or HELO on an LMTP port (RFC 2033 §4.1).
pub const NO_HELO_IN_LMTP: Standard = row(500, (5, 5, 1), "this is LMTP: say LHLO");
/// LHLO on an SMTP port.
pub const NO_LHLO_IN_SMTP: Standard = row(500, (5, 5, 1), "this is SMTP: say EHLO");
/// A command line beyond the limit (RFC 5321 §4.5.3.1.9).
pub const LINE_TOO_LONG: Standard = row(500, (5, 5, 2), "line too long");
/// A CR or LF by itself (RFC 5321 §2.3.8).
pub const BARE_LINE_END: Standard = row(
    500,
    (5, 5, 2),
    "a command ends with CR LF; a CR or LF by itself is not allowed",
);
/// A control character, or bytes that are no UTF-8.
pub const NOT_TEXT: Standard = row(
    500,
    (5, 5, 2),
    "a command is UTF-8 text without control characters",
);
/// A line of AUTH beyond the limit (RFC 4954 §4).
pub const AUTH_LINE_TOO_LONG: Standard =
    row(500, (5, 5, 6), "authentication exchange line too long");
/// A response that is no base64 (RFC 4954 §4).
pub const BAD_BASE64: Standard = row(501, (5, 5, 2), "not valid base64");
/// The client cancelled AUTH with `*` (RFC 4954 §4).
pub const AUTH_CANCELLED: Standard = row(501, (5, 7, 0), "authentication cancelled");
/// A command that we know but do not offer here.
pub const NOT_IMPLEMENTED: Standard = row(502, (5, 5, 1), "command not implemented");
/// AUTH with a mechanism that we do not have (RFC 4954 §4).
pub const UNKNOWN_MECHANISM: Standard =
    row(504, (5, 5, 4), "no such authentication mechanism here");
/// MAIL or RCPT with a parameter that we do not know (RFC 5321 §4.1.1.11).
pub const UNKNOWN_PARAMETER: Standard = row(555, (5, 5, 4), "unknown parameter");
/// A parameter that is given twice (RFC 3461 §4.5 and others).
pub const PARAMETER_TWICE: Standard = row(501, (5, 5, 4), "a parameter is given twice");
/// A parameter without the value it needs.
pub const PARAMETER_NEEDS_VALUE: Standard = row(501, (5, 5, 4), "the parameter needs a value");
/// A parameter with a value it does not have.
pub const PARAMETER_TAKES_NO_VALUE: Standard = row(501, (5, 5, 4), "the parameter takes no value");
/// `BY=` that is not of its grammar (RFC 2852 §4).
pub const BAD_BY: Standard = row(
    501,
    (5, 5, 4),
    "the syntax is BY=seconds;R or N, then T or not",
);
/// `BY=` with `R` and less time than the announced minimum (RFC 2852 §3).
pub const BY_TOO_SOON: Standard = row(
    555,
    (5, 5, 4),
    "the time in BY is less than the minimum announced with DELIVERBY",
);
/// More than one of `HOLDFOR=` and `HOLDUNTIL=` (RFC 4865 §4.2).
pub const HELD_TWICE: Standard = row(501, (5, 5, 4), "only one HOLDFOR or HOLDUNTIL is allowed");
/// A message that is to be held longer than announced (RFC 4865 §4.2).
pub const HELD_TOO_LONG: Standard = row(
    501,
    (5, 5, 4),
    "the message cannot be held so long; see what FUTURERELEASE announces",
);
/// A message that must be delivered while it is still held (RFC 4865 §5.2.2).
/// With `HOLDUNTIL=` it takes a clock to tell, so the application does.
pub const HELD_BEYOND_BY: Standard = row(
    501,
    (5, 5, 4),
    "the message is to be held beyond the time to deliver it in",
);
/// For an application whose user has too much mail held (RFC 4865 §6).
pub const HELD_TOO_MUCH: Standard = row(552, (5, 7, 16), "too many of your messages are held");
/// For an application that holds too much mail (RFC 4865 §6).
pub const HELD_TOO_MUCH_HERE: Standard = row(552, (5, 7, 17), "too many messages are held here");
/// `MT-PRIORITY=` that is no priority, or is given twice (RFC 6710 §4.1).
pub const BAD_PRIORITY: Standard = row(501, (5, 5, 2), "MT-PRIORITY is one number of -9 to 9");
/// For an application that takes only what is more urgent (RFC 6710 §4.1).
pub const PRIORITY_TOO_LOW: Standard = row(550, (5, 7, 15), "the priority is too low");
/// `REQUIRETLS` outside TLS (RFC 8689 §2).
pub const REQUIRETLS_NEEDS_TLS: Standard =
    row(530, (5, 7, 10), "REQUIRETLS can be used inside TLS only");
/// For an application that cannot hand on a message with `REQUIRETLS`
/// (RFC 8689 §4.2.1).
pub const REQUIRETLS_UNSUPPORTED: Standard =
    row(550, (5, 7, 30), "the next server does not offer REQUIRETLS");
/// MAIL or RCPT with a parameter after HELO.
pub const PARAMETER_NEEDS_EHLO: Standard =
    row(555, (5, 5, 4), "parameters can be used after EHLO only");
/// A command that needs EHLO, HELO or LHLO before it.
pub const HELLO_FIRST: Standard = row(503, (5, 5, 1), "introduce yourself first");
/// RCPT, DATA or BDAT outside a transaction.
pub const MAIL_FIRST: Standard = row(503, (5, 5, 1), "send MAIL first");
/// DATA or BDAT before any RCPT.
pub const RCPT_FIRST: Standard = row(503, (5, 5, 1), "send RCPT first");
/// DATA or BDAT when every RCPT was refused (RFC 5321 §3.3).
pub const NO_VALID_RECIPIENTS: Standard = row(503, (5, 5, 1), "no valid recipients");
/// MAIL inside a transaction.
pub const NESTED_MAIL: Standard = row(
    503,
    (5, 5, 1),
    "a transaction is open already; end it or send RSET",
);
/// DATA after BDAT (RFC 3030 §3).
pub const DATA_AFTER_BDAT: Standard = row(503, (5, 5, 1), "DATA and BDAT cannot be mixed");
/// RCPT after the first BDAT.
pub const RCPT_AFTER_BDAT: Standard =
    row(503, (5, 5, 1), "the message has begun; no more recipients");
/// DATA after BODY=BINARYMIME (RFC 3030 §3).
pub const BINARYMIME_NEEDS_BDAT: Standard =
    row(503, (5, 5, 1), "BODY=BINARYMIME can be sent with BDAT only");
/// ETRN inside a transaction (RFC 1985 §5).
pub const ETRN_IN_TRANSACTION: Standard =
    row(503, (5, 5, 1), "ETRN is not allowed inside a transaction");
/// STARTTLS inside TLS.
pub const TLS_ACTIVE: Standard = row(503, (5, 5, 1), "TLS is active already");
/// AUTH after HELO or nothing.
pub const AUTH_NEEDS_EHLO: Standard = row(503, (5, 5, 1), "send EHLO before AUTH");
/// A second AUTH (RFC 4954 §4).
pub const ALREADY_AUTHENTICATED: Standard = row(503, (5, 5, 1), "you are logged in already");
/// AUTH inside a transaction (RFC 4954 §4).
pub const AUTH_IN_TRANSACTION: Standard =
    row(503, (5, 5, 1), "AUTH is not allowed inside a transaction");
/// STARTTLS inside a transaction.
pub const STARTTLS_IN_TRANSACTION: Standard = row(
    503,
    (5, 5, 1),
    "STARTTLS is not allowed inside a transaction",
);
/// Any command after a refused connection (RFC 5321 §3.1).
pub const SERVICE_REFUSED: Standard = row(
    503,
    (5, 5, 1),
    "there is no service for you here; send QUIT",
);
/// MAIL on a submission port before AUTH (RFC 4954 §6).
pub const AUTH_REQUIRED: Standard = row(530, (5, 7, 0), "authentication required");
/// A command that is allowed inside TLS only (RFC 3207 §4).
pub const TLS_REQUIRED: Standard = row(530, (5, 7, 0), "send STARTTLS first");
/// Login refused (RFC 4954 §6).
pub const BAD_CREDENTIALS: Standard = row(535, (5, 7, 8), "user or password is wrong");
/// Login refused for this service or identity.
pub const NOT_AUTHORIZED: Standard = row(535, (5, 7, 8), "this login is not allowed here");
/// Login refused because the account is locked (RFC 5248).
pub const ACCOUNT_DISABLED: Standard = row(535, (5, 7, 13), "the account is disabled");
/// AUTH with a mechanism that is allowed inside TLS only (RFC 4954 §6).
pub const TLS_FOR_MECHANISM: Standard =
    row(538, (5, 7, 11), "this authentication mechanism needs TLS");
/// For an application that knows no such recipient.
pub const NO_SUCH_USER: Standard = row(550, (5, 1, 1), "no such user here");
/// For an application that will not carry this mail further.
pub const RELAY_DENIED: Standard = row(550, (5, 7, 1), "relaying is not allowed");
/// A message refused because of its line ends (RFC 5321 §2.3.8).
pub const BARE_LINE_END_IN_MESSAGE: Standard =
    row(550, (5, 6, 11), "the message holds a CR or LF by itself");
/// A message refused because of a NUL (RFC 5322 §2.2).
pub const NUL_IN_MESSAGE: Standard = row(550, (5, 6, 11), "the message holds a NUL");
/// A message beyond the limit (RFC 1870 §6).
pub const MESSAGE_TOO_LARGE: Standard = row(552, (5, 3, 4), "the message is too large");
/// A non-ASCII address without SMTPUTF8 (RFC 6531 §3.5).
pub const NON_ASCII_ADDRESS: Standard = row(553, (5, 6, 7), "this address needs SMTPUTF8");
/// For an application that refuses a connection (RFC 5321 §3.1).
pub const NO_SERVICE: Standard = row(554, (5, 3, 2), "no service here");
/// Bytes behind STARTTLS, before the handshake (CVE-2011-0411).
pub const PLAINTEXT_AFTER_STARTTLS: Standard =
    row(554, (5, 5, 1), "commands were sent behind STARTTLS");
/// HTTP or TLS on a port that speaks SMTP.
pub const NOT_THIS_PROTOCOL: Standard = row(554, (5, 5, 1), "this is a mail server");

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[Standard] = &[
        OK,
        SENDER_OK,
        RECIPIENT_OK,
        READY_FOR_TLS,
        CHUNK_OK,
        GOODBYE,
        AUTHENTICATED,
        CANNOT_VRFY,
        CANNOT_EXPN,
        QUEUE_STARTED,
        NOTHING_WAITS,
        CANNOT_START_QUEUE,
        NODE_NOT_ALLOWED,
        ETRN_IN_TRANSACTION,
        START_DATA,
        SHUTTING_DOWN,
        TIMED_OUT,
        TOO_MANY_ERRORS,
        TOO_MANY_AUTH_FAILURES,
        TOO_MANY_CONNECTIONS,
        LOCAL_ERROR,
        TOO_MANY_RECIPIENTS,
        TOO_MANY_LOGINS,
        AUTH_UNAVAILABLE,
        UNKNOWN_COMMAND,
        NO_HELO_IN_LMTP,
        NO_LHLO_IN_SMTP,
        LINE_TOO_LONG,
        BARE_LINE_END,
        NOT_TEXT,
        AUTH_LINE_TOO_LONG,
        BAD_BASE64,
        AUTH_CANCELLED,
        NOT_IMPLEMENTED,
        UNKNOWN_MECHANISM,
        UNKNOWN_PARAMETER,
        PARAMETER_TWICE,
        BAD_BY,
        TOO_MANY_DOMAINS,
        TOO_MANY_TRANSACTIONS,
        REQUIRETLS_NEEDS_TLS,
        REQUIRETLS_UNSUPPORTED,
        BAD_PRIORITY,
        PRIORITY_TOO_LOW,
        HELD_TWICE,
        HELD_TOO_LONG,
        HELD_BEYOND_BY,
        HELD_TOO_MUCH,
        HELD_TOO_MUCH_HERE,
        BY_TOO_SOON,
        PARAMETER_NEEDS_VALUE,
        PARAMETER_TAKES_NO_VALUE,
        PARAMETER_NEEDS_EHLO,
        HELLO_FIRST,
        MAIL_FIRST,
        RCPT_FIRST,
        NO_VALID_RECIPIENTS,
        NESTED_MAIL,
        DATA_AFTER_BDAT,
        RCPT_AFTER_BDAT,
        BINARYMIME_NEEDS_BDAT,
        TLS_ACTIVE,
        AUTH_NEEDS_EHLO,
        ALREADY_AUTHENTICATED,
        AUTH_IN_TRANSACTION,
        STARTTLS_IN_TRANSACTION,
        SERVICE_REFUSED,
        AUTH_REQUIRED,
        TLS_REQUIRED,
        BAD_CREDENTIALS,
        NOT_AUTHORIZED,
        ACCOUNT_DISABLED,
        TLS_FOR_MECHANISM,
        NO_SUCH_USER,
        RELAY_DENIED,
        BARE_LINE_END_IN_MESSAGE,
        NUL_IN_MESSAGE,
        MESSAGE_TOO_LARGE,
        NON_ASCII_ADDRESS,
        NO_SERVICE,
        PLAINTEXT_AFTER_STARTTLS,
        NOT_THIS_PROTOCOL,
    ];

    #[test]
    fn every_row_is_a_valid_reply() {
        for row in ALL {
            let reply = Reply::from(*row);
            assert!((200..=599).contains(&row.code), "{row:?}");
            assert!(!row.text.is_empty() && row.text.is_ascii(), "{row:?}");
            // RFC 2034 §4: replies of class 3 have no enhanced code, others agree with it.
            match reply.enhanced {
                None => assert_eq!(row.code / 100, 3, "{row:?}"),
                Some(enhanced) => assert_eq!(u16::from(enhanced.class), row.code / 100),
            }
        }
    }
}
