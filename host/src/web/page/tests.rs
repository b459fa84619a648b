use axum::body::{Body, to_bytes};
use axum::http::Request;
use tempfile::TempDir;
use tipline_kql::Fields;
use tower::ServiceExt as _;

use super::*;
use crate::clock::Clock;
use crate::config::Config;
use crate::state::Ledger;
use crate::store::Sink as _;
use crate::store::kept::Kept;
use crate::store::sqlite::Sqlite;
use crate::store::testing::{DAY, NOW, Sample, page};

/// The page over these documents.
struct Stand {
    routes: Router,
    _folder: TempDir,
}

impl Stand {
    async fn new(samples: &[Sample]) -> Self {
        let folder = TempDir::new().unwrap();
        let store = Sqlite::new(Ledger::open(&folder.path().join("tipline.db")).unwrap());
        store.deliver(page(samples, "", NOW)).await.unwrap();
        let keywords = [
            "event.id",
            "event.type",
            "event.category",
            "threat.indicator.type",
            "threat.indicator.name",
            "threat.indicator.provider",
            "threat.indicator.confidence",
            "threat.indicator.marking.tlp",
            "threat.feed.name",
            "tags",
            "tipline.key",
        ];
        let dates = [
            "@timestamp",
            "threat.indicator.last_seen",
            "threat.indicator.first_seen",
            "tipline.observed_at",
            "tipline.expires_at",
        ];
        let fields = keywords.map(|name| (name, "keyword")).into_iter().chain(dates.map(|name| (name, "date")));
        let app = App {
            ledger: Some(store.ledger().clone()),
            catalog: Arc::new(store),
            fields: Arc::new(Fields::new(fields)),
            clock: Clock::told_by(|| NOW),
            config: Config::without_file(folder.path(), None),
            desk: None,
            kept: Kept::in_memory().unwrap(),
        };
        let session = Session { id: "s".to_owned(), csrf: "token".to_owned(), may_change: true };
        Self { routes: routes().with_state(Arc::new(app)).layer(Extension(session)), _folder: folder }
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, String) {
        let response = self.routes.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let location = response.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, location.unwrap_or_else(|| String::from_utf8(body.to_vec()).unwrap()))
    }

    async fn get(&self, address: &str) -> (StatusCode, String) {
        self.send(Request::get(address).body(Body::empty()).unwrap()).await
    }
}

