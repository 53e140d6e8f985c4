// The overview: reads the state every two seconds and shows it.

import { showAlerts, wireAlerts } from './alerts.js';
import { poll, read, wireLogout } from './api.js';
import { showDecisions } from './decisions.js';
import { openDetail, openFromAddress, wireDetail } from './detail.js';
import { byId, command, element, setAttribute, setText, visible } from './dom.js';
import { SEVERITIES, clock, severityMark, utc, whole } from './format.js';
import { forgetReadings, lags, showLedger } from './inputs.js';
import { judge, judgeHealth } from './verdict.js';

// How many alerts are read each time, and listed; of decisions, too.
const ALERTS_MAX = 50;
const DECISIONS_MAX = 50;
// When more than ALERTS_MAX fall into the last hour they are counted apart, this many at most and this seldom.
const COUNTED_MAX = 1000;
const COUNTED_EVERY_MS = 10000;
const HOUR_MS = 3600000;

let serverNow = Date.now();
let counted = { atMs: 0, items: [] };

byId('severities').append(...SEVERITIES.map((it) => element('li', {}, severityMark(it), element('span', { class: 'figure' }, '–'))));
wireLogout(byId('logout'));
wireDetail();
wireAlerts((alert) => openDetail(alert, serverNow));
openFromAddress();
const tryNow = poll(refresh, showTrouble);
byId('retry').addEventListener('click', tryNow);
document.addEventListener('visibilitychange', () => { if (document.hidden) forgetReadings(); });

async function refresh() {
  const [health, alerts, ledger, decisions, held, switches] = await Promise.allSettled([
    read('/health', [503]), read(`/v1/alerts?limit=${ALERTS_MAX}`), read('/v1/ledger'),
    read(`/v1/decisions?limit=${DECISIONS_MAX}`), read(`/v1/decisions?state=held&limit=${DECISIONS_MAX}`),
    read('/v1/decisions/switches'),
  ]);
  const state = health.value ? { ...health.value.body, http_status: health.value.status } : null;
  if (state && judgeHealth(state)) showStatus(judgeHealth(state));
  for (const part of [health, alerts, ledger, decisions, held, switches]) {
    if (part.status === 'rejected') throw part.reason;
  }
  serverNow = ledger.value.now;
  const items = alerts.value.body.items ?? [];
  await countHour(items, (alerts.value.body.next ?? null) !== null);
  showAll(state, items, ledger.value.body);
  showDecisions([held.value.body, decisions.value.body], switches.value.body, serverNow);
}

function showAll(health, items, ledger) {
  const total = ledger.total ?? {};
  const isCut = COUNTED_MAX <= counted.items.length;
  const known = [...new Map([...counted.items, ...items].map((it) => [it.id, it])).values()];
  showLedger(ledger, performance.now());
  showAlerts(items, serverNow, total.stored ?? 0);
  showSeverities(known, isCut);
  byId('synthetic').hidden = !items.some((it) => it.synthetic);
  showStart(!total.received && items.length === 0);
  showStatus(judge({ health, alerts: known, total, lags: lags(), now: serverNow, isCut }));
  live('live', 'Live', `Updated ${clock(new Date())}, ${utc(new Date())}`);
  byId('retry').hidden = true;
}

// Reads all alerts of the last hour, when those listed are not all of them.
async function countHour(items, hasMore) {
  const oldest = items.length ? Date.parse(items[items.length - 1].last_seen) : 0;
  if (!hasMore || oldest < serverNow - HOUR_MS) {
    counted = { atMs: 0, items: [] };
    return;
  }
  if (performance.now() - counted.atMs < COUNTED_EVERY_MS && 0 < counted.atMs) return;
  const from = new Date(serverNow - HOUR_MS).toISOString();
  const { body } = await read(`/v1/alerts?limit=${COUNTED_MAX}&from=${encodeURIComponent(from)}`);
  counted = { atMs: performance.now(), items: body.items ?? [] };
}

function showSeverities(items, isCut) {
  const recent = items.filter((it) => serverNow - Date.parse(it.last_seen) <= HOUR_MS);
  SEVERITIES.forEach((severity, index) => {
    const number = recent.filter((it) => it.severity === severity).length;
    const item = byId('severities').children[index];
    setText(item.lastChild, `${whole(number)}${isCut && 0 < number ? '+' : ''}`);
    item.classList.toggle('zero', number === 0);
  });
}

function showStatus({ level, mark, title, note }) {
  setAttribute(byId('status'), 'data-level', level);
  setText(byId('status-mark'), mark);
  setText(byId('status-title'), visible(title, 300));
  setText(byId('status-note'), visible(note, 600));
  const alarm = { attack: '▲ ', blind: '! ', behind: '… ' }[level] ?? '';
  document.title = `${alarm}${visible(title, 80)} · Bartizan`;
}

function showTrouble(error, since, pauseMs) {
  forgetReadings();
  const seconds = Math.round(pauseMs / 1000);
  const again = `Next try in ${seconds} s.`;
  live('lost', 'Not live', `No good answer since ${clock(new Date(since))}`);
  byId('retry').hidden = false;
  if (error.status === 503 && byId('status').dataset.level === 'blind') return;
  if (error.status === 403) {
    showStatus({ level: 'blind', mark: '!', title: 'This session may not read', note: `${error.message} Log in with a key of the scope read or admin.` });
    return;
  }
  const title = error.status ? `Cannot see: the server answers ${error.status}` : 'Cannot see: the server does not answer';
  const advice = error.status ? error.message : 'Is it running? Its log says why it stopped.';
  showStatus({ level: 'blind', mark: '!', title, note: `Since ${clock(new Date(since))}; what is shown below is from then. ${advice} ${again}` });
}

function live(state, words, title) {
  setAttribute(byId('live'), 'data-state', state);
  setAttribute(byId('live'), 'title', title);
  setText(byId('live-text'), words);
}

// What to do when nothing has ever come in.
function showStart(isEmpty) {
  byId('start').hidden = !isEmpty;
  byId('alerts-block').hidden = isEmpty;
  if (!isEmpty || byId('steps').firstChild) return;
  const event = '{"client_ip":"203.0.113.7","path":"/login","status_code":401,"message":"hello"}';
  const curl = `curl ${location.origin}/v1/events -H "Authorization: Bearer KEY" -H "Content-Type: application/json" -d '${event}'`;
  const key = element('p', { class: 'muted' }, 'KEY is what ', element('code', {}, 'bartizan key create --data DIR --name first --scope ingest'),
    ' prints; DIR is the data folder. Every event sent with it appears under its name.');
  byId('steps').append(
    element('li', {}, element('h3', {}, 'Watch a log file'), command('bartizan up --watch /var/log/nginx/access.log')),
    element('li', {}, element('h3', {}, 'Send one event'), command(curl), key),
    element('li', {}, element('h3', {}, 'Look at it with made-up attacks'), command('bartizan demo'),
      element('p', { class: 'muted' }, 'Its alerts are marked as synthetic.')),
  );
}
