// The ledger: the figures above, the table of inputs, and whether every record is accounted for.

import { byId, element, setAttribute, setText, visible } from './dom.js';
import { count, plural, rate, whole } from './format.js';

const COUNTERS = ['received', 'stored', 'duplicate', 'rejected', 'quarantined', 'lag_events'];
// The rate is taken over this time: long enough to be calm, short enough to be now.
const RATE_MS = 10000;
// How many readings the small curve shows.
const READINGS_MAX = 60;
// What stands beside the counters of the inputs, and how it is said.
const BESIDE = [
  ['late', 'late'], ['ahead', 'ahead of their time'], ['refused_requests', 'requests refused before they were read'],
];

// The key of the row of the sum; no input has it, since names are texts.
const TOTAL = Symbol('total');

const readings = [];
const rates = [];
const rows = new Map();

/** The lag of the last readings, oldest first. */
export function lags() {
  return readings.map((it) => it.ledger.total?.lag_events ?? 0);
}

/** Takes one reading of `/v1/ledger` at `atMs` and shows it. */
export function showLedger(ledger, atMs) {
  const previous = readings[readings.length - 1];
  if (previous && (ledger.total?.received ?? 0) < (previous.ledger.total?.received ?? 0)) readings.length = 0;
  readings.push({ ledger, atMs });
  if (READINGS_MAX < readings.length) readings.shift();
  figures(ledger.total ?? {});
  balance(ledger.total ?? {});
  table(ledger);
  beside(ledger);
}

/** Forgets the readings: after a pause a difference would be no rate. */
export function forgetReadings() {
  readings.length = 0;
}

function rateOf(pick) {
  const last = readings[readings.length - 1];
  const first = readings.find((it) => last.atMs - it.atMs <= RATE_MS);
  if (!first || first === last) return NaN;
  return Math.max(0, (pick(last.ledger) - pick(first.ledger)) / ((last.atMs - first.atMs) / 1000));
}

function figures(total) {
  const now = rateOf((it) => it.total?.received ?? 0);
  setText(byId('rate'), rate(now));
  if (Number.isFinite(now)) curve(now);
  setText(byId('stored'), count(total.stored));
  byId('stored').title = whole(total.stored);
  setText(byId('stored-note'), 0 < total.duplicate ? `${plural(total.duplicate, 'duplicate')} left out` : 'no duplicates');
  setText(byId('lag'), count(total.lag_events));
  const waits = `events not yet looked at, the oldest for ${whole(Math.ceil(total.lag_seconds ?? 0))} s`;
  setText(byId('lag-note'), 0 < total.lag_events ? waits : 'all events looked at');
  const lost = (total.rejected ?? 0) + (total.quarantined ?? 0);
  setText(byId('refused'), count(lost));
  const parts = `${count(total.quarantined ?? 0)} quarantined, ${count(total.rejected ?? 0)} rejected`;
  setText(byId('refused-note'), lost === 0 ? 'none quarantined or rejected' : parts);
  const hint = 'Quarantined is kept and can be replayed: bartizan quarantine list. Rejected was told to its sender.';
  setAttribute(byId('refused-note'), 'title', hint);
}

function curve(value) {
  rates.push(value);
  if (READINGS_MAX < rates.length) rates.shift();
  const most = Math.max(1, ...rates);
  const from = READINGS_MAX - rates.length;
  const points = rates.map((it, index) => `${((from + index) * 120 / (READINGS_MAX - 1)).toFixed(1)},${(23 - it / most * 21).toFixed(1)}`);
  byId('spark-line').setAttribute('points', points.join(' '));
}

function balance(total) {
  const { received = 0, stored = 0, duplicate = 0, rejected = 0, quarantined = 0 } = total;
  const sum = stored + duplicate + rejected + quarantined;
  const account = `${whole(received)} received = ${whole(stored)} stored + ${whole(duplicate)} duplicate + ${whole(rejected)} rejected + ${whole(quarantined)} quarantined`;
  setAttribute(byId('balance'), 'data-state', sum === received ? 'even' : 'odd');
  setText(byId('balance'), sum === received
    ? `✓ Every record is accounted for: ${account}.`
    : `! ${plural(Math.abs(received - sum), 'record')} not accounted for: ${account} does not hold. Please report this.`);
}

function table(ledger) {
  const inputs = ledger.inputs ?? {};
  const names = Object.keys(inputs).sort();
  for (const [name, row] of rows) {
    if (name !== TOTAL && !Object.hasOwn(inputs, name)) {
      row.node.remove();
      rows.delete(name);
    }
  }
  names.forEach((name, index) => {
    const row = rows.get(name) ?? create(name);
    write(row, inputs[name], rateOf((it) => it.inputs?.[name]?.received ?? 0));
    const there = byId('inputs').children[index] ?? null;
    if (there !== row.node) byId('inputs').insertBefore(row.node, there);
  });
  const sum = byId('inputs-total');
  if (!sum.firstChild) sum.append(create(TOTAL).node);
  write(rows.get(TOTAL), ledger.total ?? {}, rateOf((it) => it.total?.received ?? 0));
}

function create(name) {
  const label = name === TOTAL ? 'All inputs' : visible(name, 200);
  const cells = Array.from({ length: COUNTERS.length + 1 }, () => element('td', { class: 'num' }));
  const node = element('tr', {}, element('th', { scope: 'row', class: 'data' }, label), ...cells);
  const row = { node, cells };
  rows.set(name, row);
  return row;
}

function write(row, counters, perSecond) {
  setText(row.cells[0], rate(perSecond));
  COUNTERS.forEach((counter, index) => {
    const value = counters[counter] ?? 0;
    const cell = row.cells[index + 1];
    setText(cell, whole(value));
    const isOdd = 0 < value && ['rejected', 'quarantined', 'lag_events'].includes(counter);
    cell.classList.toggle('odd', isOdd);
    cell.classList.toggle('zero', value === 0);
  });
}

function beside(ledger) {
  const said = BESIDE.map(([name, words]) => [ledger.total?.[name] ?? ledger[name], words]).filter(([value]) => 0 < value);
  setText(byId('counters'), said.length ? `Beside them: ${said.map(([value, words]) => `${whole(value)} ${words}`).join(', ')}.` : '\u00a0');
}
