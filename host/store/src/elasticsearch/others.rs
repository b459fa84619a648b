//! What somebody else has set up under our name: it goes on holding beside ours. It is said and not changed, as it may be
//! meant.

use serde_json::{Value, json};

use super::Elasticsearch;
use super::client::{Call, encoded};
use tipline_config::Mode;

impl Elasticsearch {
    /// What to say of an index, or of the newest one of a data stream, that our template did not make: ours maps nothing but
    /// what is described.
    pub(super) fn made_by_others(&self, mapping: &Value) -> Option<String> {
        let dynamic = mapping.get("dynamic");
        if dynamic == Some(&json!("false")) || dynamic == Some(&json!(false)) {
            return None;
        }
        let index = &self.settings.index;
        Some(match self.settings.mode {
            Mode::Events => format!(
                "The newest index of the data stream {index} was not made by Tipline's template: somebody else has set the stream \
                 up, and the settings and the mapping of theirs hold until the next index. If the documents are to go there, roll \
                 over, so that Tipline's template takes effect (POST {index}/_rollover); if not, set `index:` to another name."
            ),
            Mode::Latest => format!(
                "The index {index} was not made by Tipline's template: somebody else has set it up, and the settings and the mapping \
                 of theirs stay. If it is not meant for Tipline's documents, set `index:` to another name and run `tipline setup`; \
                 if it is, nothing has to be done."
            ),
        })
    }

    /// What to say of a template that makes the next index of a data stream in the place of ours. Where the cluster does not
    /// say which one does, that is none.
    pub(super) async fn decided_by_others(&self) -> Option<String> {
        let index = &self.settings.index;
        let answer = self.ask(Call::get(format!("/_data_stream/{}", encoded(index)))).await.ok()?;
        let json = answer.json();
        let theirs = json.pointer("/data_streams/0/template")?.as_str()?;
        let ours = self.template_name();
        (theirs != ours).then(|| {
            let theirs = self.client.excerpt(theirs);
            format!(
                "The next index of the data stream {index} will be made by the index template {theirs} and not by Tipline's ({ours}), \
                 as its priority is higher. Lower the priority of {theirs}, take {index} out of its patterns, or set `index:` to \
                 another name."
            )
        })
    }
}
