// The tests themselves: what they watch for, they notice.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { violations } from './support/axe.mjs';
import { on } from './support/visit.mjs';

const noticed = (act, pattern) => on('plain', async (person) => {
  await person.page.evaluate(act);
  await person.until('it is noticed', () => true);
  assert.throws(() => person.guard.check(), pattern);
  person.guard.forget();
});

test('a dialog is noticed', noticed(() => alert('x'), /a dialog was opened: x/));
test('an error of a script is noticed', noticed(() => new Promise((done) => {
  setTimeout(() => { setTimeout(done, 0); throw new Error('broken'); }, 0);
}), /script failed: .*broken/));
test('a word on the console is noticed', noticed(() => console.error('broken'), /the console has: broken/));
test('a script that the policy forbids is noticed', noticed(() => new Promise((done) => {
  document.addEventListener('securitypolicyviolation', () => done());
  const script = document.createElement('script');
  script.textContent = '1';
  document.body.append(script);
}), /policy/));
test('a request to another host is noticed', noticed(() => new Promise((done) => {
  const image = new Image();
  image.onerror = done;
  image.src = 'http://127.0.0.2:9/x.png';
}), /(policy|another host)/));

test('poor contrast is noticed', on('plain', async (person) => {
  await person.page.evaluate(() => { document.querySelector('.total').style.color = getComputedStyle(document.body).backgroundColor; document.querySelector('.total').style.color = '#eee'; });
  assert.match((await violations(person)).map(({ text }) => text).join(), /color-contrast/);
}));
