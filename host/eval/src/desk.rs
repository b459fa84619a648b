//! The desk that pages come to: recordings are paged here, pages handed to the threads that map them.
//!
//! The first page goes to the first thread, the next to the second, and so on in turn, whoever is quicker: an instance that
//! has mapped other pages has then mapped the same ones in every evaluation.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use anyhow::{Result, anyhow, bail};

use super::cluster::Cluster;
use super::finding::Tally;
use super::paging::{self, Reader};
use super::worker::Worker;
use super::{Configs, Page};
use tipline_recording::Recording;
use tipline_sandbox::Guest;

/// Pages that wait for a thread.
const PAGES_AHEAD: usize = 4;

/// Takes what is to be evaluated, as it is found.
pub trait Intake {
    /// A page; comes back when there is room for it.
    ///
    /// # Errors
    /// The evaluation has ended.
    fn page(&mut self, page: Page) -> Result<()>;

    /// A recording, for its paging, with the guests' settings. Its pages come one by one besides.
    fn recording(&mut self, name: &str, recording: &Recording, configs: &Configs);
}

/// What the desk takes down beside what the threads find.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) pages: usize,
    /// Of paging.
    pub(super) tally: Tally,
    /// Of paging, for people.
    pub(super) said: Vec<String>,
    /// Recordings from which the polls deliver as many records, and not the same of them: whether that says anything of
    /// paging is known when the pages are compared.
    pub(super) apart: Vec<(String, String)>,
}

struct Desk<'e> {
    base: Reader<'e>,
    candidate: Reader<'e>,
    cluster: Option<&'e Cluster<'e>>,
    doors: Vec<SyncSender<(usize, Page)>>,
    taken: Taken,
}

impl Desk<'_> {
    /// Whether the cluster failed, or a person asks for the end; [`Cluster::finish`] says which.
    fn has_ended(&self) -> bool {
        self.cluster.is_some_and(Cluster::has_ended)
    }
}

impl Intake for Desk<'_> {
    fn page(&mut self, page: Page) -> Result<()> {
        if self.has_ended() {
            bail!("No further page is mapped.");
        }
        let door = &self.doors[self.taken.pages % self.doors.len()];
        self.taken.pages += 1;
        door.send((self.taken.pages, page)).map_err(|_| anyhow!("A thread ended early; this is a fault of Tipline."))
    }

    fn recording(&mut self, name: &str, recording: &Recording, configs: &Configs) {
        if self.has_ended() {
            return;
        }
        let readers = (&mut self.base, &mut self.candidate);
        let compared = paging::compare(readers, name, recording, configs, &mut self.taken.tally);
        self.taken.said.push(format!("{name}: {}", compared.said));
        self.taken.apart.extend(compared.apart.map(|subject| (name.to_owned(), subject)));
    }
}

/// Maps the pages that `feed` brings, each worker in a thread of its own.
///
/// # Errors
/// Those of `feed`.
pub(super) fn work<'e>(
    (base, candidate): (&'e Guest, &'e Guest),
    cluster: Option<&'e Cluster<'e>>,
    workers: Vec<Worker<'e>>,
    feed: impl FnOnce(&mut dyn Intake) -> Result<()>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(Taken, Vec<Worker<'e>>)> {
    thread::scope(|scope| {
        let mut doors = Vec::new();
        let mut running = Vec::new();
        for mut worker in workers {
            let (door, pages): (_, Receiver<(usize, Page)>) = sync_channel(PAGES_AHEAD);
            doors.push(door);
            running.push(scope.spawn(move || {
                for (number, page) in pages {
                    progress(worker.page(number, &page));
                }
                worker
            }));
        }
        let (base, candidate) = (Reader::new(base), Reader::new(candidate));
        let mut desk = Desk { base, candidate, cluster, doors, taken: Taken::default() };
        let fed = feed(&mut desk);
        let Desk { doors, taken, .. } = desk;
        drop(doors);
        let finished = running.into_iter().map(|worker| worker.join()).collect::<Result<Vec<_>, _>>();
        fed?;
        Ok((taken, finished.map_err(|_| anyhow!("A thread panicked; this is a fault of Tipline."))?))
    })
}
