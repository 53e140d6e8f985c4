// One alert in full: what, why, on which fields, with which events.

import { read } from './api.js';
import { byId, command, element, setText, visible } from './dom.js';
import { plural, severityMark, severityOf, statusWord, timeOf, whole, who } from './format.js';

// How many evidence events are fetched at once; the others on demand.
const EVENTS_AT_ONCE = 5;
// The fields that are read first; the others follow in their own order.
const FIELD_ORDER = ['time', 'received', 'input', 'source', 'client_ip', 'user', 'host', 'method', 'path', 'status_code', 'user_agent', 'message'];

const dialog = byId('detail');
const body = byId('detail-body');
let shown = '';
let now = Date.now();

/** Lets the panel close by its button and by a click beside it. The Escape key is the browser's. */
export function wireDetail() {
  byId('detail-close').addEventListener('click', () => dialog.close());
  dialog.addEventListener('click', (clicked) => { if (clicked.target === dialog) dialog.close(); });
  dialog.addEventListener('close', () => {
    shown = '';
    history.replaceState(null, '', location.pathname);
  });
}

/** Opens the alert that the address names, if it names one: `#alert=ID`. */
export async function openFromAddress() {
  const id = new URLSearchParams(location.hash.slice(1)).get('alert');
  if (!id) return;
  try {
    const { body: alert, now: serverNow } = await read(`/v1/alerts/${encodeURIComponent(id)}`);
    openDetail(alert, serverNow);
  } catch (error) {
    show('Alert not found', [element('p', {}, visible(error.message, 300)), element('p', { class: 'muted mono' }, visible(id, 100))]);
  }
}

/** Opens the panel on `alert`, as of `serverNow` in milliseconds. */
export function openDetail(alert, serverNow) {
  now = serverNow;
  shown = alert.id;
  history.replaceState(null, '', `#alert=${encodeURIComponent(alert.id)}`);
  const matched = matchedOf(alert);
  show(visible(alert.title, 300), [head(alert), why(alert), matchedTable(matched), facts(alert), evidence(alert, matched), elsewhere(alert)]);
}

function show(title, parts) {
  setText(byId('detail-title'), title);
  body.replaceChildren(...parts.filter(Boolean));
  if (!dialog.open) dialog.showModal();
  byId('detail-title').focus();
  body.scrollTop = 0;
}

function head(alert) {
  const { kind, value } = who(alert);
  return element('p', { class: 'detail-line' },
    severityMark(severityOf(alert)),
    element('span', { class: 'value' }, `${kind} ${value}`),
    element('span', {}, plural(alert.count, 'event')),
    element('span', {}, statusWord(alert.status)),
    alert.synthetic ? element('span', { class: 'badge' }, 'demo') : null);
}

function why(alert) {
  const said = [...new Set([alert.details, alert.reason, alert.description].filter(Boolean))];
  return section('Why', ...said.map((it, index) => element('p', { class: index ? 'data' : 'data lead' }, visible(it))));
}

/** The matched fields as pairs, whichever form they come in: an object, pairs, or objects with field and value. */
function matchedOf(alert) {
  const matched = alert.matched ?? [];
  if (!Array.isArray(matched)) return Object.entries(matched);
  return matched.map((it) => (Array.isArray(it) ? it : [it?.field ?? it?.name ?? '', it?.value ?? '']));
}

function matchedTable(pairs) {
  if (pairs.length === 0) return null;
  return section('Matched on', pairTable('Field', pairs.map(([name, value]) => [name, element('mark', {}, visible(value))])));
}

function facts(alert) {
  const rows = [
    ['First seen', timeOf(alert.first_seen, now, true)],
    ['Last seen', timeOf(alert.last_seen, now, true)],
    ['Window from', alert.window_start ? timeOf(alert.window_start, now, true) : null],
    ['Confidence', Number.isFinite(alert.confidence) ? `${alert.confidence} of 100` : null],
    ['Client', alert.client_ip], ['Destination', alert.dst_ip], ['Country', alert.country], ['User', alert.user], ['Source', alert.source],
    ['Rule', alert.rule_id], ['Rule version', alert.rule_version], ['Type', alert.type], ['Alert', alert.id],
  ];
  return section('Facts', pairTable('Fact', rows.filter(([, value]) => value !== null && value !== undefined && value !== '')));
}

