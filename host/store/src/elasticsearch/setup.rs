//! What the cluster needs before documents go there, and whether it has it.
//!
//! `setup` writes a component template with the mapping, an index template above Elastic's own for `logs-*-*`, and in
//! latest mode the index and its filtered alias. It may be run any number of times: it adds fields, never changes or
//! deletes one, and where something stands in the way (a field of another type, a data stream under the index's name)
//! it stops and says what to do. Shards, replicas and lifecycle are left to the cluster, as Serverless refuses such settings;
//! `shards` and `replicas` name them where somebody wants others. `check` looks without writing; where the credential may not look, it says so and lets the run go on.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::Elasticsearch;
use super::client::{Answer, Call, ClientError, encoded};
use super::explain::{is_put_off, request_needs_person, stranger};
use super::fields::{Comparison, Difference, Fields, lacking_type};
use crate::{Prepared, SinkError};
use tipline_config::Mode;

/// The alias Kibana's `logs-ti_*` finds, without expired documents.
pub const ALIAS: &str = "logs-ti_socdefenders_latest.ioc";

/// Above the built-in template for `logs-*-*` (100) and Fleet's (200); Elastic's advice for one's own is over 500.
const TEMPLATE_PRIORITY: u32 = 501;

/// How many names a message lists.
const NAMES_SHOWN: usize = 5;

/// One request of a set-up.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// PUT or POST.
    pub method: &'static str,
    /// The path.
    pub path: String,
    /// The body.
    pub body: Value,
    /// What it is for.
    pub purpose: String,
}

/// What a look at the set-up found: all of it, not only the first fault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Inspection {
    pub(super) report: Prepared,
    /// What keeps documents from going there, with what to do.
    pub(super) faults: Vec<String>,
}

/// What a set-up has made.
struct Made {
    what: String,
    path: String,
}

enum Existing {
    Nothing,
    Index(Value),
    DataStream(Value),
    Alias(String),
    /// The credential may not look.
    Hidden(String),
}

impl Elasticsearch {
    /// The requests a set-up of an empty cluster would make, in their order.
    pub fn plan(&self) -> Vec<Step> {
        let mut steps = vec![self.mappings_step(&self.fields), self.template_step(&self.fields, true)];
        if self.settings.mode == Mode::Latest {
            let index = &self.settings.index;
            steps.push(Step {
                method: "PUT",
                path: format!("/{}", encoded(index)),
                body: json!({}),
                purpose: format!("the index {index}"),
            });
            steps.push(self.alias_step());
        }
        steps
    }

    /// Writes what is missing.
    ///
    /// # Errors
    /// [`SinkError`]; what this call had made until then is deleted again, as half a set-up lets documents in that have the
    /// wrong fields. What was there before stays, with the fields that were added.
    pub async fn set_up(&self) -> Result<Prepared, SinkError> {
        let mut made = Vec::new();
        match self.set_up_noting(&mut made).await {
            Ok(report) => Ok(report),
            Err(error) => Err(self.undo(error, made).await),
        }
    }

    /// Deletes what was made, the last first; gives the error with what became of it.
    async fn undo(&self, error: SinkError, made: Vec<Made>) -> SinkError {
        let (mut undone, mut left) = (Vec::new(), Vec::new());
        for Made { what, path } in made.into_iter().rev() {
            let is_gone = match self.client.send(Call::new(Method::DELETE, path)).await {
                Ok(answer) => answer.status.is_success() || answer.status == 404,
                Err(_) => false,
            };
            if is_gone { undone.push(what) } else { left.push(what) }
        }
        let mut more = String::new();
        if !undone.is_empty() {
            more.push_str(&format!(" What was made before is deleted again: {}.", undone.join(", ")));
        }
        if !left.is_empty() {
            more.push_str(&format!(
                " It could not be deleted again: {}; the next set-up goes on from there.",
                left.join(", ")
            ));
        }
        match error {
            SinkError::Setup(text) => SinkError::Setup(text + &more),
            SinkError::Unavailable(text) => SinkError::Unavailable(text + &more),
            error => error,
        }
    }

    /// Whether there is nothing yet at this path, so that what is put there is made by us. Where one may not look, it is not.
    async fn is_new(&self, path: &str) -> Result<bool, SinkError> {
        Ok(self.ask(Call::get(path)).await?.status == 404)
    }

