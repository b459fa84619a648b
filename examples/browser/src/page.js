// The page: takes what is pasted, opened or dropped, has it mapped, and shows what came of it.

import { rejectLine } from '../../node/guest.mjs';
import { Mapper } from './mapper.js';
import rest from './sample-rest.json';
import stix from './sample-stix.json';
import { defanged, json, shown, tag } from './shown.js';

/* global COMPONENT: the component's SHA-256, put in by build.mjs */

/** Rows of a list that are drawn at once: more make a page slow, and nobody reads them. A button draws the next. */
const ROWS = 200;
/** Bytes. The longest page that is mapped, as in `tipline run`. */
const MAX_PAGE = 64 * 1024 * 1024;
/** Bytes, or characters where a text is pasted. A longer one is kept aside, as text fields get slow. */
const MAX_TYPED = 512 * 1024;
/** Milliseconds between the last key and the mapping. */
const PAUSE = 150;

const COUNTS = {
  read: 'records in the page',
  mapped: 'gave at least one document',
  rejected: 'could not be mapped',
  skipped: 'left out on purpose',
  documents: 'documents made',
};

const at = Object.fromEntries([...document.querySelectorAll('[id]')].map((element) => [element.id, element]));
const encoded = (text) => new TextEncoder().encode(text);
const plural = (count, word) => `${count.toLocaleString('en')} ${word}${count === 1 ? '' : 's'}`;

/** What is not in the text field, as it is too long or no text: `{name, bytes}`. */
let held;
let mapper;
let batch;
let runs = 0;

async function run() {
  const page = held?.bytes ?? encoded(at.page.value);
  const mine = ++runs;
  if (held === undefined && at.page.value.trim() === '') return show('empty', 'Waiting for a page');
  const observed = at.observed.value.trim() === '' ? Date.now() : Date.parse(at.observed.value.trim());
  if (!(observed >= 0)) return fail('time', `“${at.observed.value}” is no time since 1970. Write it as 2024-12-09T10:30:00Z.`);
  at.status.dataset.state = 'mapping';
  const answer = await mapper.map(at.config.value, observed, page, Number(at.limit.value) * 1000 || 10_000).catch((error) => ({
    failure: { kind: 'page', text: error.message },
  }));
  // A newer page is on its way.
  if (mine !== runs) return;
  if (answer.failure) return fail(answer.failure.kind, answer.failure.text);
  batch = answer.batch;
  drawBatch();
  const speed = Math.round((batch.read / answer.took) * 1000);
  at.status.dataset.speed = speed;
  show('done', `${plural(batch.read, 'record')} in ${answer.took < 10 ? answer.took.toFixed(1) : Math.round(answer.took)} ms`);
}

/** What the page says of itself; `state` is empty, mapping, done or failed. */
function show(state, text) {
  at.status.textContent = text;
  at.failure.hidden = state !== 'failed';
  at.empty.hidden = state !== 'empty';
  if (state !== 'done') {
    batch = undefined;
    at.lists.replaceChildren();
  }
  at.counts.hidden = state !== 'done';
  at.copy.disabled = at['save-documents'].disabled = !batch?.documents;
  at['save-rejects'].disabled = !batch?.rejects.length;
  at.status.dataset.state = state;
  at.status.dataset.run = Number(at.status.dataset.run) + 1;
}

function fail(kind, text) {
  at.failure.replaceChildren(tag('b', kind), ' ', shown(text));
  show('failed', 'Not mapped');
}

function drawBatch() {
  at.counts.replaceChildren(
    ...Object.entries(COUNTS).map(([name, meaning]) => {
      const number = name === 'documents' ? batch.heads.length : batch[name];
      const count = tag(number === 0 ? 'div.zero' : `div.${name}`, tag('dt', name), tag('dd', number.toLocaleString('en')));
      count.title = meaning;
      count.dataset.count = name;
      return count;
    }),
  );
  // A line for each head, in their order.
  const lines = batch.documents.split('\n');
  const { observed } = batch;
  at.lists.replaceChildren(
    list('Documents', batch.heads.map(({ expires }, i) => ({ line: lines[i], expires, observed })), documentRow),
    list('Rejected', batch.rejects, rejectRow),
    list('Skipped', batch.skips, ({ reason, count }) => {
      const row = tag('div.row.skip', tag('span.count', count.toLocaleString('en')), tag('span.value', shown(reason)));
      row.dataset.skip = `${reason} ${count}`;
      return row;
    }),
    list('Notes', batch.notes, ({ code, text }) => {
      const row = tag('div.row.note', tag('span.chip', shown(code)), tag('span.value', shown(text)));
      row.dataset.note = `${code} ${text}`;
      return row;
    }),
  );
}

function list(title, items, row) {
  if (items.length === 0) return '';
  const rows = tag('div.rows');
  const more = tag('button.more');
  let drawn = 0;
  const draw = () => {
    rows.append(...items.slice(drawn, drawn + ROWS).map(row));
    drawn = Math.min(drawn + ROWS, items.length);
    more.hidden = drawn === items.length;
    more.textContent = `Show ${Math.min(ROWS, items.length - drawn)} more of ${items.length.toLocaleString('en')}`;
  };
  more.addEventListener('click', draw);
  draw();
  return tag(`section.list.${title.toLowerCase()}`, tag('h3', title, ' ', tag('small', items.length.toLocaleString('en'))), rows, more);
}