function evidence(alert, matched) {
  const ids = Array.isArray(alert.evidence) ? alert.evidence : [];
  const total = Number.isFinite(alert.evidence_total) ? alert.evidence_total : ids.length;
  const heading = ids.length < total ? `Evidence: ${whole(ids.length)} of ${plural(total, 'event')}` : `Evidence: ${plural(ids.length, 'event')}`;
  const list = element('div', { class: 'events' });
  const more = element('button', { type: 'button' });
  const names = new Set(matched.map(([name]) => name));
  let next = 0;
  const fetchSome = () => {
    const some = ids.slice(next, next + EVENTS_AT_ONCE);
    next += some.length;
    more.hidden = ids.length <= next;
    setText(more, `Show ${Math.min(EVENTS_AT_ONCE, ids.length - next)} more`);
    some.forEach((id) => fetchEvent(alert.id, String(id), names, list));
  };
  more.addEventListener('click', fetchSome);
  fetchSome();
  return section(heading, list, more);
}

async function fetchEvent(alertId, id, names, list) {
  const place = element('div', { class: 'event event-wait' }, 'Reading event…');
  list.append(place);
  try {
    const { body: event } = await read(`/v1/events/${encodeURIComponent(id)}`);
    if (shown === alertId) place.replaceWith(eventBox(event, names));
  } catch (error) {
    const reason = error.status === 404 ? 'is no longer kept' : `could not be read: ${visible(error.message, 200)}`;
    place.replaceChildren(`Event ${visible(id, 60)} ${reason}`);
  }
}

function eventBox(event, names) {
  const summary = element('summary', {}, timeOf(event.time ?? event.timestamp, now), ' ', element('span', { class: 'mono' }, summaryOf(event)));
  const listed = Object.keys(event).filter((it) => it !== 'original' && event[it] !== null && event[it] !== '');
  const order = (name) => (FIELD_ORDER.includes(name) ? FIELD_ORDER.indexOf(name) : FIELD_ORDER.length);
  listed.sort((a, b) => order(a) - order(b));
  const shownAs = (name) => (['time', 'timestamp', 'received'].includes(name) ? timeOf(event[name], now, true) : visible(event[name]));
  const rows = listed.map((name) => [name, names.has(name) ? element('mark', {}, shownAs(name)) : shownAs(name)]);
  return element('details', { class: 'event' }, summary, pairTable('Field', rows), original(event.original));
}

function summaryOf(event) {
  const request = [event.method, event.path ?? event.endpoint, event.status_code].filter((it) => it !== undefined && it !== null);
  const said = 1 < request.length ? request.join(' ') : event.message ?? event.path ?? event.id;
  return visible(said, 300);
}

function original(value) {
  if (value === undefined || value === null) return null;
  const text = typeof value === 'string' ? value : JSON.stringify(value, null, 2);
  return element('div', {}, element('h4', {}, 'As received'), element('pre', { class: 'original' }, visible(text)));
}

function elsewhere(alert) {
  return section('On the terminal', command(`bartizan why ${visible(alert.id, 100)}`));
}

function section(title, ...children) {
  return element('section', {}, element('h3', {}, title), ...children);
}

function pairTable(caption, rows) {
  const head = element('thead', { class: 'unseen' }, element('tr', {}, element('th', { scope: 'col' }, caption), element('th', { scope: 'col' }, 'Value')));
  const lines = rows.map(([name, value]) => element('tr', {},
    element('th', { scope: 'row' }, visible(name, 200)),
    element('td', { class: 'data' }, value instanceof Node ? value : visible(value))));
  return element('table', { class: 'pairs' }, head, element('tbody', {}, ...lines));
}
