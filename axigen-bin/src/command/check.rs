//! `axigen check`: what is wrong with a configuration file.

use crate::cli::Config;
use crate::failure::Failure;

pub(crate) fn run(options: &Config) -> Result<(), Failure> {
    let settings = super::load(&options.config)?;
    let running: Vec<String> = settings
        .services()
        .into_iter()
        .filter(|(_, common)| common.enable)
        .map(|(name, common)| {
            let addresses: Vec<String> = common
                .listeners
                .iter()
                .map(|listener| listener.address.to_string())
                .collect();
            format!("{name} on {}", addresses.join(", "))
        })
        .collect();
    super::say(format!(
        "{} is in order: {}",
        options.config.display(),
        match running.as_slice() {
            [] => "no service is enabled".to_owned(),
            running => running.join("; "),
        }
    ));
    Ok(())
}