function documentRow({ line, expires, observed }) {
  const document = JSON.parse(line);
  const { indicator = {}, technique, tactic } = document.threat ?? {};
  const vulnerability = document.vulnerability?.id;
  const kind = indicator.type ?? (vulnerability ? 'vulnerability' : technique || tactic ? 'technique' : 'context');
  const value = indicator.name ?? [vulnerability, technique?.id, tactic?.id].flat().find((id) => id) ?? document.event?.id ?? '';
  const ours = document.socdefenders ?? {};
  // Ids are no addresses.
  const name = kind === 'vulnerability' || kind === 'technique' ? shown(value) : defanged(value);
  const notes = [ours.ioc?.notes ?? []].flat();
  const isOver = expires <= observed;
  const until = expires === undefined ? '' : `${isOver ? 'expired' : 'until'} ${new Date(Number(expires)).toISOString().slice(0, 10)}`;
  const row = tag(
    'details.row.document',
    tag(
      'summary',
      tag(`span.chip.${/^[a-z0-9-]+$/.test(kind) ? kind : 'other'}`, shown(kind)),
      tag('span.value', name, ...notes.map((note) => tag('em', shown(note)))),
      tag('span.confidence', shown(indicator.confidence ?? '')),
      tag('span.provider', shown(indicator.provider ?? '')),
      tag(isOver ? 'span.expires.expired' : 'span.expires', until),
    ),
  );
  row.addEventListener('toggle', () => row.childElementCount === 1 && row.append(tag('pre', ...json(document))), { once: true });
  return row;
}

function rejectRow({ code, detail, raw }) {
  return tag(
    'details.row.reject',
    tag('summary', tag('span.chip', shown(code)), tag('span.value', shown(detail))),
    tag('pre', shown(new TextDecoder('utf-8', { ignoreBOM: true }).decode(raw))),
  );
}

function hold(name, bytes) {
  held = { name, bytes };
  at.held.firstElementChild.textContent = `${shown(name)}, ${(bytes.length / 1024 / 1024).toFixed(1)} MiB`;
  at.held.hidden = false;
  at.page.hidden = true;
  run();
}

function letGo() {
  held = undefined;
  at.held.hidden = true;
  at.page.hidden = false;
}

/** A sample as it would come today: in the file, today is 9 December 2024. */
const fresh = (sample) =>
  sample.replace(/2024-12-(\d\d)T/g, (_, day) => new Date(Date.now() - (9 - day) * 86_400_000).toISOString().slice(0, 11));

/** Puts bytes into the field, or aside where they are too long for one or not what it would give back. */
function take(name, bytes) {
  letGo();
  at.page.value = '';
  const text = bytes.length > MAX_TYPED ? undefined : readable(bytes);
  if (text === undefined) return hold(name, bytes);
  at.page.value = text;
  // A field has line ends of its own.
  if (at.page.value !== text) return hold(name, bytes);
  run();
}

/** The text, with its byte-order mark where it has one; nothing where it is none. */
function readable(bytes) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

async function takeFile(file) {
  if (file === undefined) return;
  if (file.size > MAX_PAGE) {
    runs += 1;
    return fail('page', `${file.name} is longer than ${MAX_PAGE / 1024 / 1024} MiB. Split it; one record a line is easiest.`);
  }
  // Not file.text(): it would drop a byte-order mark and replace damaged bytes, which the guest sees elsewhere.
  take(file.name, new Uint8Array(await file.arrayBuffer()));
}

function save(name, text) {
  const link = tag('a');
  link.href = URL.createObjectURL(new Blob([text], { type: 'application/x-ndjson' }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function listen() {
  let timer;
  for (const field of [at.page, at.config, at.observed, at.limit]) {
    field.addEventListener('input', () => {
      clearTimeout(timer);
      timer = setTimeout(run, PAUSE);
    });
  }
  at.page.addEventListener('paste', (event) => {
    const text = event.clipboardData.getData('text/plain');
    if (text.length <= MAX_TYPED) return;
    event.preventDefault();
    hold('Pasted text', encoded(text));
  });
  at.open.addEventListener('click', () => at.file.click());
  at.file.addEventListener('change', () => takeFile(at.file.files[0]).then(() => (at.file.value = '')));
  at['sample-rest'].addEventListener('click', () => take('REST sample', encoded(fresh(rest))));
  at['sample-stix'].addEventListener('click', () => take('STIX sample', encoded(fresh(stix))));
  at['drop-held'].addEventListener('click', () => take('', encoded('')));
  at['save-documents'].addEventListener('click', () => save('documents.ndjson', batch.documents));
  at['save-rejects'].addEventListener('click', () => save('rejects.ndjson', batch.rejects.map((reject) => `${rejectLine(reject, batch.observed)}\n`).join('')));
  at.copy.addEventListener('click', async () => {
    await navigator.clipboard.writeText(batch.documents);
    at.copy.textContent = 'Copied';
    setTimeout(() => (at.copy.textContent = 'Copy'), 1_500);
  });
  addEventListener('dragover', (event) => {
    event.preventDefault();
    document.body.classList.add('dragging');
  });
  addEventListener('dragleave', (event) => event.relatedTarget ?? document.body.classList.remove('dragging'));
  addEventListener('drop', (event) => {
    event.preventDefault();
    document.body.classList.remove('dragging');
    takeFile(event.dataTransfer.files[0]);
  });
}

async function begin() {
  const bytes = Uint8Array.from(atob(at.core.textContent), (c) => c.charCodeAt(0));
  mapper = new Mapper(await WebAssembly.compile(bytes));
  const { name, version } = await mapper.about();
  at.about.append(`Guest ${shown(name)} ${shown(version)}, a WebAssembly component without imports · sha256 `, tag('code', COMPONENT));
  listen();
  at.status.dataset.run = 1;
}

begin().catch((error) => fail('page', `The guest cannot be started in this browser: ${error.message}`));
