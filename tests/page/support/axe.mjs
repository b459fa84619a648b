// What axe-core finds amiss.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Impacts that are not put up with. */
const SERIOUS = ['serious', 'critical'];

/** What is amiss on the page, with where and why. */
export async function violations(person) {
  await person.page.evaluate(AXE);
  const found = await person.page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'], preload: false }));
  return found.violations.map(({ id, impact, help, nodes }) => {
    const places = nodes.map((node) => `    ${node.target.join(' ')}  ${node.html.slice(0, 160)}\n      ${(node.failureSummary ?? '').replace(/\s+/g, ' ')}`);
    return { isSerious: SERIOUS.includes(impact), text: `${impact}: ${id}: ${help}\n${places.join('\n')}` };
  });
}
