// Values come from outside and are hostile: they are only ever text, defanged, and without characters that hide or turn others.

/** Control characters, characters that change the direction of writing or have no width, and line separators. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]/gu;

/** A stranger's text, as a person should see it. */
export function shown(text) {
  return String(text).replace(UNSEEN, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

/** An indicator that nobody follows by a click or a paste. */
export function defanged(text) {
  return shown(text)
    .replace(/\b(ht|f)(tps?:)/gi, (_, head, tail) => (head.toLowerCase() === 'ht' ? `hxx${tail.slice(1)}` : `fx${tail.slice(1)}`))
    .replace(/(?<=[\p{L}\p{N}_-])[.\u3002\uff0e\uff61](?=[\p{L}\p{N}_-])/gu, (dot) => `[${dot}]`)
    .replace(/(?<=\S)@(?=\S)/g, '[at]');
}

/** `tag('p.note', 'text', tag('b', …))`: an element with classes and children; strings are always text. */
export function tag(kind, ...children) {
  const [name, ...classes] = kind.split('.');
  const element = document.createElement(name);
  if (classes.length > 0) element.className = classes.join(' ');
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

/** JSON, indented and coloured, with short lists in one line. It stays JSON: unseen characters become its escapes. */
export function json(value, indent = '\n') {
  const inner = `${indent}  `;
  const between = (items, separator) => items.flatMap((item, i) => (i === 0 ? item : [separator, ...item]));
  if (Array.isArray(value)) {
    const items = value.map((item) => json(item, inner));
    const isShort = value.every((item) => typeof item !== 'object');
    return isShort ? ['[', ...between(items, ', '), ']'] : ['[', inner, ...between(items, `,${inner}`), indent, ']'];
  }
  if (value !== null && typeof value === 'object') {
    const members = Object.entries(value).map(([key, member]) => [tag('span.key', quoted(key)), ': ', ...json(member, inner)]);
    return members.length === 0 ? ['{}'] : ['{', inner, ...between(members, `,${inner}`), indent, '}'];
  }
  return [typeof value === 'string' ? tag('span.string', quoted(value)) : JSON.stringify(value)];
}

function quoted(text) {
  const units = (c) => [...Array(c.length).keys()].map((i) => `\\u${c.charCodeAt(i).toString(16).padStart(4, '0')}`);
  return JSON.stringify(text).replace(UNSEEN, (c) => units(c).join(''));
}
