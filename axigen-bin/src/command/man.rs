//! `axigen man`: manual pages, made from what the commands and options say of themselves.

use std::io;
use std::path::Path;

use axigen_core::settings::{Settings, render};
use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

use crate::cli::{self, Cli};
use crate::failure::Failure;

pub(crate) fn run(options: &cli::Man) -> Result<(), Failure> {
    let pages = write(&options.dir)
        .map_err(|error| Failure::new(format!("{}: {error}", options.dir.display())))?;
    super::say(format!(
        "wrote {pages} pages below {0}\nto read one: man -M {0} axigen",
        options.dir.display()
    ));
    Ok(())
}

/// How many pages were written.
fn write(dir: &Path) -> io::Result<usize> {
    let (commands, formats) = (dir.join("man1"), dir.join("man5"));
    std::fs::create_dir_all(&commands)?;
    std::fs::create_dir_all(&formats)?;
    let mut axigen = Cli::command();
    axigen.build();
    let pages = of_command(&axigen, &commands)?;
    std::fs::write(formats.join("axigen.cfg.5"), of_settings())?;
    Ok(pages + 1)
}

/// A page for a command and for each below it.
fn of_command(command: &clap::Command, dir: &Path) -> io::Result<usize> {
    // What runs as `axigen queue list` is looked up as axigen-queue-list.
    let name = command.get_display_name().unwrap_or(command.get_name());
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    std::fs::write(dir.join(format!("{name}.1")), page)?;
    let mut pages = 1;
    for below in command.get_subcommands() {
        // The same words for each command, and clap shows it anyway.
        if below.get_name() != "help" {
            pages += of_command(below, dir)?;
        }
    }
    Ok(pages)
}

fn of_settings() -> String {
    let mut page = Roff::new();
    page.control("TH", ["axigen.cfg", "5"]);
    page.control("SH", ["NAME"]);
    page.text([roman("axigen.cfg - the settings of the mail server axigen")]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([
        roman("A file in TOML. "),
        bold("axigen init"),
        roman(" writes it, "),
        bold("axigen check"),
        roman(" says what is wrong with it, and "),
        bold("axigen serve"),
        roman(" reads it, again at SIGHUP. Below stands every option with its meaning and its default; "),
        roman("where a line with a name begins with "),
        italic("#"),
        roman(", the option is not set unless you set it."),
    ]);
    page.control("SH", ["OPTIONS"]);
    page.control("nf", []);
    for line in render(&Settings::default()).lines() {
        page.text([roman(line)]);
    }
    page.control("fi", []);
    page.control("SH", ["SEE ALSO"]);
    page.text([bold("axigen"), roman("(1)")]);
    page.render()
}
