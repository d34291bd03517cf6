//! What is wrong with settings that can be read.

mod listeners;

use axigen_proto::imap::separator::Separator;
use axigen_proto::smtp::address::{DomainName, Mailbox};

use super::{ControlSettings, FaultSettings, ImapSettings, LoginSettings, MailboxSettings};
use super::{Problem, SearchSettings, Settings, SmtpOutSettings, StoreSettings, TlsPolicy};
use crate::dns;
use crate::mailbox::names;
use crate::net::tls;
use crate::search;

/// Most processing threads of a service.
const THREADS: usize = 1024;

/// `given`: the application has given a certificate.
pub(super) fn validate(settings: &Settings, given: bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    if DomainName::new(settings.hostname.as_str()).is_err() {
        problems.push(Problem::new(
            "hostname",
            format!("{:?} is not a host name", settings.hostname),
        ));
    }
    attempts(&settings.logins, &mut problems);
    faults(&settings.faults, &mut problems);
    threads("threads", settings.threads, &mut problems);
    outgoing(&settings.smtp_out, &mut problems);
    names(settings, &mut problems);
    store(&settings.store, &mut problems);
    search(&settings.search, &mut problems);
    mailboxes(&settings.mailboxes, &mut problems);
    if settings.accounts.forward.is_some() {
        let why =
            "all mail of the server cannot be sent on; set it for a domain, a class or an account";
        problems.push(Problem::new("accounts.forward", why));
    }
    for (name, of) in [
        ("smtp_in", &settings.smtp_in),
        ("submission", &settings.submission),
        ("lmtp", &settings.lmtp),
    ] {
        if let Err(why) = of.refused_solicitation() {
            problems.push(Problem::new(format!("{name}.no_soliciting"), why));
        }
    }
    control(&settings.control, &mut problems);
    let given = given || !settings.tls.certificate.as_os_str().is_empty();
    listeners::listeners(settings, given, &mut problems);
    namespaces(&settings.imap, &mut problems);
    problems
}

/// The first levels of others' names are one level each, and two.
fn namespaces(imap: &ImapSettings, problems: &mut Vec<Problem>) {
    if Separator::new(imap.separator).is_none() {
        problems.push(Problem::new(
            "imap.separator",
            format!("it is \"/\" or \".\", not {:?}", imap.separator.to_string()),
        ));
    }
    if imap.save_limit > 0 && imap.message_limit > 0 {
        problems.push(Problem::new(
            "imap.save_limit",
            "it is for message_limit = 0: clients are told one of the two",
        ));
    }
    let (other, public) = (&imap.other_users, &imap.public_folders);
    for (option, name) in [("other_users", other), ("public_folders", public)] {
        let bad = name.contains(names::SEPARATOR)
            || name.contains(['*', '%'])
            || name.eq_ignore_ascii_case(names::INBOX)
            || (!name.is_empty() && names::normalise(name).is_err());
        if bad {
            problems.push(Problem::new(
                format!("imap.{option}"),
                format!("{name:?} cannot be the first level of names"),
            ));
        }
    }
    if !other.is_empty() && other == public {
        problems.push(Problem::new(
            "imap.public_folders",
            format!("{public:?} is what other users' mailboxes begin with"),
        ));
    }
}

