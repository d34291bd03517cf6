//! The limits of every protocol, by name.
//!
//! Sessions take these at construction. Sizes are in bytes and durations in
//! [`std::time::Duration`]. Every default is at least what the standard asks a
//! receiver to accept.

use std::time::Duration;

/// Limits of an SMTP, submission or LMTP server session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpLimits {
    /// Longest command line without CRLF (RFC 5321 §4.5.3.1.4 asks for 512,
    /// parameters of extensions add to it).
    pub command_line: usize,
    /// Longest line of an AUTH exchange (RFC 4954 §4 asks for 12,288).
    pub auth_line: usize,
    /// Largest message, announced with SIZE (RFC 1870).
    pub message_size: u64,
    /// Most recipients of one transaction (RFC 5321 §4.5.3.1.8 asks for 100).
    pub recipients: usize,
    /// Most transactions of one session; the next MAIL is answered 421. Zero is
    /// no limit (RFC 9422 §4.1).
    pub transactions: u32,
    /// Most domains that the recipients of one session have; zero is no limit
    /// (RFC 9422 §4.3).
    pub recipient_domains: usize,
    /// Most errors before the session is closed with 421.
    pub errors: u32,
    /// Most failed logins before the session is closed with 421.
    pub auth_failures: u32,
    /// Longest wait for the next command (RFC 5321 §4.5.3.2.7: 5 minutes).
    pub command_timeout: Duration,
    /// Longest wait for the next piece of a message (§4.5.3.2.5: 3 minutes).
    pub data_timeout: Duration,
}

impl Default for SmtpLimits {
    fn default() -> Self {
        Self {
            command_line: 2048,
            auth_line: 12_288,
            message_size: 50 * 1024 * 1024,
            recipients: 1000,
            transactions: 0,
            recipient_domains: 0,
            errors: 20,
            auth_failures: 5,
            command_timeout: Duration::from_secs(300),
            data_timeout: Duration::from_secs(180),
        }
    }
}

/// Limits of an SMTP or LMTP client session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmtpClientLimits {
    /// Longest line of a reply without CRLF (RFC 5321 §4.5.3.1.5 asks for 512;
    /// servers exist that write longer ones).
    pub reply_line: usize,
    /// Most lines of one reply.
    pub reply_lines: usize,
    /// Most commands that await their replies, when pipelining.
    pub pipeline: usize,
    /// Longest wait for the greeting (RFC 5321 §4.5.3.2.1: 5 minutes).
    pub greeting_timeout: Duration,
    /// Longest wait for the answer to a command (§4.5.3.2.2 and .3: 5 minutes).
    pub command_timeout: Duration,
    /// Longest wait for the answer to DATA (§4.5.3.2.4: 2 minutes).
    pub data_timeout: Duration,
    /// Longest wait while a piece of the message is sent (§4.5.3.2.5: 3 minutes).
    pub block_timeout: Duration,
    /// Longest wait for the answer to a message (§4.5.3.2.6: 10 minutes).
    pub end_timeout: Duration,
    /// Longest wait for the answer to QUIT.
    pub quit_timeout: Duration,
}

impl Default for SmtpClientLimits {
    fn default() -> Self {
        Self {
            reply_line: 4096,
            reply_lines: 256,
            pipeline: 100,
            greeting_timeout: Duration::from_secs(300),
            command_timeout: Duration::from_secs(300),
            data_timeout: Duration::from_secs(120),
            block_timeout: Duration::from_secs(180),
            end_timeout: Duration::from_secs(600),
            quit_timeout: Duration::from_secs(30),
        }
    }
}

