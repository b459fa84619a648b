// A feed of few values, of which a test may know everything.

/** Names that differ in nothing but their number: more than a page of rows has. */
export const HOSTS = 60;

const HOUR = 3600;
const DAY = 24 * HOUR;
const CONFIDENCES = ['high', 'medium', 'low'];

/** A record as SOC Defenders' API has it. Ages are in seconds; the feed makes dates of them. */
function record(type, value, feed, fields = {}, age = {}) {
  const { updated = HOUR, last_seen = updated, first_seen = 30 * DAY } = age;
  return {
    type, value, confidence: 'medium', context: `Seen in a test of ${feed}`, tags: [], mitre_techniques: [],
    source: { article_id: feed, article_title: `${feed}: a report`, article_url: `https://reports.example/${encodeURIComponent(feed)}`, feed_name: feed, category: 'vendor', origin: 'article' },
    age: { updated, last_seen, first_seen }, ...fields,
  };
}

/** All of it. */
export function plainRecords() {
  const hosts = Array.from({ length: HOSTS }, (_, number) => record(
    'domain', `host-${String(number).padStart(2, '0')}.example.net`, number % 4 === 0 ? 'Beta list' : 'Alpha reports',
    { confidence: CONFIDENCES[number % 3], tags: [number % 2 ? 'odd' : 'even', 'numbered'] },
    { updated: 600 + number * 20 * 60 },
  ));
  return [
    ...hosts,
    // Two sources of one value, which differ in what they say.
    record('domain', 'shared.example.net', 'Alpha reports', { confidence: 'low', tags: ['shared'] }, { updated: 2 * HOUR, first_seen: 9 * DAY }),
    record('domain', 'shared.example.net', 'Beta list', { confidence: 'high', tags: ['shared'] }, { updated: 5 * HOUR, first_seen: 40 * DAY }),
    // Long over, though its feed still shows it.
    record('domain', 'over.example.net', 'Alpha reports', { tags: ['over'] }, { updated: HOUR, last_seen: 300 * DAY, first_seen: 301 * DAY }),
    record('url', 'https://login.example.net/reset?user=1', 'Gamma', { confidence: 'high', tags: ['phishing'] }),
    record('ipv4', '203.0.113.9', 'Gamma', { confidence: 'high', tags: ['c2'] }),
    record('ipv4', '198.51.100.0/24', 'Gamma', { confidence: 'medium', tags: ['range'] }),
    record('sha256', 'ab'.repeat(32), 'Gamma', { tags: ['file'] }),
    record('email', 'billing@mail.example.net', 'Gamma', { tags: ['phishing'] }),
    record('cve', 'CVE-2024-3094', 'Gamma'),
    record('mitre_attack', 'T1059.001', 'Gamma'),
    // What can't be mapped is a reject.
    record('ipv4', '203.0.113.999', 'Gamma'),
  ];
}
