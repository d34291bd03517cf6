//! The delivery plan: from an envelope to the mailboxes a message goes into.
//!
//! Recipients are resolved while the peer waits for each RCPT
//! ([`Delivery::accept`]); when the message is complete, one append puts it
//! into every mailbox, each account once, and only then is it acknowledged
//! ([`Delivery::deliver`]).
//!
//! Nothing that was acknowledged is ever left out. What cannot be put into a
//! mailbox here is refused while the peer waits: see [`Answers`]. What travels
//! to other hosts is in the [`queue`] in the same batch.
//!
//! | file | what it is |
//! |---|---|
//! | this | recipients |
//! | `envelope` | what is known of a message beside its bytes |
//! | `ways` | the mailboxes a message goes into; what filters send on |
//! | `plan` | the message into them |
//! | `arrive` | what was held, into mailboxes |
//! | `conclude` | an entry of the queue settled, its sender told in the same batch |
//! | [`notice`] | what senders are told, in the standard's format |
//! | `track` | one line of the log for each recipient and step |
//! | `transport` | mail that an application carries elsewhere |
//! | `srs` | senders of mail that is handed on |
//! | [`headers`] | trace headers, loops, what submission adds and removes |

mod arrive;
mod conclude;
mod envelope;
pub mod headers;
pub mod notice;
mod plan;
mod srs;
#[cfg(test)]
mod tests;
pub(crate) mod track;
mod transport;
mod ways;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use axigen_store::AccountId;
use jiff::Timestamp;
use srs::Srs;
use tokio::sync::OnceCell;

use crate::clock::{Clock, SystemClock};
use crate::directory::{self, Directory, Resolution};
use crate::filter::Chain;
use crate::mailbox::{Mailboxes, Quota};
use crate::queue::entry::Notify;
use crate::queue::route::Routes;
use crate::queue::schedule::later;
use crate::queue::{self, Queue};
use crate::settings::{AccountSettings, Effective, OverQuota, Settings};
use crate::transport::report::read::Reader;

pub(crate) use conclude::Conclusion;
pub use conclude::LONGEST_REASON;
pub use envelope::Envelope;
pub use plan::{Answers, Outcome};
pub use transport::{Parcel, Transport};
pub use ways::REDIRECTS;

/// Most accounts one message goes to. A recipient that would lead beyond it is
/// to be sent in another transaction.
pub const ACCOUNTS_PER_MESSAGE: usize = 5000;

/// Most rewritten names within each other that a notice follows: SRS1 holds SRS0, and
/// that a sender.
const NAMES_IN_NAMES: usize = 2;

/// Delivers messages to local mailboxes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Delivery {
    mailboxes: Mailboxes,
    directory: Directory,
    filters: Chain,
    /// What accounts inherit from the server.
    defaults: Arc<ArcSwap<AccountSettings>>,
    clock: Arc<dyn Clock>,
    /// How mail travels, where the settings enable that.
    outgoing: Option<Outgoing>,
    /// Reads reports about TLS that arrive.
    reports: Arc<ArcSwapOption<Reader>>,
    srs: Arc<OnceCell<Srs>>,
}

/// How mail travels to other hosts.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) queue: Queue,
    pub(crate) routes: Arc<ArcSwap<Routes>>,
}

/// Whether a failure may pass (RFC 3463 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Sending again later may help.
    Transient,
    /// Sending it again as it is will not help.
    Permanent,
}

/// Why a recipient is not taken. The code is the one a peer should see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// 550 5.1.1
    NoSuchUser,
    /// 550 5.2.1
    Disabled,
    /// 550 5.7.1: not ours, and the peer has not logged in.
    Relay,
    /// 550 5.1.2: not ours, or an alias that leads to another host, and
    /// this server sends nothing to other hosts.
    NoOutgoing,
    /// 553 5.1.2: no host can have this name.
    BadDomain,
    /// An account it leads to is full: 452 4.2.2, or 552 5.2.2 if it is set to
    /// refuse, or has been full for too long.
    OverQuota(Failure),
    /// 552 5.2.3: the message is larger than an account it leads to may get.
    TooLarge,
    /// 452 4.5.3: an alias leads to too many.
    AliasTooLarge,
    /// 451 4.3.0
    Failed,
}

