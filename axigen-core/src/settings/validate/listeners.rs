//! What is wrong with listeners: addresses, certificates, rules, proxies.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;

use super::threads;
use crate::net::{by_name, tls};
use crate::settings::{
    AccessRule, Action, CertificateSettings, ConnectionLimits, ListenAddress, ListenerSettings,
    Problem, ProxySettings, Settings, TlsMode, TlsSettings,
};

/// Longest path of a Unix socket, in bytes; the system has no room for more.
const SOCKET_PATH: usize = 107;
/// How long a PROXY header may be allowed to be: at least as long as one without
/// further fields, at most as long as one can be.
const HEADER: std::ops::RangeInclusive<u64> = 256..=65_551;

/// Why there is no version of TLS that could be spoken.
const NO_VERSION: &str = "the newest version of TLS is older than the oldest";

/// `given`: there is a certificate for all listeners.
pub(super) fn listeners(settings: &Settings, given: bool, problems: &mut Vec<Problem>) {
    certificate(settings, problems);
    access("rules", &settings.rules, problems);
    limits("limits", &settings.limits, problems);
    if settings.write_timeout.0.is_zero() {
        problems.push(Problem::new(
            "write_timeout",
            "it must be more than no time",
        ));
    }
    let mut taken = HashMap::new();
    for (name, common) in settings.services() {
        threads(&format!("{name}.threads"), common.threads, problems);
        if !common.enable {
            continue;
        }
        if common.listeners.is_empty() {
            problems.push(Problem::new(
                format!("{name}.enable"),
                "the service is enabled but has no listener",
            ));
        }
        access(&format!("{name}.rules"), &common.rules, problems);
        limits(&format!("{name}.limits"), &common.limits, problems);
        for (at, of) in common.listeners.iter().enumerate() {
            let place = format!("{name}.listeners[{at}]");
            if !of.address.is_any_port()
                && let Some(other) = taken.insert(&of.address, name)
            {
                problems.push(Problem::new(
                    format!("{place}.address"),
                    format!("{} is taken by {other} already", of.address),
                ));
            }
            listener((name, &place), of, &settings.tls, given, problems);
        }
    }
    lmtp(settings, problems);
}

fn listener(
    (name, place): (&str, &str),
    of: &ListenerSettings,
    tls: &TlsSettings,
    given: bool,
    problems: &mut Vec<Problem>,
) {
    let address = &of.address;
    let mut wrong = |option: &str, why: String| {
        problems.push(Problem::new(format!("{place}.{option}"), why));
    };
    if let ListenAddress::Unix(path) = address
        && path.as_os_str().as_bytes().len() > SOCKET_PATH
    {
        wrong(
            "address",
            format!("{address} is longer than {SOCKET_PATH} bytes"),
        );
    }
    if of.tls != TlsMode::None && !given && of.certificates.is_empty() {
        wrong(
            "tls",
            format!("{address} wants TLS, but tls.certificate is not set"),
        );
    }
    let own = of.tls_minimum.is_some() || of.tls_maximum.is_some();
    if of.tls == TlsMode::None && (!of.certificates.is_empty() || own) {
        wrong(
            "tls",
            format!("{address} has no TLS, but certificates or versions of it are set"),
        );
    }
    let versions = of.tls_versions(tls);
    if own && versions.maximum < versions.minimum {
        let option = match of.tls_maximum {
            Some(_) => "tls_maximum",
            None => "tls_minimum",
        };
        wrong(option, NO_VERSION.to_owned());
    }
    for (option, span) in [
        ("idle_timeout", of.idle_timeout),
        ("write_timeout", of.write_timeout),
    ] {
        if span.is_some_and(|span| span.0.is_zero()) {
            wrong(option, "it must be more than no time".to_owned());
        }
    }
    certificates(&format!("{place}.certificates"), &of.certificates, problems);
    proxy(&format!("{place}.proxy"), &of.proxy, problems);
    logins(name, place, of, problems);
    authorities(place, of, problems);
    access(&format!("{place}.rules"), &of.rules, problems);
    limits(&format!("{place}.limits"), &of.limits, problems);
}

fn proxy(place: &str, proxy: &ProxySettings, problems: &mut Vec<Problem>) {
    if proxy.timeout.0.is_zero() {
        problems.push(Problem::new(
            format!("{place}.timeout"),
            "it must be more than no time",
        ));
    }
    if !HEADER.contains(&proxy.header_size.0) {
        problems.push(Problem::new(
            format!("{place}.header_size"),
            format!(
                "it must be from {} to {} bytes, not {}",
                HEADER.start(),
                HEADER.end(),
                proxy.header_size.0
            ),
        ));
    }
}

