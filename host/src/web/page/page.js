// @ts-check
// Comfort for the Indicators page. Everything to be read is there without it: it completes what is typed, filters and copies
// from cells, moves by keys, selects rows, drags columns and times. It asks nobody but the server it came from.
'use strict';

/** @template {Element} E @param {string} selector @param {ParentNode} [within] @returns {E | null} */
const one = (selector, within = document) => /** @type {E | null} */ (within.querySelector(selector));
/** @template {Element} E @param {string} selector @param {ParentNode} [within] @returns {E[]} */
const all = (selector, within = document) => /** @type {E[]} */ ([...within.querySelectorAll(selector)]);

/**
 * Makes an element; text is text, never markup.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name @param {Record<string, string>} [attributes] @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** What the browser keeps for the page; it may refuse to. @param {string} key @param {string} [value] */
function kept(key, value) {
  try {
    if (value !== undefined) localStorage.setItem('tipline.' + key, value);
    return localStorage.getItem('tipline.' + key);
  } catch {
    return null;
  }
}

/** The view's address with other values. @param {Record<string, string | null>} changes @param {string} [path] */
function address(changes, path = location.pathname) {
  const query = new URLSearchParams(location.search);
  for (const [key, value] of Object.entries(changes)) {
    if (value === null) query.delete(key);
    else query.set(key, value);
  }
  const text = query.toString();
  return text ? path + '?' + text : path;
}

/** Says something for a moment. @param {string} text */
function tell(text) {
  one('.told')?.remove();
  const told = make('div', { class: 'told', role: 'status' }, text);
  document.body.append(told);
  setTimeout(() => told.remove(), 2500);
}

/** @param {string | Promise<string>} text @param {string} what */
async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(await text);
    tell(what + ' copied');
  } catch {
    tell('The browser does not let this page copy.');
  }
}

/** The value that an element carries. @param {HTMLElement | null | undefined} element @returns {string | undefined} */
const valueOf = (element) => (element?.dataset.json !== undefined ? JSON.parse(element.dataset.json) : element?.dataset.value);

/** What carries a value, or a field that has none. */
const VALUE = '.value:is([data-field], [data-value], [data-json], [data-claim])';

/** Whether there is a value, here or where it can be asked for. @param {HTMLElement | null} element */
const isThere = (element) => valueOf(element) !== undefined || element?.dataset.claim !== undefined;

/** @param {string} path @param {Record<string, string>} query */
async function asked(path, query) {
  const answer = await fetch(path + '?' + new URLSearchParams(query));
  if (!answer.ok) throw new Error(await answer.text());
  return answer.text();
}

/** The value of an element; what is too long to be carried is asked for. @param {HTMLElement} element */
const whole = async (element) => valueOf(element) ?? asked('/name', { id: element.dataset.claim ?? '' });

/**
 * A value as the page shows it. What a cell shows only the beginning of is asked for.
 * @param {HTMLElement} element
 */
async function defanged(element) {
  const shown = (element.textContent ?? '').trim();
  if ((element.matches('.name') || one('.name, code', element) !== null) && !shown.endsWith('…') || element.matches('h1 *')) return shown;
  const { claim } = element.dataset;
  return claim === undefined ? asked('/defanged', { value: valueOf(element) ?? '' }) : asked('/name', { id: claim, as: 'defanged' });
}

// What was done is told once: the address is then what it would be without it.
if (new URLSearchParams(location.search).has('done')) history.replaceState(null, '', address({ done: null, of: null, number: null, called: null }));

/** A value, of what is shown of it where nothing more was sent. `cell.rs` has the same. @param {string} shown */
const refanged = (shown) => shown.replaceAll('[.]', '.').replaceAll('[at]', '@').replace(/^hxxp/, 'http');