/// How many rows a page's table has.
fn rows(html: &str) -> usize {
    html.matches("<a class=\"name\"").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_shows_what_it_asks_for() {
    let mut samples: Vec<Sample> = (0..60).map(|number| Sample::new(format!("d{number:02}"), NOW)).collect();
    samples.push(Sample::new("old", NOW - 200 * DAY));
    let stand = Stand::new(&samples).await;
    for (address, expected, part) in [
        ("/", 25, "1–25 of 60"),
        ("/?page=3", 10, "51–60 of 60"),
        ("/?size=100&among=all", 61, "1–61 of 61"),
        ("/?among=ended", 1, "old[.]example[.]com"),
        ("/?q=value:+d0*&rows=claims", 10, "1–10 of 10"),
        ("/?from=now%2B1d", 0, "Nothing is found."),
        ("/?from=now%2B1d", 0, "60 are found without the time."),
        ("/?q=confidence+%3D+high", 0, "Did you mean `confidence: high`?"),
        ("/?q=old.example.com", 0, "1 ended one matches: choose Ended or All."),
        ("/?page=99", 0, "There is no such page."),
        ("/?id=d07", 25, "<h1><span class=\"value\""),
        ("/?id=none", 25, "It is not stored."),
    ] {
        let (status, html) = stand.get(address).await;
        assert_eq!((status, rows(&html)), (StatusCode::OK, expected), "{address}");
        assert!(html.contains(part), "{address}: {part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_understood_is_shown_at_its_place() {
    let stand = Stand::new(&[Sample::new("a", NOW)]).await;
    for (address, part) in [
        ("/?q=tags:+x+and+confidnce:+high", "tags: x and <mark>confidnce</mark>: high"),
        ("/?q=type:", "<mark>\u{2038}</mark>"),
        ("/?from=yesterday", "The beginning of the time “Observed” can’t be read"),
        ("/?to=%3Cb%3E", "&lt;b&gt;"),
    ] {
        let (status, html) = stand.get(address).await;
        assert_eq!((status, rows(&html)), (StatusCode::BAD_REQUEST, 0), "{address}");
        assert!(html.contains(part), "{address}: {html}");
    }
    for address in ["/export?format=pdf", "/export?format=csv&q=(", "/export?format=csv&from=x"] {
        assert_eq!(stand.get(address).await.0, StatusCode::BAD_REQUEST, "{address}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_texts_are_texts() {
    let hostile =
        "\"><script>alert(1)</script>\u{202e}\u{200b}<img src=x onerror=alert(1)>\u{1b}[2J http://evil.example";
    let sample = Sample::new("a", NOW).with(|sample| {
        sample.value = hostile.to_owned();
        sample.description = hostile.to_owned();
    });
    let stand = Stand::new(&[sample]).await;
    let query = "/?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E";
    for address in ["/", "/?id=a", "/?id=a&tab=table", "/?id=a&tab=json", "/indicators/a", "/fields", "/health", query]
    {
        let (_, html) = stand.get(address).await;
        assert!(!html.contains("<script>") && !html.contains("<img"), "{address}");
        // The value itself stands in an attribute, from which scripts copy it, and nowhere else.
        let shown = html.split(" data-value=\"").map(|part| part.split_once('"').map_or(part, |(_, rest)| rest));
        let shown: Vec<&str> = shown.skip(1).collect();
        assert!(!shown.iter().any(|part| part.contains(['\u{1b}', '\u{202e}'])), "{address}");
        // What is shown has its hidden characters spelled out and leads nowhere.
        assert!(!html.contains("href=\"http"), "{address}");
    }
    let (_, html) = stand.get("/?id=a").await;
    assert!(html.contains("\\u{202e}\\u{200b}") && html.contains("hxxp://evil[.]example"), "{html}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_leads_to_the_view_with_its_condition() {
    let stand = Stand::new(&[Sample::new("a", NOW)]).await;
    for (address, expected) in [
        ("/filter?field=tag&value=a+%22b%22&is=in", "/?q=tag%3A+%22a+%5C%22b%5C%22%22"),
        ("/filter?q=type:+url&page=4&field=tag&value=x&is=out", "/?q=type%3A+url+and+not+tag%3A+%22x%22"),
        ("/filter?field=tlp&is=in", "/?q=not+tlp%3A+*"),
    ] {
        assert_eq!(stand.get(address).await, (StatusCode::SEE_OTHER, expected.to_owned()), "{address}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_is_exported_whole_or_by_what_is_picked() {
    let mut samples: Vec<Sample> = (0..299).map(|number| Sample::new(format!("d{number:03}"), NOW)).collect();
    samples.push(Sample::new("x", NOW).with(|sample| sample.value = "d001.example.com".to_owned()));
    let stand = Stand::new(&samples).await;
    for (address, lines) in [
        ("/export?format=ndjson", 300),
        ("/export?format=ndjson&q=value:+d00*", 11),
        ("/export?format=ndjson&page=2&size=25", 300),
        ("/export?format=csv", 301),
        ("/export?format=list&pick=d001&pick=d002&pick=none", 2),
        // Of a value all claims are, of a claim that one.
        ("/export?format=ndjson&pick=d001", 2),
        ("/export?format=ndjson&pick=d001&rows=claims", 1),
    ] {
        let (status, text) = stand.get(address).await;
        assert_eq!((status, text.lines().count()), (StatusCode::OK, lines), "{address}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pasted_text_is_looked_up_and_its_answer_kept() {
    let stand = Stand::new(&[Sample::new("a", NOW)]).await;
    let body = "--b\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\ntoken\r\n--b\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\n\
                a[.]example[.]com 10.0.0.1 unknown.example.org\r\n--b--\r\n";
    let request =
        Request::post("/check").header("content-type", "multipart/form-data; boundary=b").body(body.into()).unwrap();
    let (status, address) = stand.send(request).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{address}");
    let (_, html) = stand.get(&address).await;
    assert!(html.contains("3 values checked") && html.contains("/indicators/a"), "{html}");
    let (_, html) = stand.get(&format!("{address}?only=harmless")).await;
    assert!(html.contains("10[.]0[.]0[.]1") && !html.contains("unknown[.]example[.]org"), "{html}");
    let (_, list) = stand.get(&format!("{address}/export?format=list")).await;
    assert_eq!(list, "a.example.com\n");
    assert_eq!(stand.get("/check/other").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_is_saved_given_a_list_and_deleted() {
    let stand = Stand::new(&[Sample::new("a", NOW)]).await;
    let post = |what: &str, form: &str| {
        let request =
            Request::post(format!("/views/{what}")).header("content-type", "application/x-www-form-urlencoded");
        stand.send(request.header("host", "127.0.0.1:9464").body(form.to_owned().into()).unwrap())
    };
    let saved = post("save", "name=C2+%3Cb%3E&query=q%3Dtag%253A%2Bc2%26page%3D4%26id%3Da").await;
    assert_eq!(saved, (StatusCode::SEE_OTHER, "/?q=tag%3A+c2&done=saved&of=C2+%3Cb%3E".to_owned()));
    assert!(stand.get(&saved.1).await.1.contains("saved as “C2 &lt;b&gt;”"));
    assert!(stand.get("/").await.1.contains(r#"<a href="/?q=tag%3A+c2">C2 &lt;b&gt;</a>"#));
    let (_, html) = post("key", "name=C2+%3Cb%3E").await;
    assert!(html.contains("http://127.0.0.1:9464/lists/C2%20%3Cb%3E.txt?key="), "{html}");
    assert!(html.contains("The address of the list of “C2 &lt;b&gt;”"), "{html}");
    assert!(stand.get("/views").await.1.contains(">Key 1<"));
    let (_, revoked) = post("revoke", "name=C2+%3Cb%3E&key=1").await;
    let (_, html) = stand.get(&revoked).await;
    assert!(html.contains("Key 1 of the list of “C2 &lt;b&gt;” was revoked") && !html.contains(">Key 1<"), "{html}");
    assert_eq!(post("save", "name=+&query=").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(post("rename", "name=C2+%3Cb%3E&new=C3").await.0, StatusCode::SEE_OTHER);
    assert_eq!(post("delete", "name=C3").await.0, StatusCode::SEE_OTHER);
    assert!(stand.get("/views").await.1.contains("No view is saved yet."));
    let (status, html) = post("other", "").await;
    assert!(status == StatusCode::NOT_FOUND && html.contains("<nav"), "{html}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_form_of_the_page_is_refused_by_a_page() {
    let stand = Stand::new(&[Sample::new("a", NOW)]).await;
    let form = "application/x-www-form-urlencoded";
    for (address, kind, body, status, said) in [
        (
            "/views/save",
            "text/plain",
            "name=a",
            415,
            "It was sent as text/plain, and is expected as application/x-www-form",
        ),
        ("/views/save", "", "name=a", 415, "It was sent of no kind"),
        ("/rejects/drop", "application/json<b>", "{}", 415, "as application/json&lt;b&gt;"),
        ("/check", form, "text=a", 415, "expected as multipart/form-data with a boundary"),
        ("/check", "multipart/form-data", "", 415, "expected as multipart/form-data with a boundary"),
        ("/views/delete", form, "name=a&name=b", 400, "The field “name” was sent more than once"),
        ("/views/delete", "APPLICATION/x-www-form-urlencoded; charset=UTF-8", "name=nobody", 400, "nobody"),
    ] {
        let mut request = Request::post(address);
        if !kind.is_empty() {
            request = request.header("content-type", kind);
        }
        let (answered, html) = stand.send(request.body(body.into()).unwrap()).await;
        assert_eq!(answered.as_u16(), status, "{address} {kind}: {html}");
        assert!(html.contains("<nav") && html.contains(said), "{address} {kind}: {html}");
    }
    let (status, html) = stand.get("/views/save").await;
    assert!(status == StatusCode::METHOD_NOT_ALLOWED && html.contains("<nav"), "{html}");
}

/// What a page that is repeated in each row costs is paid by whoever waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_page_is_no_heavy_one() {
    let samples: Vec<Sample> = (0..250).map(|number| Sample::new(format!("{number:064}"), NOW)).collect();
    let stand = Stand::new(&samples).await;
    let long = "value:+0*+and+".repeat(20);
    for address in ["/?size=250".to_owned(), format!("/?size=250&q={long}value:+0*")] {
        let (_, html) = stand.get(&address).await;
        assert_eq!(rows(&html), 250, "{address}");
        let (_, table) = html.split_once("<tbody>").unwrap();
        let (table, _) = table.split_once("</tbody></table>").unwrap();
        assert!(table.len() < 250 * 450, "{} bytes: {}", table.len(), &table[..1_000]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trend_leaves_out_what_is_rare_and_old_and_says_so() {
    let mut samples: Vec<Sample> =
        (0..300).map(|number| Sample::new(format!("d{number}"), NOW - number * 60_000)).collect();
    samples.push(Sample::new("old", NOW - 200 * DAY));
    let stand = Stand::new(&samples).await;
    let (_, html) = stand.get("/?among=all&time=observed").await;
    // Two of 301 are no hundredth: the old one, and the first of the others.
    assert!(html.contains("2 claims before "), "{html}");
    let (_, link) = html.split_once("Not drawn: <a href=\"").unwrap();
    let (link, _) = link.split_once('"').unwrap();
    let (_, html) = stand.get(&link.replace("&amp;", "&")).await;
    assert_eq!((rows(&html), html.contains("old[.]example[.]com")), (2, true), "{link}");
}