fn certificate(settings: &Settings, problems: &mut Vec<Problem>) {
    let files = &settings.tls;
    let (certificate, key) = (files.certificate.as_os_str(), files.key.as_os_str());
    match (certificate.is_empty(), key.is_empty()) {
        (true, true) => {}
        (true, false) => problems.push(Problem::new(
            "tls.certificate",
            "it is not set, but tls.key is",
        )),
        (false, true) => problems.push(Problem::new(
            "tls.key",
            "it is not set, but tls.certificate is",
        )),
        (false, false) => {
            let made = tls::from_files(&files.certificate, &files.key, files.versions());
            if let Err(error) = made {
                let option = match &error {
                    tls::Error::File { path, .. } if *path == files.key => "tls.key",
                    _ => "tls.certificate",
                };
                problems.push(Problem::new(option, error));
            }
        }
    }
    if files.maximum < files.minimum {
        problems.push(Problem::new("tls.maximum", NO_VERSION));
    }
    if files.handshake_timeout.0.is_zero() {
        problems.push(Problem::new(
            "tls.handshake_timeout",
            "it must be more than no time",
        ));
    }
    if certificate.is_empty() && !files.certificates.is_empty() {
        problems.push(Problem::new(
            "tls.certificates",
            "tls.certificate is not set, which is for clients that name no server",
        ));
    }
    certificates("tls.certificates", &files.certificates, problems);
}

/// Certificates for clients that name the server they want.
fn certificates(place: &str, list: &[CertificateSettings], problems: &mut Vec<Problem>) {
    for (at, one) in list.iter().enumerate() {
        let place = format!("{place}[{at}]");
        for name in &one.names {
            if by_name::normal(name).is_none() {
                problems.push(Problem::new(
                    format!("{place}.names"),
                    format!("{name:?} is not a host name"),
                ));
            }
        }
        if let Err(error) = tls::check(one) {
            let option = match &error {
                tls::Error::File { path, .. } if *path == one.key => "key",
                _ => "certificate",
            };
            problems.push(Problem::new(format!("{place}.{option}"), error));
        }
    }
}

/// Whether and how one can log in here.
fn logins(name: &str, place: &str, listener: &ListenerSettings, problems: &mut Vec<Problem>) {
    let address = &listener.address;
    if listener.plaintext_login && !address.is_local() {
        problems.push(Problem::new(
            format!("{place}.plaintext_login"),
            format!(
                "{address} allows logins without TLS, which is allowed on loopback addresses and Unix sockets only"
            ),
        ));
    }
    let needs_login = matches!(name, "submission" | "imap" | "pop3");
    if needs_login && listener.tls == TlsMode::None && !listener.plaintext_login {
        problems.push(Problem::new(
            format!("{place}.tls"),
            format!("nobody can log in at {address}: it has neither TLS nor plaintext_login"),
        ));
    }
}

/// Whether client certificates can be asked for.
fn authorities(place: &str, listener: &ListenerSettings, problems: &mut Vec<Problem>) {
    let path = &listener.client_authorities;
    if path.as_os_str().is_empty() {
        return;
    }
    let option = format!("{place}.client_authorities");
    if listener.tls == TlsMode::None {
        problems.push(Problem::new(
            option,
            format!(
                "{} has no TLS, so there are no certificates",
                listener.address
            ),
        ));
    } else if let Err(error) = tls::verifier(path) {
        problems.push(Problem::new(option, error));
    }
}

fn access(place: &str, rules: &[AccessRule], problems: &mut Vec<Problem>) {
    for (at, rule) in rules.iter().enumerate() {
        let place = format!("{place}[{at}]");
        if !(1..=1000).contains(&rule.priority) {
            problems.push(Problem::new(
                format!("{place}.priority"),
                format!("it is {}, but it goes from 1 to 1000", rule.priority),
            ));
        }
        if rule.action == Action::Deny && rule.limits != ConnectionLimits::default() {
            problems.push(Problem::new(
                format!("{place}.limits"),
                "a deny rule cannot have limits",
            ));
        }
        limits(&format!("{place}.limits"), &rule.limits, problems);
    }
}

fn limits(place: &str, limits: &ConnectionLimits, problems: &mut Vec<Problem>) {
    if limits.interval.is_some_and(|span| span.0.is_zero()) {
        problems.push(Problem::new(
            format!("{place}.interval"),
            "it must be more than no time; `interval_connections = 0` is no limit",
        ));
    }
}

/// LMTP takes mail without a login, for any local recipient.
fn lmtp(settings: &Settings, problems: &mut Vec<Problem>) {
    let common = &settings.lmtp.common;
    let listeners = common.listeners.iter().enumerate();
    for (at, listener) in listeners.filter(|_| common.enable) {
        let mut rules = settings.rules_of("lmtp", listener).into_iter().flatten();
        let denies = |rule: &AccessRule| rule.action == Action::Deny;
        if !listener.address.is_local() && !rules.any(denies) {
            problems.push(Problem::new(
                format!("lmtp.listeners[{at}].address"),
                format!(
                    "{} is open to everyone; give it rules that deny all but your own hosts",
                    listener.address
                ),
            ));
        }
    }
}