// What is the same in all rows of the table is made here, not sent with each of them: ids, boxes, and of each cell its
// column, and the values it has.
{
  const table = /** @type {HTMLTableElement | null} */ (one('table.found'));
  const columns = /** @type {HTMLElement[]} */ (table ? all('thead th[class^=c-]', table) : [])
    .map((head) => ({ name: head.className, title: (head.textContent ?? '').replace(/ [↑↓]$/, ''), field: head.dataset.field }));
  for (const row of table?.tBodies[0]?.rows ?? []) {
    const link = /** @type {HTMLAnchorElement | null} */ (one('a.name', row));
    if (link) {
      const to = new URL(link.href);
      row.dataset.id = to.searchParams.get('id') ?? decodeURIComponent(to.pathname.replace('/indicators/', ''));
      link.href = address({ id: row.dataset.id, tab: null });
    }
    const id = row.dataset.id ?? '';
    columns.forEach(({ name, title, field }, number) => {
      const cell = row.cells[number];
      cell.className = name;
      cell.dataset.title = title;
      if (field === undefined) return;
      // What is too long to be sent is neither filtered nor copied here.
      const carriers = cell.childElementCount ? /** @type {HTMLElement[]} */ (all(':scope > :is(a, span, i):not(.cut)', cell)) : [cell];
      for (const carrier of carriers) {
        carrier.classList.add('value');
        const { dataset } = carrier;
        if (dataset.claim !== undefined) {
          dataset.claim = id;
          continue;
        }
        dataset.field = field;
        if (carrier.localName !== 'i' && dataset.json === undefined) dataset.value ??= refanged(carrier.textContent ?? '');
      }
    });
    const box = make('input', { type: 'checkbox', name: 'id', value: id, 'aria-label': 'Select ' + (link?.textContent ?? id), autocomplete: 'off' });
    row.prepend(make('td', { class: 'pick' }, box));
  }
}

/** How far a moment is from now, in its largest unit. @param {number} at */
function apart(at) {
  const minutes = Math.round(Math.abs(Date.now() - at) / 60_000);
  const [number, unit] = minutes < 60 ? [minutes, 'min'] : minutes < 48 * 60 ? [Math.floor(minutes / 60), 'h'] : [Math.floor(minutes / 1440), 'days'];
  return at > Date.now() ? `in ${number} ${unit}` : `${number} ${unit} ago`;
}

// What is cut says the whole of it, a time how long ago that is, and a sign what it does.
document.addEventListener('mouseover', (event) => {
  const over = /** @type {HTMLElement} */ (event.target);
  if (over.closest('[title]')) return;
  const time = /** @type {HTMLTimeElement | null} */ (over.closest('time'));
  const sign = over.closest('a[aria-label], button[aria-label]');
  const cut = /** @type {HTMLElement[]} */ ([over, over.closest('td')]).find((element) => element?.closest('table.indicators') && (element.scrollWidth > element.clientWidth || element.scrollHeight > element.clientHeight + 2));
  if (time?.dateTime) time.title = `${new Date(time.dateTime).toISOString().replace('.000', '')} · ${apart(Date.parse(time.dateTime))}`;
  else if (sign) sign.setAttribute('title', sign.getAttribute('aria-label') ?? '');
  else if (over.matches('.found i')) over.title = over.textContent === '–' ? 'not provided' : '';
  else if (cut) cut.title = [...cut.childNodes].map((part) => part.textContent?.trim()).filter(Boolean).join(', ');
});

// Light or dark.
{
  const theme = kept('theme');
  if (theme) document.documentElement.dataset.theme = theme;
  document.documentElement.classList.add('scripts');
  one('#theme')?.addEventListener('click', () => {
    const root = document.documentElement;
    const isDark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
    root.dataset.theme = isDark ? 'light' : 'dark';
    kept('theme', root.dataset.theme);
  });
}

// Times in UTC, as they come, or in the browser's zone.
{
  const button = one('#zone');
  const times = /** @type {HTMLTimeElement[]} */ (all('time')).filter((time) => /^[\d-]{10} [\d:]{5}$/.test(time.textContent ?? ''));
  for (const time of times) time.dateTime ||= (time.textContent ?? '').replace(' ', 'T') + 'Z';
  const asSent = new Map(times.map((time) => [time, time.textContent]));
  const two = (/** @type {number} */ number) => String(number).padStart(2, '0');
  const draw = () => {
    const isLocal = kept('zone') === 'local';
    if (button) button.textContent = isLocal ? 'Local' : 'UTC';
    for (const time of times) {
      const at = new Date(time.dateTime);
      time.textContent = isLocal
        ? `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}`
        : asSent.get(time) ?? '';
    }
  };
  button?.addEventListener('click', () => {
    kept('zone', kept('zone') === 'local' ? 'utc' : 'local');
    draw();
  });
  draw();
}