    async fn set_up_noting(&self, made: &mut Vec<Made>) -> Result<Prepared, SinkError> {
        let mut report = Prepared::default();
        let existing = self.existing().await?;
        self.refuse_wrong_kind(&existing)?;
        self.refuse_closed().await?;
        let mut fields = self.fields.clone();
        let template = |kind: &str, name: String| Made {
            path: format!("/_{}/{}", kind.replace(' ', "_"), encoded(&name)),
            what: format!("{kind} {name}"),
        };
        let (mappings, template) =
            (template("component template", self.mappings_name()), template("index template", self.template_name()));
        let (has_no_mappings, has_no_template) =
            (self.is_new(&mappings.path).await?, self.is_new(&template.path).await?);
        self.put_with_fallbacks(&mut fields, &mut report, Self::mappings_step).await?;
        made.extend(has_no_mappings.then_some(mappings));
        self.put_template(&fields, &mut report).await?;
        made.extend(has_no_template.then_some(template));
        match existing {
            Existing::Index(mapping) => {
                self.add_fields(&mut fields, &mapping, &mut report).await?;
                self.set_replicas(&mut report).await?;
                report.warnings.extend(self.made_by_others(&mapping));
            }
            Existing::DataStream(mapping) => match self.stream_conflicts(&fields.compare(&mapping)) {
                // The template is right now; what is left is for a person.
                Some(advice) => report.warnings.push(advice),
                None => {
                    self.add_fields(&mut fields, &mapping, &mut report).await?;
                    self.set_replicas(&mut report).await?;
                    let others = (self.decided_by_others().await, self.made_by_others(&mapping));
                    // As long as the next index is theirs too, to roll over would be of no use.
                    report.warnings.extend(others.0.or(others.1));
                }
            },
            Existing::Nothing if self.settings.mode == Mode::Latest => {
                let index = Made {
                    path: format!("/{}", encoded(&self.settings.index)),
                    what: format!("index {}", self.settings.index),
                };
                let answer = self.ask(Call::new(Method::PUT, &index.path).json(&json!({}))).await?;
                match answer.error_type().as_deref() {
                    None if answer.status.is_success() => made.push(index),
                    // Somebody else, perhaps another Tipline, was quicker.
                    Some("resource_already_exists_exception") => {}
                    _ => return Err(self.refusal("the index could not be created", &answer)),
                }
                report.done.push(format!("index {} created", self.settings.index));
            }
            Existing::Nothing => {
                report.done.push(format!("data stream {} will be created by its first document", self.settings.index));
            }
            Existing::Hidden(text) => return Err(SinkError::Setup(text)),
            Existing::Alias(_) => {}
        }
        if self.settings.mode == Mode::Latest {
            self.put(&self.alias_step(), &mut report).await?;
        }
        Ok(report)
    }

    /// Whether documents may go there.
    ///
    /// # Errors
    /// [`SinkError::Setup`] with what to do.
    pub async fn check_setup(&self) -> Result<Prepared, SinkError> {
        let Inspection { report, faults } = self.inspect_setup().await?;
        if faults.is_empty() { Ok(report) } else { Err(SinkError::Setup(faults.join(" "))) }
    }