/// How mail travels to other hosts.
fn outgoing(settings: &SmtpOutSettings, problems: &mut Vec<Problem>) {
    threads("smtp_out.threads", settings.threads, problems);
    let names = [("smtp_out.hostname".to_owned(), &settings.hostname)];
    let of_routes = settings.routes.iter().enumerate();
    let of_routes =
        of_routes.map(|(at, route)| (format!("smtp_out.routes[{at}].hostname"), &route.hostname));
    for (option, name) in names.into_iter().chain(of_routes) {
        if !name.is_empty() && DomainName::new(name.as_str()).is_err() {
            problems.push(Problem::new(option, format!("{name:?} is not a host name")));
        }
    }
    for (option, number) in [
        ("smtp_out.sessions", settings.sessions),
        ("smtp_out.lane_sessions", settings.lane_sessions),
        ("smtp_out.recipients", settings.recipients),
        ("smtp_out.session_messages", settings.session_messages),
    ] {
        if !(1..=100_000).contains(&number) {
            problems.push(Problem::new(
                option,
                format!("it must be from 1 to 100000, not {number}"),
            ));
        }
    }
    if settings.retry.is_empty() || settings.retry.iter().any(|wait| wait.0.is_zero()) {
        problems.push(Problem::new(
            "smtp_out.retry",
            "it must name at least one wait, and none of no time",
        ));
    }
    if !settings.authorities.as_os_str().is_empty()
        && let Err(error) = tls::verifier(&settings.authorities)
    {
        problems.push(Problem::new("smtp_out.authorities", error));
    }
    for (at, route) in settings.routes.iter().enumerate() {
        let place = format!("smtp_out.routes[{at}]");
        if route.domains.is_empty() {
            problems.push(Problem::new(
                format!("{place}.domains"),
                "a route must name the domains it is for; \"*\" means all",
            ));
        }
        for domain in &route.domains {
            let name = domain.strip_prefix('.').unwrap_or(domain);
            if name != "*" && dns::to_ascii(name).is_err() {
                problems.push(Problem::new(
                    format!("{place}.domains"),
                    format!("{domain:?} is not a domain"),
                ));
            }
        }
        if route.user.is_empty() != route.password_file.as_os_str().is_empty() {
            problems.push(Problem::new(
                format!("{place}.password_file"),
                "user and password_file go together",
            ));
        }
        if !route.user.is_empty() && route.tls == Some(TlsPolicy::None) {
            problems.push(Problem::new(
                format!("{place}.tls"),
                "a login needs TLS: encrypt, verify or dane",
            ));
        }
        if route.sessions == Some(0) {
            problems.push(Problem::new(
                format!("{place}.sessions"),
                "it must be at least 1",
            ));
        }
    }
}

/// What DNS is asked, and what it takes to believe it.
fn names(settings: &Settings, problems: &mut Vec<Problem>) {
    let dns = &settings.dns;
    if dns.timeout.0.is_zero() {
        problems.push(Problem::new("dns.timeout", "it must be more than 0"));
    }
    if !(1..=10).contains(&dns.attempts) {
        problems.push(Problem::new(
            "dns.attempts",
            format!("it must be from 1 to 10, not {}", dns.attempts),
        ));
    }
    if !dns.trust_anchors.as_os_str().is_empty()
        && let Err(error) = dns::system::trust_anchors(&dns.trust_anchors)
    {
        problems.push(Problem::new("dns.trust_anchors", error));
    }
    let smtp_out = &settings.smtp_out;
    let routes = smtp_out.routes.iter().enumerate().map(|(at, route)| {
        let option = format!("smtp_out.routes[{at}].tls");
        (option, route.tls)
    });
    let policies = [("smtp_out.tls".to_owned(), Some(smtp_out.tls))];
    for (option, policy) in policies.into_iter().chain(routes) {
        if policy == Some(TlsPolicy::Dane) && !dns.validate {
            let why = "dane needs dns.validate: nothing is proved without it";
            problems.push(Problem::new(option, why));
        }
    }
    let reports = &smtp_out.tls_reports;
    let address = |text: &str| text.parse::<Mailbox>().is_ok();
    if reports.enable && !address(&reports.from) {
        problems.push(Problem::new(
            "smtp_out.tls_reports.from",
            "reports need an address that they come from",
        ));
    }
    if !reports.receive.is_empty() && !address(&reports.receive) {
        problems.push(Problem::new(
            "smtp_out.tls_reports.receive",
            format!("{:?} is no address", reports.receive),
        ));
    }
    let sts = &smtp_out.mta_sts;
    if sts.timeout.0.is_zero() || sts.refresh.0.is_zero() {
        problems.push(Problem::new(
            "smtp_out.mta_sts",
            "timeout and refresh must be more than 0",
        ));
    }
}

