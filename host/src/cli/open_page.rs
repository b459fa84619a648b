//! `tipline open`: a fresh link to the Indicators page.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::settings::Settings;
use super::{Misuse, runtime};
use crate::web::access::wall_clock;
use crate::web::link::{LINK_LIFE, LinkKey};

/// A server on this machine is there at once, or not at all.
const ASKED_FOR: Duration = Duration::from_secs(1);

/// Print a link that opens the Indicators page, once
#[derive(Debug, Args)]
#[command(after_long_help = "\
The page must be served: by `tipline serve`, or by `tipline run` with `http: {page: true}`. Whoever may read the state folder \
may open it: it is the same user who runs the page. The link works once, within ten minutes; the browser stays let in for a \
day after its last use.

From another machine: a tunnel with the same port, which stays open, the command at its other end, and the link in the browser here.
  ssh -L 9464:127.0.0.1:9464 HOST
  HOST$ tipline open -c /etc/tipline/tipline.yml

Examples:
  tipline open
  tipline open -c tipline.yml
  xdg-open \"$(tipline open)\"
  tipline open --port 9465                # where several are served")]
pub(super) struct Open {
    #[command(flatten)]
    settings: Settings,
    /// Of the page on this port, where there are several
    #[arg(long)]
    port: Option<u16>,
}

impl Open {
    pub(super) fn run(self) -> Result<()> {
        let config = self.settings.load()?;
        let configured = config.http.unwrap_or_default().listen.port();
        let mut keys = LinkKey::published(&config.state_dir)?;
        if let Some(port) = self.port {
            keys.retain(|key| key.address().port() == port);
        }
        // The configured one first; of the others the one that began last.
        keys.sort_by_key(|key| key.address().port() != configured);
        let found = runtime()?.block_on(async {
            for key in keys {
                if answers(key.address()).await {
                    return Some(key);
                }
            }
            None
        });
        let Some(key) = found else {
            let on = self.port.map(|port| format!(" on port {port}")).unwrap_or_default();
            return Err(Misuse(format!(
                "No page of this configuration is served{on}: nothing in {} leads to one. Start `tipline serve`, or `tipline run` \
                 with `http: {{page: true}}`; with a configuration of its own both take -c FILE.",
                config.state_dir.display()
            ))
            .into());
        };
        writeln!(io::stdout(), "{}", key.link(wall_clock().now())?)?;
        let minutes = LINK_LIFE.as_secs() / 60;
        writeln!(io::stderr(), "It opens the page once, within {minutes} minutes.")?;
        Ok(())
    }
}

/// Whether somebody listens there. A server that was killed has left its key, with which nothing can be opened.
async fn answers(address: SocketAddr) -> bool {
    let connected = tokio::time::timeout(ASKED_FOR, tokio::net::TcpStream::connect(address)).await;
    matches!(connected, Ok(Ok(_)))
}