// The board is looked at again by itself, where that is wanted and nobody is at work on it.
{
  const choice = /** @type {HTMLSelectElement | null} */ (one('#refresh'));
  if (choice) {
    choice.value = kept('refresh') ?? '0';
    choice.addEventListener('change', () => kept('refresh', choice.value));
    let rested = 0;
    setInterval(() => {
      const every = Number(choice.value);
      rested = every === 0 ? 0 : rested + 1;
      const isAtWork = one('dialog, details.menu[open], tbody input:checked') || document.activeElement?.matches('input, textarea, select') || document.hidden;
      if (every > 0 && rested >= every && !isAtWork) location.reload();
    }, 1000);
  }
}

// Menus close when something else is meant.
document.addEventListener('click', (event) => {
  for (const menu of all('details.menu[open]')) {
    if (!menu.contains(/** @type {Node} */ (event.target))) menu.removeAttribute('open');
  }
});

// The search bar completes.
{
  /** @typedef {{shown: string, put: string, hint: string, start: number, end: number}} Choice */
  const field = /** @type {HTMLInputElement | null} */ (one('#q'));
  const list = /** @type {HTMLElement | null} */ (one('#completions'));
  if (field && list) {
    let /** @type {Choice[]} */ choices = [];
    let chosen = -1;
    let /** @type {AbortController | undefined} */ asking;
    let /** @type {ReturnType<typeof setTimeout> | undefined} */ soon;
    const utf8 = new TextEncoder();
    /** A place in bytes as one in this language's units. @param {string} text @param {number} bytes */
    const place = (text, bytes) => new TextDecoder().decode(utf8.encode(text).slice(0, bytes)).length;
    const close = () => {
      list.hidden = true;
      chosen = -1;
      field.removeAttribute('aria-activedescendant');
      field.setAttribute('aria-expanded', 'false');
    };
    /** @param {number} index */
    const choose = (index) => {
      chosen = index;
      all('li', list).forEach((item, number) => {
        item.setAttribute('aria-selected', String(number === index));
        if (number === index) item.scrollIntoView({ block: 'nearest' });
      });
      if (index >= 0) field.setAttribute('aria-activedescendant', 'choice-' + index);
    };
    /** @param {Choice} choice */
    const take = (choice) => {
      const from = place(field.value, choice.start);
      field.setRangeText(choice.put, from, place(field.value, choice.end), 'end');
      close();
      field.focus();
      ask();
    };
    /** @param {Choice[]} found */
    const show = (found) => {
      choices = found;
      list.replaceChildren(...found.map((choice, index) => {
        const item = make('li', { role: 'option', id: 'choice-' + index, 'aria-selected': 'false' }, choice.shown, make('span', {}, choice.hint));
        item.addEventListener('mousedown', (event) => {
          event.preventDefault();
          take(choice);
        });
        return item;
      }));
      list.hidden = found.length === 0;
      field.setAttribute('aria-expanded', String(found.length > 0));
      chosen = -1;
    };
    const ask = async () => {
      asking?.abort();
      asking = new AbortController();
      const at = utf8.encode(field.value.slice(0, field.selectionStart ?? field.value.length)).length;
      if (field.value === '') {
        const past = /** @type {string[]} */ (JSON.parse(kept('queries') ?? '[]'));
        show(past.slice(0, 8).map((query) => ({ shown: query, put: query, hint: 'asked before', start: 0, end: 0 })));
        return;
      }
      try {
        const answer = await fetch('/complete?' + new URLSearchParams({ q: field.value, at: String(at) }), { signal: asking.signal });
        if (answer.ok && document.activeElement === field) show(await answer.json());
      } catch {
        // Typed on meanwhile, or the server is gone, which the next search tells.
      }
    };
    field.setAttribute('role', 'combobox');
    field.setAttribute('aria-controls', 'completions');
    field.setAttribute('aria-autocomplete', 'list');
    field.setAttribute('aria-expanded', 'false');
    field.addEventListener('input', () => {
      clearTimeout(soon);
      soon = setTimeout(ask, 90);
    });
    field.addEventListener('click', () => { if (list.hidden) ask(); });
    field.addEventListener('blur', close);
    field.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && !list.hidden) {
        event.preventDefault();
        event.stopPropagation();
        close();
      } else if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
        event.preventDefault();
        if (list.hidden) ask();
        else choose((chosen + (event.key === 'ArrowDown' ? 1 : choices.length - 1 + (chosen < 0 ? 1 : 0))) % choices.length);
      } else if ((event.key === 'Enter' && chosen >= 0) || (event.key === 'Tab' && !list.hidden && choices.length)) {
        event.preventDefault();
        take(choices[Math.max(chosen, 0)]);
      }
    });
    field.form?.addEventListener('submit', () => {
      const query = field.value.trim();
      if (!query) return;
      const past = /** @type {string[]} */ (JSON.parse(kept('queries') ?? '[]')).filter((one) => one !== query);
      kept('queries', JSON.stringify([query, ...past].slice(0, 20)));
    });
    // A mistake is where the cursor is.
    const wrong = /** @type {HTMLElement | null} */ (one('#mistake[data-at]'));
    if (wrong) {
      field.focus();
      const at = place(field.value, Number(wrong.dataset.at));
      field.setSelectionRange(at, at);
    }
  }
}