    /// Looks at template, index or data stream, its fields and the alias.
    ///
    /// # Errors
    /// Where the cluster gives no answer.
    pub(super) async fn inspect_setup(&self) -> Result<Inspection, SinkError> {
        let (mut report, mut faults) = (Prepared::default(), Vec::new());
        let name = self.template_name();
        let template = self.ask(Call::get(format!("/_index_template/{}", encoded(&name)))).await?;
        match template.status.as_u16() {
            200 if template.is_elastic || template.json().get("index_templates").is_some() => {
                report.done.push(format!("index template {name} is there"));
            }
            200 | 404 if stranger(&self.client, &template).is_some() => {
                faults.extend(stranger(&self.client, &template));
                return Ok(Inspection { report, faults });
            }
            403 => report.warnings.push(
                "The Elasticsearch credential may not read index templates, so it is not known whether the index is set up; \
                 going on. Run `tipline setup` with a credential that has `manage_index_templates`."
                    .to_owned(),
            ),
            404 => faults.push(format!(
                "The index template {name} is missing, so Elasticsearch would guess the fields' types. Run `tipline setup`."
            )),
            _ => faults.push(needs_person(self.refusal("the index template could not be read", &template))?),
        }
        let existing = self.existing().await?;
        if let Err(error) = self.refuse_wrong_kind(&existing) {
            // What the template or the fields are does not matter then.
            return Ok(Inspection { report, faults: vec![needs_person(error)?] });
        }
        match existing {
            Existing::Nothing if self.settings.mode == Mode::Latest => {
                faults.push(self.missing_text().await);
                return Ok(Inspection { report, faults });
            }
            Existing::Nothing | Existing::Alias(_) => {}
            Existing::Hidden(text) => {
                report.warnings.push(format!("The index's fields could not be looked at; going on. {text}"));
                return Ok(Inspection { report, faults });
            }
            Existing::Index(ref mapping) | Existing::DataStream(ref mapping) => {
                let comparison = self.fields.compare(mapping);
                let is_stream = matches!(existing, Existing::DataStream(_));
                let before = faults.len();
                match self.refuse_conflicts(&comparison) {
                    Err(_) if is_stream => faults.extend(self.stream_conflicts(&comparison)),
                    Err(error) => faults.push(needs_person(error)?),
                    Ok(()) => {}
                }
                if !comparison.missing.is_empty() {
                    faults.push(format!(
                        "The index {} does not map {} of the fields that are written ({}). Run `tipline setup`, which adds them.",
                        self.settings.index,
                        comparison.missing.len(),
                        shown(&comparison.missing)
                    ));
                }
                if faults.len() == before {
                    report.done.push(format!("all {} fields are mapped", self.fields.iter().count()));
                }
                report.warnings.extend(fallen_back(&comparison));
                // What is wanting is said already, and where our template is not there yet, no other one stands in its way.
                if faults.is_empty() {
                    let next = if is_stream { self.decided_by_others().await } else { None };
                    report.warnings.extend(next.or_else(|| self.made_by_others(mapping)));
                }
            }
        }
        if self.settings.mode == Mode::Latest
            && let Err(error) = self.check_alias(&mut report).await
        {
            faults.push(needs_person(error)?);
        }
        Ok(Inspection { report, faults })
    }

    /// What to do about a data stream whose newest index has fields of other types: the template is for the next one.
    fn stream_conflicts(&self, comparison: &Comparison) -> Option<String> {
        let index = &self.settings.index;
        let conflicts: Vec<String> = comparison.conflicts.iter().map(Difference::to_string).collect();
        (!conflicts.is_empty()).then(|| {
            format!(
                "In the newest index of the data stream {index}, {}. A field's type cannot be changed in place, but the next index \
                 gets it right: run `tipline setup`, which writes the template, and then roll over: POST {index}/_rollover",
                shown(&conflicts)
            )
        })
    }

    async fn check_alias(&self, report: &mut Prepared) -> Result<(), SinkError> {
        let path = format!("/{}/_alias/{}", encoded(&self.settings.index), encoded(ALIAS));
        let answer = self.ask(Call::get(path)).await?;
        match answer.status.as_u16() {
            200 => report.done.push(format!("alias {ALIAS} is there")),
            403 => report.warnings.push("The credential may not read aliases; going on.".to_owned()),
            404 => {
                return Err(SinkError::Setup(format!(
                    "The alias {ALIAS} does not point at {}, so Kibana's rules would not see the indicators. Run `tipline setup`.",
                    self.settings.index
                )));
            }
            _ => return Err(self.refusal("the alias could not be read", &answer)),
        }
        Ok(())
    }

    /// The name of our index template.
    pub(super) fn template_name(&self) -> String {
        format!("tipline-{}", self.settings.index)
    }

    fn mappings_name(&self) -> String {
        format!("tipline-{}-mappings", self.settings.index)
    }

    fn mappings_step(&self, fields: &Fields) -> Step {
        Step {
            method: "PUT",
            path: format!("/_component_template/{}", encoded(&self.mappings_name())),
            body: json!({
                "template": { "mappings": mappings(fields) },
                "_meta": meta(),
            }),
            purpose: format!("component template with {} fields", fields.iter().count()),
        }
    }

