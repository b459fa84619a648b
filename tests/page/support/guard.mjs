// What must never happen, in whatever test: it is watched for everywhere, and fails the test in which it happens.

/** Watches a page, and remembers what is amiss. */
export class Guard {
  #faults = [];
  #said = [];
  #allowed = new Set();

  constructor(origin) {
    this.origin = origin;
  }

  /** A view that is answered with this status is what the test is about: the browser's own word about it is no fault. */
  allow(...statuses) {
    for (const status of statuses) this.#allowed.add(status);
  }

  async watch(page) {
    page.on('pageerror', (error) => this.#faults.push(`the page's script failed: ${error.stack ?? error}`));
    page.on('dialog', (dialog) => {
      this.#faults.push(`a dialog was opened: ${dialog.message()}`);
      dialog.dismiss().catch(() => {});
    });
    page.on('console', (message) => {
      if (!['error', 'warn', 'assert'].includes(message.type())) return;
      this.#said.push({ text: message.text(), url: message.location()?.url ?? '' });
    });
    page.on('request', (request) => {
      const address = new URL(request.url());
      if (address.protocol === 'data:' || address.protocol === 'about:') return;
      if (address.origin !== this.origin) this.#faults.push(`another host was asked: ${request.url()}`);
    });
    page.on('popup', () => this.#faults.push('a window was opened'));
    await page.evaluateOnNewDocument(() => {
      document.addEventListener('securitypolicyviolation', (event) => {
        console.error(`the policy forbids: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
      });
    });
  }

  /** Lets what was amiss be, for tests of this. */
  forget() {
    this.#faults = [];
    this.#said = [];
  }

  /** Fails if anything was amiss. */
  check() {
    const said = this.#said.filter(({ text }) => !this.#allowed.has(Number(text.match(/status of (\d+)/)?.[1])));
    const faults = new Set([...this.#faults, ...said.map(({ text, url }) => `the console has: ${text} (${url})`)]);
    if (faults.size > 0) throw new Error(`This must never happen:\n  ${[...faults].join('\n  ')}`);
  }
}