// What can be done with a value: filter, filter out, copy. One set of buttons goes to where it is wanted.
{
  const buttons = make('div', { class: 'acts-at', role: 'toolbar', 'aria-label': 'This value' });
  let /** @type {HTMLElement | null} */ about = null;
  /** @param {string} name @param {string} label @param {() => void} act */
  const add = (name, label, act) => {
    const button = make('button', { type: 'button', title: label, 'aria-label': label, tabindex: '-1' }, name);
    button.addEventListener('click', act);
    buttons.append(button);
    return button;
  };
  /** @param {string} is */
  const filter = (is) => {
    const [field, value] = [about?.dataset.field, valueOf(about)];
    if (field === undefined) return;
    const to = /** @type {Record<string, string | null>} */ ({ field, is, id: null, tab: null });
    if (value !== undefined) to.value = value;
    location.assign(address(to, '/filter'));
  };
  const filters = [
    add('+ Only', 'Only what has this value (f)', () => filter('in')),
    add('− Without', 'Without what has this value (shift f)', () => filter('out')),
  ];
  const raw = add('Copy', 'Copy the value (c)', () => { if (about) copy(whole(about), 'Value'); });
  const safe = add('Defanged', 'Copy it defanged (shift c)', () => { if (about) copy(defanged(about), 'Defanged value'); });
  /** @param {HTMLElement} value */
  const show = (value) => {
    if (about === value && buttons.isConnected) return;
    about = value;
    raw.hidden = safe.hidden = !isThere(value);
    for (const button of filters) button.hidden = value.dataset.field === undefined;
    document.body.append(buttons);
    const box = value.getBoundingClientRect();
    const left = Math.min(box.left, innerWidth - buttons.offsetWidth - 8);
    const isRoom = box.top > 90;
    buttons.style.left = Math.max(4, left) + scrollX + 'px';
    buttons.style.top = (isRoom ? box.top - buttons.offsetHeight - 1 : box.bottom + 1) + scrollY + 'px';
  };
  const hide = () => {
    buttons.remove();
    about = null;
  };
  let /** @type {ReturnType<typeof setTimeout> | undefined} */ soon;
  document.addEventListener('mouseover', (event) => {
    const target = /** @type {Element} */ (event.target);
    if (buttons.contains(target)) {
      clearTimeout(soon);
      return;
    }
    const value = /** @type {HTMLElement | null} */ (target.closest(VALUE));
    clearTimeout(soon);
    soon = setTimeout(() => (value ? show(value) : hide()), value ? 250 : 300);
  });
  document.addEventListener('scroll', hide, { passive: true, capture: true });
  document.addEventListener('keydown', (event) => {
    if (event.target instanceof HTMLInputElement && event.target.type !== 'checkbox' || event.target instanceof HTMLTextAreaElement) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase();
    if (key !== 'f' && key !== 'c') return;
    // Of what has the focus, else of the row.
    const row = one('tr.at') ?? one('.details');
    about = /** @type {HTMLElement | null} */ (document.activeElement?.closest(VALUE) ?? (row && one('.c-indicator .value, h1 .value', row)));
    if (!about || !isThere(about)) return;
    event.preventDefault();
    if (key === 'f') filter(event.shiftKey ? 'out' : 'in');
    else if (event.shiftKey) copy(defanged(about), 'Defanged value');
    else copy(whole(about), 'Value');
  });
}
for (const button of /** @type {HTMLElement[]} */ (all('button[data-copy]'))) {
  button.addEventListener('click', () => copy(button.dataset.copy ?? '', 'Address'));
}
for (const button of /** @type {HTMLElement[]} */ (all('button[data-copies]'))) {
  const value = /** @type {HTMLElement | null} */ (one('h1 .value', button.closest('header') ?? document));
  if (value) button.addEventListener('click', () => copy(button.dataset.copies === 'value' ? valueOf(value) ?? '' : defanged(value), 'Value'));
}