    fn template_step(&self, _fields: &Fields, with_index_mode: bool) -> Step {
        let mut body = json!({
            "index_patterns": [self.settings.index],
            "composed_of": [self.mappings_name()],
            "priority": TEMPLATE_PRIORITY,
            "template": {},
            "_meta": meta(),
        });
        let mut settings = self.replica_settings();
        if let Some(shards) = self.settings.shards {
            settings.insert("index.number_of_shards".to_owned(), json!(shards));
        }
        match self.settings.mode {
            Mode::Latest => body["template"]["aliases"] = json!({ ALIAS: { "filter": live_filter() } }),
            Mode::Events => {
                body["data_stream"] = json!({});
                if with_index_mode {
                    // Not logsdb: it rebuilds documents from their fields, and cases show them as they were sent.
                    settings.insert("index.mode".to_owned(), json!("standard"));
                }
            }
        }
        if !settings.is_empty() {
            body["template"]["settings"] = Value::Object(settings);
        }
        Step {
            method: "PUT",
            path: format!("/_index_template/{}", encoded(&self.template_name())),
            body,
            purpose: format!("index template for {}", self.settings.index),
        }
    }

    fn replica_settings(&self) -> Map<String, Value> {
        let replicas = self.settings.replicas.map(|replicas| ("index.number_of_replicas".to_owned(), json!(replicas)));
        replicas.into_iter().collect()
    }

    /// The replicas of an index that was there before; its shards are what they are.
    async fn set_replicas(&self, report: &mut Prepared) -> Result<(), SinkError> {
        let settings = self.replica_settings();
        if settings.is_empty() {
            return Ok(());
        }
        let step = Step {
            method: "PUT",
            path: format!("/{}/_settings", encoded(&self.settings.index)),
            body: Value::Object(settings),
            purpose: format!("replicas of {}", self.settings.index),
        };
        self.put(&step, report).await
    }

    fn alias_step(&self) -> Step {
        Step {
            method: "POST",
            path: "/_aliases".to_owned(),
            body: json!({ "actions": [{ "add": {
                "index": self.settings.index, "alias": ALIAS, "filter": live_filter(),
            } }] }),
            purpose: format!("alias {ALIAS}, without what has expired"),
        }
    }

    async fn put_template(&self, fields: &Fields, report: &mut Prepared) -> Result<(), SinkError> {
        let step = self.template_step(fields, true);
        let answer = self.ask(call_of(&step)).await?;
        // Before 8.1, and in OpenSearch, there is no such setting, and nothing to switch off.
        let lacks_mode = answer.status == 400 && String::from_utf8_lossy(&answer.body).contains("index.mode");
        if lacks_mode {
            return self.put(&self.template_step(fields, false), report).await;
        }
        self.expect(&step, &answer, report)
    }

    async fn put(&self, step: &Step, report: &mut Prepared) -> Result<(), SinkError> {
        let answer = self.ask(call_of(step)).await?;
        self.expect(step, &answer, report)
    }

    fn expect(&self, step: &Step, answer: &Answer, report: &mut Prepared) -> Result<(), SinkError> {
        if !answer.status.is_success() {
            let refusal = self.refusal(&format!("{} could not be written", step.purpose), answer);
            // Serverless places indices by itself.
            let is_placing = String::from_utf8_lossy(&answer.body).contains("number_of_");
            return Err(match refusal {
                SinkError::Setup(text) if is_placing => SinkError::Setup(format!(
                    "{text} Leave `shards` and `replicas` out: this cluster decides on them itself."
                )),
                SinkError::Setup(_) if answer.status == 400 => SinkError::Setup(format!(
                    "{} could not be written: Elasticsearch refuses it: {}. Change or delete what stands in its way there, and \
                     run `tipline setup` again.",
                    step.purpose,
                    self.client.describe(answer)
                )),
                refusal => refusal,
            });
        }
        report.done.push(step.purpose.clone());
        Ok(())
    }

    /// Puts what `step` makes of the fields, with fall-backs for the types the cluster lacks.
    async fn put_with_fallbacks(
        &self,
        fields: &mut Fields,
        report: &mut Prepared,
        step: impl Fn(&Self, &Fields) -> Step,
    ) -> Result<(), SinkError> {
        let (step, answer) = self.put_falling_back(fields, report, step).await?;
        self.expect(&step, &answer, report)
    }

