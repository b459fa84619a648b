//! `tipline serve`: the Indicators page, of what `run` collects.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use tracing::{info, warn};

use super::settings::Settings;
use super::{Misuse, open, progress, query, runtime, signals};
use crate::apart::blocking;
use crate::clock::Clock;
use crate::config::Config;
use crate::retry::Desk;
use crate::state::Ledger;
use crate::store::Catalog;
use crate::store::kept::{FILE, Kept};
use crate::telemetry::init_logging;
use crate::web::{App, Listener, PageServer, Rights, ServeError, Site, listen};

/// Serve the Indicators page: the table of what is stored, in a browser
#[derive(Debug, Args)]
#[command(after_long_help = "\
It shows what `tipline run` stores, from the same SQLite file or from Elasticsearch, while that goes on. It listens on loopback \
alone (`http.listen`, 127.0.0.1:9464), prints a link that opens it once, and ends with Ctrl-C. `tipline open` prints another \
link. From another machine use a tunnel with the same port: ssh -L 9464:127.0.0.1:9464 HOST.

Views, keys of lists and sessions are kept in page.db in the state folder. With --read-only, and where there is no state of a \
run in that folder, nothing can be changed; lists can be checked all the same.

Examples:
  tipline serve -c tipline.yml
  tipline serve -c tipline.yml --listen 127.0.0.1:8080
  tipline serve -c tipline.yml --read-only
  tipline serve -c .tipline/demo.yml         # what the last `tipline demo` left")]
pub(super) struct Serve {
    #[command(flatten)]
    settings: Settings,
    /// A loopback address and port; `http.listen` of the configuration if left out, port 0 for any free one
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Let nobody change anything but lists of his own
    #[arg(long)]
    read_only: bool,
}

impl Serve {
    pub(super) fn run(self) -> Result<()> {
        let config = self.settings.load()?;
        init_logging(config.log.format, self.settings.level(config.log.level), progress::stderr)?;
        runtime()?.block_on(async {
            let stop = signals::stop_on_signal(signals::STOPPED)?;
            let address = self.listen.unwrap_or_else(|| config.http.unwrap_or_default().listen);
            let listener = listener(address).await?;
            // What is missing is said before anybody is led to an empty page.
            let catalog = open::catalog(&config)?;
            let ledger = Some(config.ledger_path()).filter(|path| path.exists());
            let ledger = ledger.map(|path| Ledger::read(&path)).transpose()?;
            let (kept, rights) = kept(&config, ledger.is_some(), self.read_only)?;
            let page = PageServer::new(listener.address(), &config.state_dir, kept, rights)?;
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                opened = open_page(&page, &config, catalog, ledger, None, query::judged(&config)) => opened?,
            }
            let serving = Site { watched: None, page: Some(page.clone()) }.serve(listener);
            info!("The page is served at http://{}; `tipline open` prints a link to it", serving.address());
            print_link(&page, &mut io::stdout())?;
            stop.cancelled().await;
            Ok(())
        })
    }
}

/// Takes an address; one that others can reach is a fault of the configuration.
pub(super) async fn listener(address: SocketAddr) -> Result<Listener> {
    listen(address).await.map_err(|error| match error {
        ServeError::NotLoopback(_) => Misuse(error.to_string()).into(),
        ServeError::Bind { .. } => error.into(),
    })
}

/// What is kept for the page, and what may be changed of it. It lies beside the state: where no run has its state, there is
/// nothing for it to lie beside, and what people made would be found by nobody.
fn kept(config: &Config, has_state: bool, read_only: bool) -> Result<(Kept, Rights)> {
    let file = config.state_dir.join(FILE);
    if has_state || file.exists() {
        let rights = if read_only { Rights::Look } else { Rights::Change };
        return Ok((Kept::open(&file)?, rights));
    }
    warn!(
        "The page is read-only: views and keys are kept in {} beside the state of `tipline run`, and there is none. Start this \
         with the configuration, and on the machine, that `run` has; or `run` with `http: {{page: true}}`.",
        file.display()
    );
    Ok((Kept::in_memory()?, Rights::Look))
}

/// Shows what this configuration stores.
pub(super) async fn open_page(
    page: &PageServer,
    config: &Config,
    catalog: Arc<dyn Catalog>,
    ledger: Option<Ledger>,
    desk: Option<Desk>,
    clock: Clock,
) -> Result<()> {
    let settings = config.clone();
    // A guest is compiled for it, if no run has done that yet.
    let fields = Arc::new(blocking(move || query::fields(&settings)).await??);
    page.open(App { catalog, fields, clock, config: config.clone(), ledger, desk, kept: page.kept().clone() });
    Ok(())
}

/// Prints a link for a person. What goes to systemd's journal is kept and read by others: no token belongs there.
pub(super) fn print_link(page: &PageServer, out: &mut impl Write) -> Result<()> {
    if is_journal() {
        return Ok(());
    }
    writeln!(out, "Open the page with this link; it works once:\n  {}", page.link()?)?;
    out.flush().context("The link cannot be printed")
}

/// Whether standard output is systemd's journal, which it says in a variable by device and inode; programs that are started
/// by others inherit the variable, and not the output.
fn is_journal() -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(io::stdout()).is_ok_and(|about| named == format!("{}:{}", about.st_dev, about.st_ino))
}