// Rows are selected: one, a range with shift, all of the page, all of the filter.
{
  const boxes = /** @type {HTMLInputElement[]} */ (all('tbody input[name=id]'));
  const every = /** @type {HTMLInputElement | null} */ (one('#pick-all'));
  const bar = /** @type {HTMLElement | null} */ (one('#selection'));
  const total = Number(/** @type {HTMLElement | null} */ (one('table.indicators'))?.dataset.total ?? 0);
  let last = -1;
  let isWhole = false;
  const picked = () => boxes.filter((box) => box.checked);
  const values = () => picked().map((box) => /** @type {HTMLElement | null} */ (one('.c-indicator .value', box.closest('tr') ?? document))).filter((value) => value !== null);
  /** @param {string} format */
  const exported = (format) => {
    if (isWhole) return address({ format, id: null, page: null }, '/export');
    const query = new URLSearchParams({ format, among: 'all', rows: new URLSearchParams(location.search).get('rows') ?? 'values' });
    for (const box of picked()) query.append('pick', box.value);
    return '/export?' + query;
  };
  const draw = () => {
    if (!bar || !every) return;
    const count = picked().length;
    every.checked = count > 0 && count === boxes.length;
    every.indeterminate = count > 0 && count < boxes.length;
    if (!every.checked) isWhole = false;
    bar.hidden = count === 0;
    if (count === 0) return;
    const said = isWhole ? `All ${total.toLocaleString('en')} selected` : `${count} selected`;
    const parts = [make('strong', {}, said)];
    if (every.checked && !isWhole && total > count) {
      const more = make('button', { type: 'button', class: 'quiet' }, `Select all ${total.toLocaleString('en')}`);
      more.addEventListener('click', () => { isWhole = true; draw(); });
      parts.push(more);
    }
    if (!isWhole) {
      for (const [name, form] of /** @type {[string, (value: HTMLElement) => Promise<string>][]} */ ([['Copy', whole], ['Copy defanged', defanged]])) {
        const button = make('button', { type: 'button' }, name);
        button.addEventListener('click', () => copy(Promise.all(values().map(form)).then((all) => all.join('\n')), `${values().length} values`));
        parts.push(button);
      }
    }
    for (const [format, name] of [['csv', 'CSV'], ['stix', 'STIX'], ['list', 'List']]) parts.push(make('a', { class: 'button', href: exported(format), download: '' }, name));
    const none = make('button', { type: 'button', class: 'quiet', 'aria-label': 'Select none' }, '✕');
    none.addEventListener('click', () => { boxes.forEach((box) => { box.checked = false; }); draw(); });
    bar.replaceChildren(...parts, none);
  };
  boxes.forEach((box, index) => box.addEventListener('click', (event) => {
    if (/** @type {MouseEvent} */ (event).shiftKey && last >= 0) {
      for (let at = Math.min(last, index); at <= Math.max(last, index); at += 1) boxes[at].checked = box.checked;
    }
    last = index;
    draw();
  }));
  every?.addEventListener('click', () => {
    boxes.forEach((box) => { box.checked = every.checked; });
    draw();
  });
  draw();
}

