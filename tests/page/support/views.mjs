// Every view of the page, for what must hold on each of them.

const menu = (selector) => async (person) => {
  await person.open('/');
  await person.click(`${selector} > summary`);
};

const details = (tab) => async (person) => {
  await person.open('/');
  const [id] = await person.values('.indicators tbody tr', 'data-id');
  await person.open(`/?id=${id}&tab=${tab}`);
};

const alone = (tab) => async (person) => {
  await person.open('/');
  const [id] = await person.values('.indicators tbody tr', 'data-id');
  await person.open(`/indicators/${id}?tab=${tab}`);
};

const answer = (text) => async (person) => {
  await person.open('/check');
  await person.page.$eval('#text', (field, text) => { field.value = text; }, text);
  await person.follow('form.check button.primary');
};

/** A text with values of every verdict that this store has: those of its first page, and some of nobody's. */
const answered = async (person) => {
  await person.open('/?among=all');
  const shown = await person.rows();
  await answer(`${shown.join('\n')}\n10.0.0.1 198.51.100.7 unknown.example.net`)(person);
};

const saved = async (person) => {
  for (const [name, query] of [['High confidence', 'confidence: high'], [`A long name ${'of many words '.repeat(6)}`, `value: ${'x'.repeat(200)}*`]]) {
    await person.open(`/?q=${encodeURIComponent(query)}`);
    await person.click('#views > summary');
    await person.write('#name', name);
    await person.follow('#views button[type=submit]');
  }
  await person.open('/views');
  await person.led(async () => (await person.named('.saved button', 'New list address')).click());
};

/** By name, how somebody gets there. Those that make something come last. */
export const VIEWS = {
  board: (person) => person.open('/'),
  claims: (person) => person.open('/?rows=claims&among=all'),
  'all-columns': (person) => person.open('/?among=all&columns=indicator,type,confidence,tlp,provider,feed,tags,software,actor,first_seen,last_seen,observed,time,ends,claims,input,id'),
  ended: (person) => person.open('/?among=ended'),
  filtered: (person) => person.open('/?q=confidence%3A+%22High%22&from=now-7d'),
  mistake: (person) => person.open('/?q=type:+url+and+confidnce:+high'),
  'mistake-in-time': (person) => person.open('/?from=yesterday'),
  'nothing-found': (person) => person.open('/?q=nothing-is-called-so&from=now-1h'),
  'no-such-page': (person) => person.open('/?page=999999'),
  'not-found': (person) => person.open('/nowhere'),
  'details-overview': details('overview'),
  'details-table': details('table'),
  'details-json': details('json'),
  'details-of-nothing': (person) => person.open('/?id=nothing'),
  'alone-overview': alone('overview'),
  'alone-table': alone('table'),
  'alone-json': alone('json'),
  'menu-time': menu('.search .menu'),
  'menu-columns': menu('#columns'),
  'menu-views': menu('#views'),
  'trend-numbers': async (person) => {
    await person.open('/?time=last_seen');
    await person.click('.numbers summary');
  },
  completions: async (person) => {
    await person.open('/');
    await person.write('#q', 't');
    await person.element('#completions li');
  },
  selection: async (person) => {
    await person.open('/');
    await person.press('j', 'x', 'j', 'x');
    await person.element('#selection button');
  },
  keys: async (person) => {
    await person.open('/');
    await person.press('?');
    await person.element('dialog[open]');
  },
  'over-a-value': async (person) => {
    await person.open('/');
    await (await person.element('td.c-confidence .value')).hover();
    await person.element('.acts-at');
  },
  check: (person) => person.open('/check'),
  'check-answer': answered,
  'check-nothing': answer('Nothing to see here'),
  fields: (person) => person.open('/fields'),
  health: (person) => person.open('/health'),
  rejects: (person) => person.open('/rejects'),
  'no-saved-views': (person) => person.open('/views'),
  'saved-views': saved,
};

/** Statuses with which some of them are answered. */
export const STATUSES = [400, 404];
