// A feed that says what might do harm: markup, scripts, links, formulas, escapes, texts that hide or turn others, and long ones.

/** Says that something of a stranger's was carried out: dialogs are watched for, and nothing else opens one. */
const HARM = 'alert("carried out")';

/** By what each would do. */
export const TEXTS = {
  script: `<script>${HARM}</script>`,
  image: `<img src=x onerror='${HARM}'>`,
  attribute: `" onmouseover='${HARM}' autofocus onfocus='${HARM}' x="`,
  ending: `</title></textarea></style></script><svg onload='${HARM}'>`,
  link: `javascript:${HARM}`,
  anchor: `<a href='javascript:${HARM}'>here</a>`,
  formula: '=HYPERLINK("http://evil.example/","open")',
  turned: 'invoice\u202Efdp.exe',
  hidden: 'zero\u200B\u200D\u2060\uFEFFwidth',
  terminal: '\u001B[2J\u001B]0;owned\u0007 cleared',
  lines: 'one\r\ntwo\tthree\u2028four',
  template: '{{7*7}} ${7*7} <%= 7*7 %>',
  entity: '&lt;b&gt; &amp;quot; &#60;script&#62;',
  long: `long-${'x'.repeat(10_000)}`,
  wide: '😀'.repeat(2_500),
};

const SECOND = 1_000;
const at = (ago) => new Date(Date.now() - ago * SECOND).toISOString();

/** Records of SOC Defenders' API: hostile in all that is said of a value, and in addresses. */
export function hostileRecords() {
  const said = Object.entries(TEXTS).map(([name, text]) => ({
    type: 'domain', value: `${name}.hostile.example.org`, confidence: 'high', context: text, tags: [text, 'hostile'],
    mitre_techniques: [text], first_seen: at(7200), last_seen: at(3600),
    source: { article_id: text, article_title: text, article_url: text, reference_url: text, feed_name: text, category: text, origin: text },
  }));
  const addresses = Object.entries(TEXTS).map(([name, text]) => ({
    type: 'url', value: `http://${name}.example.org/${text}`, confidence: 'low', context: 'An address', tags: ['address'],
    first_seen: at(7200), last_seen: at(3600), source: { feed_name: 'Addresses', category: 'vendor' },
  }));
  return [...said, ...addresses];
}

let made = 0;
const object = (type, fields) => ({
  type, spec_version: '2.1', id: `${type}--00000000-0000-4000-8000-${String(made += 1).padStart(12, '0')}`, created: at(7200), modified: at(3600), ...fields,
});
const quoted = (text) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

/** STIX objects: names of files may be any text, and so may those of malware, actors and sources. */
export function hostileObjects() {
  return Object.values(TEXTS).flatMap((text) => {
    const source = object('identity', { name: text, identity_class: 'organization' });
    const malware = object('malware', { name: text, is_family: true, aliases: [text] });
    const actor = object('threat-actor', { name: text, aliases: [text] });
    const indicator = object('indicator', {
      name: text, description: text, labels: [text], indicator_types: ['malicious-activity'], pattern: `[file:name = ${quoted(text)}]`, pattern_type: 'stix',
      valid_from: at(7200), confidence: 80, created_by_ref: source.id, external_references: [{ source_name: text, url: text, description: text }],
    });
    const about = [malware, actor].map((what) => object('relationship', { relationship_type: 'indicates', source_ref: indicator.id, target_ref: what.id }));
    return [source, malware, actor, indicator, ...about];
  });
}
