// The table of the newest alerts. Rows are kept and updated in place. While the reader is in the table,
// new rows wait behind a button, so that nothing moves under the pointer.

import { byId, element, setText, visible } from './dom.js';
import { plural, severityMark, severityOf, statusWord, timeOf, whole, who } from './format.js';

const body = byId('alerts');
const scroll = byId('alerts-scroll');
const empty = byId('alerts-empty');
const held = byId('held');

// Whoever has not moved, typed or scrolled in the table for this long has gone, and it flows again.
const BUSY_MS = 30000;

const rows = new Map();
let latest = [];
let shownIds = new Set();
let now = 0;
let touched = 0;

/** Makes the table call `open` with an alert when a row is clicked or Enter is pressed on it. */
export function wireAlerts(open) {
  const alertOf = (target) => rows.get(target.closest?.('tr')?.dataset.id)?.alert;
  body.addEventListener('click', (clicked) => {
    if (String(getSelection()) !== '') return;
    const alert = alertOf(clicked.target);
    if (alert) open(alert);
  });
  body.addEventListener('keydown', (pressed) => {
    if (pressed.ctrlKey || pressed.metaKey || pressed.altKey) return;
    const alert = alertOf(pressed.target);
    if (alert && (pressed.key === 'Enter' || pressed.key === ' ')) open(alert);
    else if (!move(pressed)) return;
    pressed.preventDefault();
  });
  held.addEventListener('click', () => {
    place();
    scroll.scrollTop = 0;
    body.firstElementChild?.focus();
  });
}

function move({ key, target }) {
  const row = target.closest('tr');
  const next = {
    ArrowDown: row.nextElementSibling, j: row.nextElementSibling,
    ArrowUp: row.previousElementSibling, k: row.previousElementSibling,
    Home: body.firstElementChild, End: body.lastElementChild,
  }[key];
  if (next) next.focus();
  return Boolean(next);
}

for (const sign of ['pointermove', 'pointerdown', 'keydown', 'scroll']) {
  scroll.addEventListener(sign, () => { touched = Date.now(); }, { passive: true });
}

body.addEventListener('focusin', ({ target }) => stop(target.closest('tr')));

// One row is the stop of the Tab key; the arrows move it.
function stop(row) {
  if (!row) return;
  for (const other of body.querySelectorAll('tr[tabindex="0"]')) other.tabIndex = -1;
  row.tabIndex = 0;
}

/** Shows `alerts`, newest first, as of `serverNow` (milliseconds). `looked` is how many events were stored. */
export function showAlerts(alerts, serverNow, looked) {
  latest = alerts;
  now = serverNow;
  for (const alert of alerts) {
    if (rows.has(alert.id)) update(rows.get(alert.id), alert);
  }
  const fresh = alerts.filter((it) => !shownIds.has(it.id)).length;
  if (!isBusy()) place();
  else if (0 < fresh) hold(fresh);
  empty.hidden = 0 < alerts.length;
  setText(empty, 0 < looked ? `No alert yet. ${plural(looked, 'event')} stored, and nothing in them looked like an attack.` : 'No alert yet.');
}

function isBusy() {
  const inside = body.matches(':hover') || body.contains(document.activeElement) || 4 < scroll.scrollTop;
  return 0 < rows.size && inside && Date.now() - touched < BUSY_MS;
}

function hold(fresh) {
  setText(held, `Show ${plural(fresh, 'new alert')}`);
  held.dataset.shown = 'yes';
  held.disabled = false;
}

// Puts the rows in order, moving only those that are out of place, and drops what is no longer listed.
function place() {
  held.dataset.shown = 'no';
  held.disabled = true;
  const isFirst = rows.size === 0;
  shownIds = new Set(latest.map((it) => it.id));
  for (const [id, row] of rows) {
    if (!shownIds.has(id)) {
      row.node.remove();
      rows.delete(id);
    }
  }
  latest.forEach((alert, index) => {
    const row = rows.get(alert.id) ?? create(alert, isFirst);
    const there = body.children[index] ?? null;
    if (there !== row.node && !row.node.contains(document.activeElement)) body.insertBefore(row.node, there);
  });
  if (!body.querySelector('tr[tabindex="0"]')) stop(body.firstElementChild);
}

function create(alert, isFirst) {
  const cell = (name) => element('td', { class: name });
  const cells = {
    severity: cell('c-severity'), time: cell('c-time'), what: cell('c-what'),
    who: cell('c-who'), count: cell('c-count num'), status: cell('c-status'),
  };
  const node = element('tr', { tabindex: '-1', class: isFirst ? null : 'fresh' }, ...Object.values(cells));
  node.dataset.id = alert.id;
  const row = { node, cells, key: '', alert };
  rows.set(alert.id, row);
  update(row, alert);
  return row;
}

function update(row, alert) {
  row.alert = alert;
  const today = new Date(now).toDateString();
  const key = JSON.stringify([alert.severity, alert.last_seen, alert.title, alert.details, alert.count, alert.status, alert.entity, today]);
  if (row.key === key) return;
  row.key = key;
  const { kind, value } = who(alert);
  const { cells } = row;
  cells.severity.replaceChildren(severityMark(severityOf(alert)));
  cells.time.replaceChildren(timeOf(alert.last_seen, now));
  cells.what.replaceChildren(
    element('span', { class: 'title' }, visible(alert.title, 300)),
    ...(alert.synthetic ? [element('span', { class: 'badge' }, 'demo')] : []),
    element('span', { class: 'sub sub-wide' }, visible(alert.details ?? alert.reason, 300)),
    element('span', { class: 'sub sub-narrow' }, `${whole(alert.count)}× ${kind === 'IP' ? '' : `${kind} `}${value}`),
  );
  cells.who.replaceChildren(element('span', { class: 'kind' }, kind), element('span', { class: 'value', title: value }, value));
  setText(cells.count, whole(alert.count));
  setText(cells.status, statusWord(alert.status));
  row.node.dataset.status = String(alert.status);
}