fn attempts(settings: &LoginSettings, problems: &mut Vec<Problem>) {
    if settings.longest_wait < settings.wait {
        problems.push(Problem::new(
            "logins.longest_wait",
            format!("it is less than logins.wait, which is {}", settings.wait),
        ));
    }
    if !(1000..=10_000_000).contains(&settings.remembered) {
        problems.push(Problem::new(
            "logins.remembered",
            format!(
                "it must be from 1000 to 10000000, not {}",
                settings.remembered
            ),
        ));
    }
}

fn faults(settings: &FaultSettings, problems: &mut Vec<Problem>) {
    for (longest, most, shortest, least) in [
        ("longest_wait", settings.longest_wait, "wait", settings.wait),
        ("longest_ban", settings.longest_ban, "ban", settings.ban),
    ] {
        if most < least {
            problems.push(Problem::new(
                format!("faults.{longest}"),
                format!("it is less than faults.{shortest}, which is {least}"),
            ));
        }
    }
    for (option, span) in [("ban", settings.ban), ("interval", settings.interval)] {
        if span.0.is_zero() {
            problems.push(Problem::new(
                format!("faults.{option}"),
                "it must be more than no time; `ban_after = 0` bans nobody",
            ));
        }
    }
    if !(1000..=10_000_000).contains(&settings.remembered) {
        problems.push(Problem::new(
            "faults.remembered",
            format!(
                "it must be from 1000 to 10000000, not {}",
                settings.remembered
            ),
        ));
    }
}

fn store(settings: &StoreSettings, problems: &mut Vec<Problem>) {
    if settings.memory.0 < 1 << 20 {
        problems.push(Problem::new(
            "store.memory",
            format!("it must be at least 1 MB, not {}", settings.memory),
        ));
    }
    if settings.scrub_rate.0 == 0 {
        problems.push(Problem::new(
            "store.scrub_rate",
            "it must be more than 0; `scrub = 0` reads nothing through",
        ));
    }
}

fn mailboxes(settings: &MailboxSettings, problems: &mut Vec<Problem>) {
    // The mailboxes that every account begins with need some room.
    let name = 16..=names::MAX_BYTES as u64;
    let levels = 1..=names::MAX_LEVELS as u32;
    for (option, size) in [
        ("mailboxes.name_size", settings.name_size),
        ("mailboxes.level_size", settings.level_size),
    ] {
        if !name.contains(&size.0) {
            let (least, most) = (name.start(), name.end());
            problems.push(Problem::new(
                option,
                format!("it must be from {least} to {most} bytes, not {size}"),
            ));
        }
    }
    if !levels.contains(&settings.levels) {
        problems.push(Problem::new(
            "mailboxes.levels",
            format!("it must be from 1 to 32, not {}", settings.levels),
        ));
    }
}

fn search(settings: &SearchSettings, problems: &mut Vec<Problem>) {
    if !search::MEMORY.contains(&settings.memory.0) {
        problems.push(Problem::new(
            "search.memory",
            format!("it must be from 15 MB to 2 GB, not {}", settings.memory),
        ));
    }
    if !(1..=100_000).contains(&settings.batch) {
        problems.push(Problem::new(
            "search.batch",
            format!("it must be from 1 to 100000, not {}", settings.batch),
        ));
    }
}

fn control(settings: &ControlSettings, problems: &mut Vec<Problem>) {
    if !(1..=1000).contains(&settings.connections) {
        problems.push(Problem::new(
            "control.connections",
            format!("it must be from 1 to 1000, not {}", settings.connections),
        ));
    }
    if !(1 << 10..=16 << 20).contains(&settings.line.0) {
        problems.push(Problem::new(
            "control.line",
            format!("it must be from 1 KB to 16 MB, not {}", settings.line),
        ));
    }
    if settings.idle_timeout.0.is_zero() {
        problems.push(Problem::new(
            "control.idle_timeout",
            "it must be more than 0",
        ));
    }
}

fn threads(option: &str, threads: usize, problems: &mut Vec<Problem>) {
    if threads > THREADS {
        problems.push(Problem::new(option, format!("at most {THREADS}")));
    }
}
