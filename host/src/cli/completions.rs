//! `tipline completions` and `tipline man`: what a shell and a manual know of the command line, made from its definition.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, Command};
use clap_complete::Shell;

/// Print the completions of a shell
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  tipline completions bash > ~/.local/share/bash-completion/completions/tipline
  tipline completions zsh > ~/.zfunc/_tipline             with ~/.zfunc in $fpath
  tipline completions fish > ~/.config/fish/completions/tipline.fish")]
pub(super) struct Completions {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, mut program: Command) -> Result<()> {
        // Written as one text: the generator panics at a pipe that was closed.
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut program, "tipline", &mut text);
        Ok(io::stdout().lock().write_all(&text)?)
    }
}

/// Print the manual page, or write the pages of all commands
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  tipline man | man -l -
  tipline man --out /usr/local/share/man/man1")]
pub(super) struct Man {
    /// Write the pages of all commands into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(self, program: Command) -> Result<()> {
        let Some(folder) = self.out else {
            let mut text = Vec::new();
            clap_mangen::Man::new(program).render(&mut text)?;
            return Ok(io::stdout().lock().write_all(&text)?);
        };
        let advice = "name one where you may write";
        fs::create_dir_all(&folder)
            .with_context(|| format!("The folder {} cannot be made; {advice}", folder.display()))?;
        clap_mangen::generate_to(program, &folder)
            .with_context(|| format!("The pages cannot be written into {}; {advice}", folder.display()))
    }
}
