//! How each input is doing, as the ledger tells it; `run` may be at work meanwhile.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::clock::{Millis, millis};
use crate::config::{Config, Input};
use crate::plan::Plan;
use crate::said::Said;
use crate::state::{Counts, InputStatus, Ledger, LedgerError, RejectFilter};
use crate::store::Outage;
use crate::sweep::Tally;
use crate::telemetry::LATE_INTERVALS;
use crate::text;

/// What is not of one input.
pub(crate) struct Whole {
    /// Whether a process is at work on this configuration.
    pub(crate) is_running: bool,
    /// As the run noted; the last one, where none is at work.
    pub(crate) outage: Option<Outage>,
    pub(crate) last_sweep: Option<Millis>,
    /// What it did.
    pub(crate) swept: Tally,
}

impl Whole {
    /// As the ledger knows it.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub(crate) fn of(ledger: &Ledger) -> Result<Self, LedgerError> {
        Ok(Self {
            is_running: Ledger::is_written(ledger.path()),
            outage: ledger.outage()?,
            last_sweep: ledger.last_sweep()?,
            swept: Tally::last(ledger)?,
        })
    }

    /// When a run last gave a sign of life; now, where one is at work.
    pub(crate) fn known_at(&self, inputs: &[Overview], now: Millis) -> Option<Millis> {
        if self.is_running {
            return Some(now);
        }
        let of_inputs = inputs.iter().flat_map(|Overview { status, .. }| {
            let notes = status.gaps.iter().map(|gap| gap.at).chain(status.notes.iter().map(|note| note.at)).map(Some);
            notes.chain([status.last_success, status.last_attempt, status.polling_since])
        });
        of_inputs.chain([self.last_sweep, self.outage.as_ref().map(|outage| outage.since)]).flatten().max()
    }

    pub(crate) fn to_json(&self, inputs: &[Overview], now: Millis) -> Value {
        let known_at = self.known_at(inputs, now).map(text::instant);
        let output = match &self.outage {
            None => json!({ "up": true, "known_at": known_at }),
            Some(Outage { since, reason, .. }) => {
                json!({ "up": false, "since": text::instant(*since), "reason": reason, "known_at": known_at })
            }
        };
        json!({
            "running": self.is_running,
            "inputs": inputs.iter().map(|input| input.to_json(now)).collect::<Vec<_>>(),
            "last_sweep": self.last_sweep.map(text::instant),
            "swept": self.swept,
            "output": output,
            "documents_ahead": self.swept.ahead,
        })
    }
}

/// What becomes of the documents of an input that is no longer configured.
pub(crate) fn farewell(config: &Config) -> String {
    if !config.output.can_change() {
        return "it is in the configuration no more; what it wrote stays as it is".to_owned();
    }
    format!(
        "it is in the configuration no more. Its documents end as their feed has said, and those that live on are retired instead of \
         stamped again, {} after they last were (`sweep.renew_after`)",
        text::duration(config.sweep.renew_after)
    )
}

/// One input, configured or only remembered.
pub(crate) struct Overview {
    pub(crate) id: String,
    pub(crate) input: Option<Input>,
    pub(crate) status: InputStatus,
    pub(crate) counts: Counts,
    pub(crate) rejects: u64,
    /// Whether a process is at work on this configuration.
    pub(crate) is_running: bool,
    /// Whether the process waits for its output.
    pub(crate) is_output_down: bool,
    /// What becomes of its documents, where it is no longer configured.
    pub(crate) farewell: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Ok,
    Waiting,
    Late,
    Failing,
    Degraded,
    Never,
    Polling,
    CutShort,
    Removed,
}

impl Health {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Waiting => "waiting",
            Self::Late => "late",
            Self::Failing => "failing",
            Self::Degraded => "degraded",
            Self::Never => "never polled",
            Self::Polling => "first poll",
            Self::CutShort => "cut short",
            Self::Removed => "not configured",
        }
    }
}

pub(crate) fn overview(config: &Config, ledger: &Ledger) -> Result<Vec<Overview>, LedgerError> {
    let configured: BTreeSet<_> = config.inputs.iter().map(|input| input.id.as_str()).collect();
    let remembered = ledger.inputs()?;
    let is_running = Ledger::is_written(ledger.path());
    let is_output_down = is_running && ledger.outage()?.is_some();
    let others = remembered.iter().filter(|id| !configured.contains(id.as_str())).map(|id| (id.clone(), None));
    config
        .inputs
        .iter()
        .map(|input| (input.id.clone(), Some(input.clone())))
        .chain(others)
        .map(|(id, input)| {
            let status = ledger.status(&id)?;
            let counts = ledger.counts(&id)?;
            let rejects = ledger.count_rejects(&RejectFilter { input: Some(id.clone()), ..RejectFilter::default() })?;
            let farewell = input.is_none().then(|| farewell(config));
            Ok(Overview { id, input, status, counts, rejects, is_running, is_output_down, farewell })
        })
        .collect()
}

impl Overview {
    pub(crate) fn health(&self, now: Millis) -> Health {
        let status = &self.status;
        let Some(input) = &self.input else { return Health::Removed };
        let allowed = millis(input.interval.saturating_mul(LATE_INTERVALS));
        match status.last_success {
            _ if status.degraded.is_some() => Health::Degraded,
            // Its feed is not asked then, whatever came before.
            _ if self.is_output_down => Health::Waiting,
            _ if status.last_error.is_some() => Health::Failing,
            _ if status.waiting_until.is_some_and(|until| until > now) => Health::Waiting,
            None if status.polling_since.is_some() && self.is_running => Health::Polling,
            None if status.polling_since.or(status.last_attempt).is_some() => Health::CutShort,
            None => Health::Never,
            Some(at) if now.saturating_sub(at) > allowed => Health::Late,
            Some(_) => Health::Ok,
        }
    }

    /// When it is polled next. Only a run that goes on knows; one that polls each input once, or has ended, does not.
    pub(crate) fn next_poll(&self, now: Millis) -> Option<Millis> {
        let under_way = self.status.polling_since.map(|_| now);
        self.status.next_poll.filter(|next| *next > now).or(under_way).filter(|_| self.is_running)
    }

    pub(crate) fn to_json(&self, now: Millis) -> Value {
        let status = &self.status;
        let at = |at: Option<Millis>| at.map(text::instant);
        json!({
            "input": self.id,
            "health": self.health(now).word(),
            "last_success": at(status.last_success),
            "last_attempt": at(status.last_attempt),
            "polling_since": at(status.polling_since.filter(|_| self.is_running)),
            "next_poll": at(self.next_poll(now)),
            "waiting_until": at(status.waiting_until),
            "waiting_reason": status.waiting_reason,
            "last_error": status.last_error.as_ref().map(Said::plain),
            "degraded": status.degraded.as_ref().map(Said::plain),
            "consecutive_failures": status.consecutive_failures,
            "requests_today": status.requests_today(now),
            "requests_a_day": status.rate_limit.map(|limit| Plan::of(limit).a_day),
            "rate_limit": status.rate_limit,
            "rate_remaining": status.rate_remaining,
            "rejects": self.rejects,
            "counts": self.counts,
            "gaps": status.gaps.iter().map(|g| json!({"at": text::instant(g.at), "text": g.text})).collect::<Vec<_>>(),
            "notes": status.notes.iter()
                .map(|n| json!({"at": text::instant(n.at), "code": n.code, "text": n.text, "count": n.count}))
                .collect::<Vec<_>>(),
        })
    }
}