/// A recipient that was taken: the accounts and the other hosts' addresses it
/// leads to.
#[derive(Debug, Clone, PartialEq)]
pub struct Accepted {
    /// The address as the peer gave it.
    pub address: String,
    /// Which notices its sender wants (RFC 3461 §4.1).
    pub notify: Option<Notify>,
    /// The address its sender used, `type;address` (RFC 3461 §4.2).
    pub original: Option<String>,
    deliveries: Vec<directory::Delivery>,
    remote: Vec<Remote>,
    /// One of our domains, where an alias or an account hands the message on.
    hands_on: Option<String>,
}

/// An address elsewhere.
#[derive(Debug, Clone, PartialEq)]
struct Remote {
    address: String,
    lane: String,
}

impl Accepted {
    /// Whether the sender is to be told when the message has arrived.
    fn wants_success(&self) -> bool {
        self.notify.is_some_and(|notify| notify.success)
    }

    /// How many accounts and addresses elsewhere it leads to.
    pub fn accounts(&self) -> usize {
        self.deliveries.len() + self.remote.len()
    }
}

impl Delivery {
    /// Delivers into these mailboxes.
    pub fn new(
        mailboxes: Mailboxes,
        directory: Directory,
        filters: Chain,
        defaults: AccountSettings,
    ) -> Delivery {
        Delivery {
            mailboxes,
            directory,
            filters,
            defaults: Arc::new(ArcSwap::from_pointee(defaults)),
            clock: Arc::new(SystemClock),
            outgoing: None,
            reports: Arc::default(),
            srs: Arc::default(),
        }
    }

    /// Whether notices can be sent, which what asks for them relies on.
    pub fn sends_notices(&self) -> bool {
        self.outgoing().is_some()
    }

    /// How mail travels, if it does now.
    fn outgoing(&self) -> Option<&Outgoing> {
        let enabled = |of: &&Outgoing| of.routes.load().settings().enable;
        self.outgoing.as_ref().filter(enabled)
    }

    /// Goes by these settings from now on, with whatever shares this.
    pub(crate) fn adopt(&self, settings: &Settings) {
        self.defaults.store(Arc::new(settings.accounts.clone()));
        let receive = &settings.smtp_out.tls_reports.receive;
        let reader = (!receive.is_empty()).then(|| Arc::new(Reader::new(receive)));
        self.reports.store(reader);
        if let Some(outgoing) = &self.outgoing {
            outgoing.routes.store(Arc::new(Routes::of(settings)));
        }
    }

    /// The time by which mail is held and sent.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// How many messages, and bytes, an account has held before they go on.
    ///
    /// # Errors
    /// Of the store.
    pub(crate) async fn held_by(&self, account: AccountId) -> queue::Result<(u64, u64)> {
        match self.outgoing() {
            Some(outgoing) => outgoing.queue.held_by(account).await,
            None => Ok((0, 0)),
        }
    }

    /// Sends what waits for a domain now; whether anything does. `None` for a
    /// domain that cannot be, or when nothing is sent to other hosts.
    pub(crate) async fn send_waiting(&self, domain: &str) -> Option<queue::Result<bool>> {
        let outgoing = self.outgoing()?;
        let lane = outgoing.routes.load().lane(domain).ok()?;
        let queue = &outgoing.queue;
        let waiting = match queue.is_waiting(&lane).await {
            Ok(waiting) => waiting,
            Err(error) => return Some(Err(error)),
        };
        if waiting && let Err(error) = queue.retry_lane(&lane).await {
            return Some(Err(error));
        }
        Some(Ok(waiting))
    }