    /// As [`Self::put_with_fallbacks`]; gives the last answer, whatever it says.
    pub(super) async fn put_falling_back(
        &self,
        fields: &mut Fields,
        report: &mut Prepared,
        step: impl Fn(&Self, &Fields) -> Step,
    ) -> Result<(Step, Answer), SinkError> {
        loop {
            let step = step(self, fields);
            let answer = self.ask(call_of(&step)).await?;
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            let lacking = Some(&body).filter(|_| answer.status == 400).and_then(|body| lacking_type(body));
            // Each round removes a type, so this ends.
            let Some((kind, substitute)) = lacking.and_then(|kind| Some((kind, fields.fall_back(kind)?))) else {
                return Ok((step, answer));
            };
            report.warnings.push(format!(
                "This cluster has no field type `{kind}`; `{substitute}` is used instead. Searches work, some are slower or exact only."
            ));
        }
    }

    async fn add_fields(&self, fields: &mut Fields, mapping: &Value, report: &mut Prepared) -> Result<(), SinkError> {
        let comparison = fields.compare(mapping);
        self.refuse_conflicts(&comparison)?;
        report
            .warnings
            .extend(fallen_back(&comparison).filter(|text| !report.warnings.contains(text)).collect::<Vec<_>>());
        if comparison.missing.is_empty() {
            report.done.push(format!("{} maps every field", self.settings.index));
            return Ok(());
        }
        let mut missing = fields.only(&comparison.missing);
        self.put_with_fallbacks(&mut missing, report, |this, fields| Step {
            method: "PUT",
            path: format!("/{}/_mapping", encoded(&this.settings.index)),
            body: json!({ "properties": fields.properties() }),
            purpose: format!(
                "{} new fields in {} ({})",
                fields.iter().count(),
                this.settings.index,
                shown(&comparison.missing)
            ),
        })
        .await
    }

    fn refuse_conflicts(&self, comparison: &Comparison) -> Result<(), SinkError> {
        if comparison.conflicts.is_empty() {
            return Ok(());
        }
        let index = &self.settings.index;
        let conflicts: Vec<String> = comparison.conflicts.iter().map(Difference::to_string).collect();
        Err(SinkError::Setup(format!(
            "In {index}, {}. A field's type cannot be changed in place: set `index:` to a new name, run `tipline setup` and \
             `tipline backfill`, then delete the old index; or delete {index} first, if nothing else needs it.",
            shown(&conflicts)
        )))
    }

    fn refuse_wrong_kind(&self, existing: &Existing) -> Result<(), SinkError> {
        let index = &self.settings.index;
        match (existing, self.settings.mode) {
            (Existing::DataStream(_), Mode::Latest) => Err(SinkError::Setup(format!(
                "{index} is a data stream, probably made by the vendor's script, and can't hold one current document for each \
                 indicator. Keep it and set `index:` to another name, for example {index}-latest; or delete it with all it holds \
                 (DELETE _data_stream/{index}) and run `tipline setup`; or go on with it: set `mode: events` and `index: {index}`, \
                 run `tipline setup`, and roll over so that the new template takes effect (POST {index}/_rollover)."
            ))),
            (Existing::Index(_), Mode::Events) => Err(SinkError::Setup(format!(
                "{index} is a plain index, and `mode: events` needs a data stream. Set `index:` to another name, or delete it."
            ))),
            (Existing::Alias(to), _) => Err(SinkError::Setup(format!(
                "{index} is an alias of {to}. Set `index:` to the name of the index itself, or to a new one."
            ))),
            _ => Ok(()),
        }
    }

