'use strict';
// Puts newer sections in place of older ones, as server-sent events bring them, and opens explanations. All markup comes from
// the gateway, escaped there; nothing is stored.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const one = (selector) => document.querySelector(selector);
  const parsed = (html) => new DOMParser().parseFromString(html, 'text/html');
  const live = one('#live');
  const dialog = one('#explanation');
  if (!live) return;

  // Sections that wait until nobody has selected text in them.
  const waiting = new Map();
  const filter = one('#filter');

  function isRead(place) {
    const selection = getSelection();
    return selection !== null && !selection.isCollapsed && place.contains(selection.anchorNode);
  }

  function replace(name, html) {
    const place = one(`[data-section="${name}"]`);
    if (!place) return;
    if (isRead(place)) {
      waiting.set(name, html);
      return;
    }
    waiting.delete(name);
    const focused = place.contains(document.activeElement) ? document.activeElement : null;
    const key = focused && focused.dataset.key;
    const label = focused && focused.getAttribute('aria-label');
    const scrolled = new Map(all('.scroll', place).map((frame) => [frame.getAttribute('aria-label'), frame.scrollLeft]));
    place.replaceChildren(...parsed(html).body.childNodes);
    for (const frame of all('.scroll', place)) {
      frame.scrollLeft = scrolled.get(frame.getAttribute('aria-label')) || 0;
      if (!key && label && frame.getAttribute('aria-label') === label) frame.focus({ preventScroll: true });
    }
    if (key) focusKey(place, key);
    if (name === 'routes') applyFilter();
    if (name === 'summary') document.title = one('#verdict').dataset.title;
  }

  function focusKey(place, key) {
    const same = all('[data-key]', place).find((element) => element.dataset.key === key);
    if (same) same.focus({ preventScroll: true });
  }

  function applyFilter() {
    const wanted = filter.querySelector('input').value.trim().toLowerCase();
    for (const row of all('#routes tbody tr')) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  }
  filter.hidden = false;
  filter.addEventListener('input', applyFilter);

  // The text is only set where it changes: it is read out.
  function say(text, isStale) {
    if (live.textContent !== text) live.textContent = text;
    live.classList.toggle('stale', isStale);
  }

  let last = Date.now();
  function watch() {
    const events = new EventSource('/status/events');
    events.addEventListener('sections', (event) => {
      last = Date.now();
      say('Live: updated each second.', false);
      for (const [name, html] of Object.entries({ ...Object.fromEntries(waiting), ...JSON.parse(event.data) })) replace(name, html);
    });
    events.addEventListener('error', () => {
      if (events.readyState === EventSource.CLOSED) setTimeout(watch, 5000);
    });
  }
  watch();
  setInterval(() => {
    if (Date.now() - last > 5000) say('Not live: the gateway has sent nothing for some seconds. What stands here is old.', true);
  }, 1000);

  // Explanations.
  let opened = null;
  async function explain(address) {
    const place = one('#explained');
    try {
      const response = await fetch(address, { headers: { Accept: 'text/html' } });
      const article = parsed(await response.text()).querySelector('article');
      if (article) place.replaceChildren(article);
      else place.textContent = `The gateway answers ${response.status}.`;
    } catch {
      place.textContent = 'The gateway does not answer.';
    }
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    (one('#explained-title') || dialog.querySelector('button')).focus();
  }
  document.addEventListener('click', (event) => {
    const link = event.target.closest('a.explain');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    opened = link.dataset.key;
    explain(link.href);
  });
  const find = one('#find');
  find.hidden = false;
  find.addEventListener('submit', (event) => {
    event.preventDefault();
    opened = null;
    explain(`/refusals/${encodeURIComponent(find.elements.id.value.trim())}`);
  });
  one('#close').addEventListener('click', () => dialog.close());
  dialog.addEventListener('close', () => {
    if (opened) focusKey(document, opened);
  });

  // No form is ever sent by the browser itself.
  for (const form of all('form')) form.addEventListener('submit', (event) => event.preventDefault());

  // Actions of whoever has the operator's token.
  for (const form of all('form[data-action]')) {
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      const outcome = one('#outcome');
      const button = form.querySelector('button');
      button.disabled = true;
      outcome.textContent = 'Asked…';
      try {
        const response = await fetch(`/operate/${form.dataset.action}`, {
          method: 'POST',
          headers: { Authorization: `Bearer ${one('#token').value}`, 'Content-Type': 'application/json' },
          body: JSON.stringify(Object.fromEntries(new FormData(form))),
          credentials: 'omit',
        });
        const answer = await response.json();
        outcome.textContent = response.ok ? `Done: ${JSON.stringify(answer)}` : `Not done: ${answer.error}`;
      } catch (error) {
        outcome.textContent = `Not done: ${error.message}`;
      }
      button.disabled = false;
    });
  }
})();