// A head is dragged to where the column is to be.
{
  const heads = /** @type {HTMLElement[]} */ (all('.indicators thead th[class^=c-]'));
  const word = (/** @type {HTMLElement} */ head) => (head.className.match(/c-(\S+)/) ?? ['', ''])[1];
  let /** @type {HTMLElement | null} */ dragged = null;
  for (const head of heads) {
    if (!one('#columns')) break;
    head.draggable = true;
    head.addEventListener('dragstart', () => { dragged = head; });
    head.addEventListener('dragover', (event) => { if (dragged) event.preventDefault(); });
    head.addEventListener('drop', (event) => {
      event.preventDefault();
      if (!dragged || dragged === head) return;
      const words = heads.map(word).filter((one) => dragged && one !== word(dragged));
      words.splice(heads.indexOf(head), 0, word(dragged));
      location.assign(address({ columns: words.join(',') }));
    });
  }
}

// A column is made wider or narrower at its head's edge; the browser remembers. A double click makes it as it was.
{
  const widths = /** @type {Record<string, number>} */ (JSON.parse(kept('widths') ?? '{}'));
  const NARROWEST = 48;
  for (const head of /** @type {HTMLElement[]} */ (one('#columns') ? all('.indicators thead th[class^=c-]') : [])) {
    const word = (head.className.match(/c-(\S+)/) ?? ['', ''])[1];
    const title = (head.textContent ?? '').replace(/[↑↓]/, '').trim();
    const grip = make('span', { class: 'grip', role: 'separator', tabindex: '0', 'aria-orientation': 'vertical', 'aria-label': 'Width of ' + title, 'aria-valuemin': String(NARROWEST), title: 'Drag to make wider or narrower; double click for its own width' });
    const draw = () => {
      const width = widths[word];
      for (const cell of /** @type {HTMLElement[]} */ (all('.indicators .c-' + CSS.escape(word)))) {
        cell.classList.toggle('sized', width !== undefined);
        cell.style.minWidth = cell.style.maxWidth = width === undefined ? '' : width + 'px';
      }
      grip.setAttribute('aria-valuenow', String(Math.round(width ?? head.offsetWidth)));
    };
    /** @param {number | undefined} width */
    const set = (width) => {
      if (width === undefined) delete widths[word];
      else widths[word] = Math.max(NARROWEST, Math.round(width));
      kept('widths', JSON.stringify(widths));
      draw();
    };
    grip.addEventListener('pointerdown', (event) => {
      event.preventDefault();
      grip.setPointerCapture(event.pointerId);
      head.draggable = false;
      const [begun, wide] = [event.clientX, head.offsetWidth];
      const move = (/** @type {PointerEvent} */ event) => set(wide + event.clientX - begun);
      const end = () => {
        grip.removeEventListener('pointermove', move);
        head.draggable = true;
      };
      grip.addEventListener('pointermove', move);
      grip.addEventListener('pointerup', end, { once: true });
      grip.addEventListener('pointercancel', end, { once: true });
    });
    grip.addEventListener('dblclick', () => set(undefined));
    grip.addEventListener('keydown', (event) => {
      const step = event.key === 'ArrowLeft' ? -16 : event.key === 'ArrowRight' ? 16 : 0;
      if (step === 0) return;
      event.preventDefault();
      set(head.offsetWidth + step);
    });
    head.append(grip);
    draw();
  }
}

// A time is dragged over the trend.
{
  const plot = /** @type {HTMLElement | null} */ (one('.plot'));
  if (plot) {
    const from = Number(plot.dataset.from);
    const interval = Number(plot.dataset.interval);
    const bars = Number(plot.dataset.bars);
    let /** @type {number | null} */ begun = null;
    const shade = make('div', { class: 'drag' });
    /** @param {PointerEvent} event */
    const bar = (event) => {
      const box = plot.getBoundingClientRect();
      return Math.min(bars - 1, Math.max(0, Math.floor((event.clientX - box.left) / box.width * bars)));
    };
    /** @param {PointerEvent} event */
    const draw = (event) => {
      if (begun === null) return;
      const [first, last] = [Math.min(begun, bar(event)), Math.max(begun, bar(event))];
      shade.style.left = first / bars * 100 + '%';
      shade.style.width = (last + 1 - first) / bars * 100 + '%';
    };
    const drawing = one('svg', plot);
    drawing?.addEventListener('pointerdown', (event) => {
      begun = bar(/** @type {PointerEvent} */ (event));
      plot.append(shade);
      draw(/** @type {PointerEvent} */ (event));
      drawing.setPointerCapture(/** @type {PointerEvent} */ (event).pointerId);
    });
    drawing?.addEventListener('pointermove', (event) => draw(/** @type {PointerEvent} */ (event)));
    drawing?.addEventListener('pointercancel', () => { begun = null; shade.remove(); });
    drawing?.addEventListener('pointerup', (event) => {
      if (begun === null) return;
      const end = bar(/** @type {PointerEvent} */ (event));
      const at = (/** @type {number} */ bar) => new Date(from + interval * bar).toISOString();
      location.assign(address({ time: plot.dataset.time ?? null, from: at(Math.min(begun, end)), to: new Date(from + interval * (Math.max(begun, end) + 1) - 1).toISOString(), page: null, id: null }));
    });
  }
}

