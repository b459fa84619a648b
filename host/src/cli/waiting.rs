//! Waiting for an output that takes its time, within bounds and not in silence.

use std::io::{self, Write};
use std::time::Duration;

use crate::config::{ElasticsearchSettings, Output};

/// The longest that a question of a person waits for one answer; `timeout` may say less. A search takes a part of a second, and
/// who asks has the cluster to look after. Fixed for that reason.
const LONGEST_ANSWER: Duration = Duration::from_secs(30);

/// How long is waited in silence, and between two lines.
const SILENT: Duration = Duration::from_secs(5);

/// The settings for a question that somebody waits for.
pub(super) fn in_person(settings: &ElasticsearchSettings) -> ElasticsearchSettings {
    ElasticsearchSettings { timeout: settings.timeout.min(LONGEST_ANSWER), ..settings.clone() }
}

/// Does this work, and says on standard error that it waits for the output, where that is another machine.
pub(super) async fn on<T>(output: &Output, work: impl Future<Output = T>) -> T {
    match output {
        Output::Elasticsearch(settings) => {
            let hosts: Vec<_> = settings.hosts.iter().map(|host| host.as_str()).collect();
            let line = format!("waiting for an answer of {}; Ctrl-C ends it", hosts.join(", "));
            // For people only: the work goes on without them.
            telling(work, || _ = writeln!(io::stderr(), "{line}")).await
        }
        Output::Sqlite { .. } | Output::Ndjson { .. } => work.await,
    }
}

async fn telling<T>(work: impl Future<Output = T>, mut tell: impl FnMut()) -> T {
    tokio::pin!(work);
    loop {
        match tokio::time::timeout(SILENT, &mut work).await {
            Ok(done) => return done,
            Err(_) => tell(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Mode;

    #[test]
    fn a_question_waits_so_long_and_no_longer() {
        let of = |timeout| {
            let hosts = vec!["http://127.0.0.1:9".parse().unwrap()];
            in_person(&ElasticsearchSettings { timeout, ..ElasticsearchSettings::new(hosts, Mode::Latest) }).timeout
        };
        let second = Duration::from_secs(1);
        for (set, waited) in
            [(second, second), (LONGEST_ANSWER, LONGEST_ANSWER), (LONGEST_ANSWER + second, LONGEST_ANSWER)]
        {
            assert_eq!(of(set), waited);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_told_again_and_again() {
        for (seconds, lines) in [(4, 0), (6, 1), (29, 5)] {
            let mut told = 0;
            telling(tokio::time::sleep(Duration::from_secs(seconds)), || told += 1).await;
            assert_eq!(told, lines, "{seconds}");
        }
    }
}
