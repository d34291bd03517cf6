//! What of an envelope the server is told, and what is refused without asking.

use std::collections::HashSet;

use super::{Client, Envelope, Omitted, Refusal};
use crate::smtp::address::Domain;
use crate::smtp::capability::Limits;
use crate::smtp::command::{BodyType, Mail, Rcpt};
use crate::smtp::deliver_by::ByMode;
use crate::smtp::future_release::Hold;

/// How a transaction is carried out.
#[derive(Debug)]
pub(super) struct Plan {
    /// MAIL, with the parameters that the server knows.
    pub(super) mail: Mail,
    /// Whether the message goes by BDAT.
    pub(super) chunking: bool,
    /// What the server is not told.
    pub(super) omitted: Omitted,
}

impl Client {
    /// What [`Client::send`] would do with an envelope in the present state:
    /// which of its parameters the server would not learn of.
    ///
    /// # Errors
    /// Why the envelope would be refused before MAIL.
    pub fn check(&self, envelope: &Envelope) -> Result<Omitted, Refusal> {
        self.plan(envelope).map(|plan| plan.omitted)
    }

    pub(super) fn plan(&self, envelope: &Envelope) -> Result<Plan, Refusal> {
        let offered = &self.capabilities;
        let mut mail = Mail::new(envelope.from.clone());
        let mut omitted = Omitted::default();
        if envelope.needs_smtputf8() {
            if !offered.smtputf8 {
                return Err(Refusal::NeedsSmtpUtf8);
            }
            mail.smtputf8 = true;
        }
        if let Some(body) = envelope.body {
            let known = match body {
                // What every server takes need not be announced.
                BodyType::SevenBit => true,
                BodyType::EightBitMime => offered.eight_bit_mime,
                BodyType::BinaryMime => offered.binarymime && offered.chunking,
            };
            if !known {
                return Err(Refusal::NeedsBodyType(body));
            }
            mail.body = Some(body).filter(|_| offered.eight_bit_mime || offered.binarymime);
        }
        if let (Some(size), Some(limit)) = (envelope.size, offered.size) {
            // RFC 1870 §6.1: no need to ask when the answer is known.
            if let Some(limit) = limit.filter(|&limit| size > limit) {
                return Err(Refusal::TooLarge(limit));
            }
            mail.size = Some(size);
        }
        if !offered.auth.is_empty() {
            mail.auth = envelope.submitter.clone();
        }
        if offered.dsn {
            mail.ret = envelope.ret;
            mail.envid = envelope.envid.clone();
        } else {
            // RFC 3461 §5.2.2 (a)
            omitted.dsn = envelope.ret.is_some()
                || envelope.envid.is_some()
                || envelope.recipients.iter().any(Rcpt::has_parameters);
        }
        if let Some(by) = envelope.by {
            match offered.deliver_by {
                None if by.mode() == ByMode::Return => return Err(Refusal::NeedsDeliverBy),
                // RFC 2852 §4.1.4.2
                None => omitted.deliver_by = true,
                Some(Some(least))
                    if by.mode() == ByMode::Return
                        && i64::from(by.seconds()) < i64::from(least) =>
                {
                    return Err(Refusal::DeliverByTooSoon(least));
                }
                Some(_) => mail.by = Some(by),
            }
        }
        if let Some(hold) = envelope.hold {
            let limits = offered.future_release.ok_or(Refusal::NeedsFutureRelease)?;
            if !limits.allows(hold) {
                return Err(Refusal::HeldTooLong(limits));
            }
            if let (Hold::For(interval), Some(by)) = (hold, envelope.by)
                && i64::from(interval.seconds()) >= i64::from(by.seconds())
            {
                return Err(Refusal::HeldBeyondDeliverBy);
            }
            mail.hold = Some(hold);
        }
        if let Some(priority) = envelope.priority {
            if offered.mt_priority.is_some() {
                mail.priority = Some(priority);
            } else {
                omitted.priority = true;
            }
        }
        if envelope.require_tls {
            let tls = self.tls.is_some();
            if !tls || !offered.requiretls {
                return Err(Refusal::NeedsRequireTls { tls });
            }
            mail.require_tls = true;
        }
        if let Some(limits) = offered.limits {
            self.keep(limits, envelope)?;
        }
        match (&envelope.solicit, &offered.no_soliciting) {
            (None, _) => {}
            (Some(_), None) => omitted.solicit = true,
            (Some(is), Some(unwanted)) => {
                let keyword = unwanted.as_ref().and_then(|list| is.first_of(list));
                if let Some(keyword) = keyword {
                    return Err(Refusal::Solicitation(keyword.to_owned()));
                }
                mail.solicit = Some(is.clone());
            }
        }
        let binary = mail.body == Some(BodyType::BinaryMime);
        let chunking = binary || (self.config.chunking && offered.chunking);
        Ok(Plan {
            mail,
            chunking,
            omitted,
        })
    }

    /// What RFC 9422 §4 lets a session send.
    fn keep(&self, limits: Limits, envelope: &Envelope) -> Result<(), Refusal> {
        let beyond = |most: &u32, count: usize| u32::try_from(count).map_or(true, |n| n > *most);
        if let Some(most) = limits.mail.filter(|&most| self.mails >= most) {
            return Err(Refusal::TooManyTransactions(most));
        }
        let recipients = envelope.recipients.len();
        if let Some(most) = limits.rcpt.filter(|most| beyond(most, recipients)) {
            return Err(Refusal::TooManyRecipients(most));
        }
        if let Some(most) = limits.rcpt_domain {
            let mailboxes = envelope.recipients.iter().filter_map(|r| r.to.mailbox());
            let mut domains: HashSet<&Domain> = self.domains.iter().collect();
            domains.extend(mailboxes.map(|mailbox| mailbox.domain()));
            if beyond(&most, domains.len()) {
                return Err(Refusal::TooManyDomains(most));
            }
        }
        Ok(())
    }

    /// RCPT, with the parameters that the server knows.
    pub(super) fn recipient(&self, rcpt: &Rcpt) -> Rcpt {
        let mut known = Rcpt::new(rcpt.to.clone());
        if self.capabilities.dsn {
            known.notify = rcpt.notify;
            // An address beyond ASCII can be too long in the form that a path in ASCII goes with.
            let fits = |orcpt: &crate::smtp::dsn::OriginalRecipient| {
                !rcpt.to.is_ascii() || orcpt.fits_ascii()
            };
            known.orcpt = rcpt.orcpt.clone().filter(fits);
        }
        known
    }
}