/// Limits of an IMAP server session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImapLimits {
    /// Longest command without its literals, line ends included (RFC 2683
    /// §3.2.1.5 asks for 8,000; sync clients send long UID sets).
    pub command: usize,
    /// Longest command before login, and longest line of an AUTHENTICATE
    /// exchange (RFC 4954 §4 asks SMTP for 12,288, which tokens need).
    pub command_before_login: usize,
    /// Largest literal that is not a message.
    pub literal: usize,
    /// Most literals in one command.
    pub literals: usize,
    /// Largest APPEND.
    pub message_size: u64,
    /// Deepest nesting of parentheses (search keys, lists).
    pub nesting: usize,
    /// Most errors before the session is closed with BYE.
    pub errors: u32,
    /// Most failed logins before the session is closed with BYE.
    pub auth_failures: u32,
    /// Longest wait before login.
    pub login_timeout: Duration,
    /// Longest wait for the next command (RFC 9051 §5.4: at least 30 minutes).
    pub idle_timeout: Duration,
    /// How often a client in IDLE is sent a remark, so that routers between keep
    /// the connection and a dead one is noticed; zero is never.
    pub idle_remark: Duration,
}

impl Default for ImapLimits {
    fn default() -> Self {
        Self {
            command: 64 * 1024,
            command_before_login: 16 * 1024,
            literal: 64 * 1024,
            literals: 64,
            message_size: 50 * 1024 * 1024,
            nesting: 64,
            errors: 50,
            auth_failures: 5,
            login_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(30 * 60),
            idle_remark: Duration::from_secs(2 * 60),
        }
    }
}

/// Limits of an IMAP client session: what a server may make large. Messages
/// are not among it, since they are handed on as they come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImapClientLimits {
    /// Longest response with its small literals, in bytes (a SEARCH that finds
    /// two million messages has as many).
    pub response: usize,
    /// Largest literal that is no part of a message, in bytes.
    pub literal: usize,
    /// Deepest nesting of a body structure. A deeper one comes out as it is.
    pub nesting: usize,
    /// Most names, flags, addresses, parts and the like in one response.
    pub items: usize,
    /// Most numbers in one response.
    pub numbers: usize,
    /// Most challenges of one login.
    pub challenges: u32,
    /// Most commands that await their end.
    pub pipeline: usize,
    /// Largest message that is appended without asking first, in bytes, where
    /// the server allows it (RFC 7888). A larger one can be refused before it
    /// is sent.
    pub append_unasked: u64,
    /// Longest wait for the greeting.
    pub greeting_timeout: Duration,
    /// Longest silence of the server while a command is carried out (a SEARCH
    /// may take long).
    pub command_timeout: Duration,
    /// How long an IDLE lasts at most (RFC 2177 §3: less than 30 minutes).
    pub idle_refresh: Duration,
    /// Longest wait for the answer to LOGOUT.
    pub logout_timeout: Duration,
}

impl Default for ImapClientLimits {
    fn default() -> Self {
        Self {
            response: 16 * 1024 * 1024,
            literal: 1024 * 1024,
            nesting: 100,
            items: 100_000,
            numbers: 2_000_000,
            challenges: 8,
            pipeline: 100,
            append_unasked: 1024 * 1024,
            greeting_timeout: Duration::from_secs(60),
            command_timeout: Duration::from_secs(600),
            idle_refresh: Duration::from_secs(29 * 60),
            logout_timeout: Duration::from_secs(30),
        }
    }
}

/// Limits of a POP3 server session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pop3Limits {
    /// Longest command line without CRLF (RFC 2449 §4 asks for 255).
    pub command_line: usize,
    /// Longest line of an AUTH exchange (RFC 4954 §4 asks for 12,288).
    pub auth_line: usize,
    /// Most errors before the session is closed.
    pub errors: u32,
    /// Most failed logins before the session is closed.
    pub auth_failures: u32,
    /// Longest wait for the next command (RFC 1939 §3: at least 10 minutes).
    pub idle_timeout: Duration,
    /// Longest wait before login.
    pub login_timeout: Duration,
}

impl Default for Pop3Limits {
    fn default() -> Self {
        Self {
            command_line: 512,
            auth_line: 12_288,
            errors: 20,
            auth_failures: 5,
            idle_timeout: Duration::from_secs(600),
            login_timeout: Duration::from_secs(60),
        }
    }
}
