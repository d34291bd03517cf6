//! `axigen dns-records`: what a domain should publish.

use axigen_core::dns::records;

use crate::cli::DnsRecords;
use crate::failure::Failure;

pub(crate) fn run(options: &DnsRecords) -> Result<(), Failure> {
    let file = match &options.dir {
        Some(dir) => dir.join("axigen.cfg"),
        None => options.config.config.clone(),
    };
    let settings = super::load(&file)?;
    let made = records::of_domain(&settings, &options.domain, &options.host, &options.address);
    let text = made.map_err(|error| Failure::new(error.to_string()))?;
    super::say(text.trim_end());
    Ok(())
}