    /// The same, by another clock than the system's.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Delivery {
        self.clock = clock;
        self
    }

    /// The same, and while the settings of the routes enable it, mail to other hosts
    /// is accepted from those who may send it.
    pub(crate) fn with_outgoing(mut self, outgoing: Outgoing) -> Delivery {
        self.outgoing = Some(outgoing);
        self
    }

    /// Whether mail for an address is taken. `local` and `domain` are as the
    /// peer gave them; `None` is `<Postmaster>` without a domain. `size` is
    /// what the client declared, in bytes.
    ///
    /// # Errors
    /// Why not.
    pub async fn accept(
        &self,
        address: Option<(&str, &str)>,
        authenticated: bool,
        size: Option<u64>,
    ) -> Result<Accepted, Refused> {
        let accepted = self.reachable(address, authenticated).await?;
        for delivery in &accepted.deliveries {
            self.check_size(delivery, size).await?;
        }
        Ok(accepted)
    }

    /// The same, however full the accounts are: a notice that is not delivered
    /// is a sender who waits for nothing.
    async fn reachable(
        &self,
        address: Option<(&str, &str)>,
        authenticated: bool,
    ) -> Result<Accepted, Refused> {
        let resolved = match (self.rewritten(address).await?, address) {
            (Some(sender), _) => self.sender(sender).await,
            (None, Some((local, domain))) => self.directory.resolve(local, domain).await,
            (None, None) => self.directory.resolve_postmaster().await,
        };
        let whole = address.map_or_else(
            || "postmaster".to_owned(),
            |(local, domain)| address_of(local, domain),
        );
        let mut hands_on = None;
        let (deliveries, remote) = match resolved {
            // An alias may lead elsewhere as well.
            Ok(Resolution::Found { local, remote }) => {
                if !remote.is_empty() {
                    hands_on = address.map(|(_, domain)| domain.to_lowercase());
                }
                (local, remote)
            }
            Ok(Resolution::NoSuchUser) => return Err(Refused::NoSuchUser),
            Ok(Resolution::Disabled) => return Err(Refused::Disabled),
            Ok(Resolution::NotLocal) if authenticated => (Vec::new(), vec![whole.clone()]),
            Ok(Resolution::NotLocal) => return Err(Refused::Relay),
            Err(directory::Error::AliasTooLarge) => return Err(Refused::AliasTooLarge),
            Err(error) => {
                tracing::error!(%error, "a recipient could not be resolved");
                return Err(Refused::Failed);
            }
        };
        let remote = remote
            .into_iter()
            .map(|address| self.remote(address))
            .collect::<Result<_, _>>()?;
        Ok(Accepted {
            address: whole,
            notify: None,
            original: None,
            deliveries,
            remote,
            hands_on,
        })
    }

    /// Whom a name stands for that we have sent mail in: notices about it go there.
    async fn rewritten(&self, address: Option<(&str, &str)>) -> Result<Option<String>, Refused> {
        let (Some(outgoing), Some((local, domain))) = (self.outgoing(), address) else {
            return Ok(None);
        };
        let now = outgoing.queue.clock().now();
        let (mut local, mut domain) = (local.to_owned(), domain.to_owned());
        let mut original = None;
        // A message that came by here twice has a name in a name, both of them ours.
        for _ in 0..NAMES_IN_NAMES {
            if !srs::is_rewritten(&local) {
                break;
            }
            let original_of = async || match self.is_our_domain(&domain).await? {
                true => Ok(self.srs().await?.original(&local, now)),
                false => Ok(None),
            };
            let found = original_of().await.map_err(|error: directory::Error| {
                tracing::error!(%error, "a rewritten sender could not be looked at");
                Refused::Failed
            })?;
            let Some(found) = found else { break };
            if let Some((user, host)) = found.rsplit_once('@') {
                (local, domain) = (conclude::unquoted(user), host.to_owned());
            }
            original = Some(found);
        }
        Ok(original)
    }

    /// Where a sender's mail goes: elsewhere, if the domain is not ours.
    async fn sender(&self, sender: String) -> directory::Result<Resolution> {
        let elsewhere = Resolution::Found {
            local: Vec::new(),
            remote: vec![sender.clone()],
        };
        let Some((local, domain)) = sender.rsplit_once('@') else {
            return Ok(elsewhere);
        };
        let local = conclude::unquoted(local);
        match self.directory.resolve(&local, domain).await? {
            Resolution::NotLocal => Ok(elsewhere),
            here => Ok(here),
        }
    }

    async fn is_our_domain(&self, domain: &str) -> directory::Result<bool> {
        Ok(self
            .directory
            .domain(&domain.to_lowercase())
            .await?
            .is_some())
    }

    /// Made with a secret of the store's.
    async fn srs(&self) -> directory::Result<&Srs> {
        let secret = async || Ok(Srs::new(self.directory.sender_secret().await?));
        self.srs.get_or_try_init(secret).await
    }

    /// Whether a sender is one of ours: then nobody asks whether we may send in
    /// its name.
    async fn is_ours(&self, sender: &str) -> directory::Result<bool> {
        match sender.rsplit_once('@') {
            Some((_, domain)) => self.is_our_domain(domain).await,
            None => Ok(true),
        }
    }

    /// An address elsewhere, and the way there.
    fn remote(&self, address: String) -> Result<Remote, Refused> {
        let outgoing = self.outgoing().ok_or(Refused::NoOutgoing)?;
        let (_, domain) = address.rsplit_once('@').ok_or(Refused::BadDomain)?;
        match outgoing.routes.load().lane(domain) {
            Ok(lane) => Ok(Remote { address, lane }),
            Err(error) => {
                tracing::info!(address, %error, "a recipient's domain cannot be");
                Err(Refused::BadDomain)
            }
        }
    }

    /// What the sender of a mail is told that an account has no room for.
    async fn over_quota(&self, account: AccountId, of: Fullness) -> Failure {
        match of.answer {
            OverQuota::Temporary => Failure::Transient,
            OverQuota::Refuse => Failure::Permanent,
            OverQuota::TemporaryThenBounce => {
                let now = self.now();
                match self.mailboxes.full_since(account, of.quota, now).await {
                    Ok(since) if now >= later(since, of.wait) => Failure::Permanent,
                    Ok(_) => Failure::Transient,
                    Err(error) => {
                        tracing::error!(%error, "it is not known since when an account is full");
                        Failure::Transient
                    }
                }
            }
        }
    }

    /// An account that is full already, or that the declared size would fill, or
    /// that takes no message of this size: the peer hears it before it sends it.
    async fn check_size(
        &self,
        delivery: &directory::Delivery,
        size: Option<u64>,
    ) -> Result<(), Refused> {
        let settings = delivery.settings.effective(&self.defaults.load());
        if settings
            .message_size
            .is_some_and(|most| size.unwrap_or(0) > most)
        {
            return Err(Refused::TooLarge);
        }
        let quota = settings.quota;
        if quota == Quota::NONE {
            return Ok(());
        }
        match self.mailboxes.usage(delivery.account).await {
            Ok(held) if !quota.admits(held, (size.unwrap_or(1).max(1), 1)) => {
                let fullness = Fullness::of(&settings);
                let failure = self.over_quota(delivery.account, fullness).await;
                Err(Refused::OverQuota(failure))
            }
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::error!(%error, "the usage of an account could not be read");
                Err(Refused::Failed)
            }
        }
    }
}

/// What holds for an account when it is full.
#[derive(Debug, Clone, Copy, Default)]
struct Fullness {
    quota: Quota,
    answer: OverQuota,
    wait: Duration,
}

impl Fullness {
    fn of(settings: &Effective) -> Fullness {
        Fullness {
            quota: settings.quota,
            answer: settings.over_quota,
            wait: settings.over_quota_wait,
        }
    }
}

/// The address, its local part quoted where it must be.
fn address_of(local: &str, domain: &str) -> String {
    use axigen_proto::smtp::address::Mailbox;
    let plain = format!("{local}@{domain}");
    match domain.parse().map(|domain| Mailbox::new(local, domain)) {
        Ok(Ok(mailbox)) => mailbox.to_string(),
        _ => plain,
    }
}
