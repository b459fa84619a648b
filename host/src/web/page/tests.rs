use super::*;
use crate::clock::Clock;
use crate::config::Config;
use crate::guests::Guests;
use crate::state::Ledger;
use crate::store::sqlite::Sqlite;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "for eyes"]
async fn serve_for_eyes() {
    let file = std::env::var("TIPLINE_EYES").unwrap();
    let config = Config::load_settings(std::path::Path::new(&file)).unwrap();
    let ledger = Ledger::read(&config.ledger_path()).unwrap();
    let fields = Arc::new(Guests::new(None).fields(&config).unwrap_or_else(|_| panic!("fields")));
    let app = App { catalog: Arc::new(Sqlite::new(ledger.clone())), fields, clock: Clock::system(), config, ledger: Some(ledger) };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8095").await.unwrap();
    axum::serve(listener, routes().with_state(Arc::new(app))).await.unwrap();
}
