// Kibana 7's own code reads queries and translates them, and an Elasticsearch answers its translation and ours.
//
//   node judge.mjs MODULES < task.json > verdicts.json
//
// MODULES is the folder into which npm has installed what package.json names. The task:
//   fields         [{name, type}], as Kibana knows a data view's
//   queries        [{text, ours}]: a query's text, and our translation of it (or null)
//   elasticsearch  an address, or null where only the reading is asked
//   mapping, documents
// The verdicts, in the order of the queries: {refused} or {kibana, ours}, each a list of the documents' numbers or {error}.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const { fromKueryExpression, toElasticsearchQuery } = createRequire(join(process.argv[2], 'package.json'))('@cybernetex/kbn-es-query');
const task = JSON.parse(readFileSync(0, 'utf8'));
const view = { fields: task.fields };

async function call(method, path, body) {
  const headers = { 'Content-Type': typeof body === 'string' ? 'application/x-ndjson' : 'application/json' };
  const answer = await fetch(task.elasticsearch + path, { method, headers, body: typeof body === 'string' ? body : JSON.stringify(body) });
  return { status: answer.status, json: await answer.json() };
}

async function ids(index, query) {
  const answer = await call('POST', `/${index}/_search?filter_path=hits.hits._id,_shards.failures,error`, { size: 10000, _source: false, query });
  const error = answer.json.error ?? answer.json._shards?.failures;
  if (error) return { error: JSON.stringify(error).slice(0, 400) };
  return (answer.json.hits?.hits ?? []).map(hit => Number(hit._id)).sort((a, b) => a - b);
}

const index = `kql-judge-${process.pid}`;
if (task.elasticsearch) {
  const made = await call('PUT', `/${index}`, { settings: { number_of_shards: 1, number_of_replicas: 0 }, mappings: task.mapping });
  if (made.status !== 200) throw new Error(JSON.stringify(made.json));
  const lines = task.documents.flatMap((document, at) => [JSON.stringify({ create: { _id: String(at) } }), JSON.stringify(document)]);
  const stored = await call('POST', `/${index}/_bulk?refresh=true&filter_path=errors,items.*.error`, lines.join('\n') + '\n');
  if (stored.json.errors !== false) throw new Error(JSON.stringify(stored.json).slice(0, 2000));
}
const verdicts = [];
for (const { text, ours } of task.queries) {
  let kibana;
  try {
    kibana = toElasticsearchQuery(fromKueryExpression(text), view);
  } catch (error) {
    verdicts.push({ refused: error.message.split('\n')[0], ours: task.elasticsearch && ours ? await ids(index, ours) : null });
    continue;
  }
  verdicts.push(task.elasticsearch ? { kibana: await ids(index, kibana), ours: ours && await ids(index, ours) } : {});
}
if (task.elasticsearch) await call('DELETE', `/${index}`);
process.stdout.write(JSON.stringify(verdicts));
