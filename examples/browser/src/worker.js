// Maps in the background, so that the page can be used meanwhile, and a guest that does not end can be ended.

import { Failure, Guest } from '../../node/guest.mjs';
import { instantiate } from '../../node/socdefenders/socdefenders.js';

let guest;

self.onmessage = ({ data }) => {
  if (data.module) {
    guest = new Guest(instantiate, data.module);
    self.postMessage({ about: guest.describe() });
    return;
  }
  const began = performance.now();
  try {
    const batch = guest.mapRecords(data.config, data.observed, data.page);
    self.postMessage({ batch, took: performance.now() - began });
  } catch (error) {
    const kind = error instanceof Failure ? error.kind : 'trap';
    self.postMessage({ failure: { kind, text: error instanceof Failure ? error.text : error.message } });
  }
};