// A file is chosen or dropped to be checked.
{
  const text = /** @type {HTMLTextAreaElement | null} */ (one('#text'));
  const file = /** @type {HTMLInputElement | null} */ (one('#file'));
  const chosen = one('#chosen');
  if (text && file && chosen) {
    const tellFile = () => { if (file.files?.length) chosen.textContent = file.files[0].name; };
    file.addEventListener('change', tellFile);
    document.addEventListener('dragover', (event) => event.preventDefault());
    document.addEventListener('drop', (event) => {
      event.preventDefault();
      if (!event.dataTransfer?.files.length) return;
      file.files = event.dataTransfer.files;
      tellFile();
    });
  }
}

// Keys.
{
  const KEYS = [['/', 'Search'], ['j  k', 'Next, previous row'], ['Enter', 'Open the row’s details'], ['x', 'Select the row'], ['f  F', 'Filter the value in, out'],
    ['c  C', 'Copy the value, defanged'], ['n  p', 'Next, previous page'], ['Esc', 'Close'], ['?', 'These keys']];
  const rows = /** @type {HTMLElement[]} */ (all('table.indicators tbody tr'));
  let at = rows.findIndex((row) => row.getAttribute('aria-selected') === 'true');
  const help = () => {
    const old = /** @type {HTMLDialogElement | null} */ (one('dialog'));
    if (old) return old.close();
    const close = make('button', { type: 'button' }, 'Close');
    const dialog = make('dialog', { 'aria-label': 'Keyboard shortcuts' }, make('h1', {}, 'Keys'),
      make('dl', {}, ...KEYS.flatMap(([key, what]) => [make('dt', {}, ...key.split('  ').flatMap((one) => [make('kbd', {}, one), ' '])), make('dd', {}, what)])), close);
    close.addEventListener('click', () => dialog.close());
    dialog.addEventListener('close', () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  };
  one('#keys')?.addEventListener('click', help);
  /** @param {number} to */
  const go = (to) => {
    if (rows.length === 0) return;
    at = Math.min(rows.length - 1, Math.max(0, to));
    rows.forEach((row, index) => row.classList.toggle('at', index === at));
    /** @type {HTMLElement | null} */ (one('a.name', rows[at]))?.focus({ preventScroll: true });
    rows[at].scrollIntoView({ block: 'nearest' });
  };
  document.addEventListener('keydown', (event) => {
    const target = event.target;
    const isTyping = (target instanceof HTMLInputElement && target.type !== 'checkbox') || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
    if (event.key === 'Escape') {
      const menu = one('details.menu[open]');
      if (menu) menu.removeAttribute('open');
      else if (isTyping) /** @type {HTMLElement} */ (target).blur();
      else /** @type {HTMLAnchorElement | null} */ (one('#close'))?.click();
      return;
    }
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey || one('dialog')) return;
    const acts = /** @type {Record<string, () => void>} */ ({
      '/': () => /** @type {HTMLElement | null} */ (one('#q'))?.focus(),
      '?': help,
      j: () => go(at + 1),
      k: () => go(at - 1),
      x: () => /** @type {HTMLElement | null} */ (rows[at] && one('input[name=id]', rows[at]))?.click(),
      n: () => /** @type {HTMLElement | null} */ (one('a[rel=next]'))?.click(),
      p: () => /** @type {HTMLElement | null} */ (one('a[rel=prev]'))?.click(),
    });
    const act = acts[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
  });
}