    async fn existing(&self) -> Result<Existing, SinkError> {
        let index = &self.settings.index;
        let answer = self.ask(Call::get(format!("/{}/_mapping", encoded(index)))).await?;
        if answer.status == 404 {
            return stranger(&self.client, &answer).map_or(Ok(Existing::Nothing), |text| Err(SinkError::Setup(text)));
        }
        if answer.status == 403 {
            return Ok(Existing::Hidden(request_needs_person(&self.client, &answer)));
        }
        if !answer.status.is_success() {
            return Err(self.refusal("the index could not be read", &answer));
        }
        let json = answer.json();
        let Some(indices) = json.as_object() else {
            return Err(SinkError::Setup(request_needs_person(&self.client, &answer)));
        };
        if let Some(own) = indices.get(index) {
            return Ok(Existing::Index(own.get("mappings").cloned().unwrap_or_default()));
        }
        // Backing indices carry the stream's name and a counter; the last one takes the writes.
        let prefix = format!(".ds-{index}-");
        match indices.iter().filter(|(name, _)| name.starts_with(&prefix)).max_by_key(|(name, _)| backing_number(name))
        {
            Some((_, newest)) => Ok(Existing::DataStream(newest.get("mappings").cloned().unwrap_or_default())),
            None if indices.values().any(|index| index.get("mappings").is_none()) && !answer.is_elastic => {
                Err(SinkError::Setup(request_needs_person(&self.client, &answer)))
            }
            None if indices.is_empty() => Ok(Existing::Nothing),
            None => Ok(Existing::Alias(indices.keys().cloned().collect::<Vec<_>>().join(", "))),
        }
    }

    /// What there is to say of an index that is not there, with those that ours may be.
    pub(super) async fn missing_text(&self) -> String {
        let index = &self.settings.index;
        let path = format!("/_alias/{}?filter_path=*.aliases", encoded(ALIAS));
        let others = match self.ask(Call::get(path)).await {
            Ok(answer) if answer.status == 200 => {
                let json = answer.json();
                json.as_object().into_iter().flat_map(|indices| indices.keys()).cloned().collect()
            }
            _ => Vec::new(),
        };
        match others.first() {
            None => format!("The index {index} is missing. Run `tipline setup`."),
            Some(other) => format!(
                "The index {index} is missing, and {} is there. Set `index:` to the one that is meant; if it is {index}, run `tipline setup`.",
                self.client.excerpt(other)
            ),
        }
    }

    pub(super) async fn ask(&self, call: Call) -> Result<Answer, SinkError> {
        self.client.send(call).await.map_err(|error| match error {
            ClientError::Refused(text) => SinkError::Setup(text),
            ClientError::Unreachable(text) => SinkError::Unavailable(text),
        })
    }

    fn refusal(&self, what: &str, answer: &Answer) -> SinkError {
        let text = format!("{what}: {}", request_needs_person(&self.client, answer));
        match is_put_off(answer.status) {
            true => SinkError::Unavailable(text),
            false => SinkError::Setup(text),
        }
    }
}

fn call_of(step: &Step) -> Call {
    let method = if step.method == "POST" { Method::POST } else { Method::PUT };
    Call::new(method, &step.path).json(&step.body)
}

/// What has not expired, by the cluster's clock, and was not retired before its time.
pub(super) fn live_filter() -> Value {
    json!({ "bool": { "must_not": [
        { "range": { "tipline.expires_at": { "lte": "now" } } },
        { "exists": { "field": "tipline.retired_at" } },
    ] } })
}

/// Nothing is mapped but what is described, so that a document cannot change the mapping.
pub(super) fn mappings(fields: &Fields) -> Value {
    json!({ "dynamic": false, "date_detection": false, "properties": fields.properties() })
}

fn meta() -> Value {
    json!({ "managed_by": "tipline", "version": env!("CARGO_PKG_VERSION") })
}

/// The text of what a person has to do; what may work later stays an error.
fn needs_person(error: SinkError) -> Result<String, SinkError> {
    match error {
        SinkError::Setup(text) => Ok(text),
        other => Err(other),
    }
}

pub(super) fn backing_number(name: &str) -> u64 {
    name.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn fallen_back(comparison: &Comparison) -> impl Iterator<Item = String> {
    let mut kinds: Vec<_> = comparison.fallen_back.iter().map(|d| (d.wanted.clone(), d.found.clone())).collect();
    kinds.sort();
    kinds.dedup();
    kinds.into_iter().map(|(kind, substitute)| {
        format!(
            "This cluster has no field type `{kind}`; `{substitute}` is used instead. Searches work, some are slower or exact only."
        )
    })
}

fn shown(names: &[String]) -> String {
    let mut text = names.iter().take(NAMES_SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > NAMES_SHOWN {
        text.push_str(&format!(" and {} more", names.len() - NAMES_SHOWN));
    }
    text
}
